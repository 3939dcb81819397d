/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/shot.h - the private memory of one process at the moment the tree stands still.  Promise: what is stored later is what was there
 * then.  Pages are stored already (by the base checkpoint, or before the freeze, and not written since), copied to a stage while the process
 * stands still (few), or read later from a twin (many). */
#ifndef OM_CHECKPOINT_SHOT_H
#define OM_CHECKPOINT_SHOT_H
#include "checkpoint/pages.h"

struct ckpt_range {
	uint64_t from, to;
};
struct ckpt_ranges {
	struct ckpt_range *r;
	size_t n, room;
	uint64_t pages;
};
int ckpt_ranges_add(struct ckpt_ranges *l, uint64_t from, uint64_t to);
void ckpt_ranges_done(struct ckpt_ranges *l);

struct ckpt_known {				/* extents that are stored, ascending, apart */
	struct ckpt_extent *x;			/* .zero: 1 = block of the base checkpoint, 0 = of this one */
	size_t n;
};
/* @over lies over @k: where both have a page, @over's counts.  Both are consumed; @k is the result. */
int ckpt_known_overlay(struct ckpt_known *k, struct ckpt_known *over);
/* Keep only what lies in @in (ascending). */
int ckpt_known_cut(struct ckpt_known *k, const struct ckpt_ranges *in);
void ckpt_known_done(struct ckpt_known *k);

struct ckpt_shot {
	int uffd, pagemap;			/* dirty tracking, -1: none */
	struct ckpt_ranges dirty, clean, guards;
	struct ckpt_known known;
	char *stage;				/* copies of the ranges in staged, one after another */
	struct ckpt_ranges staged, later;	/* later: read from the twin */
};
void ckpt_shot_done(struct ckpt_shot *sh);
#endif
