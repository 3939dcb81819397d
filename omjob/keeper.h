/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/keeper.h - the keeper's state and the files that share it: keep.c (life from lock to leave), tree.c (the process tree),
 * link.c (omd).  Promise: an end that omd was told is durable; a keeper that dies takes its tree along.
 * Threads: one; everything happens in the loop of keep.c, no handler blocks. */
#ifndef OM_OMJOB_KEEPER_H
#define OM_OMJOB_KEEPER_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "checkpoint/ckpt.h"
#include "omjob/report.h"
#include "omjob/watch.h"
#include "omjob/work.h"
struct omj_image;
struct omj_spec;

/* exit codes of `omjob keep` beside 0 (the job's end was handed over) and 1 (a failure, said in keeper.log) */
enum { OMJ_EXIT_USAGE = 2, OMJ_EXIT_HELD = 10 /* another keeper has this job */ };

enum { OMJ_LOCK_NOTE = 1024 };	/* a /proc/PID/stat is shorter */

enum omj_state { OMJ_STARTING, OMJ_RUNNING, OMJ_ENDED };

struct omj_usage {
	uint64_t cpu_ns, rss, maxrss;
	unsigned processes;
};

struct omj_keeper {
	int dirfd, lock, listen;	/* job's folder, keeper.lock (flocked), keeper.sock */
	int conn;			/* omd, or -1 */
	struct omj_spec *spec;
	enum omj_state state;
	bool leave;

	/* tree.c */
	struct ckpt_space space;	/* init_pidfd -1: there is none (yet, or any more) */
	int ctl;			/* to init */
	bool root_ended, killed;
	int root_status;
	char failed[OMJ_REPORT_TEXT];	/* why the root could not be started, or "" */
	const char *why;		/* of the end: "exit", "cancelled", "timeout" */
	uint64_t begin_ns;		/* CLOCK_MONOTONIC */
	uint64_t kill_at, usage_at;	/* deadlines on CLOCK_MONOTONIC, 0: none */
	struct omj_usage usage;

	struct omj_watch watch;		/* the journal of closed files */

	struct omj_work work;		/* work.c */
	struct ckpt_track *track;	/* what the job has changed since last_n; NULL before the first checkpoint */
	uint32_t last_n;		/* newest checkpoint of this leg, the next one builds upon it; 0: none */
	bool cannot;			/* omd was told what stands in the way */
	bool suspended;			/* checkpoint last_n is made and the tree is being ended */
	char lost[OM_ERR_TEXT_MAX];	/* we end the tree because of this */
	bool lost_temporary;

	/* the end: message for omd, exit.json */
	json_t *end;
	bool durable;
	uint64_t retry_at;		/* exit.json could not be written */
};

/* ---- tree.c ---- */
/* @im NULL: from the beginning */
int omj_tree_start(struct omj_keeper *k, struct omj_image *im, struct om_err *err);
int omj_tree_sync(struct omj_keeper *k);		/* answered by OMJ_R_SYNCED */
int omj_tree_signal(struct omj_keeper *k, int sig);
void omj_tree_cancel(struct omj_keeper *k, uint64_t grace_s, const char *why);
void omj_tree_kill(struct omj_keeper *k);		/* the whole namespace, at once */
void omj_tree_due(struct omj_keeper *k, uint64_t now);	/* deadlines */
int omj_tree_report(struct omj_keeper *k);		/* one message of init; -EAGAIN: none is there */
void omj_tree_ended(struct omj_keeper *k);		/* init_pidfd says so */
void omj_tree_usage(struct omj_keeper *k);		/* refresh k->usage */

/* ---- link.c ---- */
int omj_link_listen(struct omj_keeper *k, struct om_err *err);
void omj_link_accept(struct omj_keeper *k);
void omj_link_receive(struct omj_keeper *k);
void omj_link_send(struct omj_keeper *k, json_t *msg);	/* takes @msg; without omd it is dropped: hello tells the state */
void omj_link_drop(struct omj_keeper *k);
void omj_link_usage(struct omj_keeper *k);

/* ---- keep.c ---- */
int omj_keep_main(int argc, char **argv);
void omj_keep_exited(struct omj_keeper *k, int status);
void omj_keep_suspended(struct omj_keeper *k);
void omj_keep_lost(struct omj_keeper *k, bool temporary, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#endif
