/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/tool/dirsink.h - a checkpoint as three files in a folder (blocks, index, meta): the engine's tests do not need the store. */
#ifndef OM_TESTS_DIRSINK_H
#define OM_TESTS_DIRSINK_H
#include "base/buf.h"
#include "checkpoint/sink.h"

struct dirsink {
	char dir[4000];
	int blocks;			/* descriptor */
	struct om_buf index;		/* offset and length, 8 bytes each, per block */
	uint64_t end;
	void *meta;
	size_t meta_len;
	struct dirsink *base;
	struct ckpt_sink sink;
	struct ckpt_source source;
	uint64_t kept;
};
/* For writing; @base may be NULL. */
int dirsink_create(struct dirsink *d, const char *dir, struct dirsink *base);
/* For reading. */
int dirsink_open(struct dirsink *d, const char *dir);
void dirsink_done(struct dirsink *d);
#endif
