/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests whose answer is what becomes of a job: its end, its start after a restore, a checkpoint. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "omd/http.h"
#include "omd/omd.h"

static void unlink_waiter(struct omd_waiter *w)
{
	struct omd_waiter **p = &w->omd->waiters;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	w->req->gone = NULL;
	w->req->priv = NULL;
	sd_event_source_disable_unref(w->timer);
	free(w);
}

void omd_wait_gone(struct omd_req *req)
{
	unlink_waiter(req->priv);
}

static void answer_job(struct omd_waiter *w, const struct spool_job *rec)
{
	struct omd_req *req = w->req;
	struct omd *omd = w->omd;

	unlink_waiter(w);
	omd_reply_json(req, 200, omd_job_json(omd, rec, true));
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *arg)
{
	struct omd_waiter *w = arg;
	struct om_err err = { 0 };
	struct omd_job *j;
	int r = omd_job_get(w->omd, w->id, &j, &err);

	(void)s; (void)usec;
	if (r < 0) {
		struct omd_req *req = w->req;

		unlink_waiter(w);
		omd_reply_err(req, r, &err);
		return 0;
	}
	answer_job(w, &j->rec);
	omd_job_drop(j);
	return 0;
}

int omd_wait_add(struct omd *omd, struct omd_req *req, struct om_job_id id, int what, const char *ref, uint64_t timeout_us)
{
	struct omd_waiter *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	*w = (struct omd_waiter){ .next = omd->waiters, .req = req, .id = id, .omd = omd };
	w->what = what;
	om_str_copy(w->ref, sizeof(w->ref), ref ? ref : "");
	if (timeout_us) {
		r = sd_event_add_time_relative(omd->ev, &w->timer, CLOCK_MONOTONIC, timeout_us, 10000, on_timeout, w);
		if (r < 0) {
			free(w);
			return r;
		}
	}
	omd->waiters = w;
	req->priv = w;
	req->gone = omd_wait_gone;
	return 0;
}

bool omd_wait_any(const struct omd *omd)
{
	return omd->waiters != NULL;
}

void omd_wait_ended(struct omd *omd, const struct spool_job *rec)
{
	for (struct omd_waiter *w = omd->waiters, *next; w; w = next) {
		next = w->next;
		if (w->what == OMD_W_END && om_job_id_same(w->id, rec->id))
			answer_job(w, rec);
	}
}

void omd_wait_started(struct omd_job *j)
{
	for (struct omd_waiter *w = j->omd->waiters, *next; w; w = next) {
		struct omd_req *req = w->req;

		next = w->next;
		if (w->what != OMD_W_START || !om_job_id_same(w->id, j->rec.id))
			continue;
		unlink_waiter(w);
		omd_reply_json(req, 200, json_pack("{ss ss}", "id", omd_id(j->rec.id), "state", om_job_state_name(j->rec.state)));
	}
}

void omd_wait_suspended(struct omd_job *j)
{
	for (struct omd_waiter *w = j->omd->waiters, *next; w; w = next) {
		struct omd_req *req = w->req;

		next = w->next;
		if (w->what != OMD_W_CKPT || !om_job_id_same(w->id, j->rec.id) || strcmp(w->ref, "hold") != 0)
			continue;
		unlink_waiter(w);
		omd_reply_json(req, 200, json_pack("{ss}", "state", om_job_state_name(j->rec.state)));
	}
}

static void refuse(struct omd_job *j, int what, const char *reason)
{
	for (struct omd_waiter *w = j->omd->waiters, *next; w; w = next) {
		struct omd_req *req = w->req;

		next = w->next;
		if ((int)w->what != what || !om_job_id_same(w->id, j->rec.id))
			continue;
		unlink_waiter(w);
		omd_reply_error(req, 409, "job %s: %s", omd_id(j->rec.id), reason);
	}
}

void omd_wait_refused(struct omd_job *j, const char *reason)
{
	refuse(j, OMD_W_START, reason);
}

void omd_wait_no_checkpoint(struct omd_job *j, const char *why)
{
	j->ckpt_busy = false;
	refuse(j, OMD_W_CKPT, why);
	refuse(j, OMD_W_PRUNE, why);
}

void omd_wait_pruned(struct omd_job *j, const struct omd_kmsg *m)
{
	for (struct omd_waiter *w = j->omd->waiters, *next; w; w = next) {
		struct omd_req *req = w->req;
		json_t *a;

		next = w->next;
		if (w->what != OMD_W_PRUNE || !om_job_id_same(w->id, j->rec.id))
			continue;
		unlink_waiter(w);
		a = json_array();
		for (uint32_t i = 0; i < m->n_ckpts; i++)
			json_array_append_new(a, json_integer(m->ckpts[i].n));
		if (m->n_ckpts)
			omd_reply_json(req, 200, json_pack("{so}", "dropped", a));
		else
			omd_reply_error(req, 409, "job %s: nothing was removed: the only good checkpoint stays, and so does one in use",
					omd_id(j->rec.id));
		if (!m->n_ckpts)
			json_decref(a);
	}
}

static json_t *refusal_json(const struct omd_kmsg *m)
{
	char text[3 * OMD_KMSG_TEXT];

	if (m->process[0] || m->object[0])
		snprintf(text, sizeof(text), "%s%s%s%s%s", m->process[0] ? "process " : "", m->process, m->process[0] ? ": " : "",
			 m->object, m->object[0] ? ": " : "");
	else
		text[0] = 0;
	om_str_copy(text + strlen(text), sizeof(text) - strlen(text), m->reason[0] ? m->reason : "the checkpoint failed");
	return json_pack("{s{ss ss ss ss ss}}", "error", "code", "conflict", "text", text, "process", m->process, "object", m->object,
			 "reason", m->reason);
}

void omd_wait_checkpoint(struct omd_job *j, const struct omd_kmsg *m)
{
	for (struct omd_waiter *w = j->omd->waiters, *next; w; w = next) {
		struct omd_req *req = w->req;

		next = w->next;
		if (w->what != OMD_W_CKPT || !om_job_id_same(w->id, j->rec.id) || strcmp(w->ref, m->ref) != 0)
			continue;
		unlink_waiter(w);
		if (m->ok)
			omd_reply_json(req, 200, json_pack("{sI sI sI sI sI sI}", "n", (json_int_t)m->n, "stop_ns",
				(json_int_t)m->stop_ns, "wall_ns", (json_int_t)m->wall_ns, "bytes", (json_int_t)m->bytes,
				"stored", (json_int_t)m->stored, "processes", (json_int_t)m->processes));
		else
			omd_reply_json(req, 409, refusal_json(m));
	}
}
