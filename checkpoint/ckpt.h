/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/ckpt.h - checkpoint and restore of one job's process tree.  Promise: a dump that fails leaves the job as it was;
 * a restore that fails leaves no process behind; the text says process, object and reason.
 * Callers: omjob, tests.  Threads: the calling process must be single-threaded (ptrace, fork). */
#ifndef OM_CHECKPOINT_CKPT_H
#define OM_CHECKPOINT_CKPT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
struct om_err;
struct ckpt_sink;
struct ckpt_source;

/* ---- the job's namespaces (space.c) ---- */
struct ckpt_space_opts {
	bool user_ns;			/* a user namespace first: whenever the caller is not root */
	int (*map_ids)(void *arg, pid_t pid);	/* NULL: map own uid and gid; else called in the parent to write the maps */
	void *map_arg;
	uint64_t mono_ns, boot_ns;	/* the job's clocks shall show these now; 0 = as on this machine */
};
struct ckpt_space {
	pid_t init;			/* pid 1 of the job, as we see it; our child */
	int init_pidfd;
};
/* Make the namespaces and fork pid 1, which calls @init_main(@arg) and exits with what it returns.  It dies with the calling thread.
 * pid 1 has all capabilities over the job's namespaces (over the machine's only if the caller is root) and a private /proc.
 * Seccomp: pid 1 may carry a filter of the keeper (installed by init_main before the first task is forked or restored, so that every task
 * inherits it).  A task with as many filters (Seccomp_filters in /proc/PID/status) as pid 1 has none of its own; more are refused. */
int ckpt_space_create(const struct ckpt_space_opts *opts, int (*init_main)(void *), void *arg,
		      struct ckpt_space *ret, struct om_err *err);

/* ---- dump: in a process of its own, a child of the keeper ---- */
struct ckpt_why {			/* what cannot be carried */
	pid_t pid;			/* in the job's pid namespace */
	char comm[32], object[160], reason[160];
};
struct ckpt_stats {
	uint64_t stop_ns;		/* the job stood still so long */
	uint64_t wall_ns, bytes, pages, pages_kept;
	unsigned processes, threads;
};
/* Dirty tracking of one job between its checkpoints: made by the keeper before it forks its first worker, destroyed at the end. */
struct ckpt_track;
int ckpt_track_create(struct ckpt_track **ret, struct om_err *err);
void ckpt_track_destroy(struct ckpt_track *t);
struct ckpt_dump_opts {
	pid_t init;
	int init_pidfd;
	bool net_reset;			/* connections to elsewhere are restored as reset instead of refused */
	bool and_stop;			/* the tree is killed instead of let go (suspend) */
	const struct ckpt_source *base;	/* the newest checkpoint of this leg, or NULL */
	struct ckpt_track *track;		/* or NULL: every dump is whole */
	/* Called while the whole tree stands still, after everything was found to be storable; not 0 fails the dump. */
	int (*frozen)(void *arg, struct om_err *err);
	/* Called as soon as the tree goes on. */
	void (*resumed)(void *arg);
	void *arg;
};
/* 0; -EOPNOTSUPP: @why is filled; other errors: the text.  The job goes on in any case (but with and_stop and 0). */
int ckpt_dump(const struct ckpt_dump_opts *opts, const struct ckpt_sink *sink, struct ckpt_stats *stats, struct ckpt_why *why, struct om_err *err);
/* Only look whether a dump would be refused, without stopping anything: 0 or -EOPNOTSUPP with @why. */
int ckpt_look(pid_t init, bool net_reset, struct ckpt_why *why, struct om_err *err);

/* ---- restore ---- */
/* The clocks the image was taken at, for ckpt_space_opts. */
int ckpt_restore_clocks(const struct ckpt_source *src, uint64_t *ret_mono_ns, uint64_t *ret_boot_ns, struct om_err *err);
/* In pid 1 of a new space: rebuild the tree as its children.  @ctl is one end of a SOCK_SEQPACKET socketpair whose other end ckpt_restore_drive() has. Returns 0 when
 * the tree runs, with the pid (inside) of the job's root task in @ret_root, 0 if the root had ended before (its status is in the caller's own record). */
int ckpt_restore_in_init(const struct ckpt_source *src, int ctl, pid_t *ret_root, struct om_err *err);
/* In the keeper (or a child of it): lead the restore to its end. @leave_stopped: build everything, then kill it (verify --trial). @before_go is called when
 * everything stands ready and before the first instruction of the job is run. On failure the whole space is killed. */
int ckpt_restore_drive(const struct ckpt_source *src, const struct ckpt_space *space, int ctl, bool trial,
		       int (*before_go)(void *arg, struct om_err *err), void *arg, struct ckpt_stats *stats, struct om_err *err);
#endif
