/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/resolve.h - where a path of a job's process leads.  Promise: the path returned has no symbolic link in it, and is what the
 * call of that process is about to reach (if nobody changes it in between, which is the job's own race).
 * Callers: watch.c. */
#ifndef OM_OMJOB_RESOLVE_H
#define OM_OMJOB_RESOLVE_H
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "omjob/journal.h"

struct omj_place {
	char path[PATH_MAX];	/* absolute */
	int parent;		/* O_PATH descriptor of the folder it is in, -1: none */
	const char *name;	/* last component, in @path */
	bool exists, gone;	/* gone: an open file without a name */
	struct statx st;	/* of what is there (a symbolic link itself unless followed) */
	struct omj_file_id id;
};

/* @path as process @pid means it below @dirfd (a descriptor of that process or AT_FDCWD).  0; 1: not ours to look at
 * (/proc, /dev, /sys, no such folder: the call will say so); -errno: could not be told. */
int omj_resolve(pid_t pid, int dirfd, const char *path, bool follow, struct omj_place *ret);
/* What descriptor @fd of the process is. */
int omj_resolve_fd(pid_t pid, int fd, struct omj_place *ret);
void omj_place_done(struct omj_place *p);
#endif
