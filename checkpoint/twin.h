/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/twin.h - a copy of a stopped process that holds its memory as it is now, while the process goes on.
 * Promise: the job sees nothing of it (no SIGCHLD, no answer to any wait, no descriptor held open). */
#ifndef OM_CHECKPOINT_TWIN_H
#define OM_CHECKPOINT_TWIN_H
#include "checkpoint/tree.h"

/* @b: a batch of the leader's scratch area.  p->twin is stopped and dies with us. */
int ckpt_twin_create(struct ckpt_proc *p, struct ckpt_batch *b, struct om_err *err);
void ckpt_twin_destroy(struct ckpt_proc *p);
#endif
