/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy/job.h - the life of a job as a table: state and event give the next state and what is to be done.
 * Promise: pure; every pair of state and event is either a rule or an explicit refusal with a text.
 * Callers: omd, which appends the event to the log (spool_jobs_update) before it acts. */
#ifndef OM_POLICY_JOB_H
#define OM_POLICY_JOB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/job.h"
struct om_err;

/* The numbers are in the event log: never change one. */
enum pol_event {
	POL_EV_SUBMIT = 1,		/* by a user */
	POL_EV_SUBMIT_HELD = 2,		/* submitted with hold, or imported from an image */
	POL_EV_HOLD = 3,		/* user: a waiting job waits, a running one is suspended */
	POL_EV_RELEASE = 4,		/* user */
	POL_EV_CANCEL = 5,		/* user */
	POL_EV_RESTORE = 6,		/* user: go on from a checkpoint (omckpt restore) */
	POL_EV_SUSPEND = 7,		/* drain or shutdown: checkpoint and requeue */
	POL_EV_START = 8,		/* the queue says: now */
	POL_EV_STARTED = 9,		/* the keeper says: it runs */
	POL_EV_START_AGAIN = 10,	/* could not be started or restored, pol_restart_decide() says: again */
	POL_EV_START_FAILED = 11,	/* could not be started or restored, and that is final */
	POL_EV_EXITED_OK = 12,		/* status 0 */
	POL_EV_EXITED_BAD = 13,		/* another status, or by a signal */
	POL_EV_EXITED_CANCELLED = 14,	/* by our cancel */
	POL_EV_EXITED_TIMEOUT = 15,	/* by our cancel at the time limit */
	POL_EV_TIME_UP = 16,		/* the time limit is reached */
	POL_EV_LOST_AGAIN = 17,		/* keeper, init or machine gone, pol_restart_decide() says: again */
	POL_EV_LOST_FINAL = 18,		/* the same, it gives up */
	POL_EV_SUSPENDED = 19,		/* the keeper says so; asked for by drain or shutdown: back into the queue */
	POL_EV_SUSPENDED_HELD = 20,	/* the keeper says so; asked for by hold */
	POL_EV_DEP_NEVER = 21,		/* a dependency cannot be satisfied any more */
	POL_EV_ELEMENTS_ENDED = 22,	/* an array, whose elements have all ended: use pol_array_state() for the next state */
	POL_EVENTS
};

enum pol_action {
	POL_ACT_QUEUE = 1 << 0,		/* pol_queue_add() */
	POL_ACT_UNQUEUE = 1 << 1,	/* pol_queue_remove() */
	POL_ACT_HOLD = 1 << 2,		/* pol_queue_hold(true); a held job may also be left out of the queue */
	POL_ACT_RELEASE = 1 << 3,	/* pol_queue_hold(false), or pol_queue_add() if it is not in it */
	POL_ACT_START_KEEPER = 1 << 4,
	POL_ACT_SEND_CANCEL = 1 << 5,	/* {"op":"cancel","why":"cancelled"} */
	POL_ACT_SEND_TIMEOUT = 1 << 6,	/* {"op":"cancel","why":"timeout"} */
	POL_ACT_SEND_SUSPEND = 1 << 7,	/* {"op":"suspend"} */
	POL_ACT_FREE = 1 << 8,		/* pol_queue_stopped(): its processors and memory are free again */
	POL_ACT_ACK = 1 << 9,		/* after the commit: the keeper may leave */
	POL_ACT_COUNT_RESTART = 1 << 10,
	POL_ACT_NOTIFY = 1 << 11,	/* POST to the job's notify URL */
	POL_ACT_ENDED = 1 << 12		/* it has ended now: pol_queue_target_ended(), answer those who wait */
};

struct pol_rule {
	uint16_t states;		/* bits 1 << enum om_job_state */
	uint8_t event;
	uint8_t next;			/* enum om_job_state; POL_SAME_STATE */
	uint16_t actions;
	const char *refusal;		/* not NULL: this does not happen; why, for the user */
};
enum { POL_SAME_STATE = 0xff };

/* 0 with @ret_next and the mask @ret_actions (the event is to be logged when the state changes or an action is there);
 * -EBUSY or -EINVAL (answered as `conflict`) with the refusal's text. */
int pol_job_step(enum om_job_state state, enum pol_event event, enum om_job_state *ret_next, unsigned *ret_actions, struct om_err *err);
/* The rule for this pair, never NULL for valid arguments (proved by the test). */
const struct pol_rule *pol_job_rule(enum om_job_state state, enum pol_event event);
/* All rows, for the test; their number. */
size_t pol_job_rules(const struct pol_rule **ret);
const char *pol_event_name(enum pol_event event);

/* The keeper's `exited` as an event: @why is its text ("exit", "cancelled", "timeout"), @status the wait status. */
enum pol_event pol_event_of_exit(const char *why, int status);
/* What state an array as a whole is in.  @left: elements that have no row of their own yet; @elements: those that have;
 * of these ended, and ended other than done.  @held: the rest is held; @cancelled: the array was cancelled as a whole. */
enum om_job_state pol_array_state(uint32_t left, bool held, uint32_t elements, uint32_t ended, uint32_t bad, bool cancelled);
#endif
