/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/writer.h - what import needs of a writer besides spool/store.h.  Promise: as there. */
#ifndef OM_SPOOL_WRITER_H
#define OM_SPOOL_WRITER_H
#include "spool/pack.h"
struct spool_writer;
struct om_err;

/* Add a block that is packed and verified already; @row names its hash, lengths and codec. */
int spool_writer_stored(struct spool_writer *w, const struct spool_row *row, const uint8_t head[SPOOL_BLOCK_HEAD], const void *stored,
			uint32_t *ret_index, struct om_err *err);
/* Replace the list of blocks by one that names each of them as often as the checkpoint does (heap, given away). */
void spool_writer_relist(struct spool_writer *w, struct spool_row *rows, uint32_t n);
const struct spool_row *spool_writer_row(const struct spool_writer *w, uint32_t index);
#endif
