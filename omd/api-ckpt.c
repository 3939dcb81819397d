/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checkpoints: make, list, show, verify, export, remove.  What there is on the disk is said by `omjob list`, run as the job's user. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "omd/ckpts.h"
#include "omd/helper.h"
#include "omd/http.h"
#include "omd/omd.h"
#include "omd/stream.h"

void omd_api_checkpoint(struct omd_req *req)
{
	struct omd_job *j = omd_req_job(req);
	char ref[24];
	int r;

	if (!j)
		return;
	snprintf(ref, sizeof(ref), "r%llu", (unsigned long long)++req->omd->refs);
	if (j->rec.state != OM_JOB_RUNNING) {
		omd_reply_error(req, 409, "job %s is %s: there is nothing to checkpoint", omd_id(j->rec.id), om_job_state_name(j->rec.state));
	} else {
		r = omd_wait_add(req->omd, req, j->rec.id, OMD_W_CKPT, ref, 0);
		if (r < 0)
			omd_reply_error(req, 500, "out of memory");
		else if (omd_keeper_checkpoint(j, ref) < 0)
			omd_wait_no_checkpoint(j, "its keeper does not answer");
	}
	omd_job_drop(j);
}

/* ---- one helper, one answer ---- */

struct ask {
	struct omd_req *req;		/* NULL: the client has left */
	struct omd_job *j;
	struct omd_helper *helper;
	bool prune;			/* its `dropped` is to be taken into account */
	omd_ckpts_fn *fn;
	void *arg;
};

static void ask_gone(struct omd_req *req)
{
	struct ask *a = req->priv;

	a->req = NULL;			/* the helper is short: let it end */
}

static void ask_end(void *arg, int status, json_t *last)
{
	struct ask *a = arg;
	struct omd_job *j = a->j;
	struct omd_req *req = a->req;
	char why[256];

	if (req)
		req->gone = NULL;
	if (a->fn) {
		a->fn(req, j, status == 0 ? last : NULL, a->arg);
	} else if (req && status == 0 && json_is_true(json_object_get(last, "ok"))) {
		json_t *o = json_copy(last);

		json_object_del(o, "ok");
		omd_reply_json(req, 200, o);
	} else if (req) {
		omd_helper_text(status, last, why, sizeof(why));
		omd_reply_error(req, strstr(why, "no checkpoint") ? 404 : 409, "job %s: %s", omd_id(j->rec.id), why);
	}
	free(a);
	j->pending--;
	omd_job_drop(j);
}

static int ask(struct omd_req *req, struct omd_job *j, const char *const *argv, omd_ckpts_fn *fn, void *arg, struct om_err *err)
{
	static const struct omd_helper_ops ops = { .end = ask_end };
	struct ask *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return om_err_set(err, -ENOMEM, "out of memory");
	*a = (struct ask){ .req = req, .j = j, .fn = fn, .arg = arg };
	r = omd_helper_omjob(req->omd, &j->rec, argv, NULL, &ops, a, &a->helper, err);
	if (r < 0) {
		free(a);
		return r;
	}
	j->pending++;
	req->priv = a;
	req->gone = ask_gone;
	return 0;
}

int omd_ckpts_list(struct omd_req *req, struct omd_job *j, omd_ckpts_fn *fn, void *arg, struct om_err *err)
{
	static const char *const argv[] = { "omjob", "list", NULL };

	return ask(req, j, argv, fn, arg, err);
}

size_t omd_ckpts_parse(const struct omd_job *j, json_t *last, struct pol_ckpt *list, size_t max)
{
	json_t *a = json_object_get(last, "checkpoints"), *v;
	size_t i, n = 0;

	json_array_foreach(a, i, v) {
		json_int_t nr = json_integer_value(json_object_get(v, "n"));

		if (nr < 1 || nr > OMD_KMSG_N_MAX || n == max)
			continue;
		list[n] = (struct pol_ckpt){ .n = (uint32_t)nr };
		for (size_t k = 0; k < j->n_ckpts; k++)
			if (j->ckpts[k].n == list[n].n)
				list[n].bad = j->ckpts[k].bad;
		n++;
	}
	return n;
}

/* ---- list, show ---- */

void omd_api_ckpt_list(struct omd_req *req)
{
	struct omd_job *j = omd_req_job(req);
	struct om_err err = { 0 };
	int r;

	if (!j)
		return;
	r = omd_ckpts_list(req, j, NULL, NULL, &err);
	if (r == -ENOENT)		/* no folder: it has never made one */
		omd_reply_json(req, 200, json_pack("{s[]}", "checkpoints"));
	else if (r < 0)
		omd_reply_err(req, r, &err);
	omd_job_drop(j);
}

/* The number in the path: NULL with the request answered. */
static const char *number(struct omd_req *req, uint32_t *ret)
{
	uint64_t n;

	if (om_str_u64(req->seg[1], &n) < 0 || n < 1 || n > OMD_KMSG_N_MAX) {
		omd_reply_error(req, 400, "'%.40s' is no number of a checkpoint", req->seg[1]);
		return NULL;
	}
	*ret = (uint32_t)n;
	return req->seg[1];
}

static void no_folder(struct omd_req *req, const struct omd_job *j, int r, const struct om_err *err)
{
	if (r == -ENOENT)
		omd_reply_error(req, 404, "job %s has no checkpoint", omd_id(j->rec.id));
	else if (r < 0)
		omd_reply_err(req, r, err);
}

void omd_api_ckpt_show(struct omd_req *req)
{
	struct om_err err = { 0 };
	uint32_t n;
	const char *argv[] = { "omjob", "show", number(req, &n), NULL };
	struct omd_job *j = argv[2] ? omd_req_job(req) : NULL;

	if (!j)
		return;
	no_folder(req, j, ask(req, j, argv, NULL, NULL, &err), &err);
	omd_job_drop(j);
}

/* ---- streams ---- */

void omd_api_verify(struct omd_req *req)
{
	const char *trial = omd_req_arg(req, "trial");
	struct om_err err = { 0 };
	uint32_t n;
	const char *argv[] = { "omjob", "verify", number(req, &n), trial && strcmp(trial, "1") == 0 ? "--trial" : NULL, NULL };
	struct omd_job *j;

	if (!argv[2])
		return;
	if (trial && strcmp(trial, "0") != 0 && strcmp(trial, "1") != 0) {
		omd_reply_error(req, 400, "trial=%.40s: 0 or 1 is expected", trial);
		return;
	}
	j = omd_req_job(req);
	if (!j)
		return;
	no_folder(req, j, omd_stream_omjob(req, &j->rec, argv, false, &err), &err);
	omd_job_drop(j);
}

void omd_api_export(struct omd_req *req)
{
	struct om_err err = { 0 };
	uint32_t n;
	const char *argv[] = { "omjob", "export", number(req, &n), NULL };
	struct omd_job *j = argv[2] ? omd_req_job(req) : NULL;

	if (!j)
		return;
	no_folder(req, j, omd_stream_omjob(req, &j->rec, argv, true, &err), &err);
	omd_job_drop(j);
}

/* ---- removing ---- */

static void record_dropped(struct omd_job *j, const uint32_t *drop, size_t n)
{
	for (size_t i = 0; i < n; i++)
		omd_ckpt_remove(j, drop[i]);
}

struct removal {
	uint32_t keep;			/* 0: remove `n` */
	uint32_t n;
};

static void do_remove(struct omd_req *req, struct omd_job *j, const uint32_t *drop, size_t n)
{
	const char *argv[OMD_SPAWN_ARGS] = { "omjob", "prune" };
	char text[OMD_SPAWN_ARGS][16];
	json_t *a = json_array();
	struct om_err err = { 0 };
	size_t most = OMD_SPAWN_ARGS - 4;
	int r;

	if (n > most)
		n = most;		/* the oldest; the answer says which */
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(a, json_integer(drop[i]));
		snprintf(text[i], sizeof(text[i]), "%u", drop[i]);
		argv[2 + i] = text[i];
	}
	if (n == 0) {
		omd_reply_json(req, 200, json_pack("{so}", "dropped", a));
		return;
	}
	if (j->sock >= 0) {		/* the keeper is the one who writes there */
		r = omd_wait_add(req->omd, req, j->rec.id, OMD_W_PRUNE, NULL, 0);
		if (r < 0) {
			json_decref(a);
			omd_reply_error(req, 500, "out of memory");
		} else if (omd_keeper_send(j, json_pack("{ss so}", "op", "prune", "drop", a)) < 0) {
			omd_wait_no_checkpoint(j, "its keeper does not answer");
		}
		return;
	}
	json_decref(a);
	r = ask(req, j, argv, NULL, NULL, &err);
	if (r < 0)
		omd_reply_err(req, r, &err);
	else
		record_dropped(j, drop, n);
}

static void have_list(struct omd_req *req, struct omd_job *j, json_t *last, void *arg)
{
	struct pol_ckpt list[OMD_KMSG_CKPTS];
	uint32_t drop[OMD_KMSG_CKPTS];
	struct removal *rm = arg;
	size_t n, k = 0;
	int r = 0;

	if (req && !json_is_true(json_object_get(last, "ok"))) {
		omd_reply_error(req, 500, "the checkpoints of job %s cannot be listed; see keeper.log in its folder", omd_id(j->rec.id));
	} else if (req) {
		n = omd_ckpts_parse(j, last, list, OMD_KMSG_CKPTS);
		if (rm->keep) {
			k = pol_retention_drop(list, n, rm->keep, drop);
		} else {
			r = pol_retention_may_drop(list, n, rm->n);
			drop[k++] = rm->n;
		}
		if (r == -ENOENT)
			omd_reply_error(req, 404, "job %s has no checkpoint %u", omd_id(j->rec.id), rm->n);
		else if (r < 0)
			omd_reply_error(req, 409, "checkpoint %u of job %s %s", rm->n, omd_id(j->rec.id),
					r == -EPERM ? "is its only good one: it stays" : "is in use");
		else
			do_remove(req, j, drop, k);
	}
	free(rm);
}

static void start_removal(struct omd_req *req, uint32_t n, uint32_t keep)
{
	struct omd_job *j = omd_req_job(req);
	struct removal *rm = j ? malloc(sizeof(*rm)) : NULL;
	struct om_err err = { 0 };
	int r;

	if (!j)
		return;
	if (!rm) {
		omd_reply_error(req, 500, "out of memory");
	} else {
		*rm = (struct removal){ .keep = keep, .n = n };
		r = omd_ckpts_list(req, j, have_list, rm, &err);
		if (r < 0) {
			free(rm);
			no_folder(req, j, r, &err);
		}
	}
	omd_job_drop(j);
}

void omd_api_ckpt_drop(struct omd_req *req)
{
	uint32_t n;

	if (number(req, &n))
		start_removal(req, n, 0);
}

void omd_api_prune(struct omd_req *req)
{
	json_t *o = omd_req_json(req), *v;
	json_int_t keep;

	if (!o)
		return;
	v = json_object_get(o, "keep");
	keep = json_integer_value(v);
	if (!json_is_integer(v) || keep < 1 || keep > SPOOL_KEEP_MAX || json_object_size(o) != 1)
		omd_reply_error(req, 400, "\"keep\" must be a number from 1 to %d, and the only field", SPOOL_KEEP_MAX);
	else
		start_removal(req, 0, (uint32_t)keep);
	json_decref(o);
}
