/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/clocks.h - the clocks as a process of the job sees them, whose time namespace may be another one than ours. */
#ifndef OM_CHECKPOINT_CLOCKS_H
#define OM_CHECKPOINT_CLOCKS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
struct om_err;

/* Does @clock stand still while the job is away (so that a time on it may be stored as it is)? */
bool ckpt_clock_is_jobs(clockid_t clock);
int ckpt_clock_read(pid_t pid, clockid_t clock, int64_t *ret_ns, struct om_err *err);
#endif
