/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What follows a committed step, and the queue: the policy says which job starts, this file steps it. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "omd/omd.h"

enum { STARTS_PER_TURN = 64 };		/* so that requests are answered in between */

/* ---- into the queue ---- */

int omd_act_queue(struct omd *omd, const struct spool_job *rec, const struct spool_dep *deps, size_t n)
{
	uint64_t limit = rec->time_limit_s * 1000000000ULL;
	struct pol_job p = {
		.id = rec->id, .priority = rec->priority, .cpus = rec->cpus, .memory = rec->memory, .begin_ns = rec->begin_ns,
		.limit_ns = limit ? (limit > rec->wall_ns ? limit - rec->wall_ns : 1) : 0,
		.left = rec->array ? rec->left : 0, .cap = rec->cap, .held = rec->state == OM_JOB_HELD,
	};
	struct pol_dep wait[SPOOL_DEPENDS_MAX];
	size_t k = 0;
	int r;

	for (size_t i = 0; i < n && k < SPOOL_DEPENDS_MAX; i++) {
		struct spool_job t = { 0 };
		enum pol_dep_type type = (enum pol_dep_type)deps[i].type;

		if (spool_jobs_get(omd->db, deps[i].job, &t, NULL) < 0)
			t.state = OM_JOB_NONE;
		switch (pol_dep_judge(type, t.state)) {
		case POL_FATE_OK: break;
		case POL_FATE_NEVER: return -ECANCELED;
		case POL_FATE_WAIT: wait[k++] = (struct pol_dep){ .type = type, .target = deps[i].job }; break;
		}
	}
	r = pol_queue_add(omd->queue, &p, wait, k);
	if (r < 0 && r != -EEXIST)
		om_log_err("job=%s not queued: %s", omd_id(rec->id), strerror(-r));
	omd_queue_kick(omd);
	return r == -EEXIST ? 0 : r;
}

static void dep_never(struct omd_job *j, struct om_job_id target)
{
	char text[96];
	struct om_err err = { 0 };
	int r;

	if (target.id)
		snprintf(text, sizeof(text), "dependency %s cannot be satisfied any more", omd_id(target));
	else
		snprintf(text, sizeof(text), "a dependency cannot be satisfied any more");
	r = omd_job_step(j, POL_EV_DEP_NEVER, text, NULL, &err);
	if (r < 0)
		om_log_err("job=%s %s: %s", omd_id(j->rec.id), text, om_err_text(&err, r));
}

void omd_act_impossible(struct omd *omd)
{
	struct om_job_id id, target;
	struct omd_job *j;

	while (pol_queue_take_impossible(omd->queue, &id, &target)) {
		if (omd_job_get(omd, id, &j, NULL) < 0)
			continue;
		dep_never(j, target);
		omd_job_drop(j);
	}
}

/* back into the queue with what it still depends on; one that was started before depends on nothing any more */
static void enqueue(struct omd_job *j)
{
	struct om_err err = { 0 };
	int r;

	if (j->rec.legs || omd_job_need_spec(j, &err) < 0)
		r = omd_act_queue(j->omd, &j->rec, NULL, 0);
	else
		r = omd_act_queue(j->omd, &j->rec, j->spec->depends, j->spec->ndepends);
	if (r == -ECANCELED)
		dep_never(j, (struct om_job_id){ 0, OM_ELEM_NONE });
}

/* ---- after a commit ---- */

static void send_cancel(struct omd_job *j, const char *why)
{
	omd_keeper_send(j, json_pack("{ss si ss}", "op", "cancel", "grace", j->omd->stop_kill ? 0 : OMD_CANCEL_GRACE_S, "why", why));
}

static void ended(struct omd_job *j)
{
	int r = pol_queue_target_ended(j->omd->queue, j->rec.id, j->rec.state);

	if (r < 0 && r != -ENOENT)
		om_log_err("job=%s dependents: %s", omd_id(j->rec.id), strerror(-r));
	omd_act_impossible(j->omd);
	omd_wait_ended(j->omd, &j->rec);
	omd_wait_refused(j, j->rec.reason[0] ? j->rec.reason : "the job has ended");
	omd_timers_stop(j);
	if (j->pidfd < 0 && j->sock < 0)
		omd_job_finished(j);
}

void omd_act(struct omd_job *j, unsigned int actions, enum pol_event ev, enum om_job_state state)
{
	struct pol_queue *q = j->omd->queue;

	if (actions & POL_ACT_UNQUEUE)
		(void)pol_queue_remove(q, j->rec.id);	/* held ones may be out of it */
	if (actions & POL_ACT_HOLD)
		(void)pol_queue_hold(q, j->rec.id, true);
	if (actions & POL_ACT_RELEASE && pol_queue_hold(q, j->rec.id, false) == -ENOENT)
		enqueue(j);
	if (actions & POL_ACT_ACK) {
		omd_timers_stop(j);
		omd_keeper_send(j, json_pack("{ss}", "op", "ack"));
	}
	if (actions & POL_ACT_QUEUE)
		enqueue(j);
	if (actions & POL_ACT_START_KEEPER)
		omd_start(j);
	if (actions & POL_ACT_SEND_CANCEL)
		send_cancel(j, "cancelled");
	if (actions & POL_ACT_SEND_TIMEOUT)
		send_cancel(j, "timeout");
	if (actions & POL_ACT_SEND_SUSPEND)
		omd_keeper_suspend(j, ev == POL_EV_HOLD ? OMD_SUSPEND_HOLD : OMD_SUSPEND_REQUEUE);
	if (ev == POL_EV_STARTED)
		omd_wait_started(j);
	if (ev == POL_EV_SUSPENDED_HELD)
		omd_wait_suspended(j);
	if (actions & POL_ACT_ENDED)
		ended(j);
	if (actions & POL_ACT_NOTIFY)
		omd_notify(j, state);
	if (actions & (POL_ACT_RELEASE | POL_ACT_UNQUEUE | POL_ACT_ENDED))
		omd_queue_kick(j->omd);
}

/* ---- the queue ---- */

static int start_one(struct omd *omd, struct om_job_id id, uint64_t now)
{
	struct om_err err = { 0 };
	struct omd_job *j = NULL, *whole = NULL;
	uint32_t elem = 0;
	int r = omd_job_get(omd, id, &j, &err);

	if (r >= 0 && j->rec.array) {
		whole = j;
		r = omd_job_need_rest(whole, &err);
		if (r >= 0)
			r = spool_indices_first(&whole->rest, &elem);
	}
	if (r < 0) {			/* it cannot be read: it must not stop the others */
		om_log_err("job=%s not started: %s", omd_id(id), om_err_text(&err, r));
		(void)pol_queue_remove(omd->queue, id);
		return 0;
	}
	r = pol_queue_start(omd->queue, id, whole ? (int32_t)elem : id.elem, now);
	if (r < 0) {
		om_log_err("job=%s not started: %s", omd_id(id), strerror(-r));
		omd_job_drop(j);
		return r;
	}
	if (whole) {
		r = omd_job_element(whole, elem, &j, &err);
		if (r < 0)
			(void)pol_queue_stopped(omd->queue, (struct om_job_id){ id.id, (int32_t)elem });
	}
	if (r >= 0)
		r = omd_job_step(j, POL_EV_START, "", NULL, &err);
	if (r < 0 && !omd->spool_bad)
		om_log_err("job=%s not started: %s", omd_id(id), om_err_text(&err, r));
	if (r >= 0)
		omd->stats.started++;
	return r;
}

static void set_wake(struct omd *omd, uint64_t now)
{
	uint64_t wake = pol_queue_wake_ns(omd->queue);

	if (wake == UINT64_MAX) {
		sd_event_source_set_enabled(omd->queue_timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(omd->queue_timer, (wake > now ? wake : now) / 1000 + 1);
	sd_event_source_set_enabled(omd->queue_timer, SD_EVENT_ONESHOT);
}

static int on_queue(sd_event_source *s, void *arg)
{
	struct omd *omd = arg;
	uint64_t now = om_clock_real_ns();
	struct om_job_id id;
	int n = 0, r = 0;

	(void)s;
	if (omd->spool_bad || omd->stopping)
		return 0;
	while (n < STARTS_PER_TURN && r >= 0 && pol_queue_next(omd->queue, now, &id)) {
		r = start_one(omd, id, now);
		n++;
	}
	if (n == STARTS_PER_TURN && r >= 0)
		omd_queue_kick(omd);
	else
		set_wake(omd, now);
	return 0;
}

static int on_wake(sd_event_source *s, uint64_t usec, void *arg)
{
	(void)s; (void)usec;
	omd_queue_kick(arg);
	return 0;
}

void omd_queue_kick(struct omd *omd)
{
	if (omd->queue_defer)
		sd_event_source_set_enabled(omd->queue_defer, SD_EVENT_ONESHOT);
}

int omd_queue_create(struct omd *omd, struct om_err *err)
{
	int r = pol_queue_create(&omd->machine, &omd->queue);

	if (r < 0)
		return om_err_sys(err, r, "queue");
	r = sd_event_add_defer(omd->ev, &omd->queue_defer, on_queue, omd);
	/* after the events of this turn, before the commit: starts go into the same batch */
	if (r >= 0)
		r = sd_event_source_set_priority(omd->queue_defer, SD_EVENT_PRIORITY_IDLE - 1);
	if (r >= 0)
		r = sd_event_add_time(omd->ev, &omd->queue_timer, CLOCK_REALTIME, UINT64_MAX, 1000, on_wake, omd);
	if (r >= 0)
		r = sd_event_source_set_enabled(omd->queue_timer, SD_EVENT_OFF);
	return r < 0 ? om_err_sys(err, r, "event loop") : 0;
}
