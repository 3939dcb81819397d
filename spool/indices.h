/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/indices.h - a set of array indices ("0-99:2,7").  Promise: text from outside becomes a sorted set without doubles or an error; an
 * array of a million elements costs a few bytes. */
#ifndef OM_SPOOL_INDICES_H
#define OM_SPOOL_INDICES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/job.h"
#include "base/mem.h"
struct om_err;

enum {
	SPOOL_ELEMENTS_MAX = 1000000,	/* of one array: one second of expansion in omd at most */
	SPOOL_RANGES_MAX = 20000	/* pieces of one set: bounds the text that is written when an element is taken out */
};

struct spool_range {
	uint32_t first, last, step;	/* last is an element of it; step >= 1 */
};
struct spool_indices {			/* all 0: the empty set */
	struct spool_range *range;	/* sorted by first; no element is in two */
	size_t n, room;
	uint32_t count;			/* elements */
};

void spool_indices_done(struct spool_indices *s);
/* "a", "a-b", "a-b:step", comma between them; blanks are not allowed.  0, -EINVAL, -ERANGE (index above OM_ELEM_MAX), -E2BIG (too many
 * elements or pieces), -ENOMEM, with a text that names the piece.  @ret is initialised on success only. */
int spool_indices_parse(const char *text, struct spool_indices *ret, struct om_err *err);
/* The text again (canonical), "" for the empty set; caller frees; NULL when out of memory. */
char *spool_indices_text(const struct spool_indices *s);
bool spool_indices_has(const struct spool_indices *s, uint32_t index);
/* The smallest element: 0 or -ENOENT. */
int spool_indices_first(const struct spool_indices *s, uint32_t *ret);
/* Take @index out.  0, -ENOENT, -ENOMEM, -E2BIG (would be too many pieces; the set is as before). */
int spool_indices_remove(struct spool_indices *s, uint32_t index);
/* Put back an element that was taken out; 0 also when it is there.  -ENOMEM, -E2BIG. */
int spool_indices_add(struct spool_indices *s, uint32_t index);
#endif
