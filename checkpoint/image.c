/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/image.h"

#include <errno.h>
#include <signal.h>
#include <sys/utsname.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/ckpt.h"
#include "checkpoint/json.h"
#include "checkpoint/sink.h"
#include "checkpoint/tree.h"

void ckpt_image_done(struct ckpt_image *im)
{
	json_decref(im->meta);
	free(im->proc);
	free(im->where);
	free(im->shm_fd);
	*im = (struct ckpt_image){ 0 };
}

static int bad(struct om_err *err, const char *what)
{
	return om_err_set(err, -EUCLEAN, "the image's description: %s", what);
}

static int threads_unpack(const json_t *o, struct ckpt_image_proc *p, struct om_err *err)
{
	const json_t *t;
	int64_t tid;
	size_t i;
	int r = ckpt_json_list(o, "threads", CKPT_THREADS_MAX, &p->threads, err);

	if (r < 0)
		return r;
	json_array_foreach(p->threads, i, t) {
		r = ckpt_json_int(t, "tid", 2, CKPT_PID_MAX, &tid, err);
		if (r < 0)
			return r;
		if (i == 0 && tid != p->pid)
			return bad(err, "first thread of a process");
	}
	p->nthreads = (unsigned)json_array_size(p->threads);
	return !p->zombie && !p->nthreads ? bad(err, "a process without threads") : 0;
}

static int proc_unpack(const json_t *o, struct ckpt_image_proc *p, struct om_err *err)
{
	int64_t pid, ppid, pgid, sid, code = 0, sig = SIGCHLD, stop = SIGSTOP;
	const char *state;
	int r = ckpt_json_int(o, "pid", 2, CKPT_PID_MAX, &pid, err);

	if (r == 0)
		r = ckpt_json_int(o, "ppid", 1, CKPT_PID_MAX, &ppid, err);
	if (r == 0)
		r = ckpt_json_int(o, "pgid", 0, CKPT_PID_MAX, &pgid, err);
	if (r == 0)
		r = ckpt_json_int(o, "sid", 0, CKPT_PID_MAX, &sid, err);
	if (r == 0)
		r = ckpt_json_text(o, "state", 16, false, &state, err);
	if (r == 0)
		r = ckpt_json_int_opt(o, "exit_code", 0, 65535, &code, err);
	if (r == 0)
		r = ckpt_json_int_opt(o, "exit_signal", 0, 64, &sig, err);
	if (r == 0)
		r = ckpt_json_int_opt(o, "stop_signal", SIGSTOP, SIGTTOU, &stop, err);
	if (r < 0)
		return r;
	*p = (struct ckpt_image_proc){
		.pid = (pid_t)pid, .ppid = (pid_t)ppid, .pgid = (pid_t)pgid, .sid = (pid_t)sid, .obj = o,
		.zombie = strcmp(state, "zombie") == 0, .stopped = strcmp(state, "stopped") == 0,
		.stop_signal = (int)stop, .stop_reported = json_is_true(json_object_get(o, "stop_reported")),
		.exit_code = (int)code, .exit_signal = (int)sig,
	};
	return threads_unpack(o, p, err);
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

/* No number is used twice, threads counted. */
static int pids_check(const struct ckpt_image *im, struct om_err *err)
{
	om_autofree pid_t *all = NULL;
	size_t n = 0, room = 0;

	for (unsigned i = 0; i < im->n; i++)
		room += im->proc[i].nthreads + 1;
	all = calloc(room, sizeof(*all));
	if (!all)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < im->n; i++) {
		all[n++] = im->proc[i].pid;
		for (unsigned k = 1; k < im->proc[i].nthreads; k++)
			all[n++] = (pid_t)json_integer_value(json_object_get(json_array_get(im->proc[i].threads, k), "tid"));
	}
	qsort(all, n, sizeof(*all), by_pid);
	for (size_t i = 1; i < n; i++)
		if (all[i] == all[i - 1])
			return bad(err, "a process number is used twice");
	return 0;
}

/* Parents before children; what cannot be placed has no parent or is in a circle. */
static int sort_tree(struct ckpt_image *im, struct om_err *err)
{
	om_autofree struct ckpt_image_proc *in = im->proc;
	unsigned done = 0;

	im->proc = calloc(im->n, sizeof(*in));
	im->where = calloc(im->n, sizeof(*im->where));
	if (!im->proc || !im->where)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (unsigned from = 0; done < im->n;) {
		pid_t parent = done == 0 && from == 0 ? 1 : im->proc[from - 1].pid;

		for (unsigned i = 0; i < im->n; i++) {
			if (in[i].ppid == parent && in[i].pid != parent && !(parent != 1 && im->proc[from - 1].zombie)) {
				im->proc[done] = in[i];
				im->where[done++] = i;
			}
		}
		if (++from > done)
			return done == im->n ? 0 : bad(err, "a process without a living parent");
	}
	return 0;
}

int ckpt_image_load(const struct ckpt_source *src, struct ckpt_image *ret, struct om_err *err)
{
	struct ckpt_image im = { .src = src };
	struct utsname u;
	json_error_t je;
	const void *text;
	const char *machine;
	const json_t *o;
	int64_t v;
	size_t len, i;
	int r = src->meta(src->ctx, &text, &len, err);

	if (r < 0)
		return r;
	im.meta = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!json_is_object(im.meta)) {
		json_decref(im.meta);
		return om_err_set(err, -EUCLEAN, "the image's description: %.150s", im.meta ? "no object" : je.text);
	}
	r = ckpt_json_int(im.meta, "format", 1, 1, &v, err);
	if (r == 0)
		r = ckpt_json_text(im.meta, "machine", 64, false, &machine, err);
	(void)uname(&u);			/* cannot fail */
	if (r == 0 && strcmp(machine, u.machine) != 0)
		r = om_err_set(err, -EXDEV, "the image was made on a machine of type %s, this is %s", machine, u.machine);
	if (r == 0)
		r = ckpt_json_int(im.meta, "mono_ns", 0, INT64_MAX / 2, &v, err);
	im.mono_ns = (uint64_t)v;
	if (r == 0)
		r = ckpt_json_int(im.meta, "boot_ns", 0, INT64_MAX / 2, &v, err);
	im.boot_ns = (uint64_t)v;
	if (r == 0)
		r = ckpt_json_list(im.meta, "processes", CKPT_PROCS_MAX, &im.processes, err);
	if (r == 0) {
		im.n = (unsigned)json_array_size(im.processes);
		im.proc = calloc(im.n + 1, sizeof(*im.proc));
		r = im.proc ? 0 : om_err_set(err, -ENOMEM, "out of memory");
		if (r == 0 && im.n == 0)
			r = bad(err, "no processes");
	}
	for (i = 0; i < im.n && r == 0; i++) {
		o = json_array_get(im.processes, i);
		r = proc_unpack(o, &im.proc[i], err);
	}
	if (r == 0)
		r = pids_check(&im, err);
	if (r == 0)
		r = sort_tree(&im, err);
	if (r < 0) {
		ckpt_image_done(&im);
		return r;
	}
	*ret = im;
	return 0;
}

int ckpt_restore_clocks(const struct ckpt_source *src, uint64_t *ret_mono_ns, uint64_t *ret_boot_ns, struct om_err *err)
{
	struct ckpt_image im;
	int r = ckpt_image_load(src, &im, err);

	if (r < 0)
		return r;
	*ret_mono_ns = im.mono_ns;
	*ret_boot_ns = im.boot_ns;
	ckpt_image_done(&im);
	return 0;
}
