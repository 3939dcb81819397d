/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd/spawn.h - processes that omd starts.  Promise: they run as the given user with his groups, no right and no descriptor more than
 * asked for, no blocked signal; omd never waits for them. */
#ifndef OMD_SPAWN_H
#define OMD_SPAWN_H
#include <stdbool.h>
#include <sys/types.h>
struct om_err;
struct omd;

enum { OMD_SPAWN_ARGS = 16 };

/* exit statuses of a child that could not become the program */
enum { OMD_SPAWN_E_USER = 124, OMD_SPAWN_E_FOLDER = 125, OMD_SPAWN_E_FDS = 126, OMD_SPAWN_E_EXEC = 127 };

struct omd_spawn {
	const char *program;		/* "omjob": one of ours; or an absolute path */
	const char *argv[OMD_SPAWN_ARGS];	/* with [0], NULL-terminated */
	int dirfd;			/* current folder, -1: / */
	int fds[4];			/* descriptors 0 to 3 of the child; -1: /dev/null (3: none) */
	const char *log;		/* standard error goes to this file in the folder (appended, opened as the user); NULL: fds[2] */
	uid_t uid;			/* looked at in system mode only */
	gid_t gid;
	bool stay;			/* a keeper: it outlives omd.  Others are killed with it */
};

/* 0 with the pidfd of the child in @ret and its number in @ret_pid. */
int omd_spawn(struct omd *omd, const struct omd_spawn *s, int *ret, pid_t *ret_pid, struct om_err *err);
/* What a wait status of a child that did not become the program means; NULL when it did. */
const char *omd_spawn_failure(int status);

/* What the name service says of a user is kept for a minute.  His name ("1000" when he has none), valid until the next call. */
const char *omd_user_name(struct omd *omd, uid_t uid);
/* His groups (user mode: ours), borrowed until the next call. */
int omd_user_groups(struct omd *omd, uid_t uid, gid_t gid, const gid_t **ret, int *ret_n, struct om_err *err);
void omd_user_forget(struct omd *omd);
#endif
