/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/cow.h - private memory that a parent and its forked children share until one of them writes: shared again after a restore.
 *
 * It is loaded by the processes themselves, each before it forks its children: a child inherits its maker's pages and writes only those that
 * differ.  The place where an area belongs may be taken by the program that does this, so areas lie aside, in a zone that is free in
 * everybody's address space, and are moved by mremap(2), which keeps pages shared, when the process is rebuilt. */
#ifndef OM_CHECKPOINT_COW_H
#define OM_CHECKPOINT_COW_H
#include <stdatomic.h>
#include <stdbool.h>

#include "checkpoint/image.h"
#include "checkpoint/maps.h"

struct ckpt_cow_span {
	uint64_t from, to, at;			/* addresses; at: offset in the zone */
};
struct ckpt_cow_proc {
	struct ckpt_maps maps;
	bool *pick;				/* per area: it lies in the zone */
};
struct ckpt_cow {
	uint64_t zone, len;			/* 0: nothing is shared */
	struct ckpt_cow_span *span;		/* ascending, apart */
	size_t n;
	struct ckpt_cow_proc *proc;		/* as im->proc */
	unsigned nproc;
};
/* Which areas lie in the zone: depends on the image alone.  @ret->zone is still 0. */
int ckpt_cow_plan(const struct ckpt_image *im, struct ckpt_cow *ret, struct om_err *err);
void ckpt_cow_done(struct ckpt_cow *c);
/* In pid 1: find a zone and reserve it.  No gap that is big enough: nothing is shared. */
int ckpt_cow_reserve(struct ckpt_cow *c, struct om_err *err);
/* Where @addr lies in the zone, 0: it does not. */
uint64_t ckpt_cow_at(const struct ckpt_cow *c, uint64_t addr);
/* In a process of the tree to be, before it forks: make the zone what process @i needs, from what it inherited of process @maker (-1: nothing).
 * Counts up @progress as it goes. */
int ckpt_cow_load(const struct ckpt_cow *c, const struct ckpt_image *im, unsigned i, int maker, _Atomic uint32_t *progress, struct om_err *err);
#endif
