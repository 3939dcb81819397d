/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeper and worker talk over a SOCK_SEQPACKET pair.  The worker says, as JSON: {"w":"frozen"} (and waits for the answer), {"w":"resumed"},
 * {"w":"done","ok":..,..}: its fields become those of the event for omd.
 *
 * At the freeze: init is asked whether it has told everything (it stands outside of the frozen tree), then the journal is cut, so that the
 * checkpoint, the state of the root and the epoch belong together; all of it is committed in one piece (omjob/sink.h). */
#include "omjob/work.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/proc.h"
#include "omjob/keeper.h"
#include "omjob/merge.h"
#include "omjob/sink.h"
#include "omjob/spec.h"

enum { SETTLE_MS = 60000 };	/* a worker whose tree is gone has nothing left to wait for but the disk */

struct answer {
	int32_t go;			/* 0, or why not */
	struct omj_note note;
};

/* ---- in the worker ---- */

struct hand {
	int sock;
	struct omj_sink *sink;
};

static int ask(struct hand *h, const char *what, struct omj_note *note, struct om_err *err)
{
	struct answer a;
	int r = om_msg_send(h->sock, json_pack("{s:s}", "w", what));
	ssize_t n;

	if (r < 0)
		return om_err_sys(err, r, "keeper");
	n = om_fd_recv(h->sock, &a, sizeof(a), NULL, NULL);
	if (n != sizeof(a))
		return om_err_set(err, -ECANCELED, "the keeper does not answer");
	if (a.go < 0)
		return om_err_set(err, a.go, "the job has ended");
	if (note)
		*note = a.note;
	return 0;
}

static int on_frozen(void *arg, struct om_err *err)
{
	struct hand *h = arg;

	return ask(h, "frozen", &h->sink->note, err);
}

static int on_before_go(void *arg, struct om_err *err)
{
	return ask(arg, "ready", NULL, err);
}

static void on_resumed(void *arg)
{
	struct hand *h = arg;

	(void)om_msg_send(h->sock, json_pack("{s:s}", "w", "resumed"));	/* without a keeper we are killed */
}

static void say_failed(int sock, int code, const struct om_err *err, const struct ckpt_why *why)
{
	json_t *o = json_pack("{s:s, s:b, s:i, s:s}", "w", "done", "ok", 0, "code", code, "reason",
			      why && why->reason[0] ? why->reason : om_err_text(err, code));

	if (o && why && why->reason[0]) {
		json_object_set_new(o, "process", json_sprintf("%d (%s)", (int)why->pid, why->comm));
		json_object_set_new(o, "object", json_string(why->object));
	}
	(void)om_msg_send(sock, o);	/* without a keeper nobody waits for it */
}

static int dump(struct omj_keeper *k, struct hand *h, bool stop, struct ckpt_stats *stats, struct ckpt_why *why, struct om_err *err)
{
	struct ckpt_dump_opts o = {
		.init = k->space.init, .init_pidfd = k->space.init_pidfd, .net_reset = k->spec->net_reset, .and_stop = stop, .track = k->track,
		.frozen = on_frozen, .resumed = on_resumed, .arg = h,
	};
	struct omj_image base = { .im = NULL };
	struct spool_store *st;
	struct omj_sink sink;
	int r = spool_store_open(k->dirfd, OMJ_STORE, true, &st, err);

	if (r < 0)
		return r;
	/* one that cannot be read (any more) is nothing to build upon */
	if (k->last_n && omj_image_open(&base, st, k->last_n, NULL) == 0)
		o.base = &base.source;
	r = omj_sink_create(&sink, st, o.base ? k->last_n : 0, err);
	if (r == 0) {
		h->sink = &sink;
		r = ckpt_dump(&o, &sink.sink, stats, why, err);
		omj_sink_done(&sink);
	}
	if (r == 0)
		(void)om_msg_send(h->sock, json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:i}", "w", "done", "ok", 1,
						     "n", (json_int_t)sink.info.n, "stop_ns", (json_int_t)stats->stop_ns,
						     "wall_ns", (json_int_t)stats->wall_ns, "bytes", (json_int_t)sink.info.bytes,
						     "stored", (json_int_t)sink.info.stored, "processes", (int)stats->processes));
	omj_image_done(&base);
	spool_store_close(st);
	return r;
}

static int work_dump(struct omj_keeper *k, int sock, bool stop)
{
	struct hand h = { .sock = sock };
	struct ckpt_why why = { 0 };
	struct ckpt_stats stats;
	struct om_err err = { 0 };
	int r = dump(k, &h, stop, &stats, &why, &err);

	if (r < 0)
		say_failed(sock, r, &err, &why);
	return r;
}

static int work_restore(struct omj_keeper *k, int sock, struct omj_image *im, int ctl)
{
	struct hand h = { .sock = sock };
	struct ckpt_stats stats;
	struct om_err err = { 0 };
	int r = ckpt_restore_drive(&im->source, &k->space, ctl, false, on_before_go, &h, &stats, &err);

	if (r < 0)
		say_failed(sock, r, &err, NULL);
	else
		(void)om_msg_send(sock, json_pack("{s:s, s:b}", "w", "done", "ok", 1));
	return r;
}

/* What lies before the oldest checkpoint is only needed for a start from the beginning: one log of it is enough. */
static void journal_shorten(struct omj_keeper *k, struct spool_store *st)
{
	om_autofree struct spool_ckpt_info *list = NULL;
	struct omj_image im = { .im = NULL };
	struct om_err err = { 0 };
	size_t n = 0;
	int r = spool_store_list(st, &list, &n, &err);

	if (r < 0 || n == 0)
		return;
	r = omj_image_open(&im, st, list[0].n, &err);
	if (r == 0)
		r = omj_journal_merge(k->dirfd, im.note.epoch, &err);
	omj_image_done(&im);
	if (r < 0)	/* nothing is lost by it but room on the disk */
		om_log_warning("job=%s undo journal: %s", k->spec->id, om_err_text(&err, r));
}

static int work_prune(struct omj_keeper *k, int sock, json_t *drop)
{
	json_t *dropped = json_array(), *v;
	struct spool_store *st;
	struct om_err err = { 0 };
	size_t i;
	int r = spool_store_open(k->dirfd, OMJ_STORE, false, &st, &err);

	if (r < 0) {
		say_failed(sock, r, &err, NULL);
		return r;
	}
	json_array_foreach(drop, i, v) {
		r = spool_store_drop(st, (uint32_t)json_integer_value(v), &err);
		if (r == 0)
			json_array_append(dropped, v);
		else if (r != -ENOENT)
			break;
	}
	journal_shorten(k, st);
	(void)om_msg_send(sock, r < 0 && r != -ENOENT
			  ? json_pack("{s:s, s:b, s:o, s:s}", "w", "done", "ok", 0, "dropped", dropped, "reason", om_err_text(&err, r))
			  : json_pack("{s:s, s:b, s:o}", "w", "done", "ok", 1, "dropped", dropped));
	return 0;
}

/* ---- in the keeper ---- */

/* @ret_sock: the worker's end, in the worker. 0: in the worker; > 0: in the keeper; < 0: failed. */
static int work_fork(struct omj_keeper *k, enum omj_work_kind kind, int *ret_sock, struct om_err *err)
{
	int sv[2], pidfd;
	pid_t parent = getpid(), pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return om_err_sys(err, -errno, "socketpair");
	pid = fork();
	if (pid < 0) {
		om_fd_close(sv[0]);
		om_fd_close(sv[1]);
		return om_err_sys(err, -errno, "fork a worker");
	}
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		/* what is the keeper's alone: his lock ends with him */
		om_fd_close(sv[0]);
		om_fd_close(k->lock);
		om_fd_close(k->listen);
		om_fd_close(k->conn);
		om_fd_close(k->watch.listener);
		om_fd_close(k->ctl);
		*ret_sock = sv[1];
		return 0;
	}
	om_fd_close(sv[1]);
	pidfd = om_pidfd_open(pid);	/* our unreaped child: only descriptors can be short */
	if (pidfd < 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		om_fd_close(sv[0]);
		return om_err_sys(err, pidfd, "pidfd_open");
	}
	(void)om_fd_set_nonblock(sv[0], 1);
	k->work.kind = kind;
	k->work.pid = pid;
	k->work.pidfd = pidfd;
	k->work.sock = sv[0];
	k->work.holds_job = kind != OMJ_WORK_PRUNE;
	return 1;
}

static void answer(struct omj_keeper *k, int go)
{
	struct answer a = { .go = go };

	if (go == 0) {
		a.note.leg = k->spec->leg;
		a.note.root_ended = k->root_ended;
		a.note.root_status = k->root_status;
		a.note.cpu_ns = k->usage.cpu_ns;
		a.note.maxrss = k->usage.maxrss;
		a.note.epoch = k->watch.journal.epoch;
	}
	(void)om_fd_send(k->work.sock, &a, sizeof(a), NULL, 0);	/* its end is seen by the pidfd */
}

void omj_work_synced(struct omj_keeper *k)
{
	if (!k->work.frozen)
		return;
	k->work.frozen = false;
	omj_watch_cut(&k->watch, k->watch.journal.epoch + 1);
	answer(k, 0);
}

void omj_work_message(struct omj_keeper *k)
{
	struct omj_work *w = &k->work;
	const char *what;
	json_t *o;
	int r = om_msg_recv(w->sock, &o);

	if (r == -EAGAIN)
		return;
	if (r < 0) {
		om_fd_close(om_fd_steal(&w->sock));	/* its end follows */
		return;
	}
	what = json_string_value(json_object_get(o, "w"));
	if (what && strcmp(what, "frozen") == 0) {
		w->frozen = true;
		if (omj_tree_sync(k) < 0)
			answer(k, -ESRCH);
	} else if (what && strcmp(what, "ready") == 0) {
		k->watch.on = true;
		answer(k, 0);
	} else if (what && strcmp(what, "resumed") == 0) {
		w->holds_job = false;
	} else if (what && strcmp(what, "done") == 0) {
		w->answered = true;
		w->holds_job = false;
		w->ok = json_is_true(json_object_get(o, "ok"));
		json_decref(w->result);
		w->result = json_incref(o);
		(void)json_object_del(w->result, "w");
	}
	json_decref(o);
}

/* The event for omd: what the worker said, with the name of the event and of the request. */
static void event_send(struct omj_keeper *k, const char *ev, json_t *fields, json_t *request)
{
	json_t *ref = json_object_get(request, "ref");

	if (!fields)
		return;
	json_object_set_new(fields, "ev", json_string(ev));
	if (ref)
		json_object_set(fields, "ref", ref);
	omj_link_send(k, fields);
}

static void say_cannot(struct omj_keeper *k, json_t *result)
{
	static const char *const names[] = { "process", "object", "reason" };
	json_t *o = json_pack("{s:s}", "ev", "cannot");

	for (size_t i = 0; o && i < OM_ARRAY_SIZE(names); i++) {
		json_t *v = k->work.ok ? NULL : json_object_get(result, names[i]);

		json_object_set_new(o, names[i], v ? json_incref(v) : json_null());
	}
	omj_link_send(k, o);
}

static void dump_finish(struct omj_keeper *k, json_t *result, json_t *request)
{
	struct omj_work *w = &k->work;
	bool stop = w->kind == OMJ_WORK_STOP;

	if (w->ok)
		k->last_n = (uint32_t)json_integer_value(json_object_get(result, "n"));
	else
		om_log_notice("job=%s no checkpoint: %s", k->spec->id, json_string_value(json_object_get(result, "reason")));
	if (w->ok ? k->cannot : json_object_get(result, "process") != NULL) {
		k->cannot = !w->ok;
		say_cannot(k, result);
	}
	if (w->ok && stop)
		k->suspended = true;	/* told when the tree is gone */
	else
		event_send(k, "checkpoint", json_incref(result), request);
}

static void restore_finish(struct omj_keeper *k, json_t *result)
{
	static const int passing[] = { -ENOMEM, -EAGAIN, -ENOSPC, -EMFILE, -ENFILE, -EBUSY, -ETIMEDOUT, -ECHILD, -ECANCELED };
	int code = (int)json_integer_value(json_object_get(result, "code"));
	const char *reason = json_string_value(json_object_get(result, "reason"));

	if (k->work.ok)
		return;
	k->lost_temporary = false;
	for (size_t i = 0; i < OM_ARRAY_SIZE(passing); i++)
		k->lost_temporary |= passing[i] == code;
	snprintf(k->lost, sizeof(k->lost), "checkpoint %u cannot be restored: %s", k->spec->restore, reason ? reason : "?");
	omj_tree_kill(k);
}

static void next(struct omj_keeper *k)
{
	struct omj_work *w = &k->work;
	json_t *first;

	if (!w->n_queue || w->kind)
		return;
	first = w->queue[0];
	memmove(w->queue, w->queue + 1, --w->n_queue * sizeof(w->queue[0]));
	omj_work_request(k, first);
	json_decref(first);
}

static void broken(struct omj_keeper *k, int status)
{
	struct omj_work *w = &k->work;
	char text[128];

	snprintf(text, sizeof(text), "the worker was ended by %s %d", WIFSIGNALED(status) ? "signal" : "exit code",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	json_decref(w->result);
	w->result = json_pack("{s:b, s:i, s:s}", "ok", 0, "code", -ECANCELED, "reason", text);
	w->ok = false;
	if (!w->holds_job || w->kind == OMJ_WORK_RESTORE)
		return;
	/* Tasks whose registers were not their own were killed with it; a tree without them is not this job any more. */
	snprintf(k->lost, sizeof(k->lost), "%s while it had the job in its hands", text);
	k->lost_temporary = true;
	omj_tree_kill(k);
}

void omj_work_ended(struct omj_keeper *k)
{
	struct omj_work *w = &k->work;
	json_t *result, *request;
	int status = 0;

	while (w->sock >= 0 && !w->answered) {	/* what it said last */
		struct pollfd p = { .fd = w->sock, .events = POLLIN };

		if (poll(&p, 1, 0) <= 0)
			break;
		omj_work_message(k);
	}
	(void)om_pidfd_wait(w->pidfd, -1, &status);
	om_fd_close(om_fd_steal(&w->pidfd));
	om_fd_close(om_fd_steal(&w->sock));
	if (!w->answered)
		broken(k, status);
	result = om_steal(w->result);
	request = om_steal(w->request);
	if (w->kind == OMJ_WORK_DUMP || w->kind == OMJ_WORK_STOP)
		dump_finish(k, result, request);
	else if (w->kind == OMJ_WORK_RESTORE)
		restore_finish(k, result);
	else
		event_send(k, "pruned", json_incref(result), request);
	json_decref(result);
	json_decref(request);
	w->kind = OMJ_WORK_NONE;
	w->answered = w->ok = w->frozen = w->holds_job = false;
	next(k);
}

static void refuse(struct omj_keeper *k, json_t *request, const char *op, const char *why)
{
	event_send(k, strcmp(op, "prune") == 0 ? "pruned" : "checkpoint",
		   json_pack("{s:b, s:s, s:[]}", "ok", 0, "reason", why, "dropped"), request);
}

static void run(struct omj_keeper *k, json_t *request, const char *op)
{
	bool stop = strcmp(op, "suspend") == 0, prune = strcmp(op, "prune") == 0;
	struct om_err err = { 0 };
	int sock, r;

	if (!prune && !k->track && ckpt_track_create(&k->track, &err) < 0)
		om_log_warning("job=%s %s, continuing: every checkpoint is a whole one", k->spec->id, err.text);
	r = work_fork(k, prune ? OMJ_WORK_PRUNE : stop ? OMJ_WORK_STOP : OMJ_WORK_DUMP, &sock, &err);

	if (r == 0)
		_exit((prune ? work_prune(k, sock, json_object_get(request, "drop")) : work_dump(k, sock, stop)) < 0);
	if (r < 0)
		refuse(k, request, op, om_err_text(&err, r));
	else
		k->work.request = json_incref(request);
}

void omj_work_request(struct omj_keeper *k, json_t *request)
{
	struct omj_work *w = &k->work;
	const char *op = json_string_value(json_object_get(request, "op"));

	if (w->kind && w->n_queue < OMJ_WORK_QUEUE)
		w->queue[w->n_queue++] = json_incref(request);
	else if (w->kind)
		refuse(k, request, op, "too many requests wait already");
	else if (strcmp(op, "prune") != 0 && k->state != OMJ_RUNNING)
		refuse(k, request, op, k->state == OMJ_ENDED ? "the job has ended" : "the job does not run yet");
	else
		run(k, request, op);
}

int omj_work_restore(struct omj_keeper *k, struct omj_image *im, int ctl, struct om_err *err)
{
	int sock, r = work_fork(k, OMJ_WORK_RESTORE, &sock, err);

	if (r == 0)
		_exit(work_restore(k, sock, im, ctl) < 0);
	return r < 0 ? r : 0;
}

bool omj_work_settle(struct omj_keeper *k)
{
	struct omj_work *w = &k->work;

	if (w->kind == OMJ_WORK_DUMP || w->kind == OMJ_WORK_STOP || w->kind == OMJ_WORK_RESTORE) {
		uint64_t until = om_clock_mono_ns() + SETTLE_MS * 1000000ULL;

		if (w->frozen)
			answer(k, -ESRCH);
		while (w->kind) {
			struct pollfd p[2] = { { .fd = w->pidfd, .events = POLLIN }, { .fd = w->sock, .events = POLLIN } };

			if (poll(p, 2, SETTLE_MS) == 0 || om_clock_mono_ns() > until)
				(void)om_pidfd_signal(w->pidfd, SIGKILL);
			if (p[0].revents)
				omj_work_ended(k);
			else if (p[1].revents)
				omj_work_message(k);
		}
	}
	return k->suspended;
}

void omj_work_done(struct omj_keeper *k)
{
	struct omj_work *w = &k->work;

	if (w->kind) {
		(void)om_pidfd_signal(w->pidfd, SIGKILL);
		(void)om_pidfd_wait(w->pidfd, -1, NULL);
	}
	om_fd_close(om_fd_steal(&w->pidfd));
	om_fd_close(om_fd_steal(&w->sock));
	json_decref(w->result);
	json_decref(w->request);
	while (w->n_queue)
		json_decref(w->queue[--w->n_queue]);
}
