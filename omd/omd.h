/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd/omd.h - what the files of the daemon share.
 * One thread, one loop.  Everything that changes a job goes: event -> pol_job_step() -> record and event into the open batch (job.c) ->
 * commit at the end of the turn (batch.c) -> actions (act.c) and answers.  So nothing is done or said that a loss of power could undo.
 * In memory are only the jobs that have a keeper, a request on them, or are arrays under way; the others are in the database. */
#ifndef OMD_OMD_H
#define OMD_OMD_H
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include "base/err.h"
#include "base/job.h"
#include "omd/kmsg.h"
#include "policy/job.h"
#include "policy/period.h"
#include "policy/queue.h"
#include "policy/restart.h"
#include "policy/retention.h"
#include "spool/job.h"
struct omd_http;
struct omd_req;
struct omd_batch;
struct note;

enum {
	OMD_HASH = 4096,
	OMD_START_S = 120,		/* a keeper that has not said `started` after this, with a beginning to start from, is lost */
	OMD_CANCEL_GRACE_S = 5,
	OMD_HISTORY_S = 7 * 86400,	/* ended jobs and their checkpoints are kept so long, */
	OMD_HISTORY_MOST = 200000,	/* and at most so many */
};

struct omd_user {			/* what the name service said, for a minute */
	uint64_t until_ns;		/* 0: nothing is known */
	uid_t uid;
	gid_t gid;
	char name[SPOOL_USER_MAX + 1];
	gid_t *groups;			/* with @gid; NULL: not asked yet */
	int n_groups;
};

struct omd_stats {
	uint64_t submitted, started, ended[OM_JOB_STATES], lost;
	uint64_t ckpt_ok, ckpt_failed, ckpt_stop_ns;
	uint64_t commits, commits_failed, requests, turn_max_ns, notify_failed;
};

/* Why a job was told to suspend: decides where it goes when it has. */
enum omd_suspend { OMD_SUSPEND_NO, OMD_SUSPEND_HOLD, OMD_SUSPEND_REQUEUE };

struct omd_ckpt {
	uint32_t n;
	bool bad;
	uint64_t time_ns, bytes, stored;
};

/* A request that is answered by what becomes of a job. */
struct omd_waiter {
	struct omd_waiter *next;
	struct omd_req *req;
	struct om_job_id id;
	enum { OMD_W_END, OMD_W_CKPT, OMD_W_START, OMD_W_PRUNE } what;
	char ref[24];
	sd_event_source *timer;
	struct omd *omd;
};

struct omd_job {
	struct omd *omd;
	struct omd_job *next;		/* in the bucket */
	struct spool_job rec;
	unsigned int pending;		/* entries of the batch, helpers and requests that use it */
	bool resync;			/* the batch failed: ask the keeper, or look into the folder */
	bool has_rest;			/* array as a whole */
	struct spool_indices rest;
	struct spool_spec *spec;	/* while it has a keeper */

	/* keeper.c: -1 without */
	int sock, pidfd;
	bool child;			/* ours to reap */
	pid_t keeper_pid;
	sd_event_source *sock_src, *pid_src, *limit, *ckpt_timer, *start_timer;

	/* this leg */
	bool start_pending;		/* starts when the keeper of the leg before is gone */
	bool running_said, ckpt_made, ckpt_busy, ckpt_again, ckpt_known;
	uint32_t went_back, first_made;	/* checkpoint this leg was restored from; the first one it made itself */
	enum omd_suspend suspend;
	char lost_reason[OMD_KMSG_TEXT];
	bool lost_said, lost_temporary;
	uint64_t cpu_ns, rss, maxrss;
	uint32_t processes;
	struct pol_period period;
	unsigned int ckpt_failures;	/* in a row */
	struct omd_ckpt *ckpts;
	size_t n_ckpts;
	bool refused;
	char refused_process[OMD_KMSG_TEXT], refused_object[OMD_KMSG_TEXT], refused_reason[OMD_KMSG_TEXT];
};

struct omd {
	bool system, socket_made;
	uint64_t idle_exit_s;
	char spool[PATH_MAX], socket[PATH_MAX];
	int spool_fd, jobs_fd, lock_fd, listen_fd, null_fd;
	struct rlimit nofile;		/* as omd got it: what its children get */
	uid_t uid;			/* ours */
	char node[256];
	struct pol_machine machine;
	uint64_t start_ns;

	sd_event *ev;
	sd_event_source *idle, *queue_timer, *queue_defer, *retry, *history, *stop_src[4];
	struct omd_http *http;
	struct omd_batch *batch;
	struct spool_jobs *db;
	struct pol_queue *queue;
	struct omd_job *jobs[OMD_HASH];
	size_t n_jobs;
	struct omd_waiter *waiters;
	struct pol_failures failures;	/* of this node, for the checkpoint period */
	struct omd_user users[64];
	char omjob[PATH_MAX];		/* the program */
	struct omd_stats stats;
	uint64_t refs;			/* made into texts that name one checkpoint request */

	struct note *notes, *notes_last;	/* notify.c */
	unsigned int notes_running, notes_waiting;

	bool draining;			/* by request: nothing starts */
	bool spool_bad;			/* the last batch failed: nothing starts until one succeeds */
	char spool_error[OM_ERR_TEXT_MAX];
	bool stopping;			/* shutdown: ends when no keeper is left */
	bool leave;			/* ... or at once */
	sd_event_source *stop_timer, *stop_defer;
	int stop_how;			/* enum omd_stop */
	bool stop_kill;
};

/* ---- loop.c ---- */
int omd_loop_create(struct omd *omd, struct om_err *err);
int omd_loop_run(struct omd *omd);
void omd_loop_destroy(struct omd *omd);
enum omd_stop { OMD_STOP_SUSPEND, OMD_STOP_LEAVE, OMD_STOP_KILL };
void omd_stop(struct omd *omd, enum omd_stop how);
void omd_drain(struct omd *omd, bool undo);
/* A keeper has gone, or a batch ended: is a shutdown complete? */
void omd_stop_check(struct omd *omd);

/* ---- batch.c: group commit ---- */
/* Called after the commit (@result 0) or its failure (negative errno: nothing of the batch is in the database). */
typedef void omd_after_fn(struct omd *omd, void *arg, int result, const struct om_err *err);
int omd_batch_create(struct omd *omd, struct om_err *err);
void omd_batch_destroy(struct omd *omd);
/* Something was written: call @fn(@arg) when it is durable.  @lazy: nobody waits for it, some milliseconds later will do.  -ENOMEM. */
int omd_batch_add(struct omd *omd, omd_after_fn *fn, void *arg, bool lazy);
/* A write failed before the commit (full disk): the whole batch is given up now. */
void omd_batch_fail(struct omd *omd, int code, const struct om_err *why);
/* Commit now (end of omd). */
void omd_batch_flush(struct omd *omd);

/* ---- job.c: records in memory, steps ---- */
/* The job, from memory or the database.  -ENOENT.  It stays in memory while it has a keeper or `pending`; omd_job_drop() lets go. */
int omd_job_get(struct omd *omd, struct om_job_id id, struct omd_job **ret, struct om_err *err);
struct omd_job *omd_job_find(struct omd *omd, struct om_job_id id);	/* only in memory */
struct omd_job *omd_job_new(struct omd *omd, const struct spool_job *rec);
void omd_job_drop(struct omd_job *j);
int omd_job_need_rest(struct omd_job *j, struct om_err *err);
int omd_job_need_spec(struct omd_job *j, struct om_err *err);
/* Step the state table and write; the actions follow the commit.  @text: why, becomes the record's reason (NULL: it stays as it is).
 * -EBUSY, -EINVAL: refused by the table, nothing changed.  @req: answered with {"state":..} after the commit; NULL. */
int omd_job_step(struct omd_job *j, enum pol_event ev, const char *text, struct omd_req *req, struct om_err *err);
/* Write the record with a note and without a step. */
int omd_job_note(struct omd_job *j, const char *text, struct om_err *err);
/* Element @elem leaves the array's rest and becomes a job of its own, in the rest's state; the caller steps it in the same turn. -ENOENT. */
int omd_job_element(struct omd_job *whole, uint32_t elem, struct omd_job **ret, struct om_err *err);
bool omd_job_alive(const struct omd_job *j);	/* it has processes, as far as the record knows */
/* It has ended and its keeper is gone: nothing of it stays but the record (and checkpoints). */
void omd_job_finished(struct omd_job *j);
void omd_job_destroy_all(struct omd *omd);
const char *omd_id(struct om_job_id id);	/* text for logs: a ring of 4 */

/* ---- act.c: what follows a commit ---- */
void omd_act(struct omd_job *j, unsigned int actions, enum pol_event ev, enum om_job_state state);
/* Into the queue as the record says. */
int omd_act_queue(struct omd *omd, const struct spool_job *rec, const struct spool_dep *deps, size_t n);
/* Those that cannot start any more because of what they depend on. */
void omd_act_impossible(struct omd *omd);
/* Look at the queue at the end of this turn. */
void omd_queue_kick(struct omd *omd);
int omd_queue_create(struct omd *omd, struct om_err *err);

/* ---- start.c ---- */
void omd_start(struct omd_job *j);
int omd_folder_open(struct omd *omd, struct om_job_id id, struct om_err *err);	/* a descriptor, or -errno */
int omd_folder_make(struct omd_job *j, int *ret_dirfd, struct om_err *err);
void omd_folder_remove(struct omd *omd, struct om_job_id id);
/* A keeper or its beginning has failed: decide by policy. */
void omd_lost(struct omd_job *j, const char *reason, bool temporary);

/* ---- keeper.c ---- */
int omd_keeper_attach(struct omd_job *j, int sock, int pidfd, pid_t pid, bool child, struct om_err *err);	/* takes both descriptors */
void omd_keeper_detach(struct omd_job *j);
int omd_keeper_send(struct omd_job *j, json_t *msg);	/* takes @msg */
void omd_keeper_message(struct omd_job *j, const struct omd_kmsg *m);
int omd_keeper_checkpoint(struct omd_job *j, const char *ref);
void omd_keeper_suspend(struct omd_job *j, enum omd_suspend why);
void omd_keeper_kill(struct omd_job *j);
const struct omd_ckpt *omd_keeper_newest(const struct omd_job *j);
void omd_ckpt_add(struct omd_job *j, uint32_t n, uint64_t time_ns, uint64_t bytes, uint64_t stored);
void omd_ckpt_remove(struct omd_job *j, uint32_t n);

/* ---- recover.c ---- */
int omd_recover(struct omd *omd, struct om_err *err);
/* Find out what became of one job whose keeper we do not hold. */
void omd_recover_job(struct omd_job *j);
/* exit.json as a message: 0, -ENOENT, ... */
int omd_recover_exit(struct omd *omd, struct om_job_id id, struct omd_kmsg *m, struct om_err *err);

/* ---- timers.c ---- */
void omd_timers_running(struct omd_job *j);	/* it runs: time limit, checkpoints */
void omd_timers_stop(struct omd_job *j);
void omd_timers_checkpoint(struct omd_job *j);	/* when is the next one */
int omd_history_create(struct omd *omd);

/* ---- wait.c ---- */
int omd_wait_add(struct omd *omd, struct omd_req *req, struct om_job_id id, int what, const char *ref, uint64_t timeout_us);
void omd_wait_ended(struct omd *omd, const struct spool_job *rec);
void omd_wait_started(struct omd_job *j);
void omd_wait_suspended(struct omd_job *j);
/* Those who wait for the start (restore) of a job that has failed to. */
void omd_wait_refused(struct omd_job *j, const char *reason);
void omd_wait_pruned(struct omd_job *j, const struct omd_kmsg *m);
void omd_wait_checkpoint(struct omd_job *j, const struct omd_kmsg *m);
/* The keeper is gone: no checkpoint comes any more. */
void omd_wait_no_checkpoint(struct omd_job *j, const char *why);
void omd_wait_gone(struct omd_req *req);
bool omd_wait_any(const struct omd *omd);

/* ---- notify.c ---- */
/* @state: what it has become by the step that is told; by now it may be further. */
void omd_notify(struct omd_job *j, enum om_job_state state);
void omd_notify_destroy(struct omd *omd);

/* ---- api: handlers of http.h; tables in api.c ---- */


/* The job of the request's path: NULL with the request answered (no such job, not his). */
struct omd_job *omd_req_job(struct omd_req *req);
bool omd_req_may(const struct omd_req *req, uid_t owner);
bool omd_req_admin(const struct omd_req *req);
json_t *omd_job_json(struct omd *omd, const struct spool_job *rec, bool all);
void omd_api_submit(struct omd_req *req);
void omd_api_jobs(struct omd_req *req);
void omd_api_job(struct omd_req *req);
void omd_api_cancel(struct omd_req *req);
void omd_api_hold(struct omd_req *req);
void omd_api_release(struct omd_req *req);
void omd_api_signal(struct omd_req *req);
void omd_api_wait(struct omd_req *req);
void omd_api_checkpoint(struct omd_req *req);
void omd_api_ckpt_list(struct omd_req *req);
void omd_api_ckpt_show(struct omd_req *req);
void omd_api_ckpt_drop(struct omd_req *req);
void omd_api_prune(struct omd_req *req);
void omd_api_verify(struct omd_req *req);
void omd_api_export(struct omd_req *req);
void omd_api_import(struct omd_req *req);
void omd_api_restore(struct omd_req *req);
void omd_api_status(struct omd_req *req);
void omd_api_drain(struct omd_req *req);
void omd_api_shutdown(struct omd_req *req);
void omd_api_metrics(struct omd_req *req);
#endif
