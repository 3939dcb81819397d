/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/continue.h - system calls that our stop has interrupted in a way the program would see.  Promise: neither the job that goes on
 * nor the one that is restored sees EINTR, a short write or a wait that begins anew with every checkpoint because of us.
 *
 * The kernel restarts most calls itself.  Not: calls that answer EINTR to every interruption (epoll_wait, semop, sigtimedwait...); calls whose
 * time limit lives in the kernel's restart block, which no image has (poll, nanosleep, relative futex); writes that had written a part. */
#ifndef OM_CHECKPOINT_CONTINUE_H
#define OM_CHECKPOINT_CONTINUE_H
#include "checkpoint/tree.h"

/* All threads of @p are held (ckpt_remote_begin): mend their registers.  @b: a batch of the scratch area.  May add an area to p->maps. */
int ckpt_continue(struct ckpt_proc *p, struct ckpt_batch *b, struct om_err *err);
#endif
