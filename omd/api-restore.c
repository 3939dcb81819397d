/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Restore, under the same id or as a new job, and import.  A checkpoint goes into a new job's folder through `omjob import`, whose input is the
 * request's body, or the output of `omjob export`. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "omd/ckpts.h"
#include "omd/helper.h"
#include "omd/http.h"
#include "omd/omd.h"
#include "omd/spawn.h"

static const uint64_t RESTORE_WAIT_US = 60 * 1000000ULL;	/* then the answer is that it waits */

/* ---- into the queue, with a checkpoint ---- */

static void go(struct omd_req *req, struct omd_job *j, uint32_t n)
{
	struct om_err err = { 0 };
	char text[64];
	int r;

	j->rec.restore = n;
	j->rec.losses = 0;
	j->rec.begin_ns = 0;
	for (size_t i = 0; i < j->n_ckpts; i++)
		if (j->ckpts[i].n == n)
			j->ckpts[i].bad = false;	/* the user says so */
	snprintf(text, sizeof(text), "restore from checkpoint %u", n);
	r = omd_job_step(j, POL_EV_RESTORE, text, NULL, &err);
	if (!req)
		return;
	if (r >= 0)
		r = omd_wait_add(req->omd, req, j->rec.id, OMD_W_START, NULL, RESTORE_WAIT_US);
	if (r == -EINVAL)
		r = -EBUSY;
	if (r < 0)
		omd_reply_err(req, r, &err);
}

/* ---- a new job from a checkpoint ---- */

struct copy {
	struct omd *omd;
	struct omd_req *req;
	struct omd_helper *export, *import;
	struct spool_job rec;		/* uid, gid, user; after its insertion all */
	struct spool_spec *spec;
	char folder[32];		/* in jobs/, until the job has an id */
	bool restore;			/* start it; else (import) it stays held */
	bool export_failed;
	uint32_t n;			/* of the imported checkpoint */
	char why[256];
	char what[96];			/* the new job's reason */
	/* import */
	int pipe;
	sd_event_source *src;
	bool uploading, broken, complete;
};

static void copy_destroy(struct copy *c)
{
	if (c->req) {
		c->req->gone = NULL;
		c->req->data = NULL;
		c->req->end = NULL;
	}
	if (c->folder[0]) {
		struct omd_spawn s = { .program = "/bin/rm", .argv = { "rm", "-rf", "--", c->folder }, .dirfd = c->omd->jobs_fd,
				       .fds = { -1, -1, -1, -1 }, .uid = c->omd->uid, .gid = getegid() };

		if (omd_helper_start(c->omd, &s, 1, NULL, NULL, NULL, NULL) < 0)
			om_log_warning("folder %s stays", c->folder);
	}
	sd_event_source_disable_unref(c->src);
	om_fd_close(c->pipe);
	spool_spec_destroy(c->spec);
	free(c);
}

static void copy_failed(struct copy *c, unsigned int status)
{
	if (c->req)
		omd_reply_error(c->req, status, "%s", c->why);
	copy_destroy(c);
}

static void inserted(struct omd *omd, void *arg, int result, const struct om_err *err)
{
	struct copy *c = arg;
	struct omd_req *req = c->req;
	struct omd_job *j;
	struct om_err e = { 0 };

	if (result >= 0 && renameat(omd->jobs_fd, c->folder, omd->jobs_fd, omd_id(c->rec.id)) < 0) {
		result = om_err_sys(&e, -errno, "name the folder of job %s", omd_id(c->rec.id));
		err = &e;
	}
	if (result < 0) {
		snprintf(c->why, sizeof(c->why), "%s", om_err_text(err, result));
		copy_failed(c, result == -ENOSPC ? 507 : 500);
		return;
	}
	c->folder[0] = 0;
	omd->stats.submitted++;
	om_log_notice("job=%s event=submit state=held user=%s reason=\"%s\"", omd_id(c->rec.id), c->rec.user, c->what);
	if (req) {
		req->gone = NULL;
		req->data = NULL;
		req->end = NULL;
	}
	c->req = NULL;
	if (!c->restore) {
		if (req)
			omd_reply_json(req, 201, json_pack("{ss sI}", "id", omd_id(c->rec.id), "n", (json_int_t)c->n));
	} else if (omd_job_get(omd, c->rec.id, &j, &e) == 0) {
		go(req, j, c->n);
		omd_job_drop(j);
	} else if (req) {
		omd_reply_err(req, -EIO, &e);
	}
	copy_destroy(c);
}

/* The image is in its folder: make the record. */
static void insert(struct copy *c)
{
	struct spool_event ev = { .time_ns = om_clock_real_ns(), .what = POL_EV_SUBMIT_HELD, .state = OM_JOB_HELD };
	struct om_err err = { 0 };
	int r;

	spool_indices_done(&c->spec->indices);
	c->spec->array = false;
	c->spec->ndepends = 0;
	c->spec->begin_ns = 0;
	c->rec.state = OM_JOB_HELD;
	c->rec.submitted_ns = ev.time_ns;
	om_str_copy(c->rec.reason, sizeof(c->rec.reason), c->what);
	om_str_copy(ev.text, sizeof(ev.text), c->what);
	c->rec.ckpt_n = c->rec.restore = c->n;
	c->rec.ckpt_time_ns = ev.time_ns;
	r = spool_jobs_insert(c->omd->db, c->spec, &c->rec, &ev, &err);
	if (r >= 0)
		r = omd_batch_add(c->omd, inserted, c, false);
	if (r < 0) {
		omd_batch_fail(c->omd, r, &err);
		snprintf(c->why, sizeof(c->why), "%s", om_err_text(&err, r));
		copy_failed(c, r == -ENOSPC ? 507 : 500);
	}
}

static int take_result(struct copy *c, json_t *last)
{
	json_t *o = json_object_get(last, "spec");
	json_int_t n = json_integer_value(json_object_get(last, "n"));
	struct spool_run run = { 0 };
	struct om_err err = { 0 };
	int r;

	if (n < 1 || n > OMD_KMSG_N_MAX) {
		snprintf(c->why, sizeof(c->why), "omjob import does not say what it has imported");
		return -EBADMSG;
	}
	c->n = (uint32_t)n;
	if (c->spec)
		return 0;
	json_object_del(o, "node");
	r = json_is_object(o) ? spool_run_parse(o, &c->spec, &run, &err) : om_err_set(&err, -EBADMSG, "there is no job description in it");
	spool_run_done(&run);
	if (r < 0)
		snprintf(c->why, sizeof(c->why), "the image cannot be used: %.200s", om_err_text(&err, r));
	return r;
}

static void import_ended(void *arg, int status, json_t *last)
{
	struct copy *c = arg;
	int r = 0;

	c->import = NULL;
	c->src = sd_event_source_disable_unref(c->src);
	om_fd_close(om_fd_steal(&c->pipe));
	if (status != 0 || !json_is_true(json_object_get(last, "ok"))) {
		omd_helper_text(status, last, c->why, sizeof(c->why));
		r = -EBADMSG;
	} else {
		r = take_result(c, last);
	}
	if (c->export) {
		if (r >= 0)
			return;		/* insert() when the export has ended well too */
		omd_helper_cancel(c->export);
		c->export = NULL;
	}
	if (r >= 0 && c->export_failed)
		r = -EIO;
	if (c->uploading) {		/* answered at the end of the body: MHD takes no answer before */
		c->broken = r < 0;
		c->complete = r >= 0;
		if (c->req) {
			c->req->unwanted = true;
			omd_req_more(c->req);
		}
		return;
	}
	if (r < 0)
		copy_failed(c, 409);
	else
		insert(c);
}

static void export_ended(void *arg, int status, json_t *last)
{
	struct copy *c = arg;

	c->export = NULL;
	if (status != 0 || !json_is_true(json_object_get(last, "ok"))) {
		omd_helper_text(status, last, c->why, sizeof(c->why));
		c->export_failed = true;
		if (!c->import)
			copy_failed(c, 409);
	} else if (!c->import) {
		insert(c);
	}
}

static int make_folder(struct copy *c, int *ret_dirfd, struct om_err *err)
{
	struct omd *omd = c->omd;
	om_autofd int fd = -1;

	snprintf(c->folder, sizeof(c->folder), ".import-%llu", (unsigned long long)++omd->refs);
	if (mkdirat(omd->jobs_fd, c->folder, 0700) < 0) {
		int r = om_err_sys(err, -errno, "make a folder for the image");

		c->folder[0] = 0;
		return r;
	}
	fd = openat(omd->jobs_fd, c->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return om_err_sys(err, -errno, "open the folder for the image");
	if (omd->system && fchown(fd, c->rec.uid, c->rec.gid) < 0)
		return om_err_sys(err, -errno, "give the folder for the image to its user");
	*ret_dirfd = om_fd_steal(&fd);
	return 0;
}

static int start_import(struct copy *c, int input, struct om_err *err)
{
	static const struct omd_helper_ops ops = { .end = import_ended };
	om_autofd int dirfd = -1;
	int r = make_folder(c, &dirfd, err);
	struct omd_spawn s = { .program = "omjob", .argv = { "omjob", "import" }, .dirfd = dirfd, .fds = { input, -1, -1, -1 },
			       .log = "keeper.log", .uid = c->rec.uid, .gid = c->rec.gid };

	return r < 0 ? r : omd_helper_start(c->omd, &s, 1, &ops, c, &c->import, err);
}

static void copy_gone(struct omd_req *req)
{
	struct copy *c = req->priv;

	c->req = NULL;
	if (!c->uploading)
		return;			/* all is there: it ends by itself */
	if (c->import)
		omd_helper_cancel(c->import);
	c->import = NULL;
	copy_destroy(c);
}

static struct copy *copy_create(struct omd_req *req, uid_t uid, gid_t gid)
{
	struct copy *c = calloc(1, sizeof(*c));

	if (!c) {
		omd_reply_error(req, 500, "out of memory");
		return NULL;
	}
	*c = (struct copy){ .omd = req->omd, .req = req, .pipe = -1, .rec.uid = uid, .rec.gid = gid };
	om_str_copy(c->rec.user, sizeof(c->rec.user), omd_user_name(req->omd, uid));
	return c;
}

static void restore_as_new(struct omd_req *req, struct omd_job *j, uint32_t n)
{
	static const struct omd_helper_ops ops = { .end = export_ended };
	struct copy *c = copy_create(req, j->rec.uid, j->rec.gid);
	om_autofd int from = -1, to = -1;
	struct om_err err = { 0 };
	char text[16];
	const char *argv[] = { "omjob", "export", text, NULL };
	int p[2], r;

	if (!c)
		return;
	c->restore = true;
	snprintf(c->what, sizeof(c->what), "from checkpoint %u of job %s", n, omd_id(j->rec.id));
	snprintf(text, sizeof(text), "%u", n);
	r = spool_jobs_get_spec(c->omd->db, j->rec.id, &c->spec, &err);
	if (r >= 0 && pipe2(p, O_CLOEXEC) < 0)
		r = om_err_sys(&err, -errno, "pipe");
	if (r >= 0) {
		from = p[0];
		to = p[1];
		r = start_import(c, from, &err);
	}
	if (r >= 0)
		r = omd_helper_omjob(c->omd, &j->rec, argv, (int[4]){ -1, to, -1, -1 }, &ops, c, &c->export, &err);
	if (r < 0) {
		if (c->import)
			omd_helper_cancel(c->import);
		c->req = NULL;
		omd_reply_err(req, r, &err);
		copy_destroy(c);
		return;
	}
	req->priv = c;
	req->gone = copy_gone;
}

/* ---- POST restore ---- */

struct wish {
	uint32_t n;			/* 0: the newest good one */
	bool as_new;
};

static void have_list(struct omd_req *req, struct omd_job *j, json_t *last, void *arg)
{
	struct pol_ckpt list[OMD_KMSG_CKPTS];
	struct wish w = *(struct wish *)arg;
	size_t n, i;

	free(arg);
	if (!req)
		return;
	n = omd_ckpts_parse(j, last, list, OMD_KMSG_CKPTS);
	if (!w.n)
		w.n = pol_restart_newest_good(list, n);
	for (i = 0; i < n && list[i].n != w.n; i++)
		;
	if (!w.n || i == n) {
		if (w.n)
			omd_reply_error(req, 404, "job %s has no checkpoint %u", omd_id(j->rec.id), w.n);
		else
			omd_reply_error(req, 409, "job %s has no checkpoint that it could go on from", omd_id(j->rec.id));
	} else if (w.as_new) {
		restore_as_new(req, j, w.n);
	} else {
		go(req, j, w.n);
	}
}

static bool parse_wish(struct omd_req *req, struct wish *w)
{
	json_t *o = omd_req_json(req), *v;
	const char *key;
	bool ok = true;

	if (!o)
		return false;
	json_object_foreach(o, key, v) {
		if (strcmp(key, "n") == 0)
			ok = json_is_null(v) || (json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= OMD_KMSG_N_MAX);
		else
			ok = strcmp(key, "as_new") == 0 && json_is_boolean(v);
		if (!ok) {
			omd_reply_error(req, 400, "restore: field '%.64s' is not understood (\"n\": number of a checkpoint, \"as_new\": true "
					"or false)", key);
			break;
		}
	}
	w->n = (uint32_t)json_integer_value(json_object_get(o, "n"));
	w->as_new = json_is_true(json_object_get(o, "as_new"));
	json_decref(o);
	return ok;
}

void omd_api_restore(struct omd_req *req)
{
	struct wish w = { 0 }, *heap;
	struct om_err err = { 0 };
	struct omd_job *j;
	int r;

	if (!parse_wish(req, &w))
		return;
	j = omd_req_job(req);
	if (!j)
		return;
	heap = malloc(sizeof(*heap));
	if (j->rec.array) {
		omd_reply_error(req, 409, "job %s is an array: name one of its elements, as %s_INDEX", omd_id(j->rec.id), omd_id(j->rec.id));
	} else if (omd_job_alive(j) && !w.as_new) {
		omd_reply_error(req, 409, "job %s runs: cancel it first, or restore it as a new job", omd_id(j->rec.id));
	} else if (!heap) {
		omd_reply_error(req, 500, "out of memory");
	} else {
		*heap = w;
		r = omd_ckpts_list(req, j, have_list, heap, &err);
		if (r >= 0)
			heap = NULL;
		else if (r == -ENOENT)
			omd_reply_error(req, 409, "job %s has no checkpoint", omd_id(j->rec.id));
		else
			omd_reply_err(req, r, &err);
	}
	free(heap);
	omd_job_drop(j);
}

/* ---- POST import ---- */

static int on_writable(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct copy *c = arg;

	(void)s; (void)fd; (void)revents;
	if (c->req)
		omd_req_more(c->req);
	return 0;
}

static size_t on_data(struct omd_req *req, const char *p, size_t n)
{
	struct copy *c = req->priv;
	ssize_t r;

	if (c->broken || c->pipe < 0)
		return n;		/* the rest is of no interest any more */
	r = write(c->pipe, p, n);
	if (r >= 0)
		return (size_t)r;
	if (errno == EAGAIN || errno == EINTR) {
		sd_event_source_set_enabled(c->src, SD_EVENT_ONESHOT);
		return 0;
	}
	return n;			/* it has ended; its last word says why */
}

static void on_body_end(struct omd_req *req)
{
	struct copy *c = req->priv;

	c->uploading = false;
	c->src = sd_event_source_disable_unref(c->src);
	om_fd_close(om_fd_steal(&c->pipe));
	if (c->broken)
		copy_failed(c, 409);
	else if (c->complete)
		insert(c);
}

void omd_api_import(struct omd_req *req)
{
	struct copy *c = copy_create(req, req->conn->uid, req->conn->gid);
	om_autofd int theirs = -1;
	struct om_err err = { 0 };
	int p[2], r;

	if (!c)
		return;
	snprintf(c->what, sizeof(c->what), "imported");
	r = pipe2(p, O_CLOEXEC) < 0 ? om_err_sys(&err, -errno, "pipe") : 0;
	if (r >= 0) {
		theirs = p[0];
		c->pipe = p[1];
		om_fd_set_nonblock(c->pipe, 1);
		(void)fcntl(c->pipe, F_SETPIPE_SZ, 1 << 20);
		r = sd_event_add_io(c->omd->ev, &c->src, c->pipe, EPOLLOUT, on_writable, c);
	}
	if (r >= 0)
		r = sd_event_source_set_enabled(c->src, SD_EVENT_OFF);
	if (r >= 0)
		r = start_import(c, theirs, &err);
	if (r < 0) {
		c->req = NULL;
		omd_reply_err(req, r, &err);
		copy_destroy(c);
		return;
	}
	c->uploading = true;
	req->priv = c;
	req->gone = copy_gone;
	req->data = on_data;
	req->end = on_body_end;
}
