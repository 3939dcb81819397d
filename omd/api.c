/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The resources of doc/api.md, who may what, and a job as JSON. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/str.h"
#include "omd/http.h"
#include "omd/omd.h"
#include "omd/spawn.h"

const struct omd_route omd_routes[] = {
	{ "GET", "/v1/status", omd_api_status, false },
	{ "POST", "/v1/jobs", omd_api_submit, false },
	{ "GET", "/v1/jobs", omd_api_jobs, false },
	{ "GET", "/v1/jobs/?", omd_api_job, false },
	{ "DELETE", "/v1/jobs/?", omd_api_cancel, false },
	{ "POST", "/v1/jobs/?/hold", omd_api_hold, false },
	{ "POST", "/v1/jobs/?/release", omd_api_release, false },
	{ "POST", "/v1/jobs/?/signal", omd_api_signal, false },
	{ "GET", "/v1/jobs/?/wait", omd_api_wait, false },
	{ "POST", "/v1/jobs/?/checkpoint", omd_api_checkpoint, false },
	{ "GET", "/v1/jobs/?/checkpoints", omd_api_ckpt_list, false },
	{ "GET", "/v1/jobs/?/checkpoints/?", omd_api_ckpt_show, false },
	{ "DELETE", "/v1/jobs/?/checkpoints/?", omd_api_ckpt_drop, false },
	{ "POST", "/v1/jobs/?/checkpoints/?/verify", omd_api_verify, false },
	{ "GET", "/v1/jobs/?/checkpoints/?/export", omd_api_export, false },
	{ "POST", "/v1/jobs/?/prune", omd_api_prune, false },
	{ "POST", "/v1/jobs/?/restore", omd_api_restore, false },
	{ "POST", "/v1/import", omd_api_import, true },
	{ "POST", "/v1/drain", omd_api_drain, false },
	{ "POST", "/v1/shutdown", omd_api_shutdown, false },
	{ "GET", "/metrics", omd_api_metrics, false },
	{ 0 }
};

bool omd_req_may(const struct omd_req *req, uid_t owner)
{
	return req->conn->uid == 0 || req->conn->uid == owner;
}

bool omd_req_admin(const struct omd_req *req)
{
	return req->conn->uid == 0 || req->conn->uid == req->omd->uid;
}

struct omd_job *omd_req_job(struct omd_req *req)
{
	struct om_err err = { 0 };
	struct om_job_id id;
	struct omd_job *j;
	int r = om_job_id_parse(req->seg[0], &id);

	if (r < 0) {
		omd_reply_error(req, 400, "'%.40s' is no job id (17, or 17_3 for an element of an array)", req->seg[0]);
		return NULL;
	}
	r = omd_job_get(req->omd, id, &j, &err);
	if (r == -ENOENT && id.elem != OM_ELEM_NONE) {	/* an element that waits in its array? */
		struct omd_job *whole;

		if (omd_job_get(req->omd, (struct om_job_id){ id.id, OM_ELEM_NONE }, &whole, NULL) == 0) {
			if (omd_job_need_rest(whole, NULL) == 0 && spool_indices_has(&whole->rest, (uint32_t)id.elem))
				r = strcmp(req->route->method, "GET") == 0 ? 1 : !omd_req_may(req, whole->rec.uid) ? -EPERM :
				    omd_job_element(whole, (uint32_t)id.elem, &j, &err);
			if (r == 1) {
				omd_reply_error(req, 409, "job %s waits as a part of array %llu", omd_id(id), (unsigned long long)id.id);
				omd_job_drop(whole);
				return NULL;
			}
			if (r == 0)
				(void)pol_queue_set_left(req->omd->queue, whole->rec.id, whole->rec.left);
			omd_job_drop(whole);
		}
	}
	if (r == -ENOENT) {
		omd_reply_error(req, 404, "there is no job %s", omd_id(id));
		return NULL;
	}
	if (r == -EPERM || (r >= 0 && !omd_req_may(req, j->rec.uid))) {
		omd_reply_error(req, 403, "permission denied: job %s belongs to another user", omd_id(id));
		if (r >= 0)
			omd_job_drop(j);
		return NULL;
	}
	if (r < 0) {
		omd_reply_err(req, r, &err);
		return NULL;
	}
	return j;
}

/* ---- a job as JSON ---- */

static json_t *seconds(uint64_t ns)
{
	return ns ? json_real((double)ns / 1e9) : json_null();
}

static json_t *checkpoint_json(const struct spool_job *rec, uint64_t now)
{
	if (!rec->ckpt_n)
		return json_null();
	return json_pack("{sI sf sI sI sf}", "n", (json_int_t)rec->ckpt_n, "age",
			 now > rec->ckpt_time_ns ? (double)(now - rec->ckpt_time_ns) / 1e9 : 0.0, "stop_ns",
			 (json_int_t)rec->ckpt_stop_ns, "bytes", (json_int_t)rec->ckpt_bytes, "time", (double)rec->ckpt_time_ns / 1e9);
}

static json_t *exit_json(const struct spool_job *rec)
{
	if (rec->end == SPOOL_END_NONE || !om_job_state_ended(rec->state))
		return json_null();
	if (WIFSIGNALED(rec->status))
		return json_pack("{si}", "signal", WTERMSIG(rec->status));
	return json_pack("{si}", "code", WEXITSTATUS(rec->status));
}

static json_t *refused_json(const struct omd_job *j)
{
	if (!j || !j->refused)
		return json_null();
	return json_pack("{ss ss ss}", "process", j->refused_process, "object", j->refused_object, "reason", j->refused_reason);
}

static void reason_text(struct omd *omd, const struct spool_job *rec, uint64_t now, char *dst, size_t n)
{
	om_str_copy(dst, n, rec->reason);
	if (rec->state == OM_JOB_WAITING && pol_queue_reason(omd->queue, rec->id, now, dst, n) < 0)
		om_str_copy(dst, n, rec->reason);
	/* what happened to it before is said too */
	if (rec->state == OM_JOB_WAITING && rec->reason[0] && strcmp(dst, rec->reason) != 0) {
		size_t len = strlen(dst);

		snprintf(dst + len, n - len, "%s%s", len ? "; " : "", rec->reason);
	}
	if (rec->state == OM_JOB_WAITING && omd->spool_bad)
		snprintf(dst, n, "spool: %s", omd->spool_error);
}

static void add_live(json_t *o, const struct omd_job *j, const struct spool_job *rec, uint64_t now)
{
	uint64_t cpu = rec->cpu_ns, wall = rec->wall_ns, maxrss = rec->maxrss;

	if (j && omd_job_alive(j)) {
		cpu += j->cpu_ns;
		maxrss = j->maxrss > maxrss ? j->maxrss : maxrss;
		if (rec->leg_started_ns && now > rec->leg_started_ns && rec->state != OM_JOB_STARTING)
			wall += now - rec->leg_started_ns;
	}
	json_object_set_new(o, "cpu", json_real((double)cpu / 1e9));
	json_object_set_new(o, "elapsed", json_real((double)wall / 1e9));
	json_object_set_new(o, "maxrss", json_integer((json_int_t)maxrss));
	json_object_set_new(o, "rss", json_integer(j && omd_job_alive(j) ? (json_int_t)j->rss : 0));
	json_object_set_new(o, "processes", json_integer(j && omd_job_alive(j) ? (json_int_t)j->processes : 0));
}

static void add_array(struct omd *omd, json_t *o, const struct spool_job *rec, bool all)
{
	json_t *a = json_pack("{sI sI sI sI sI}", "left", (json_int_t)rec->left, "elements", (json_int_t)rec->elements, "ended",
			      (json_int_t)rec->elements_ended, "bad", (json_int_t)rec->elements_bad, "cap", (json_int_t)rec->cap);
	struct spool_indices rest;
	char *text = NULL;

	if (rec->left && spool_jobs_get_rest(omd->db, rec->id.id, &rest, NULL) == 0) {
		text = spool_indices_text(&rest);
		spool_indices_done(&rest);
		/* in a list a set of many pieces is not worth its length */
		if (text && a && (all || strlen(text) < 64))
			json_object_set_new(a, "rest", json_string(text));
		free(text);
	}
	json_object_set_new(o, "array", a);
}

static void add_all(struct omd *omd, json_t *o, const struct spool_job *rec)
{
	struct spool_event *ev = NULL;
	size_t n = 0;
	json_t *a = json_array();

	if (spool_jobs_get_events(omd->db, rec->id, &ev, &n, NULL) == 0)
		for (size_t i = 0; i < n; i++)
			json_array_append_new(a, json_pack("{sf ss ss ss}", "time", (double)ev[i].time_ns / 1e9, "event",
				pol_event_name((enum pol_event)ev[i].what), "state", om_job_state_name(ev[i].state), "text", ev[i].text));
	free(ev);
	json_object_set_new(o, "events", a);
}

json_t *omd_job_json(struct omd *omd, const struct spool_job *rec, bool all)
{
	const struct omd_job *j = omd_job_find(omd, rec->id);
	uint64_t now = om_clock_real_ns();
	char reason[SPOOL_REASON_MAX * 2 + 8];
	json_t *o;

	reason_text(omd, rec, now, reason, sizeof(reason));
	o = json_pack("{ss ss ss sI ss ss* si so so so sI si so so so so ss}",
		"id", omd_id(rec->id), "name", rec->name, "user", rec->user, "uid", (json_int_t)rec->uid,
		"state", om_job_state_name(rec->state), "reason", om_str_is_text(reason, false) ? reason : "(not printable)",
		"priority", (int)rec->priority, "submitted", seconds(rec->submitted_ns), "started", seconds(rec->started_ns),
		"ended", seconds(rec->ended_ns), "restarts", (json_int_t)rec->restarts, "cpus", (int)rec->cpus,
		"checkpoint", checkpoint_json(rec, now), "checkpoint_refused", refused_json(j), "exit", exit_json(rec),
		"array_index", rec->id.elem == OM_ELEM_NONE ? json_null() : json_integer(rec->id.elem), "node", omd->node);
	if (!o)
		return NULL;
	add_live(o, j, rec, now);
	if (rec->array)
		add_array(omd, o, rec, all);
	if (all)
		add_all(omd, o, rec);
	return o;
}
