/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/filter.h - the seccomp filter that tells the keeper of a change to files before it happens.  Promise: calls that change no name
 * and open nothing for writing are let through by the kernel's own bitmap of allowed calls (facts: 0.01 us more); a program of another
 * architecture is not watched (its job cannot be checkpointed, so nothing is gone back to but its beginning).
 * Callers: init, before the first task. */
#ifndef OM_OMJOB_FILTER_H
#define OM_OMJOB_FILTER_H
struct om_err;

/* Install it on the caller, for all its descendants, and return the listener (CLOEXEC).  Needs CAP_SYS_ADMIN in the own user namespace: no
 * NO_NEW_PRIVS, which the job would see. */
int omj_filter_install(int *ret_listener, struct om_err *err);
#endif
