/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/files.h - the descriptors of a process tree: capture and re-creation.  Promise: an open file description that is shared
 * (dup, fork, SCM_RIGHTS in a queue) is carried once and is shared again; what cannot be carried exactly is refused by name, before
 * anything of the job was changed.
 * Callers: the engine (dump and restore), tests.  Threads: single-threaded caller.
 *
 * In the image: "files" of the whole tree = {"open": [description..], "written": [file to put back..]}; each process has
 * "fds": [{"fd","file","cloexec"}..], "cwd", "root", "umask", "locks", "tty" (doc/image.md).  At restore all of it is hostile until checked. */
#ifndef OM_CHECKPOINT_FILES_H
#define OM_CHECKPOINT_FILES_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
struct om_err;
struct ckpt_sink;
struct ckpt_source;
struct ckpt_why;

/* ---- dump ---- */
struct ckpt_files_proc {		/* a living process (no zombie), all of whose threads stand still */
	pid_t pid;			/* as we see it */
	pid_t vpid;			/* inside the job */
	int pidfd;
	json_t *desc;			/* the process's JSON object; borrowed, fields are added */
};
struct ckpt_files_opts {
	const struct ckpt_sink *sink;	/* NULL: only look whether everything can be carried (processes may run; contents are not read) */
	pid_t init;			/* pid 1 of the job as we see it: paths hold below its root.  0: our own root */
	bool net_reset;			/* connections to elsewhere are restored as reset instead of refused */
	/* A memfd is open (it may be mapped as well): the owner of shared memory stores the contents and puts into @file what ckpt_open_opts.memfd
	 * needs to find it again.  0: taken over; 1: not mine (files.c stores it); negative: error.  May be NULL: not mine. */
	int (*memfd)(void *arg, int fd, const struct stat *st, json_t *file, struct om_err *err);
	void *arg;
};
struct ckpt_files;			/* one dump */
int ckpt_files_create(const struct ckpt_files_opts *opts, struct ckpt_files **ret, struct om_err *err);
void ckpt_files_destroy(struct ckpt_files *f);
/* Before ckpt_files_dump(): the file at @path (as in /proc/PID/maps) is mapped shared and writable by @vpid, so it is put back at restore too. */
int ckpt_files_note_mapped(struct ckpt_files *f, pid_t vpid, const char *path, dev_t dev, ino_t ino, struct om_err *err);
/* Capture.  0 with the "files" object in @ret_files (new reference); -EOPNOTSUPP with @why; -errno with the text. */
int ckpt_files_dump(struct ckpt_files *f, const struct ckpt_files_proc *procs, size_t n, json_t **ret_files,
		    struct ckpt_why *why, struct om_err *err);
/* After the tree goes on, before the description is committed: copy what was only reflinked; completes the object of ckpt_files_dump(). */
int ckpt_files_finish(struct ckpt_files *f, struct om_err *err);

/* ---- restore ----
 * Order: put_back (not for a trial), open_all in pid 1, fork the tree; terminal in each session leader after setsid(2) and before it forks;
 * when all processes exist with their sessions and groups: arrange in each; when all have arranged: close in pid 1. */
struct ckpt_open_opts {
	/* A descriptor (ours from then on) of the memfd that ckpt_files_opts.memfd stored.  1: not mine. */
	int (*memfd)(void *arg, const json_t *file, int *ret_fd, struct om_err *err);
	void *arg;
};
/* Put every file that the job had open for writing back to its state at the checkpoint.  Idempotent: killed half-way it is done again. */
int ckpt_files_put_back(const json_t *files, const struct ckpt_source *src, struct om_err *err);
struct ckpt_opened;			/* all descriptions, held by descriptors with high numbers, CLOEXEC; inherited over fork */
/* @processes: array of the processes' JSON objects, borrowed until close.  Raises the soft RLIMIT_NOFILE to the hard one. */
int ckpt_files_open_all(const json_t *files, const json_t *processes, const struct ckpt_source *src, const struct ckpt_open_opts *opts,
			struct ckpt_opened **ret, struct om_err *err);
/* Make the session's terminal the controlling one, if process number @which (index in @processes) has one and leads a session. */
int ckpt_files_terminal(struct ckpt_opened *o, size_t which, struct om_err *err);
/* In restored process number @which: every description at its numbers, all other descriptors closed but those in @keep (moved out of the way
 * where needed: the variables pointed to are updated; a source's own descriptors too if it is still used), close-on-exec flags, root, cwd, umask, epoll sets, owners, locks, foreground group. */
int ckpt_files_arrange(struct ckpt_opened *o, size_t which, int *const keep[], size_t n_keep, struct om_err *err);
/* Let the descriptions go (pid 1, when every process has arranged) or undo open_all.  Not in the restored processes: arrange does that. */
void ckpt_files_close(struct ckpt_opened *o);
#endif
