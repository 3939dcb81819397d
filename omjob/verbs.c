/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omjob/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "omjob/keeper.h"
#include "omjob/sink.h"

enum { SPEC_MAX = SPOOL_EXTRA_MAX, PROGRESS_FD = 3 };

/* ---- lines ---- */

static int line(int fd, json_t *o)
{
	om_autofree char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	int r;

	json_decref(o);
	if (!text)
		return -ENOMEM;
	r = om_fd_write_all(fd, text, strlen(text));
	return r ? r : om_fd_write_all(fd, "\n", 1);
}

static int failed(int fd, int code, const struct om_err *err)
{
	(void)line(fd, json_pack("{s:b, s:s}", "ok", 0, "reason", om_err_text(err, code)));	/* the exit code says it as well */
	return 1;
}

/* @fields (taken) with "ok" */
static int done(int fd, json_t *fields)
{
	json_t *o = fields ? fields : json_object();

	json_object_set_new(o, "ok", json_true());
	return line(fd, o) < 0;
}

struct progress {
	int fd, last;			/* per cent that was told last */
};

static int progress(void *arg, uint64_t now, uint64_t all)
{
	struct progress *p = arg;
	int percent = all ? (int)((double)now * 100 / (double)all) : 100;

	if (percent == p->last)
		return 0;
	p->last = percent;
	return line(p->fd, json_pack("{s:f}", "progress", percent / 100.0));	/* a reader that is gone stops it */
}

static int usage(const char *text)
{
	fprintf(stderr, "usage: omjob %s\n", text);
	return OMJ_EXIT_USAGE;
}

static int number_get(const char *text, uint32_t *ret)
{
	uint64_t v;

	if (!text || om_str_u64(text, &v) < 0 || v == 0 || v > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int image_get(const char *text, struct spool_store **st, struct omj_image *im, struct om_err *err)
{
	uint32_t n;
	int r;

	*st = NULL;
	if (number_get(text, &n) < 0)
		return om_err_set(err, -EINVAL, "'%s' is no number of a checkpoint", text);
	r = spool_store_open(AT_FDCWD, OMJ_STORE, false, st, err);
	if (r == -ENOENT)
		return om_err_set(err, r, "this job has no checkpoints");
	return r ? r : omj_image_open(im, *st, n, err);
}

static void image_put(struct spool_store *st, struct omj_image *im)
{
	omj_image_done(im);
	if (st)
		spool_store_close(st);
}

/* ---- list, show ---- */

int omj_list_main(int argc, char **argv)
{
	struct om_err err = { 0 };
	json_t *list;
	int r;

	(void)argv;
	if (argc != 1)
		return usage("list");
	r = omj_store_list(AT_FDCWD, &list, &err);
	return r < 0 ? failed(1, r, &err) : done(1, json_pack("{s:o}", "checkpoints", list));
}

static json_t *show_process(json_t *p)
{
	static const char *const names[] = { "pid", "ppid", "pgid", "sid", "name", "state", "exe", "cwd" };
	json_t *o = json_object();

	for (size_t i = 0; i < OM_ARRAY_SIZE(names); i++)
		if (json_object_get(p, names[i]))
			json_object_set(o, names[i], json_object_get(p, names[i]));
	json_object_set_new(o, "threads", json_integer((json_int_t)json_array_size(json_object_get(p, "threads"))));
	json_object_set_new(o, "descriptors", json_integer((json_int_t)json_array_size(json_object_get(p, "fds"))));
	return o;
}

/* The engine's description in short. */
static void show_meta(const struct omj_image *im, json_t *o)
{
	static const char *const names[] = { "format", "machine", "kernel" };
	json_t *meta = json_loadb(im->meta, im->meta_len, 0, NULL), *list = json_array(), *v;
	size_t i;

	for (i = 0; i < OM_ARRAY_SIZE(names); i++)
		if (json_object_get(meta, names[i]))
			json_object_set(o, names[i], json_object_get(meta, names[i]));
	json_array_foreach(json_object_get(meta, "processes"), i, v)
		json_array_append_new(list, show_process(v));
	json_object_set_new(o, "processes", list);
	list = json_object_get(json_object_get(meta, "files"), "open");
	json_object_set_new(o, "open_files", json_integer((json_int_t)json_array_size(list)));
	json_decref(meta);
}

int omj_show_main(int argc, char **argv)
{
	struct omj_image im = { .im = NULL };
	struct spool_store *st;
	struct om_err err = { 0 };
	json_t *o;
	int r;

	if (argc != 2)
		return usage("show N");
	r = image_get(argv[1], &st, &im, &err);
	if (r == 0) {
		o = omj_info_json(&im.info);
		json_object_set_new(o, "leg", json_integer(im.note.leg));
		json_object_set_new(o, "epoch", json_integer(im.note.epoch));
		json_object_set_new(o, "cpu_ns", json_integer((json_int_t)im.note.cpu_ns));
		json_object_set_new(o, "maxrss", json_integer((json_int_t)im.note.maxrss));
		json_object_set_new(o, "root", im.note.root_ended ? json_integer(im.note.root_status) : json_null());
		show_meta(&im, o);
		r = done(1, o);
	} else {
		r = failed(1, r, &err);
	}
	image_put(st, &im);
	return r;
}

/* ---- verify ---- */

int omj_verify_main(int argc, char **argv)
{
	struct progress p = { .fd = 1, .last = -1 };
	struct omj_image im = { .im = NULL };
	struct spool_store *st;
	struct om_err err = { 0 };
	int r;

	if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "--trial") != 0))
		return usage("verify N [--trial]");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);	/* nobody waits for the answer then */
	r = image_get(argv[1], &st, &im, &err);
	r = r ? r : spool_image_verify(im.im, progress, &p, &err);
	if (r == 0 && argc == 3)
		r = omj_trial(&im, &err);
	image_put(st, &im);
	return r < 0 ? failed(1, r, &err) : done(1, NULL);
}

/* ---- export, import ---- */

int omj_export_main(int argc, char **argv)
{
	struct progress p = { .fd = PROGRESS_FD, .last = -1 };
	struct omj_image im = { .im = NULL };
	om_autofree char *spec = NULL;
	struct spool_store *st;
	struct om_err err = { 0 };
	size_t len;
	int r;

	if (argc != 2)
		return usage("export N");
	(void)signal(SIGPIPE, SIG_IGN);
	r = image_get(argv[1], &st, &im, &err);
	if (r == 0) {
		r = om_file_read_at(AT_FDCWD, "spec.json", SPEC_MAX, 1, &spec, &len);
		r = r < 0 ? om_err_sys(&err, r, "spec.json") : spool_image_export(im.im, spec, 1, progress, &p, &err);
	}
	image_put(st, &im);
	return r < 0 ? failed(PROGRESS_FD, r, &err) : done(PROGRESS_FD, NULL);
}

int omj_import_main(int argc, char **argv)
{
	struct omj_image im = { .im = NULL };
	om_autofree char *extra = NULL;
	struct spool_ckpt_info info;
	struct spool_store *st;
	struct om_err err = { 0 };
	json_t *spec;
	int r;

	(void)argv;
	if (argc != 1)
		return usage("import <IMAGE");
	r = spool_store_open(AT_FDCWD, OMJ_STORE, true, &st, &err);
	if (r < 0)
		return failed(1, r, &err);
	r = spool_store_import(st, 0, &info, &extra, &err);
	if (r == 0) {	/* an image of something else than a job's checkpoint is refused now, not at its restore */
		r = omj_image_open(&im, st, info.n, &err);
		omj_image_done(&im);
	}
	spool_store_close(st);
	if (r < 0)
		return failed(1, r, &err);
	spec = extra ? json_loads(extra, JSON_REJECT_DUPLICATES, NULL) : NULL;
	return done(1, json_pack("{s:I, s:o}", "n", (json_int_t)info.n, "spec", json_is_object(spec) ? spec : json_null()));
}

/* ---- prune ---- */

int omj_prune_main(int argc, char **argv)
{
	json_t *dropped = json_array();
	struct spool_store *st;
	struct om_err err = { 0 };
	uint32_t n = 0;
	int r;

	if (argc < 2)
		return usage("prune N..");
	r = spool_store_open(AT_FDCWD, OMJ_STORE, false, &st, &err);
	if (r < 0)
		return failed(1, r, &err);
	for (int i = 1; i < argc && r == 0; i++) {
		r = number_get(argv[i], &n);
		r = r < 0 ? om_err_set(&err, r, "'%s' is no number of a checkpoint", argv[i]) : spool_store_drop(st, n, &err);
		if (r == 0)
			json_array_append_new(dropped, json_integer(n));
	}
	spool_store_close(st);
	if (r == 0)
		return done(1, json_pack("{s:o}", "dropped", dropped));
	(void)line(1, json_pack("{s:b, s:s, s:o}", "ok", 0, "reason", om_err_text(&err, r), "dropped", dropped));
	return 1;
}
