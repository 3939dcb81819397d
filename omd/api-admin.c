/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Status, drain, shutdown, metrics. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "config.h"
#include "omd/http.h"
#include "omd/omd.h"

void omd_api_status(struct omd_req *req)
{
	struct omd *omd = req->omd;
	uint64_t count[OM_JOB_STATES] = { 0 };
	struct pol_queue_stats q;
	struct om_err err = { 0 };
	json_t *jobs;
	int r = spool_jobs_count(omd->db, count, &err);

	if (r < 0) {
		omd_reply_err(req, r, &err);
		return;
	}
	pol_queue_stats(omd->queue, &q);
	jobs = json_object();
	for (int s = OM_JOB_HELD; s < OM_JOB_DONE; s++)
		json_object_set_new(jobs, om_job_state_name((enum om_job_state)s), json_integer((json_int_t)count[s]));
	omd_reply_json(req, 200, json_pack("{ss ss ss sI sI sI sI sI so sb sb sf ss ss*}",
		"version", VERSION, "mode", omd->system ? "system" : "user", "node", omd->node, "pid", (json_int_t)getpid(),
		"cpus", (json_int_t)omd->machine.cpus, "cpus_used", (json_int_t)q.cpus_used, "memory", (json_int_t)omd->machine.memory,
		"memory_used", (json_int_t)q.memory_used, "jobs", jobs, "draining", omd->draining || omd->stopping,
		"stopping", omd->stopping, "uptime", (double)(om_clock_mono_ns() - omd->start_ns) / 1e9, "spool", omd->spool,
		"spool_error", omd->spool_bad ? omd->spool_error : NULL));
}

static bool admin_only(struct omd_req *req, const char *what)
{
	if (omd_req_admin(req))
		return true;
	omd_reply_error(req, 403, "permission denied: only %s may %s", req->omd->system ? "root" : "the owner of this omd", what);
	return false;
}

void omd_api_drain(struct omd_req *req)
{
	json_t *o, *undo, *v;
	const char *key;

	if (!admin_only(req, "drain the node"))
		return;
	o = omd_req_json(req);
	if (!o)
		return;
	undo = json_object_get(o, "undo");
	json_object_foreach(o, key, v) {
		if (strcmp(key, "undo") != 0 || !json_is_boolean(v)) {
			omd_reply_error(req, 400, "drain: '%.64s': only \"undo\": true or false is known", key);
			json_decref(o);
			return;
		}
	}
	omd_drain(req->omd, json_is_true(undo));
	json_decref(o);
	omd_reply_json(req, 200, json_pack("{sb}", "draining", req->omd->draining));
}

void omd_api_shutdown(struct omd_req *req)
{
	static const char *const names[] = { "suspend", "leave", "kill" };
	const char *how;
	json_t *o;
	int i;

	if (!admin_only(req, "end it"))
		return;
	o = omd_req_json(req);
	if (!o)
		return;
	how = json_string_value(json_object_get(o, "jobs"));
	for (i = 0; i < 3; i++)
		if (strcmp(how ? how : "suspend", names[i]) == 0)
			break;
	if (i == 3 || (json_object_size(o) && !how)) {
		omd_reply_error(req, 400, "shutdown: \"jobs\" must be \"suspend\", \"leave\" or \"kill\"");
	} else {
		omd_reply_json(req, 200, json_object());
		req->omd->stop_how = i;
		sd_event_source_set_enabled(req->omd->stop_defer, SD_EVENT_ONESHOT);	/* after the answer has gone out */
	}
	json_decref(o);
}

/* ---- metrics ---- */

static uint64_t own_memory(void)
{
	om_autofree char *text = NULL;
	unsigned long long all, resident;
	size_t len;

	if (om_file_read("/proc/self/statm", 4096, &text, &len) < 0 || sscanf(text, "%llu %llu", &all, &resident) != 2)
		return 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void metric(struct om_buf *b, const char *type, const char *name, const char *help, double v)
{
	om_buf_addf(b, "# HELP openmosix_%s %s\n# TYPE openmosix_%s %s\nopenmosix_%s %.17g\n", name, help, name, type, name, v);
}

static void metric_jobs(struct omd *omd, struct om_buf *b)
{
	uint64_t count[OM_JOB_STATES] = { 0 };

	(void)spool_jobs_count(omd->db, count, NULL);
	om_buf_addf(b, "# HELP openmosix_jobs Jobs that have not ended, by state.\n# TYPE openmosix_jobs gauge\n");
	for (int s = OM_JOB_HELD; s < OM_JOB_DONE; s++)
		om_buf_addf(b, "openmosix_jobs{state=\"%s\"} %llu\n", om_job_state_name((enum om_job_state)s), (unsigned long long)count[s]);
	om_buf_addf(b, "# HELP openmosix_jobs_ended_total Jobs that have ended, by state.\n# TYPE openmosix_jobs_ended_total counter\n");
	for (int s = OM_JOB_DONE; s < OM_JOB_STATES; s++)
		om_buf_addf(b, "openmosix_jobs_ended_total{state=\"%s\"} %llu\n", om_job_state_name((enum om_job_state)s),
			    (unsigned long long)omd->stats.ended[s]);
}

void omd_api_metrics(struct omd_req *req)
{
	struct omd *omd = req->omd;
	const struct omd_stats *st = &omd->stats;
	struct pol_queue_stats q;
	struct om_buf b = { 0 };

	pol_queue_stats(omd->queue, &q);
	metric_jobs(omd, &b);
	metric(&b, "counter", "submissions_total", "Jobs accepted (an array is one).", (double)st->submitted);
	metric(&b, "counter", "starts_total", "Legs of jobs started.", (double)st->started);
	metric(&b, "counter", "losses_total", "Legs of jobs lost.", (double)st->lost);
	metric(&b, "counter", "checkpoints_total", "Checkpoints made.", (double)st->ckpt_ok);
	metric(&b, "counter", "checkpoints_failed_total", "Checkpoints that failed or were refused.", (double)st->ckpt_failed);
	metric(&b, "counter", "checkpoint_stop_seconds_sum", "Time jobs stood still for checkpoints.", (double)st->ckpt_stop_ns / 1e9);
	metric(&b, "counter", "checkpoint_stop_seconds_count", "Checkpoints in that sum.", (double)st->ckpt_ok);
	metric(&b, "gauge", "queue_length", "Jobs and array elements that wait.", (double)q.waiting);
	metric(&b, "gauge", "cpus_used", "Processors given to jobs.", q.cpus_used);
	metric(&b, "gauge", "cpus", "Processors of the node.", omd->machine.cpus);
	metric(&b, "counter", "commits_total", "Commits to the spool.", (double)st->commits);
	metric(&b, "counter", "commits_failed_total", "Commits that failed.", (double)st->commits_failed);
	metric(&b, "counter", "notify_failed_total", "Notifications given up.", (double)st->notify_failed);
	metric(&b, "gauge", "loop_turn_max_seconds", "Longest turn of the event loop.", (double)st->turn_max_ns / 1e9);
	metric(&b, "gauge", "connections", "Open HTTP connections.", omd_http_connections(omd->http));
	metric(&b, "gauge", "spool_failed", "1 while the spool cannot be written.", omd->spool_bad);
	metric(&b, "gauge", "memory_bytes", "Resident memory of omd.", (double)own_memory());
	omd_reply_text(req, 200, "text/plain; version=0.0.4", b.data ? b.data : "", b.len);
	om_buf_done(&b);
}
