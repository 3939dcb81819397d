/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/tree.h - the process tree while it is dumped or restored; inside of checkpoint/ only. */
#ifndef OM_CHECKPOINT_TREE_H
#define OM_CHECKPOINT_TREE_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "checkpoint/ckpt.h"
#include "checkpoint/inject.h"
#include "checkpoint/maps.h"
#include "checkpoint/shot.h"

enum {
	CKPT_PROCS_MAX = 65536,
	CKPT_THREADS_MAX = 65536,
	CKPT_PID_MAX = 1 << 22,			/* the kernel's own limit */
};

struct ckpt_thread {
	pid_t tid, vtid;			/* as we see it, as the job sees it */
	bool stopped;				/* seized by us and in a ptrace stop */
	bool settled;				/* the leader's injection has begun in it */
	struct ckpt_remote remote;
	json_t *desc;				/* its object in the description */
};
struct ckpt_proc {
	pid_t pid, vpid;
	pid_t vppid, vpgid, vsid;
	int pidfd;
	char comm[32];
	bool undumpable;			/* made dumpable for the time of the dump: else its /proc files are root's */
	bool zombie, job_stop;			/* ended and not waited for; stopped by a signal */
	int stop_signal;			/* that has stopped it */
	int exit_code;				/* of a zombie */
	int dumpable;				/* restore: to be set at the end */
	struct ckpt_thread *threads;		/* [0] is the leader */
	unsigned nthreads;
	uint64_t gadget;
	uint64_t old_vdso, old_vdso_end;	/* restore: where the code of another kernel's vdso is patched, 0: nowhere */
	uint64_t mono_ns;			/* CLOCK_MONOTONIC of the job when it was stopped */
	struct ckpt_maps maps;
	bool flags_missing;			/* some areas' VmFlags are not known yet */
	struct ckpt_shot *shot;			/* of its memory, NULL before the freeze */
	pid_t twin;				/* its copy, stopped and seized; 0 = none */
	json_t *desc;				/* its object in the description */
};
struct ckpt_tree {
	pid_t init;
	struct ckpt_proc *procs;
	unsigned n, nthreads;
};

/* seize.c */
/* Stop every thread of every process below @init (not itself).  On failure all go on.  @tree is filled but for maps and desc. */
int ckpt_tree_freeze(struct ckpt_tree *tree, pid_t init, struct ckpt_why *why, struct om_err *err);
/* Let everything go on (detach).  Everything injected must have ended. */
void ckpt_tree_thaw(struct ckpt_tree *tree);
/* Only look: the same list without stopping anything. */
int ckpt_tree_list(struct ckpt_tree *tree, pid_t init, struct om_err *err);
void ckpt_tree_done(struct ckpt_tree *tree);
struct ckpt_proc *ckpt_tree_find(const struct ckpt_tree *tree, pid_t vpid);

/* kin.c: refuse processes that share their memory. */
int ckpt_kin_check(const struct ckpt_tree *tree, struct ckpt_why *why);
/* The child of @p that runs in @p's memory (vfork), or NULL. */
const struct ckpt_proc *ckpt_kin_vforked(const struct ckpt_tree *tree, const struct ckpt_proc *p);
/* Say what cannot be carried; returns -EOPNOTSUPP. */
int ckpt_refuse(struct ckpt_why *why, const struct ckpt_proc *p, const char *object, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
#endif
