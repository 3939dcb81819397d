/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table is read from top to bottom by people and by pol_job_rule(); each pair of state and event is in exactly one row
 * (t-policy-job proves it).  Refusals are rows too, so that nothing is refused by accident. */
#include "policy/job.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/mem.h"

#define S(state) (1u << OM_JOB_##state)
enum {
	NOTHING = S(NONE),
	QUEUED = S(HELD) | S(WAITING),
	ALIVE = S(STARTING) | S(RUNNING) | S(ENDING),
	OVER = S(DONE) | S(FAILED) | S(CANCELLED) | S(TIMEOUT) | S(LOST),
	NOT_THERE = S(NONE) | S(HELD) | S(WAITING) | S(SUSPENDED) | OVER	/* there is no process of it */
};

#define GONE (POL_ACT_FREE | POL_ACT_ACK)
#define END (POL_ACT_FREE | POL_ACT_ACK | POL_ACT_NOTIFY | POL_ACT_ENDED)
#define UNKNOWN "there is no such job"
#define OVER_TEXT "the job has ended"
#define NO_PROCESS "the job has no process now"

static const struct pol_rule rules[] = {
	/* states			event			next		actions / refusal */
	{ NOTHING,			POL_EV_SUBMIT,		OM_JOB_WAITING,	POL_ACT_QUEUE, NULL },
	{ NOTHING,			POL_EV_SUBMIT_HELD,	OM_JOB_HELD,	0, NULL },
	{ (uint16_t)~NOTHING,		POL_EV_SUBMIT,		POL_SAME_STATE,	0, "the job exists already" },
	{ (uint16_t)~NOTHING,		POL_EV_SUBMIT_HELD,	POL_SAME_STATE,	0, "the job exists already" },

	{ S(WAITING),			POL_EV_HOLD,		OM_JOB_HELD,	POL_ACT_HOLD, NULL },
	{ S(HELD) | S(SUSPENDED),	POL_EV_HOLD,		POL_SAME_STATE,	0, NULL },
	{ S(RUNNING),			POL_EV_HOLD,		POL_SAME_STATE,	POL_ACT_SEND_SUSPEND, NULL },
	{ S(STARTING),			POL_EV_HOLD,		POL_SAME_STATE,	0, "the job is just being started; try again in a moment" },
	{ S(ENDING),			POL_EV_HOLD,		POL_SAME_STATE,	0, "the job is being ended" },
	{ OVER,				POL_EV_HOLD,		POL_SAME_STATE,	0, OVER_TEXT },
	{ NOTHING,			POL_EV_HOLD,		POL_SAME_STATE,	0, UNKNOWN },

	{ S(HELD),			POL_EV_RELEASE,		OM_JOB_WAITING,	POL_ACT_RELEASE, NULL },
	{ S(SUSPENDED),			POL_EV_RELEASE,		OM_JOB_WAITING,	POL_ACT_QUEUE | POL_ACT_COUNT_RESTART, NULL },
	{ S(WAITING) | S(STARTING) | S(RUNNING), POL_EV_RELEASE, POL_SAME_STATE, 0, NULL },
	{ S(ENDING),			POL_EV_RELEASE,		POL_SAME_STATE,	0, "the job is being ended" },
	{ OVER,				POL_EV_RELEASE,		POL_SAME_STATE,	0, OVER_TEXT },
	{ NOTHING,			POL_EV_RELEASE,		POL_SAME_STATE,	0, UNKNOWN },

	{ QUEUED,			POL_EV_CANCEL,		OM_JOB_CANCELLED, POL_ACT_UNQUEUE | POL_ACT_NOTIFY | POL_ACT_ENDED, NULL },
	{ S(SUSPENDED),			POL_EV_CANCEL,		OM_JOB_CANCELLED, POL_ACT_NOTIFY | POL_ACT_ENDED, NULL },
	{ S(STARTING) | S(RUNNING),	POL_EV_CANCEL,		OM_JOB_ENDING,	POL_ACT_SEND_CANCEL, NULL },
	{ S(ENDING),			POL_EV_CANCEL,		POL_SAME_STATE,	0, NULL },
	{ OVER,				POL_EV_CANCEL,		POL_SAME_STATE,	0, OVER_TEXT },
	{ NOTHING,			POL_EV_CANCEL,		POL_SAME_STATE,	0, UNKNOWN },

	/* held and waiting ones are in the queue perhaps: omd takes them out before it queues them with the new checkpoint */
	{ QUEUED,			POL_EV_RESTORE,		OM_JOB_WAITING,	POL_ACT_UNQUEUE | POL_ACT_QUEUE | POL_ACT_COUNT_RESTART, NULL },
	{ S(SUSPENDED) | OVER,		POL_EV_RESTORE,		OM_JOB_WAITING,	POL_ACT_QUEUE | POL_ACT_COUNT_RESTART | POL_ACT_NOTIFY, NULL },
	{ ALIVE,			POL_EV_RESTORE,		POL_SAME_STATE,	0, "the job runs; cancel it first, or restore it as a new job" },
	{ NOTHING,			POL_EV_RESTORE,		POL_SAME_STATE,	0, UNKNOWN },

	{ S(RUNNING),			POL_EV_SUSPEND,		POL_SAME_STATE,	POL_ACT_SEND_SUSPEND, NULL },
	{ S(STARTING),			POL_EV_SUSPEND,		POL_SAME_STATE,	0, "the job is just being started; try again in a moment" },
	{ S(ENDING),			POL_EV_SUSPEND,		POL_SAME_STATE,	0, "the job is being ended" },
	{ NOT_THERE,			POL_EV_SUSPEND,		POL_SAME_STATE,	0, NO_PROCESS },

	{ S(WAITING),			POL_EV_START,		OM_JOB_STARTING, POL_ACT_START_KEEPER, NULL },
	{ S(HELD) | S(SUSPENDED),	POL_EV_START,		POL_SAME_STATE,	0, "the job is held" },
	{ ALIVE,			POL_EV_START,		POL_SAME_STATE,	0, "the job was started already" },
	{ OVER,				POL_EV_START,		POL_SAME_STATE,	0, OVER_TEXT },
	{ NOTHING,			POL_EV_START,		POL_SAME_STATE,	0, UNKNOWN },

	{ S(STARTING),			POL_EV_STARTED,		OM_JOB_RUNNING,	POL_ACT_NOTIFY, NULL },
	/* a keeper that was told to end before it could say so; one that a restarted omd found again */
	{ S(ENDING) | S(RUNNING),	POL_EV_STARTED,		POL_SAME_STATE,	0, NULL },
	{ NOT_THERE,			POL_EV_STARTED,		POL_SAME_STATE,	0, NO_PROCESS },

	{ S(STARTING),			POL_EV_START_AGAIN,	OM_JOB_WAITING,	GONE | POL_ACT_QUEUE, NULL },
	{ S(ENDING),			POL_EV_START_AGAIN,	OM_JOB_CANCELLED, END, NULL },
	{ S(RUNNING),			POL_EV_START_AGAIN,	POL_SAME_STATE,	0, "the job runs" },
	{ NOT_THERE,			POL_EV_START_AGAIN,	POL_SAME_STATE,	0, NO_PROCESS },

	{ S(STARTING),			POL_EV_START_FAILED,	OM_JOB_FAILED,	END, NULL },
	{ S(ENDING),			POL_EV_START_FAILED,	OM_JOB_CANCELLED, END, NULL },
	{ S(RUNNING),			POL_EV_START_FAILED,	POL_SAME_STATE,	0, "the job runs" },
	{ NOT_THERE,			POL_EV_START_FAILED,	POL_SAME_STATE,	0, NO_PROCESS },

	/* a short job may have ended before a restarted omd hears that it was started */
	{ ALIVE,			POL_EV_EXITED_OK,	OM_JOB_DONE,	END, NULL },
	{ ALIVE,			POL_EV_EXITED_BAD,	OM_JOB_FAILED,	END, NULL },
	{ ALIVE,			POL_EV_EXITED_CANCELLED, OM_JOB_CANCELLED, END, NULL },
	{ ALIVE,			POL_EV_EXITED_TIMEOUT,	OM_JOB_TIMEOUT,	END, NULL },
	{ NOT_THERE,			POL_EV_EXITED_OK,	POL_SAME_STATE,	0, NO_PROCESS },
	{ NOT_THERE,			POL_EV_EXITED_BAD,	POL_SAME_STATE,	0, NO_PROCESS },
	{ NOT_THERE,			POL_EV_EXITED_CANCELLED, POL_SAME_STATE, 0, NO_PROCESS },
	{ NOT_THERE,			POL_EV_EXITED_TIMEOUT,	POL_SAME_STATE,	0, NO_PROCESS },

	{ S(RUNNING) | S(STARTING),	POL_EV_TIME_UP,		OM_JOB_ENDING,	POL_ACT_SEND_TIMEOUT, NULL },
	{ S(ENDING),			POL_EV_TIME_UP,		POL_SAME_STATE,	0, NULL },
	{ QUEUED | S(SUSPENDED),	POL_EV_TIME_UP,		OM_JOB_TIMEOUT,	POL_ACT_UNQUEUE | POL_ACT_NOTIFY | POL_ACT_ENDED, NULL },
	{ OVER,				POL_EV_TIME_UP,		POL_SAME_STATE,	0, OVER_TEXT },
	{ NOTHING,			POL_EV_TIME_UP,		POL_SAME_STATE,	0, UNKNOWN },

	{ S(STARTING) | S(RUNNING),	POL_EV_LOST_AGAIN,	OM_JOB_WAITING,	GONE | POL_ACT_QUEUE | POL_ACT_COUNT_RESTART | POL_ACT_NOTIFY, NULL },
	{ S(STARTING) | S(RUNNING),	POL_EV_LOST_FINAL,	OM_JOB_LOST,	END, NULL },
	/* it was to end, and it has; omd says EXITED_TIMEOUT itself where the time limit was the reason */
	{ S(ENDING),			POL_EV_LOST_AGAIN,	OM_JOB_CANCELLED, END, NULL },
	{ S(ENDING),			POL_EV_LOST_FINAL,	OM_JOB_CANCELLED, END, NULL },
	{ NOT_THERE,			POL_EV_LOST_AGAIN,	POL_SAME_STATE,	0, NO_PROCESS },
	{ NOT_THERE,			POL_EV_LOST_FINAL,	POL_SAME_STATE,	0, NO_PROCESS },

	{ S(STARTING) | S(RUNNING),	POL_EV_SUSPENDED,	OM_JOB_WAITING,	GONE | POL_ACT_QUEUE | POL_ACT_COUNT_RESTART | POL_ACT_NOTIFY, NULL },
	{ S(STARTING) | S(RUNNING),	POL_EV_SUSPENDED_HELD,	OM_JOB_SUSPENDED, GONE | POL_ACT_NOTIFY, NULL },
	/* cancelled while the checkpoint was made: no process is left */
	{ S(ENDING),			POL_EV_SUSPENDED,	OM_JOB_CANCELLED, END, NULL },
	{ S(ENDING),			POL_EV_SUSPENDED_HELD,	OM_JOB_CANCELLED, END, NULL },
	{ NOT_THERE,			POL_EV_SUSPENDED,	POL_SAME_STATE,	0, NO_PROCESS },
	{ NOT_THERE,			POL_EV_SUSPENDED_HELD,	POL_SAME_STATE,	0, NO_PROCESS },

	{ QUEUED,			POL_EV_DEP_NEVER,	OM_JOB_CANCELLED, POL_ACT_UNQUEUE | POL_ACT_NOTIFY | POL_ACT_ENDED, NULL },
	{ ALIVE | S(SUSPENDED),		POL_EV_DEP_NEVER,	POL_SAME_STATE,	0, "the job was started already" },
	{ OVER,				POL_EV_DEP_NEVER,	POL_SAME_STATE,	0, OVER_TEXT },
	{ NOTHING,			POL_EV_DEP_NEVER,	POL_SAME_STATE,	0, UNKNOWN },

	/* the record of an array as a whole; its next state is that of pol_array_state() */
	{ S(HELD) | S(WAITING) | S(RUNNING), POL_EV_ELEMENTS_ENDED, OM_JOB_DONE, POL_ACT_NOTIFY | POL_ACT_ENDED, NULL },
	{ S(STARTING) | S(SUSPENDED) | S(ENDING), POL_EV_ELEMENTS_ENDED, POL_SAME_STATE, 0, "not an array as a whole" },
	{ OVER,				POL_EV_ELEMENTS_ENDED,	POL_SAME_STATE,	0, OVER_TEXT },
	{ NOTHING,			POL_EV_ELEMENTS_ENDED,	POL_SAME_STATE,	0, UNKNOWN },
};

static const char *const event_names[POL_EVENTS] = {
	[POL_EV_SUBMIT] = "submit", [POL_EV_SUBMIT_HELD] = "submit held", [POL_EV_HOLD] = "hold", [POL_EV_RELEASE] = "release",
	[POL_EV_CANCEL] = "cancel", [POL_EV_RESTORE] = "restore", [POL_EV_SUSPEND] = "suspend", [POL_EV_START] = "start",
	[POL_EV_STARTED] = "started", [POL_EV_START_AGAIN] = "start again", [POL_EV_START_FAILED] = "start failed",
	[POL_EV_EXITED_OK] = "exited", [POL_EV_EXITED_BAD] = "failed", [POL_EV_EXITED_CANCELLED] = "cancelled",
	[POL_EV_EXITED_TIMEOUT] = "timeout", [POL_EV_TIME_UP] = "time limit", [POL_EV_LOST_AGAIN] = "lost, again",
	[POL_EV_LOST_FINAL] = "lost", [POL_EV_SUSPENDED] = "suspended", [POL_EV_SUSPENDED_HELD] = "suspended, held",
	[POL_EV_DEP_NEVER] = "dependency failed", [POL_EV_ELEMENTS_ENDED] = "elements ended",
};

const struct pol_rule *pol_job_rule(enum om_job_state state, enum pol_event event)
{
	if ((unsigned)state >= OM_JOB_STATES)
		return NULL;
	for (size_t i = 0; i < OM_ARRAY_SIZE(rules); i++)
		if (rules[i].event == event && rules[i].states & 1u << state)
			return &rules[i];
	return NULL;
}

size_t pol_job_rules(const struct pol_rule **ret)
{
	*ret = rules;
	return OM_ARRAY_SIZE(rules);
}

int pol_job_step(enum om_job_state state, enum pol_event event, enum om_job_state *ret_next, unsigned *ret_actions, struct om_err *err)
{
	const struct pol_rule *rule = pol_job_rule(state, event);

	if (!rule)
		return om_err_set(err, -EINVAL, "no such event %d in state %d", (int)event, (int)state);
	if (rule->refusal) {
		/* what may work later, against what never will */
		int code = 1u << state & ALIVE ? -EBUSY : -EINVAL;

		return om_err_set(err, code, "%s: %s", om_job_state_name(state), rule->refusal);
	}
	*ret_next = rule->next == POL_SAME_STATE ? state : (enum om_job_state)rule->next;
	*ret_actions = rule->actions;
	return 0;
}

const char *pol_event_name(enum pol_event event)
{
	return event > 0 && event < POL_EVENTS ? event_names[event] : "note";
}

enum pol_event pol_event_of_exit(const char *why, int status)
{
	if (strcmp(why, "cancelled") == 0)
		return POL_EV_EXITED_CANCELLED;
	if (strcmp(why, "timeout") == 0)
		return POL_EV_EXITED_TIMEOUT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? POL_EV_EXITED_OK : POL_EV_EXITED_BAD;
}

enum om_job_state pol_array_state(uint32_t left, bool held, uint32_t elements, uint32_t ended, uint32_t bad, bool cancelled)
{
	if (left)
		return held ? OM_JOB_HELD : OM_JOB_WAITING;
	if (ended < elements)
		return OM_JOB_RUNNING;
	if (cancelled)
		return OM_JOB_CANCELLED;
	return bad ? OM_JOB_FAILED : OM_JOB_DONE;
}
