/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open addressing, linear probing, at most three quarters full; removal moves later entries back, so there are no tombstones. */
#include "policy/map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

static size_t home(const struct pol_map *m, struct pol_map_key key)
{
	return (size_t)mix(mix(mix(key.a) + key.b) + key.c) & (m->room - 1);
}

static int same(struct pol_map_key x, struct pol_map_key y)
{
	return x.a == y.a && x.b == y.b && x.c == y.c;
}

void pol_map_done(struct pol_map *m)
{
	free(m->entry);
	memset(m, 0, sizeof(*m));
}

/* Where @key is, or the free place where it belongs. */
static size_t find(const struct pol_map *m, struct pol_map_key key)
{
	size_t i = home(m, key);

	while (m->entry[i].value != POL_NIL && !same(m->entry[i].key, key))
		i = (i + 1) & (m->room - 1);
	return i;
}

int pol_map_reserve(struct pol_map *m, size_t n)
{
	struct pol_map bigger = { .room = m->room ? m->room : 16 };

	while (n > bigger.room / 4 * 3)
		bigger.room *= 2;
	if (bigger.room == m->room)
		return 0;
	bigger.entry = reallocarray(NULL, bigger.room, sizeof(*bigger.entry));
	if (!bigger.entry)
		return -ENOMEM;
	for (size_t i = 0; i < bigger.room; i++)
		bigger.entry[i].value = POL_NIL;
	for (size_t i = 0; i < m->room; i++)
		if (m->entry[i].value != POL_NIL)
			bigger.entry[find(&bigger, m->entry[i].key)] = m->entry[i];
	bigger.n = m->n;
	free(m->entry);
	*m = bigger;
	return 0;
}

uint32_t pol_map_get(const struct pol_map *m, struct pol_map_key key)
{
	return m->room ? m->entry[find(m, key)].value : POL_NIL;
}

void pol_map_put(struct pol_map *m, struct pol_map_key key, uint32_t value)
{
	size_t i = find(m, key);

	assert(m->n < m->room && value != POL_NIL);
	m->n += m->entry[i].value == POL_NIL;
	m->entry[i] = (struct pol_map_entry){ key, value };
}

void pol_map_remove(struct pol_map *m, struct pol_map_key key)
{
	size_t hole, i;

	if (pol_map_get(m, key) == POL_NIL)
		return;
	hole = find(m, key);
	m->n--;
	for (i = (hole + 1) & (m->room - 1); m->entry[i].value != POL_NIL; i = (i + 1) & (m->room - 1)) {
		/* it may fill the hole unless its home lies behind the hole */
		size_t from_home = (i - home(m, m->entry[i].key)) & (m->room - 1), from_hole = (i - hole) & (m->room - 1);

		if (from_home >= from_hole) {
			m->entry[hole] = m->entry[i];
			hole = i;
		}
	}
	m->entry[hole].value = POL_NIL;
}
