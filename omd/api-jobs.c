/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of jobs that exist: lists, one job, cancel, hold, release, signal, wait. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "omd/http.h"
#include "omd/omd.h"

enum {
	LIST_DEFAULT = 1000,
	IDS_MAX = 10000,
	WAIT_MAX_S = 86400,
	ELEMENTS_PAGE = 1000,
};

/* ---- lists ---- */

struct list_args {
	struct spool_query q;
	struct om_job_id *ids;
	size_t n_ids, room;
	char why[160];
};

static bool parse_ids(struct list_args *a, const char *text)
{
	while (*text) {
		char one[OM_JOB_ID_TEXT];
		size_t n = strcspn(text, ",");

		if (n >= sizeof(one) || a->n_ids >= IDS_MAX)
			return false;
		memcpy(one, text, n);
		one[n] = 0;
		if (a->n_ids == a->room) {
			size_t room = a->room ? a->room * 2 : 16;
			struct om_job_id *l = reallocarray(a->ids, room, sizeof(*l));

			if (!l)
				return false;
			a->ids = l;
			a->room = room;
		}
		if (om_job_id_parse(one, &a->ids[a->n_ids]) < 0)
			return false;
		a->n_ids++;
		text += n + (text[n] == ',');
	}
	return true;
}

static bool parse_states(unsigned int *mask, const char *text)
{
	while (*text) {
		char one[32];
		size_t n = strcspn(text, ",");
		enum om_job_state s;

		if (n >= sizeof(one))
			return false;
		memcpy(one, text, n);
		one[n] = 0;
		if (om_job_state_parse(one, &s) < 0)
			return false;
		*mask |= 1u << s;
		text += n + (text[n] == ',');
	}
	return true;
}

static enum MHD_Result one_arg(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct list_args *a = arg;
	uint64_t n;
	bool ok = value != NULL;

	(void)kind;
	if (!value)
		value = "";
	if (strcmp(key, "user") == 0)
		a->q.user = value;
	else if (strcmp(key, "name") == 0)
		a->q.name = value;
	else if (strcmp(key, "state") == 0)
		ok = parse_states(&a->q.states, value);
	else if (strcmp(key, "id") == 0)
		ok = *value && parse_ids(a, value);
	else if (strcmp(key, "all") == 0)
		a->q.all = ok = strcmp(value, "1") == 0;
	else if (strcmp(key, "limit") == 0)
		ok = om_str_u64(value, &n) == 0 && n >= 1 && n <= SPOOL_PAGE_MAX && (a->q.limit = (unsigned int)n);
	else if (strcmp(key, "after") == 0)
		ok = om_job_id_parse(value, &a->q.after) == 0;
	else
		ok = false;
	if (!ok)
		snprintf(a->why, sizeof(a->why), "argument %.40s=%.60s is not understood", key, value);
	return ok ? MHD_YES : MHD_NO;
}

/* The page as text at once: 1,000 objects side by side cost more than their text. */
static int page(struct omd *omd, const struct spool_job *list, size_t n, bool more, struct om_buf *b)
{
	int r = om_buf_addf(b, "{\"jobs\":[");

	for (size_t i = 0; r >= 0 && i < n; i++) {
		json_t *o = omd_job_json(omd, &list[i], false);
		om_autofree char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

		json_decref(o);
		r = text ? om_buf_addf(b, "%s", i ? "," : "") : -ENOMEM;
		if (r >= 0)
			r = om_buf_add(b, text, strlen(text));
	}
	return r < 0 ? r : om_buf_addf(b, "],\"more\":%s}", more ? "true" : "false");
}

void omd_api_jobs(struct omd_req *req)
{
	struct list_args a = { .q.limit = LIST_DEFAULT };
	om_autofree struct spool_job *list = NULL;
	struct om_err err = { 0 };
	struct om_buf b = { 0 };
	bool more = false;
	size_t n = 0;
	int r;

	MHD_get_connection_values(req->mhd, MHD_GET_ARGUMENT_KIND, one_arg, &a);
	if (a.why[0]) {
		omd_reply_error(req, 400, "%s", a.why);
		free(a.ids);
		return;
	}
	a.q.ids = a.ids;
	a.q.nids = a.n_ids;
	if (a.n_ids && !a.q.states)
		a.q.all = true;		/* who names a job wants to see it, ended or not */
	r = spool_jobs_query(req->omd->db, &a.q, &list, &n, &more, &err);
	free(a.ids);
	if (r >= 0)
		r = page(req->omd, list, n, more, &b);
	if (r < 0) {
		om_buf_done(&b);
		omd_reply_err(req, r, &err);
		return;
	}
	omd_reply_buf(req, 200, &b);
}

/* ---- one job ---- */

/* The record; for an element that waits in its array's rest the array's, as that element. */
static int get_record(struct omd *omd, struct om_job_id id, struct spool_job *rec, struct om_err *err)
{
	struct om_job_id whole = { id.id, OM_ELEM_NONE };
	struct omd_job *j = omd_job_find(omd, id);
	struct spool_indices rest;
	bool has;
	int r;

	if (j) {
		*rec = j->rec;
		return 0;
	}
	r = spool_jobs_get(omd->db, id, rec, err);
	if (r != -ENOENT || id.elem == OM_ELEM_NONE)
		return r;
	if (spool_jobs_get(omd->db, whole, rec, NULL) < 0 || spool_jobs_get_rest(omd->db, id.id, &rest, NULL) < 0)
		return -ENOENT;
	has = spool_indices_has(&rest, (uint32_t)id.elem);
	spool_indices_done(&rest);
	if (!has)
		return -ENOENT;
	rec->id = id;
	rec->array = false;
	rec->left = 0;
	return 0;
}

static bool req_record(struct omd_req *req, struct spool_job *rec)
{
	struct om_err err = { 0 };
	struct om_job_id id;
	int r = om_job_id_parse(req->seg[0], &id);

	if (r < 0) {
		omd_reply_error(req, 400, "'%.40s' is no job id (17, or 17_3 for an element of an array)", req->seg[0]);
		return false;
	}
	r = get_record(req->omd, id, rec, &err);
	if (r == -ENOENT)
		omd_reply_error(req, 404, "there is no job %s", omd_id(id));
	else if (r < 0)
		omd_reply_err(req, r, &err);
	else if (!omd_req_may(req, rec->uid))
		omd_reply_error(req, 403, "permission denied: job %s belongs to another user", omd_id(id));
	else
		return true;
	return false;
}

void omd_api_job(struct omd_req *req)
{
	om_autoptr(spool_spec) spec = NULL;
	struct om_err err = { 0 };
	struct spool_job rec;
	json_t *o;
	int r;

	if (!req_record(req, &rec))
		return;
	r = spool_jobs_get_spec(req->omd->db, rec.id, &spec, &err);
	if (r < 0) {
		omd_reply_err(req, r, &err);
		return;
	}
	o = omd_job_json(req->omd, &rec, true);
	if (o) {
		json_object_set_new(o, "spec", spool_spec_to_json(spec));
		json_object_set_new(o, "chdir", json_string(spec->chdir));
		json_object_set_new(o, "stdout", json_string(spec->out));
	}
	omd_reply_json(req, 200, o);
}

void omd_api_wait(struct omd_req *req)
{
	const char *arg = omd_req_arg(req, "timeout");
	struct spool_job rec;
	uint64_t s = WAIT_MAX_S;
	int r;

	if (arg && (om_str_u64(arg, &s) < 0 || s > WAIT_MAX_S)) {
		omd_reply_error(req, 400, "timeout=%.40s: a whole number of seconds up to %d is expected", arg, WAIT_MAX_S);
		return;
	}
	if (!req_record(req, &rec))
		return;
	if (om_job_state_ended(rec.state) || s == 0) {
		omd_reply_json(req, 200, omd_job_json(req->omd, &rec, true));
		return;
	}
	r = omd_wait_add(req->omd, req, rec.id, OMD_W_END, NULL, s * 1000000);
	if (r < 0)
		omd_reply_error(req, 500, "out of memory");
}

/* ---- changes ---- */

typedef int each_fn(struct omd_job *j, void *arg, struct om_err *err);

/* Every element of the array that has a record and has not ended.  Number of them for which @fn succeeded, or an error of reading. */
static int each_element(struct omd *omd, struct om_job_id whole, each_fn *fn, void *arg, struct om_err *err)
{
	struct spool_query q = { .ids = &whole, .nids = 1, .limit = ELEMENTS_PAGE };
	int done = 0;
	bool more = true;

	while (more) {
		om_autofree struct spool_job *list = NULL;
		size_t n = 0;
		int r = spool_jobs_query(omd->db, &q, &list, &n, &more, err);

		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			struct omd_job *j;

			q.after = list[i].id;
			if (list[i].id.elem == OM_ELEM_NONE || omd_job_get(omd, list[i].id, &j, err) < 0)
				continue;
			done += fn(j, arg, err) == 0;
			omd_job_drop(j);
		}
		more = more && n;
	}
	return done;
}

static int step_element(struct omd_job *j, void *arg, struct om_err *err)
{
	const enum pol_event *ev = arg;

	return omd_job_step(j, *ev, NULL, NULL, err);
}

static void reply_step(struct omd_req *req, struct omd_job *j, enum pol_event ev, const char *text)
{
	struct om_err err = { 0 };
	int r = omd_job_step(j, ev, text, req, &err);

	if (r == -EINVAL)
		r = -EBUSY;		/* the table's refusals are conflicts, whether they last or not */
	if (r < 0)
		omd_reply_err(req, r, &err);
}

/* The rest ends, then each element; the array itself when they all have. */
static void cancel_array(struct omd_req *req, struct omd_job *w)
{
	enum pol_event ev = POL_EV_CANCEL;
	struct om_err err = { 0 };
	int n, r;

	if (om_job_state_ended(w->rec.state)) {
		reply_step(req, w, ev, NULL);
		return;
	}
	w->rec.end = SPOOL_END_CANCELLED;
	if (w->rec.elements == w->rec.elements_ended) {
		reply_step(req, w, ev, "cancelled");
		return;
	}
	(void)pol_queue_remove(req->omd->queue, w->rec.id);
	if (w->has_rest) {
		spool_indices_done(&w->rest);
		w->has_rest = false;
	}
	w->rec.left = 0;
	w->rec.state = OM_JOB_RUNNING;
	r = omd_job_note(w, "cancelled", &err);
	w->pending++;
	n = r < 0 ? r : each_element(req->omd, w->rec.id, step_element, &ev, &err);
	w->pending--;
	if (n < 0)
		omd_reply_err(req, n, &err);
	else
		omd_reply_json(req, 200, json_pack("{ss}", "state", om_job_state_name(w->rec.state)));
}

void omd_api_cancel(struct omd_req *req)
{
	struct omd_job *j = omd_req_job(req);

	if (!j)
		return;
	if (j->rec.array)
		cancel_array(req, j);
	else
		reply_step(req, j, POL_EV_CANCEL, j->rec.uid == req->conn->uid ? "cancelled" : "cancelled by root");
	omd_job_drop(j);
}

static void hold_or_release(struct omd_req *req, enum pol_event ev)
{
	struct omd_job *j = omd_req_job(req);
	struct om_err err = { 0 };
	int n = 0;

	if (!j)
		return;
	j->pending++;
	if (j->rec.array && !om_job_state_ended(j->rec.state))
		n = each_element(req->omd, j->rec.id, step_element, &ev, &err);
	if (n < 0)
		omd_reply_err(req, n, &err);
	else if (j->rec.array && !j->rec.left)
		omd_reply_json(req, 200, json_pack("{ss}", "state", om_job_state_name(j->rec.state)));
	else if (ev == POL_EV_HOLD && j->rec.state == OM_JOB_RUNNING) {
		int r = omd_job_step(j, ev, NULL, NULL, &err);

		/* answered when it is suspended, or with what stands in the way */
		if (r >= 0)
			r = omd_wait_add(req->omd, req, j->rec.id, OMD_W_CKPT, "hold", 0);
		if (r < 0)
			omd_reply_err(req, r, &err);
	} else {
		reply_step(req, j, ev, "");
	}
	j->pending--;
	omd_job_drop(j);
}

void omd_api_hold(struct omd_req *req)
{
	hold_or_release(req, POL_EV_HOLD);
}

void omd_api_release(struct omd_req *req)
{
	hold_or_release(req, POL_EV_RELEASE);
}

static int send_signal(struct omd_job *j, void *arg, struct om_err *err)
{
	const int *sig = arg;

	if (j->rec.state != OM_JOB_RUNNING && j->rec.state != OM_JOB_ENDING)
		return om_err_set(err, -EBUSY, "job %s is %s: it has no process to signal", omd_id(j->rec.id),
				  om_job_state_name(j->rec.state));
	if (omd_keeper_send(j, json_pack("{ss si}", "op", "signal", "signal", *sig)) < 0)
		return om_err_set(err, -EBUSY, "the keeper of job %s does not answer now", omd_id(j->rec.id));
	return 0;
}

void omd_api_signal(struct omd_req *req)
{
	json_t *o = omd_req_json(req), *v;
	struct omd_job *j;
	struct om_err err = { 0 };
	int sig, r;

	if (!o)
		return;
	v = json_object_get(o, "signal");
	sig = json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= SIGRTMAX ? (int)json_integer_value(v) : 0;
	if (!sig || json_object_size(o) != 1) {
		json_decref(o);
		omd_reply_error(req, 400, "\"signal\" must be a number from 1 to %d, and the only field", SIGRTMAX);
		return;
	}
	json_decref(o);
	j = omd_req_job(req);
	if (!j)
		return;
	if (j->rec.array) {
		r = each_element(req->omd, j->rec.id, send_signal, &sig, &err);
		if (r == 0)
			r = om_err_set(&err, -EBUSY, "no element of array %s runs now", omd_id(j->rec.id));
	} else {
		r = send_signal(j, &sig, &err);
	}
	omd_job_drop(j);
	if (r < 0)
		omd_reply_err(req, r, &err);
	else
		omd_reply_json(req, 200, json_object());
}
