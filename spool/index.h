/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/index.h - blocks by hash.  Promise: in memory only, rebuilt from manifests: nothing that could be damaged.
 * Callers: spool/. */
#ifndef OM_SPOOL_INDEX_H
#define OM_SPOOL_INDEX_H
#include <stddef.h>
#include <stdint.h>
#include "spool/pack.h"

struct spool_index {
	struct spool_row *rows;		/* in the order they were put */
	uint32_t n, room;
	uint32_t *slots;		/* place in rows + 1; 0 = empty */
	uint32_t mask;			/* number of slots - 1 */
};

void spool_index_done(struct spool_index *ix);
/* NULL when there is no block with this hash and raw length.  Valid until the next put. */
const struct spool_row *spool_index_get(const struct spool_index *ix, const struct spool_hash *hash, uint32_t raw_len);
/* Add @row; one that is there already stays.  0 or -ENOMEM. */
int spool_index_put(struct spool_index *ix, const struct spool_row *row);
#endif
