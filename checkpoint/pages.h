/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/pages.h - memory content: which pages matter, and blocks of up to 64 of them.
 *
 * The table of extents of one address space (or shared object) is itself stored in blocks, as an array of struct ckpt_extent in
 * little-endian, named by the description: {"blocks":[n,...],"count":N}. */
#ifndef OM_CHECKPOINT_PAGES_H
#define OM_CHECKPOINT_PAGES_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "checkpoint/maps.h"
#include "checkpoint/sink.h"
struct om_err;

enum { CKPT_BLOCK_PAGES = CKPT_BLOCK_MAX / CKPT_PAGE };

struct ckpt_extent {				/* @pages pages at @addr are in block @block from its page @first on */
	uint64_t addr;
	uint32_t pages, block, first, zero;
};

typedef int ckpt_pages_cb(void *arg, uint64_t from, uint64_t to, bool guard);
/* Which pages of @from..@to have content of their own (anonymous, not the zero page), and which are guard pages (MADV_GUARD_INSTALL; known
 * from Linux 6.15 on).  Calls @run for each range, ascending. */
int ckpt_pages_scan(int pagemap, uint64_t from, uint64_t to, ckpt_pages_cb *run, void *arg, struct om_err *err);
/* Only the guard pages. */
int ckpt_pages_guards(int pagemap, uint64_t from, uint64_t to, ckpt_pages_cb *run, void *arg, struct om_err *err);
/* PAGE_IS_GUARD, or 0 where PAGEMAP_SCAN does not know it. */
uint64_t ckpt_pages_guard_bit(void);
/* Is there PAGEMAP_SCAN (Linux 6.7)? */
bool ckpt_pages_can_track(void);
/* Our own vdso, which is everybody's. */
int ckpt_own_vdso(char *buf, size_t n);
int ckpt_pagemap_open(pid_t pid, struct om_err *err);

/* For qsort(): by block, then address. */
int ckpt_extent_by_block(const void *a, const void *b);

struct ckpt_packer {				/* collects pages of one process into blocks */
	const struct ckpt_sink *sink;
	pid_t pid;				/* whose memory */
	int mem;				/* descriptor of it */
	bool runs;				/* it runs meanwhile: what it unmaps is read as zero, and is looked at again when it stands still */
	char *buf;
	unsigned fill;				/* pages in buf-to-be */
	unsigned nrun;
	struct { uint64_t addr, src; uint32_t pages; bool keep_zero; } run[CKPT_BLOCK_PAGES];
	struct om_buf table;
	uint64_t pages, bytes;			/* stored */
};
int ckpt_packer_init(struct ckpt_packer *k, const struct ckpt_sink *sink, pid_t pid);
void ckpt_packer_done(struct ckpt_packer *k);
/* From now on read another process's memory. */
int ckpt_packer_source(struct ckpt_packer *k, pid_t pid, struct om_err *err);
/* The same as below, but the content is at @src. */
int ckpt_packer_add_at(struct ckpt_packer *k, uint64_t src, uint64_t from, uint64_t to, bool keep_zero, struct om_err *err);
/* Pages from..to; zero pages are left out unless @keep_zero (they hide something: a file's content). */
int ckpt_packer_add(struct ckpt_packer *k, uint64_t from, uint64_t to, bool keep_zero, struct om_err *err);
/* An extent that is stored already. */
int ckpt_packer_known(struct ckpt_packer *k, const struct ckpt_extent *x, struct om_err *err);
/* Write what is left and the table; the description's object for it. */
int ckpt_packer_finish(struct ckpt_packer *k, json_t **ret, struct om_err *err);

/* The extents packed so far, ascending if they were added so; what is half-packed is written. Heap array. */
int ckpt_packer_extents(struct ckpt_packer *k, struct ckpt_extent **ret, size_t *ret_n, struct om_err *err);

/* Read a table; every extent is checked to lie in 4096..@limit, whole, of existing pages.  Heap array, sorted as stored. */
int ckpt_extents_read(const struct ckpt_source *src, const json_t *obj, uint64_t limit, struct ckpt_extent **ret, size_t *ret_n,
		      struct om_err *err);
#endif
