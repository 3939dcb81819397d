/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs in memory, and the one way by which they change: omd_job_step(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "omd/http.h"
#include "omd/omd.h"

struct after {			/* what follows the commit of one step */
	struct omd_job *j;
	unsigned int actions;
	enum pol_event ev;
	enum om_job_state state;
	struct omd_req *req;
};

const char *omd_id(struct om_job_id id)
{
	static char ring[4][OM_JOB_ID_TEXT];
	static unsigned int i;

	return om_job_id_text(id, ring[i++ % 4], OM_JOB_ID_TEXT);
}

/* ---- the table in memory ---- */

static struct omd_job **bucket(struct omd *omd, struct om_job_id id)
{
	return &omd->jobs[(id.id * 31 + (uint64_t)(int64_t)id.elem) % OMD_HASH];
}

struct omd_job *omd_job_find(struct omd *omd, struct om_job_id id)
{
	for (struct omd_job *j = *bucket(omd, id); j; j = j->next)
		if (om_job_id_same(j->rec.id, id))
			return j;
	return NULL;
}

struct omd_job *omd_job_new(struct omd *omd, const struct spool_job *rec)
{
	struct omd_job **b = bucket(omd, rec->id);
	struct omd_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->omd = omd;
	j->rec = *rec;
	j->sock = j->pidfd = -1;
	j->next = *b;
	*b = j;
	omd->n_jobs++;
	return j;
}

int omd_job_get(struct omd *omd, struct om_job_id id, struct omd_job **ret, struct om_err *err)
{
	struct omd_job *j = omd_job_find(omd, id);
	struct spool_job rec;
	int r;

	if (!j) {
		r = spool_jobs_get(omd->db, id, &rec, err);
		if (r < 0)
			return r;
		j = omd_job_new(omd, &rec);
		if (!j)
			return om_err_set(err, -ENOMEM, "out of memory");
	}
	*ret = j;
	return 0;
}

static void destroy(struct omd_job *j)
{
	struct omd_job **p = bucket(j->omd, j->rec.id);

	while (*p != j)
		p = &(*p)->next;
	*p = j->next;
	j->omd->n_jobs--;
	omd_keeper_detach(j);
	omd_timers_stop(j);
	if (j->has_rest)
		spool_indices_done(&j->rest);
	spool_spec_destroy(j->spec);
	free(j->ckpts);
	free(j);
}

void omd_job_drop(struct omd_job *j)
{
	bool bad = false;

	if (j->pending || j->sock >= 0 || j->pidfd >= 0 || j->resync)
		return;
	if (!om_job_state_ended(j->rec.state) && j->rec.state != OM_JOB_NONE) {
		/* an array under way keeps its set at hand; a job whose checkpoint was found bad remembers that */
		for (size_t i = 0; i < j->n_ckpts; i++)
			bad |= j->ckpts[i].bad;
		if (bad || (j->has_rest && j->rec.left && j->rec.elements))
			return;
	}
	destroy(j);
}

void omd_job_destroy_all(struct omd *omd)
{
	for (unsigned int i = 0; i < OMD_HASH; i++)
		while (omd->jobs[i])
			destroy(omd->jobs[i]);
}

int omd_job_need_rest(struct omd_job *j, struct om_err *err)
{
	int r;

	if (j->has_rest)
		return 0;
	r = spool_jobs_get_rest(j->omd->db, j->rec.id.id, &j->rest, err);
	j->has_rest = r >= 0;
	return r;
}

int omd_job_need_spec(struct omd_job *j, struct om_err *err)
{
	return j->spec ? 0 : spool_jobs_get_spec(j->omd->db, j->rec.id, &j->spec, err);
}

bool omd_job_alive(const struct omd_job *j)
{
	return j->rec.state == OM_JOB_STARTING || j->rec.state == OM_JOB_RUNNING || j->rec.state == OM_JOB_ENDING;
}

/* ---- writing ---- */

/* The database's view again, after something was not written. */
static void reload(struct omd_job *j)
{
	struct om_job_id id = j->rec.id;
	struct om_err err = { 0 };
	int r = spool_jobs_get(j->omd->db, id, &j->rec, &err);

	if (r == -ENOENT) {		/* was made in the batch that failed */
		memset(&j->rec, 0, sizeof(j->rec));
		j->rec.id = id;
	} else if (r < 0) {
		om_log_err("job=%s record not read: %s", omd_id(id), om_err_text(&err, r));
	}
	if (j->has_rest) {
		spool_indices_done(&j->rest);
		j->has_rest = false;
	}
}

/* Was not written: what the keeper or the folder says has to be asked for again. */
static void undone(struct omd_job *j)
{
	reload(j);
	j->resync = j->sock >= 0 || j->pidfd >= 0 || omd_job_alive(j);
}

static struct spool_event make_event(enum pol_event what, enum om_job_state state, const char *text)
{
	struct spool_event e = { .time_ns = om_clock_real_ns(), .what = (int)what, .state = state };

	om_str_copy(e.text, sizeof(e.text), text ? text : "");
	return e;
}

static int write_record(struct omd_job *j, enum pol_event what, const char *text, struct om_err *err)
{
	struct spool_event e = make_event(what, j->rec.state, text);
	int r = spool_jobs_update(j->omd->db, &j->rec, what || text ? &e : NULL, err);

	if (r < 0)
		omd_batch_fail(j->omd, r, err);
	return r;
}

/* The start was not written: the share of the machine is free again, and the job waits as before. */
static void start_undone(struct omd_job *j)
{
	struct omd *omd = j->omd;
	struct om_job_id whole = { j->rec.id.id, OM_ELEM_NONE };
	struct spool_job rec;

	pol_queue_stopped(omd->queue, j->rec.id);
	if (j->rec.state == OM_JOB_WAITING) {
		omd_act_queue(omd, &j->rec, NULL, 0);
	} else if (j->rec.state == OM_JOB_NONE && spool_jobs_get(omd->db, whole, &rec, NULL) == 0) {
		struct omd_job *w = omd_job_find(omd, whole);

		if (w)
			reload(w);
		pol_queue_remove(omd->queue, whole);
		omd_act_queue(omd, &rec, NULL, 0);
	}
}

static void after_step(struct omd *omd, void *arg, int result, const struct om_err *err)
{
	struct after *a = arg;
	struct omd_job *j = a->j;

	(void)omd;
	j->pending--;
	if (result < 0) {
		undone(j);
		if (a->ev == POL_EV_START)
			start_undone(j);
		if (a->req) {
			a->req->gone = NULL;
			omd_reply_err(a->req, result, err);
		}
	} else {
		om_log_notice("job=%s event=%s state=%s%s%s%s", omd_id(j->rec.id), pol_event_name(a->ev), om_job_state_name(a->state),
			      j->rec.reason[0] ? " reason=\"" : "", j->rec.reason, j->rec.reason[0] ? "\"" : "");
		if (om_job_state_ended(a->state) && a->actions & POL_ACT_ENDED)
			j->omd->stats.ended[a->state]++;
		omd_act(j, a->actions, a->ev, a->state);
		if (a->req) {
			a->req->gone = NULL;
			omd_reply_json(a->req, 200, json_pack("{ss}", "state", om_job_state_name(j->rec.state)));
		}
	}
	free(a);
	omd_job_drop(j);
}

static void req_gone(struct omd_req *req)
{
	struct after *a = req->priv;

	a->req = NULL;
}

static int queue_after(struct omd_job *j, unsigned int actions, enum pol_event ev, struct omd_req *req, bool lazy)
{
	struct after *a = malloc(sizeof(*a));

	if (!a)
		return -ENOMEM;
	*a = (struct after){ .j = j, .actions = actions, .ev = ev, .state = j->rec.state, .req = req };
	if (omd_batch_add(j->omd, after_step, a, lazy) < 0) {
		free(a);
		return -ENOMEM;
	}
	j->pending++;
	if (req) {
		req->priv = a;
		req->gone = req_gone;
	}
	return 0;
}

/* ---- arrays ---- */

/* An element has ended (@by 1) or goes on after its end (-1): the array's own record counts it. */
static int count_element(struct omd_job *j, enum om_job_state before, struct om_err *err)
{
	struct om_job_id id = { j->rec.id.id, OM_ELEM_NONE };
	bool was = om_job_state_ended(before), is = om_job_state_ended(j->rec.state);
	struct omd_job *w;
	struct spool_job *rec;
	int r;

	if (j->rec.id.elem == OM_ELEM_NONE || was == is)
		return 0;
	r = omd_job_get(j->omd, id, &w, err);
	if (r < 0)
		return r;
	rec = &w->rec;
	if (is) {
		rec->elements_ended++;
		rec->elements_bad += j->rec.state != OM_JOB_DONE;
	} else {
		rec->elements_ended -= rec->elements_ended > 0;
		rec->elements_bad -= before != OM_JOB_DONE && rec->elements_bad > 0;
		if (om_job_state_ended(rec->state)) {
			rec->state = OM_JOB_RUNNING;
			rec->ended_ns = 0;
		}
	}
	if (is && rec->left == 0 && rec->elements_ended == rec->elements && !om_job_state_ended(rec->state))
		r = omd_job_step(w, POL_EV_ELEMENTS_ENDED, NULL, NULL, err);
	else
		r = write_record(w, 0, NULL, err);
	if (r < 0)
		reload(w);
	omd_job_drop(w);
	return r;
}

int omd_job_element(struct omd_job *whole, uint32_t elem, struct omd_job **ret, struct om_err *err)
{
	enum om_job_state state = whole->rec.state;
	struct spool_event e = make_event(0, state, "out of its array");
	struct spool_job rec;
	struct omd_job *j;
	int r = omd_job_need_rest(whole, err);

	if (r < 0)
		return r;
	r = spool_jobs_insert_elem(whole->omd->db, &whole->rec, &whole->rest, elem, state, &e, &rec, err);
	if (r == -ENOENT)
		return r;
	if (r >= 0 && whole->rec.left == 0 && !om_job_state_ended(whole->rec.state)) {
		whole->rec.state = OM_JOB_RUNNING;	/* nothing of it waits any more */
		r = spool_jobs_update(whole->omd->db, &whole->rec, NULL, err);
	}
	if (r < 0) {
		omd_batch_fail(whole->omd, r, err);
		reload(whole);
		return r;
	}
	j = omd_job_new(whole->omd, &rec);
	if (!j) {
		r = om_err_set(err, -ENOMEM, "out of memory");
		omd_batch_fail(whole->omd, r, err);
		reload(whole);
		return r;
	}
	*ret = j;
	return 0;
}

/* ---- steps ---- */

static void times(struct spool_job *rec, enum om_job_state before, unsigned int actions)
{
	uint64_t now = om_clock_real_ns();

	if (om_job_state_ended(rec->state) && !om_job_state_ended(before)) {
		rec->ended_ns = now;
	} else if (om_job_state_ended(before) && !om_job_state_ended(rec->state)) {
		rec->ended_ns = 0;
		rec->end = SPOOL_END_NONE;
		rec->status = 0;
	}
	if (rec->state == OM_JOB_STARTING && before != OM_JOB_STARTING)
		rec->legs++;
	if (rec->state == OM_JOB_RUNNING && before == OM_JOB_STARTING) {
		rec->leg_started_ns = now;
		if (!rec->started_ns)
			rec->started_ns = now;
	}
	if (actions & POL_ACT_COUNT_RESTART)
		rec->restarts++;
}

int omd_job_step(struct omd_job *j, enum pol_event ev, const char *text, struct omd_req *req, struct om_err *err)
{
	enum om_job_state before = j->rec.state, next;
	struct spool_job *rec = &j->rec;
	unsigned int actions;
	int r = pol_job_step(before, ev, &next, &actions, err);

	if (r < 0) {
		reload(j);
		return r;
	}
	if (ev == POL_EV_ELEMENTS_ENDED)
		next = pol_array_state(rec->left, false, rec->elements, rec->elements_ended, rec->elements_bad,
				       rec->end == SPOOL_END_CANCELLED);
	rec->state = next;
	times(rec, before, actions);
	if (text)
		om_str_copy(rec->reason, sizeof(rec->reason), text);
	r = write_record(j, ev, text, err);
	if (r >= 0)
		r = count_element(j, before, err);
	if (r >= 0)
		r = queue_after(j, actions, ev, req, ev == POL_EV_STARTED && !req);
	/* The processes are gone whether this can be written or not; so the next start goes into the same commit. */
	if (actions & POL_ACT_FREE) {
		(void)pol_queue_stopped(j->omd->queue, rec->id);
		omd_queue_kick(j->omd);
	}
	if (r < 0) {
		if (r == -ENOMEM)
			omd_batch_fail(j->omd, r, err);
		undone(j);
	}
	return r;
}

static void after_note(struct omd *omd, void *arg, int result, const struct om_err *err)
{
	struct omd_job *j = arg;

	(void)omd; (void)err;
	j->pending--;
	if (result < 0) {
		undone(j);
	}
	omd_job_drop(j);
}

int omd_job_note(struct omd_job *j, const char *text, struct om_err *err)
{
	int r = write_record(j, 0, text, err);

	if (r >= 0)
		r = omd_batch_add(j->omd, after_note, j, true);
	if (r < 0) {
		omd_batch_fail(j->omd, r, err);
		undone(j);
		return r;
	}
	j->pending++;
	return 0;
}
