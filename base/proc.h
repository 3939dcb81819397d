/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/proc.h - processes by pidfd.  Promise: nothing here acts on a bare number. */
#ifndef OM_BASE_PROC_H
#define OM_BASE_PROC_H
#include <sys/types.h>

/* A pidfd (CLOEXEC) for @pid, or -errno.  Right for our own unreaped children and for a number the kernel has just given us. */
int om_pidfd_open(pid_t pid);
int om_pidfd_signal(int pidfd, int sig);
/* 1 when the process has ended, 0 when not. */
int om_pidfd_ended(int pidfd);
/* A copy of descriptor @fd of that process (needs ptrace rights), or -errno. */
int om_pidfd_getfd(int pidfd, int fd);
/* Wait for a child: 0 with the wait status in @status, -ETIMEDOUT after @ms (-1: for ever), -errno. */
int om_pidfd_wait(int pidfd, int ms, int *status);
#endif
