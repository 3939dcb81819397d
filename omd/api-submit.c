/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POST /v1/jobs: one job or many, all or none, answered when they are durable. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "omd/http.h"
#include "omd/omd.h"
#include "omd/spawn.h"

enum { JOBS_MAX = 100000 };		/* of one request; its size is limited too */

struct entry {
	struct spool_job rec;
	struct spool_dep *deps;		/* owned */
	size_t n_deps;
};

struct submission {
	struct omd_req *req;		/* NULL: the client has left; the jobs are made nevertheless */
	json_t *warnings;
	size_t n, made;
	struct entry e[];
};

static void destroy(struct submission *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->e[i].deps);
	json_decref(s->warnings);
	free(s);
}

static void gone(struct omd_req *req)
{
	struct submission *s = req->priv;

	s->req = NULL;
}

static void dep_failed(struct omd *omd, struct om_job_id id)
{
	struct omd_job *j;

	if (omd_job_get(omd, id, &j, NULL) < 0)
		return;
	(void)omd_job_step(j, POL_EV_DEP_NEVER, "a dependency cannot be satisfied any more", NULL, NULL);
	omd_job_drop(j);
}

static void after(struct omd *omd, void *arg, int result, const struct om_err *err)
{
	struct submission *s = arg;
	json_t *ids;

	if (s->req)
		s->req->gone = NULL;
	if (result < 0) {
		if (s->req)
			omd_reply_err(s->req, result, err);
		destroy(s);
		return;
	}
	ids = json_array();
	for (size_t i = 0; i < s->n; i++) {
		struct entry *e = &s->e[i];

		om_log_debug("job=%s event=submit user=%s", omd_id(e->rec.id), e->rec.user);
		if (e->rec.state == OM_JOB_WAITING && omd_act_queue(omd, &e->rec, e->deps, e->n_deps) == -ECANCELED)
			dep_failed(omd, e->rec.id);
		json_array_append_new(ids, json_string(omd_id(e->rec.id)));
	}
	omd->stats.submitted += s->n;
	if (s->n == 1)
		om_log_notice("job=%s event=submit state=%s user=%s", omd_id(s->e[0].rec.id), om_job_state_name(s->e[0].rec.state),
			      s->e[0].rec.user);
	else
		om_log_notice("job=%s..%s event=submit jobs=%zu user=%s", omd_id(s->e[0].rec.id), omd_id(s->e[s->n - 1].rec.id), s->n,
			      s->e[0].rec.user);
	if (s->req)
		omd_reply_json(s->req, 201, json_pack("{so sO}", "ids", ids, "warnings", s->warnings));
	else
		json_decref(ids);
	destroy(s);
}

static void warn(struct submission *s, const struct spool_spec *spec)
{
	const struct pol_machine *m = &s->req->omd->machine;
	char text[256];

	if (spec->cpus > m->cpus)
		snprintf(text, sizeof(text), "%.60s needs %u processors, this node has %u: it waits until there is such a node", spec->name,
			 spec->cpus, m->cpus);
	else if (spec->memory > m->memory)
		snprintf(text, sizeof(text), "%.60s needs %llu bytes of memory, this node has %llu: it waits until there is such a node",
			 spec->name, (unsigned long long)spec->memory, (unsigned long long)m->memory);
	else
		return;
	json_array_append_new(s->warnings, json_string(text));
}

static int check_deps(struct omd *omd, const struct spool_spec *spec, struct om_err *err)
{
	struct spool_job t;

	for (size_t i = 0; i < spec->ndepends; i++) {
		struct om_job_id id = spec->depends[i].job, whole = { id.id, OM_ELEM_NONE };
		struct spool_indices rest;
		bool waits = false;
		int r = spool_jobs_get(omd->db, id, &t, err);

		if (r == -ENOENT && id.elem != OM_ELEM_NONE && spool_jobs_get(omd->db, whole, &t, NULL) == 0 &&
		    spool_jobs_get_rest(omd->db, id.id, &rest, NULL) == 0) {
			waits = spool_indices_has(&rest, (uint32_t)id.elem);
			spool_indices_done(&rest);
		}
		if (r == -ENOENT && !waits)
			return om_err_set(err, -EINVAL, "depends: there is no job %s", omd_id(id));
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

static int one(struct submission *s, const json_t *o, struct om_err *err)
{
	struct omd_req *req = s->req;
	struct omd *omd = req->omd;
	struct entry *e = &s->e[s->made];
	om_autoptr(spool_spec) spec = NULL;
	struct spool_event ev = { .time_ns = om_clock_real_ns(), .what = POL_EV_SUBMIT };
	unsigned int actions;
	int r = spool_spec_parse(o, &spec, err);

	if (r >= 0)
		r = check_deps(omd, spec, err);
	if (r < 0)
		return r;
	if (spec->hold)
		ev.what = POL_EV_SUBMIT_HELD;
	r = pol_job_step(OM_JOB_NONE, (enum pol_event)ev.what, &e->rec.state, &actions, err);
	if (r < 0)
		return r;
	ev.state = e->rec.state;
	e->rec.uid = req->conn->uid;
	e->rec.gid = req->conn->gid;
	e->rec.submitted_ns = ev.time_ns;
	om_str_copy(e->rec.user, sizeof(e->rec.user), omd_user_name(omd, req->conn->uid));
	warn(s, spec);
	r = spool_jobs_insert(omd->db, spec, &e->rec, &ev, err);
	if (r < 0)
		return r;
	e->deps = spec->depends;
	e->n_deps = spec->ndepends;
	spec->depends = NULL;
	spec->ndepends = 0;
	s->made++;
	return 0;
}

static int all(struct submission *s, const json_t *jobs, const json_t *single, struct om_err *err)
{
	struct omd *omd = s->req->omd;
	int r = s->n > 1 ? spool_jobs_mark(omd->db, err) : 0;

	for (size_t i = 0; r >= 0 && i < s->n; i++) {
		r = one(s, single ? single : json_array_get(jobs, i), err);
		if (r < 0 && s->n > 1)
			om_err_wrap(err, r, "job %zu of %zu", i + 1, s->n);
	}
	if (r < 0 && s->n > 1 && s->made && spool_jobs_revert(omd->db, NULL) < 0)
		omd_batch_fail(omd, r, err);	/* half of it must not be made */
	/* the disk, not the request */
	if (r == -ENOSPC || r == -EIO || r == -EROFS || r == -EUCLEAN)
		omd_batch_fail(omd, r, err);
	return r;
}

void omd_api_submit(struct omd_req *req)
{
	json_t *o, *jobs;
	struct submission *s;
	struct om_err err = { 0 };
	size_t n;
	int r;

	if (req->omd->stopping) {
		omd_reply_error(req, 503, "omd is ending; submit again when it is back");
		return;
	}
	if (!req->body.len) {
		omd_reply_error(req, 400, "the body must be a job description (see doc/api.md)");
		return;
	}
	o = omd_req_json(req);
	if (!o)
		return;
	om_buf_shift(&req->body, 0);
	jobs = json_object_get(o, "jobs");
	n = jobs ? json_array_size(jobs) : 1;
	if (jobs && (!json_is_array(jobs) || json_object_size(o) != 1 || n < 1 || n > JOBS_MAX)) {
		omd_reply_error(req, 400, "\"jobs\" must be an array of 1 to %d job descriptions, and the only field", JOBS_MAX);
		json_decref(o);
		return;
	}
	s = calloc(1, sizeof(*s) + n * sizeof(s->e[0]));
	if (s)
		*s = (struct submission){ .req = req, .n = n, .warnings = json_array() };
	if (!s || !s->warnings) {
		free(s);
		json_decref(o);
		omd_reply_error(req, 500, "out of memory");
		return;
	}
	r = all(s, jobs, jobs ? NULL : o, &err);
	json_decref(o);
	if (r >= 0)
		r = omd_batch_add(req->omd, after, s, false);
	if (r < 0) {
		omd_reply_err(req, r, &err);
		destroy(s);
		return;
	}
	req->priv = s;
	req->gone = gone;
}
