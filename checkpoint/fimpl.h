/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fimpl.h - what files.c (dump), fopen.c and farrange.c (restore) and the kinds of files (fkind_*.c) share.  Nobody else includes it.
 *
 * A kind of file is one struct fkind.  Dump: every description of the tree is found first; then each kind's dump() is called once per
 * description (it may find more of them, in the queues of sockets), then check(), where other descriptions can be looked up.  Restore:
 * open() for all, then join() for all (connect), then fill() (queues); late() makes what needs the restored processes, in each process that
 * has it; settle() is called in the first process (the "leader") that has the description. */
#ifndef OM_CHECKPOINT_FIMPL_H
#define OM_CHECKPOINT_FIMPL_H
#include <stdint.h>
#include "checkpoint/ckpt.h"
#include "checkpoint/files.h"
#include "checkpoint/fjson.h"

enum {
	FILES_OPEN_MAX = 1 << 20,	/* descriptions of one job: the kernel's nr_open */
	FILES_PER_PROC_MAX = 1 << 20,
	FILES_QUEUE_MAX = 64 << 20,	/* bytes in one pipe or socket: above every kernel limit of an ordinary user */
};

struct fdesc {				/* one open file description of the job */
	pid_t pid;			/* where it was seen first, as we see it; ours when it came out of a queue */
	int fd;
	const struct ckpt_files_proc *proc;	/* NULL when it came out of a queue */
	int dup;			/* our own descriptor of it: what is done to it is done to the job's */
	struct stat st;
	char *link;			/* as in /proc/PID/fd */
	char *info;			/* text of fdinfo at the first place */
	int64_t pos;
	unsigned flags;			/* without O_CLOEXEC */
	const struct fkind *kind;
	size_t index;			/* in "open" */
	json_t *json;			/* borrowed from "open" */
	uint64_t aux, peer;		/* of the kind: number of its pipe, inode of its peer, ... */
	void *priv;			/* of the kind; free()d */
};

struct fwritten {			/* a regular file that is open for writing or mapped shared and writable */
	dev_t dev;
	ino_t ino;
	char *path;
	int fd;				/* of ours, of no kind in particular */
	bool in_place;			/* else written at its end only */
	bool append;			/* all writers have O_APPEND */
	const struct fdesc *desc;	/* one of them; NULL: only mapped */
	pid_t vpid;			/* who mapped it */
};

struct flate {				/* content to be copied after the job goes on */
	int fd;				/* the reflinked twin */
	json_t *target;			/* gets "runs"; own reference */
};

struct ckpt_files {
	struct ckpt_files_opts o;
	const struct ckpt_files_proc *procs;
	size_t n_procs;
	struct fdesc **descs;
	size_t n_descs, room_descs;
	void *tree;			/* tsearch() of descs: by inode, position, flags, then kcmp */
	int kcmp_err;
	pid_t self;
	bool fs_known, fs_proc;		/* the file system asked about last */
	dev_t fs_dev;
	int root;			/* O_PATH of the job's root */
	json_t *open, *written, *result;
	struct fwritten *writ;
	size_t n_writ, room_writ;
	struct flate *late;
	size_t n_late;
	uint64_t ids;			/* numbers for pipes and ghosts */
	bool unseen;			/* only looking: there may be descriptions in queues that were not read */
	struct ckpt_why *why;
};

struct fopened {			/* one description at restore */
	const json_t *json;
	const struct fkind *kind;
	int fd;				/* high number; -1: late or let go */
	bool late;			/* made in the processes */
	bool busy;			/* being opened */
	bool fixed;			/* in a process: its descriptor is where it belongs */
	size_t wanted;			/* in a process: so many numbers are still to be made from it */
	size_t leader;			/* first process that has it; SIZE_MAX: only in queues */
	int leader_fd;			/* its lowest number there */
};
struct fgroup {				/* what several descriptions have in common: a pipe, an unlinked file, a terminal */
	const char *type;
	int64_t id;
	int fd[2];
};
struct ckpt_opened {
	const json_t *files, *procs;
	const struct ckpt_source *src;
	struct ckpt_open_opts opts;
	struct fopened *f;
	size_t n;
	struct fgroup *groups;
	size_t n_groups;
	int *temps;			/* closed when all queues are filled */
	size_t n_temps;
	int low;			/* descriptions have numbers from here on, where the limit allows */
};

struct fkind {
	const char *name;
	int (*dump)(struct ckpt_files *f, struct fdesc *d, struct om_err *err);
	int (*check)(struct ckpt_files *f, struct fdesc *d, struct om_err *err);
	/* Makes a descriptor of number i; its fopened.fd is set by the caller. NULL or *ret_fd = -1: late. */
	int (*open)(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err);
	int (*join)(struct ckpt_opened *o, size_t i, struct om_err *err);
	int (*fill)(struct ckpt_opened *o, size_t i, struct om_err *err);
	/* After all queues are full and helpers are closed: options, half-closed connections. */
	int (*finish)(struct ckpt_opened *o, size_t i, struct om_err *err);
	/* In a restored process, all of which exist: make a late one. */
	int (*late)(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err);
	/* In the leader only: what needs other descriptors of the process, or must come after all opening. */
	int (*settle)(struct ckpt_opened *o, size_t i, struct om_err *err);
};
extern const struct fkind fkind_reg, fkind_dir, fkind_path, fkind_dev, fkind_pipe, fkind_eventfd, fkind_timerfd, fkind_signalfd, fkind_epoll,
	fkind_inotify, fkind_pidfd, fkind_memfd, fkind_ptm, fkind_pts, fkind_unix, fkind_inet, fkind_netlink;

/* ---- files.c ---- */
/* Fill the why of this dump: process, object, reason.  Returns -EOPNOTSUPP. */
int files_refuse(struct ckpt_files *f, const struct fdesc *d, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int files_refuse_proc(struct ckpt_files *f, const struct ckpt_files_proc *p, const char *object, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The number of the description behind our descriptor @fd (it goes over to us) which came out of a queue; added when new. */
int files_desc_of_fd(struct ckpt_files *f, int fd, size_t *ret_index, struct om_err *err);
/* Is @path (of the job) the file @st? */
bool files_path_is(const struct ckpt_files *f, const char *path, const struct stat *st);
/* Is it a file of /proc? */
bool files_in_proc(struct ckpt_files *f, const struct fdesc *d);
/* Our O_PATH descriptor of the job's @path, or -errno. */
int files_path_open(const struct ckpt_files *f, const char *path, int flags);
/* pid (as we see it) to pid in the job: 0 when it is none of the job's. @what: "NSpid", "NSpgid". */
pid_t files_vpid(const struct ckpt_files *f, pid_t pid);
pid_t files_vpgid(const struct ckpt_files *f, pid_t pgid);
/* The number behind "key:" in text like fdinfo; -ENOENT. */
int finfo_get(const char *info, const char *key, int base, uint64_t *ret);

/* ---- fwritten.c ---- */
int fwritten_add(struct ckpt_files *f, const struct fdesc *d, const char *path, struct om_err *err);
int fwritten_dump(struct ckpt_files *f, struct om_err *err);
/* Store the content of @fd (any file with @st) into @target's "runs", now or after the job goes on. -EFBIG: above the limits. */
int fwritten_content(struct ckpt_files *f, int fd, const struct stat *st, json_t *target, struct om_err *err);

/* ---- flocks.c ---- */
int flocks_dump(struct ckpt_files *f, struct fdesc *d, const struct ckpt_files_proc *p, int fd, const char *info, struct om_err *err);
int flocks_open(struct ckpt_opened *o, size_t i, struct om_err *err);		/* flock and OFD */
int flocks_arrange(const json_t *proc, struct om_err *err);			/* POSIX */
int fowner_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err);
int fowner_arrange(const json_t *file, int fd, struct om_err *err);

/* ---- fopen.c ---- */
/* The group of @type and @id, made when new (fd = -1, -1). */
int fopen_group(struct ckpt_opened *o, const char *type, int64_t id, struct fgroup **ret, struct om_err *err);
/* Close @fd when all is filled. Takes it over, also on failure. */
int fopen_temp(struct ckpt_opened *o, int fd, struct om_err *err);
/* Another description of what @fd is open on. */
int fopen_again(int fd, int flags);
/* Open number @i now if that has not been done: another depends on it. */
int fopen_need(struct ckpt_opened *o, size_t i, struct om_err *err);
/* Number @i is @fd (taken over): made together with another. */
int fopen_set(struct ckpt_opened *o, size_t i, int fd, struct om_err *err);
/* The flags of a description that fcntl(2) sets. */
int fopen_setfl(int fd, unsigned flags);
int fopen_index(const struct ckpt_opened *o, const json_t *obj, const char *key, size_t *ret, struct om_err *err);

/* ---- farrange.c ---- */
/* In a restored process: make description @i if it is a late one that is not there yet. */
int farrange_late(struct ckpt_opened *o, size_t i, struct om_err *err);

/* ---- fkind_epoll.c ---- */
/* Mark the descriptions that set @j watches. */
void fepoll_files(const json_t *j, uint8_t *need, size_t n);
/* Add target @t, whose number is free and whose description is there, to @set. */
int fepoll_add(struct ckpt_opened *o, int set, const json_t *t, struct om_err *err);

/* ---- fkind_pty.c ---- */
int fpty_dump_proc(struct ckpt_files *f, const struct ckpt_files_proc *p, struct om_err *err);
int fpty_foreground(struct ckpt_opened *o, const json_t *proc, struct om_err *err);
#endif
