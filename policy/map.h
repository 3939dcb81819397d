/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy/map.h - from a key of three numbers to a position in an array.  Promise: after pol_map_reserve() adding cannot fail. */
#ifndef OM_POLICY_MAP_H
#define OM_POLICY_MAP_H
#include <stddef.h>
#include <stdint.h>
#include "policy/heap.h"		/* POL_NIL */

struct pol_map_key {
	uint64_t a, b, c;
};
struct pol_map {			/* all 0: empty */
	struct pol_map_entry *entry;
	size_t n, room;			/* room: 0 or a power of two */
};
struct pol_map_entry {
	struct pol_map_key key;
	uint32_t value;			/* POL_NIL: the place is free */
};

void pol_map_done(struct pol_map *m);
/* Room for @n keys in all.  0 or -ENOMEM. */
int pol_map_reserve(struct pol_map *m, size_t n);
uint32_t pol_map_get(const struct pol_map *m, struct pol_map_key key);	/* POL_NIL: none */
void pol_map_put(struct pol_map *m, struct pol_map_key key, uint32_t value);	/* also replaces */
void pol_map_remove(struct pol_map *m, struct pol_map_key key);
#endif
