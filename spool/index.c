/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An open hash table.  The hash is a good one already, its low bits are the slot; at most half of the slots are used. */
#include "spool/index.h"

#include <errno.h>
#include <stdlib.h>

enum { ROWS_MIN = 1024 };		/* a small job's checkpoint without growing */

void spool_index_done(struct spool_index *ix)
{
	free(ix->rows);
	free(ix->slots);
	*ix = (struct spool_index){ 0 };
}

static uint32_t *slot_of(const struct spool_index *ix, const struct spool_hash *hash, uint32_t raw_len)
{
	uint32_t i = (uint32_t)hash->lo & ix->mask;

	for (; ix->slots[i]; i = (i + 1) & ix->mask) {
		const struct spool_row *row = &ix->rows[ix->slots[i] - 1];

		if (row->hash.lo == hash->lo && row->hash.hi == hash->hi && row->raw_len == raw_len)
			break;
	}
	return &ix->slots[i];
}

const struct spool_row *spool_index_get(const struct spool_index *ix, const struct spool_hash *hash, uint32_t raw_len)
{
	uint32_t at;

	if (!ix->slots)
		return NULL;
	at = *slot_of(ix, hash, raw_len);
	return at ? &ix->rows[at - 1] : NULL;
}

static int grow(struct spool_index *ix)
{
	uint32_t room = ix->room ? ix->room * 2 : ROWS_MIN;
	struct spool_row *rows;
	uint32_t *slots;

	if (ix->room > UINT32_MAX / 8)
		return -ENOMEM;
	rows = realloc(ix->rows, room * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	ix->rows = rows;
	slots = calloc((size_t)room * 2, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(ix->slots);
	ix->slots = slots;
	ix->mask = room * 2 - 1;
	ix->room = room;
	for (uint32_t i = 0; i < ix->n; i++)
		*slot_of(ix, &rows[i].hash, rows[i].raw_len) = i + 1;
	return 0;
}

int spool_index_put(struct spool_index *ix, const struct spool_row *row)
{
	uint32_t *slot;

	if (ix->n == ix->room && grow(ix) < 0)
		return -ENOMEM;
	slot = slot_of(ix, &row->hash, row->raw_len);
	if (*slot == 0) {
		ix->rows[ix->n++] = *row;
		*slot = ix->n;
	}
	return 0;
}
