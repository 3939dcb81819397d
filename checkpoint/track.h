/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/track.h - which pages were written since they were stored.  Promise: a page that is called clean has not been written since its
 * last ckpt_track_scan() that armed; when in doubt a page is called written.
 *
 * By userfaultfd in asynchronous write-protect mode and PAGEMAP_SCAN (Linux 6.7).  The descriptor is made in the target by injection and
 * taken out.  Between two checkpoints it is in flight in the keeper's own socketpair: a dump that fails closes it, and the next one is whole. */
#ifndef OM_CHECKPOINT_TRACK_H
#define OM_CHECKPOINT_TRACK_H
#include "checkpoint/dump.h"

/* What the last dump left, where it fits to @dump's base. */
int ckpt_track_take(struct ckpt_dump *dump);
/* For big processes, before the freeze: arm, store what is there, until little is left to do in the freeze. */
int ckpt_track_before(struct ckpt_dump *dump);
/* After a dump that is durable: leave the descriptors for the next one. */
void ckpt_track_leave(struct ckpt_dump *dump);
void ckpt_track_done(struct ckpt_dump *dump);
/* Sort the private pages of @p into sh->dirty and sh->clean, and arm again. Without tracking all are dirty. */
int ckpt_track_scan(const struct ckpt_maps *maps, struct ckpt_shot *sh, struct om_err *err);
/* The shot begun before the freeze for this very process, or a new one. */
int ckpt_track_find(struct ckpt_dump *dump, struct ckpt_proc *p);
#endif
