/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/journal.h - what has to be undone to bring the files of a job back.  Promise: a record is on the disk before the change it describes
 * can be; a record that is there is complete and checksummed.
 *
 * undo/E.log holds the changes of epoch E, undo/E.sN what was saved of a file.  A new epoch begins with each checkpoint (whose description names
 * it) and each keeper; numbers only grow.  To go back to a checkpoint, all epochs from its own on are undone, newest record first (undo.h).
 *
 * A log: 16 bytes of head ("omundo1\n", le32 flags, le32 first epoch that it stands for, 0: only its own (merge.h)), then frames: le32 length of the whole frame, le64 XXH64 of what follows:
 * u8 type, u8 how, le32 mode, uid, gid, le64 dev, ino, birth time ns, size, mtime ns, le32 save, le16 length of path and of path2 (0 bytes included),
 * path, path2. An incomplete last frame was never answered: it is not there.
 * Callers: watch.c, undo.c, keep.c.  Threads: loop thread only. */
#ifndef OM_OMJOB_JOURNAL_H
#define OM_OMJOB_JOURNAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
struct om_err;

enum omj_rec_type {
	OMJ_REC_CREATE = 1,	/* nothing was at path; how LINK: it is a second name of a file that was there before */
	OMJ_REC_MODIFY,		/* a regular file is about to be written: size, perhaps its content */
	OMJ_REC_REMOVE,		/* what is at path is about to go away */
	OMJ_REC_RENAME,		/* path becomes path2 */
	OMJ_REC_EXCHANGE,
	OMJ_REC_META,		/* mode, uid, gid */
	OMJ_REC_CANNOT,		/* path cannot be brought back: path2 says why */
};
enum omj_rec_how {
	OMJ_HOW_NONE = 0,	/* MODIFY: the size is all (it only grows) */
	OMJ_HOW_LINK,		/* E.sN is the file itself */
	OMJ_HOW_COPY,		/* E.sN has its content */
	OMJ_HOW_TARGET,		/* symbolic link: path2 is its text */
};

struct omj_file_id {
	uint64_t dev, ino;
	int64_t btime_ns;	/* a freed inode number is soon another file's */
};

struct omj_rec {
	uint8_t type, how;
	uint32_t mode, uid, gid, save;
	struct omj_file_id id;
	uint64_t size;
	int64_t mtime_ns;
	const char *path, *path2;	/* never NULL after a parse; borrowed from the data */
};

enum {
	OMJ_LOG_HEAD = 16,
	OMJ_REC_MAX = 12 + 66 + 2 * 4096,	/* two paths of PATH_MAX */
	OMJ_LOG_BROKEN = 1,			/* flag: a record could not be written, this epoch cannot be undone */
};

int omj_rec_add(struct om_buf *b, const struct omj_rec *rec);
/* Length of the frame at the beginning of @data with @ret filled; 0: nothing complete is there; -EUCLEAN. */
long omj_rec_parse(const void *data, size_t len, struct omj_rec *ret);
/* 0, or -EUCLEAN */
int omj_log_head_parse(const void *data, size_t len, uint32_t *ret_flags, uint32_t *ret_first);
void omj_log_head_put(char head[OMJ_LOG_HEAD], uint32_t flags, uint32_t first);

/* A whole log in memory, for undo.c and merge.c. */
struct omj_log {
	uint32_t epoch, first, flags;	/* first: == epoch unless merged */
	int fd;
	const char *data;
	size_t len;
	size_t *at;		/* beginnings of the complete records */
	size_t n;
};
/* 0; 1: it is not there or holds nothing; -EUCLEAN, ...  omj_log_close() in any case. */
int omj_log_open(int dir, uint32_t epoch, struct omj_log *l, struct om_err *err);
void omj_log_close(struct omj_log *l);
/* Record @i of it. -EUCLEAN. */
int omj_log_get(const struct omj_log *l, size_t i, struct omj_rec *ret);
/* Remove the log and all it has saved. */
void omj_epoch_remove(int dir, uint32_t epoch);

struct omj_journal {
	int jobdir, dir;	/* the job's folder; undo/, -1 as long as nothing was recorded */
	int fd;			/* E.log, -1 as long as nothing was recorded in this epoch */
	uint32_t epoch, next_save;
	uint64_t end;		/* of E.log */
	uint64_t copied;	/* bytes saved by copying in this epoch */
	struct om_buf pending;
	bool sync;		/* a pending record describes a change that could survive a loss of power */
};

/* undo/ below the job's folder, or -errno */
int omj_undo_dir_open(int jobdir);
/* The newest epoch that has left something, 0: none. */
int omj_journal_newest(int jobdir, uint32_t *ret, struct om_err *err);
void omj_journal_init(struct omj_journal *j, int jobdir, uint32_t epoch);
void omj_journal_done(struct omj_journal *j);
/* Make the folder and E.log now (needed before the first save). */
int omj_journal_ready(struct omj_journal *j, struct om_err *err);
int omj_journal_add(struct omj_journal *j, const struct omj_rec *rec, bool sync);
/* Write (and sync) what was added.  On failure the log is marked as broken; -errno when even that fails. */
int omj_journal_flush(struct omj_journal *j);
/* From now on records belong to @epoch. */
void omj_journal_cut(struct omj_journal *j, uint32_t epoch);
/* Remove all of it. */
void omj_journal_clear(int jobdir);

/* Save what is at @path (a second name for it; -ESTALE when that is not @id; by path, since a descriptor from the job's mounts cannot be linked to ours), or the content of regular file @fd (shared blocks, else copied up to a limit: -EFBIG). */
int omj_save_link(struct omj_journal *j, const char *path, const struct omj_file_id *id, uint32_t *ret_save);
int omj_save_copy(struct omj_journal *j, int fd, uint64_t size, uint32_t *ret_save);
void omj_save_name(char *dst, size_t n, uint32_t epoch, uint32_t save);
#endif
