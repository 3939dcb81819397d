/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/stream.h - header of the export stream (doc/image.md, Export stream).  Callers: export.c, import.c.  Promise: a header that was
 * parsed without error has possible lengths. */
#ifndef OM_SPOOL_STREAM_H
#define OM_SPOOL_STREAM_H
#include <stdint.h>
struct om_err;

enum { SPOOL_STREAM_HEAD = 60, SPOOL_STREAM_TAIL = 16 };

struct spool_stream_head {
	uint32_t blocks, distinct;
	uint64_t bytes, extra_len, meta_len, meta_stored;
};
void spool_stream_head_put(uint8_t d[SPOOL_STREAM_HEAD], const struct spool_stream_head *h);
int spool_stream_head_get(const uint8_t d[SPOOL_STREAM_HEAD], struct spool_stream_head *h, struct om_err *err);
#endif
