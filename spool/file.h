/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/file.h - durable files.  Promise: a name made by these calls holds either its old bytes or all of the new ones, whatever
 * is killed or loses power; after 0 the new ones are on the disk.  Names are one component below an open folder; symbolic links
 * are never followed.
 * Callers: spool/, omjob (exit.json). */
#ifndef OM_SPOOL_FILE_H
#define OM_SPOOL_FILE_H
#include <stddef.h>
struct om_err;

/* The suffix of a file that is not complete yet: NAME.tmp.  Leftovers may be removed by whoever owns the folder. */
#define SPOOL_FILE_TMP ".tmp"
enum { SPOOL_FILE_NAME_MAX = 200 };	/* with the suffix still below NAME_MAX of every file system */

/* Replace @name by a file with these bytes (mode 0600): tmp, fsync, rename, fsync of the folder. 0 or -errno; on failure @name is as
 * before, except when the last fsync of the folder fails: then either of both is there after a loss of power. */
int spool_file_write_durable(int dirfd, const char *name, const void *data, size_t len, struct om_err *err);

/* The same in pieces, for what is written bit by bit: a new empty NAME.tmp, opened for writing. */
int spool_file_tmp_create(int dirfd, const char *name, int *ret_fd, struct om_err *err);
/* fsync @fd (stays open), rename NAME.tmp to NAME, fsync of the folder.  On failure NAME.tmp is gone. */
int spool_file_tmp_commit(int dirfd, const char *name, int fd, struct om_err *err);
void spool_file_tmp_remove(int dirfd, const char *name);

/* fsync with the text "sync NAME". */
int spool_file_sync(int fd, const char *name, struct om_err *err);
int spool_file_sync_dir(int dirfd, struct om_err *err);
/* Remove @name; one that is not there is no error.  Durable after spool_file_sync_dir(). */
int spool_file_remove(int dirfd, const char *name, struct om_err *err);
#endif
