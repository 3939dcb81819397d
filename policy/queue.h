/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy/queue.h - which job starts now.  Promise: pure (time and machine are parameters); the job of the highest priority, among equals the
 * first submitted, goes first; a job that needs much is not delayed for ever by smaller ones behind it; O(log n) per operation.
 * Callers: omd (one queue).
 *
 * Rule (EASY backfill: Lifka, "The ANL/IBM SP Scheduling System", 1995): the first job that does not fit gets a reservation at the time when, by
 * their time limits, enough of the running ones have ended.  A job behind it may start now if it fits and either ends before that
 * time by its own limit or needs no more than will be left over then.  Jobs without a limit are expected to end last, in the order in which they
 * were started; a job without limit can therefore only use what is left over. */
#ifndef OM_POLICY_QUEUE_H
#define OM_POLICY_QUEUE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/job.h"
#include "base/mem.h"
struct om_err;
struct pol_queue;

struct pol_machine {
	uint32_t cpus;
	uint64_t memory;		/* bytes */
};

struct pol_job {
	struct om_job_id id;		/* an array's waiting rest: elem OM_ELEM_NONE and left > 0; an element of it by itself: elem >= 0 */
	uint64_t order;			/* order of submission among equal priorities; 0: the id */
	int32_t priority;		/* higher first */
	uint32_t cpus;
	uint64_t memory;
	uint64_t begin_ns;		/* not before (CLOCK_REALTIME); 0: at once.  Also the back-off after a loss */
	uint64_t limit_ns;		/* what is left of its time limit; 0: none */
	uint32_t left;			/* array's rest: elements in it; else 0 */
	uint32_t cap;			/* array or element: at most so many of this array run at once; 0: no cap */
	bool held;
};

enum pol_dep_type { POL_DEP_AFTEROK, POL_DEP_AFTERANY, POL_DEP_AFTERNOTOK };	/* as enum spool_dep_type */
struct pol_dep {
	enum pol_dep_type type;
	struct om_job_id target;	/* a job, an element, or an array as a whole */
};
enum pol_fate { POL_FATE_WAIT, POL_FATE_OK, POL_FATE_NEVER };
/* @state: of the target (of an array: pol_array_state()); OM_JOB_NONE, a job that is not known (any more): NEVER, but AFTERANY is OK. */
enum pol_fate pol_dep_judge(enum pol_dep_type type, enum om_job_state state);

int pol_queue_create(const struct pol_machine *machine, struct pol_queue **ret);
void pol_queue_destroy(struct pol_queue *q);
OM_DEFINE_AUTOPTR(pol_queue, pol_queue_destroy);

/* Put @job into the queue.  @deps: those whose fate is still WAIT (the caller judges the others).  0, -EEXIST, -ENOMEM, -EINVAL.
 * A job that needs more than the machine has waits with that as reason, and stands in nobody's way. */
int pol_queue_add(struct pol_queue *q, const struct pol_job *job, const struct pol_dep *deps, size_t ndeps);
/* Out of the waiting ones; -ENOENT. */
int pol_queue_remove(struct pol_queue *q, struct om_job_id id);
int pol_queue_hold(struct pol_queue *q, struct om_job_id id, bool held);
int pol_queue_set_priority(struct pol_queue *q, struct om_job_id id, int32_t priority);
/* An array's rest has shrunk because elements were taken out of it one by one (cancelled, held); 0 removes it. */
int pol_queue_set_left(struct pol_queue *q, struct om_job_id id, uint32_t left);

/* The job that is to start now: true with its id (of an array's rest: the caller chooses the element: the lowest).  Nothing changes until
 * pol_queue_start(): call them in turn until this says false. */
bool pol_queue_next(struct pol_queue *q, uint64_t now_ns, struct om_job_id *ret);
/* @id: what pol_queue_next() gave; @elem: of an array's rest the chosen element, else id.elem.  It leaves the waiting ones (a rest loses one
 * element) and takes its share of the machine as job (id.id, elem).  0, -ENOENT, -ENOMEM. */
int pol_queue_start(struct pol_queue *q, struct om_job_id id, int32_t elem, uint64_t now_ns);
/* Runs already (omd was restarted): takes its share, even if that is more than there is. @started_ns: begin of this leg. */
int pol_queue_adopt(struct pol_queue *q, const struct pol_job *job, uint64_t started_ns);
/* Its processes are gone: the share is free.  -ENOENT. */
int pol_queue_stopped(struct pol_queue *q, struct om_job_id id);

/* @target has ended for good (an element, a job, an array as a whole): those who waited for it go on, or never will. */
int pol_queue_target_ended(struct pol_queue *q, struct om_job_id target, enum om_job_state state);
/* One that can never start because of @ret_target; taken out of the queue.  False: no more. */
bool pol_queue_take_impossible(struct pol_queue *q, struct om_job_id *ret, struct om_job_id *ret_target);

void pol_queue_set_draining(struct pol_queue *q, bool draining);	/* nothing starts */
void pol_queue_set_machine(struct pol_queue *q, const struct pol_machine *machine);
/* When pol_queue_next() may say something new without anything having happened; UINT64_MAX: never. */
uint64_t pol_queue_wake_ns(const struct pol_queue *q);

/* Why it waits: `held`, `draining`, `dependency 17`, `begin time`, `array cap`, `resources`, `priority`,
 * `needs 64 processors, the node has 2`.  -ENOENT. */
int pol_queue_reason(const struct pol_queue *q, struct om_job_id id, uint64_t now_ns, char *dst, size_t n);

struct pol_queue_stats {
	uint64_t waiting, held;		/* jobs and elements; held ones are not among the waiting */
	uint64_t running;
	uint32_t cpus_used;
	uint64_t memory_used, bytes;	/* bytes: the queue's own memory */
};
void pol_queue_stats(const struct pol_queue *q, struct pol_queue_stats *ret);
#endif
