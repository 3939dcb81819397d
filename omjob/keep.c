/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of a keeper: lock, spec, wait for the tree of a keeper that died, listen, start, loop, write the end down, leave.
 *
 * keeper.lock holds /proc/PID/stat of the job's init.  The lock is free as soon as a killed keeper is gone, but its tree may need a moment more
 * to die (and may still write): so a new keeper first waits until that very process is no more. */
#include "omjob/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "omjob/sink.h"
#include "omjob/spec.h"
#include "omjob/undo.h"
#include "spool/file.h"

enum {
	OLD_TREE_WAIT_MS = 60000,	/* a killed tree that writes back to a slow disk */
	RETRY_S = 1,			/* exit.json on a full disk */
	STORE_TRIES = 1000,		/* 10 s */
	STORE_TRY_US = 10000,
};
static const uint64_t ns_per_s = 1000000000;

/* ---- the end ---- */

static void end_write(struct omj_keeper *k)
{
	om_autofree char *text = json_dumps(k->end, JSON_COMPACT);
	struct om_err err = { 0 };
	int r = text ? om_fault(OM_FI_KEEPER_EXIT) : -ENOMEM;

	if (r == 0)
		r = spool_file_write_durable(k->dirfd, "exit.json", text, strlen(text), &err);
	k->durable = r == 0;
	if (r == 0)
		return;
	om_log_err("job=%s exit.json: %s, trying again", k->spec->id, om_err_text(&err, r));
	k->retry_at = om_clock_mono_ns() + RETRY_S * ns_per_s;
}

static void ended(struct omj_keeper *k, json_t *end)
{
	k->state = OMJ_ENDED;
	k->end = end;
	if (!end) {
		om_log_err("job=%s no memory for its end", k->spec->id);
		k->leave = true;
		return;
	}
}

void omj_keep_exited(struct omj_keeper *k, int status)
{
	json_t *o = json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I}", "ev", "exited", "status", status, "why", k->why,
			      "cpu_ns", (json_int_t)k->usage.cpu_ns, "maxrss", (json_int_t)k->usage.maxrss,
			      "wall_ns", (json_int_t)(om_clock_mono_ns() - k->begin_ns), "leg", (json_int_t)k->spec->leg);

	if (o && k->failed[0] && json_object_set_new(o, "reason", json_string(k->failed)) < 0)
		om_log_warning("job=%s reason is lost: no memory", k->spec->id);
	ended(k, o);
	if (o) {
		end_write(k);
		omj_link_send(k, json_incref(o));
	}
}

/* The checkpoint is durable: that is all a later omd needs to see. */
void omj_keep_suspended(struct omj_keeper *k)
{
	ended(k, json_pack("{s:s, s:I}", "ev", "suspended", "n", (json_int_t)k->last_n));
	k->durable = true;
	omj_link_send(k, json_incref(k->end));
}

/* No exit.json: to a later omd a free lock without one means the same. */
void omj_keep_lost(struct omj_keeper *k, bool temporary, const char *fmt, ...)
{
	char text[OM_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	om_log_warning("job=%s lost: %s", k->spec ? k->spec->id : "?", text);
	ended(k, json_pack("{s:s, s:s, s:b}", "ev", "lost", "reason", text, "temporary", temporary));
	k->durable = true;
	omj_link_send(k, json_incref(k->end));
}

/* ---- the loop ---- */

static int timeout_ms(const struct omj_keeper *k)
{
	const uint64_t at[] = { k->kill_at, k->usage_at, k->retry_at };
	uint64_t now = om_clock_mono_ns(), first = 0;

	for (size_t i = 0; i < OM_ARRAY_SIZE(at); i++)
		if (at[i] && (!first || at[i] < first))
			first = at[i];
	if (!first)
		return -1;
	return first <= now ? 0 : (int)((first - now) / 1000000 + 1);
}

static void deadlines(struct omj_keeper *k)
{
	uint64_t now = om_clock_mono_ns();

	omj_tree_due(k, now);
	if (k->retry_at && now >= k->retry_at) {
		k->retry_at = 0;
		end_write(k);
	}
}

static bool done(const struct omj_keeper *k)
{
	return k->leave || (k->state == OMJ_ENDED && k->durable && k->conn < 0);
}

/* What init said before the job's call was made counts before it. */
static void files_serve(struct omj_keeper *k)
{
	int r;

	while (k->ctl >= 0 && omj_tree_report(k) == 0)
		;
	r = omj_watch_serve(&k->watch);
	if (r < 0)	/* nobody is left who could call */
		om_fd_close(om_fd_steal(&k->watch.listener));
}

static int loop(struct omj_keeper *k)
{
	while (!done(k)) {
		struct pollfd p[] = {
			{ .fd = k->ctl, .events = POLLIN }, { .fd = k->space.init_pidfd, .events = POLLIN },
			{ .fd = k->conn, .events = POLLIN }, { .fd = k->listen, .events = POLLIN },
			{ .fd = k->watch.listener, .events = POLLIN }, { .fd = k->work.sock, .events = POLLIN },
			{ .fd = k->work.pidfd, .events = POLLIN },
		};

		if (poll(p, OM_ARRAY_SIZE(p), timeout_ms(k)) < 0 && errno != EINTR)
			return -errno;
		if (p[6].revents)
			omj_work_ended(k);
		else if (p[5].revents)
			omj_work_message(k);
		if (p[1].revents)
			omj_tree_ended(k);
		else if (p[0].revents)
			(void)omj_tree_report(k);	/* its end is seen by the pidfd */
		if (p[4].revents && p[4].fd == k->watch.listener)
			files_serve(k);
		if (p[2].revents && k->conn == p[2].fd)
			omj_link_receive(k);
		if (p[3].revents)
			omj_link_accept(k);
		deadlines(k);
	}
	return 0;
}

/* ---- the beginning ---- */

/* The field after the name in /proc/PID/stat text that tells processes of equal number apart: start time (22nd). */
static int stat_parse(const char *text, int *pid, char *state, unsigned long long *start)
{
	const char *p = strrchr(text, ')');

	if (!p || sscanf(text, "%d", pid) != 1 || *pid <= 0)
		return -EINVAL;
	return sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		      state, start) == 2 ? 0 : -EINVAL;
}

static int old_tree_wait(int lock, struct om_err *err)
{
	char text[OMJ_LOCK_NOTE + 1] = "", path[64], state;
	om_autofree char *now = NULL;
	unsigned long long start, start_now;
	om_autofd int pidfd = -1;
	int pid, r;
	size_t len;

	if (pread(lock, text, sizeof(text) - 1, 0) <= 0 || stat_parse(text, &pid, &state, &start) < 0)
		return 0;	/* first keeper, or its init never began */
	pidfd = om_pidfd_open(pid);
	if (pidfd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (om_file_read(path, sizeof(text), &now, &len) < 0 || stat_parse(now, &pid, &state, &start_now) < 0 ||
	    start_now != start)
		return 0;	/* another process has got its number */
	do {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };

		r = poll(&p, 1, OLD_TREE_WAIT_MS);
	} while (r < 0 && errno == EINTR);
	return r > 0 ? 0 : om_err_set(err, -EBUSY, "the job's former processes (init %d) do not end", pid);
}

static int lock_take(struct omj_keeper *k, struct om_err *err)
{
	k->lock = openat(k->dirfd, "keeper.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (k->lock < 0)
		return om_err_sys(err, -errno, "keeper.lock");
	if (flock(k->lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? om_err_set(err, -EALREADY, "another keeper has this job")
					    : om_err_sys(err, -errno, "keeper.lock");
	return 0;
}

/* ---- from a checkpoint ---- */

/* A worker of a killed keeper may hold the store's lock for the moment it needs to die. */
static int store_retry(int (*op)(struct spool_store *, uint32_t, struct om_err *), struct spool_store *st, uint32_t n, struct om_err *err)
{
	int r;

	for (int i = 0; i < STORE_TRIES; i++) {
		r = op(st, n, err);
		if (r != -EBUSY)
			return r;
		usleep(STORE_TRY_US);
	}
	return r;
}

static int clear(struct spool_store *st, uint32_t n, struct om_err *err)
{
	(void)n;
	return spool_store_clear(st, err);
}

/* The files go back to checkpoint @n: newer ones tell of files that are no more. */
static int newer_drop(struct spool_store *st, uint32_t n, struct om_err *err)
{
	om_autofree struct spool_ckpt_info *list = NULL;
	size_t count = 0;
	int r = spool_store_list(st, &list, &count, err);

	for (size_t i = count; i-- > 0 && r == 0;)
		if (list[i].n > n)
			r = store_retry(spool_store_drop, st, list[i].n, err);
	return r;
}

static int image_get(struct omj_keeper *k, struct omj_image *im, struct om_err *err)
{
	struct spool_store *st;
	uint64_t mono, boot;
	int r = spool_store_open(k->dirfd, OMJ_STORE, false, &st, err);

	if (r < 0)
		return r;
	r = omj_image_open(im, st, k->spec->restore, err);
	if (r == 0)
		r = ckpt_restore_clocks(&im->source, &mono, &boot, err);	/* it can be read: before anything is given up for it */
	if (r == 0)
		r = newer_drop(st, k->spec->restore, err);
	spool_store_close(st);
	return r;
}

/* A job that begins anew has no checkpoints. */
static int store_forget(struct omj_keeper *k, struct om_err *err)
{
	struct spool_store *st;
	int r;

	if (faccessat(k->dirfd, OMJ_STORE, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	r = spool_store_open(k->dirfd, OMJ_STORE, false, &st, err);
	if (r < 0)
		return r;
	r = store_retry(clear, st, 0, err);
	spool_store_close(st);
	return r;
}

/* The files as they were at the checkpoint or at the very beginning; then a new epoch. */
static int files_back(struct omj_keeper *k, const struct omj_image *im, struct om_err *err)
{
	uint32_t epoch = 0, base = im->im ? im->note.epoch : 1;
	int r = k->spec->journal ? omj_undo(k->dirfd, base, err) : 0;

	r = r ? r : omj_journal_newest(k->dirfd, &epoch, err);
	if (epoch < base)
		epoch = base;	/* the number is named by a checkpoint */
	if (r == 0)
		omj_watch_init(&k->watch, k->dirfd, im->im ? epoch + 1 : epoch);
	return r;
}

static int tree_begin(struct omj_keeper *k, struct omj_image *im, struct om_err *err)
{
	int r = k->spec->restore ? image_get(k, im, err) : store_forget(k, err);

	r = r ? r : files_back(k, im, err);
	if (r == 0 && im->im) {
		k->root_ended = im->note.root_ended;
		k->root_status = im->note.root_status;
	}
	return r ? r : omj_tree_start(k, im->im ? im : NULL, err);
}

static int start(struct omj_keeper *k, struct om_err *err)
{
	struct omj_image im = { .im = NULL };
	int r = om_fault(OM_FI_KEEPER_START);

	if (r < 0)
		return om_err_sys(err, r, "keeper");
	r = omj_spec_read(k->dirfd, "spec.json", &k->spec, err);
	r = r ? r : old_tree_wait(k->lock, err);
	r = r ? r : spool_file_remove(k->dirfd, "exit.json", err);	/* of an earlier leg */
	r = r ? r : omj_link_listen(k, err);
	r = r ? r : tree_begin(k, &im, err);
	omj_image_done(&im);	/* init and the worker have theirs */
	return r;
}

/* A start that failed half-way leaves no process. */
static void tree_give_up(struct omj_keeper *k)
{
	omj_tree_kill(k);
	omj_work_done(k);
	k->work = (struct omj_work){ .pidfd = -1, .sock = -1 };
	if (k->space.init_pidfd >= 0)
		(void)om_pidfd_wait(k->space.init_pidfd, -1, NULL);
	om_fd_close(om_fd_steal(&k->space.init_pidfd));
	om_fd_close(om_fd_steal(&k->ctl));
	k->usage_at = 0;
}

/* Would the same start, later, come to the same end? */
static bool start_again(int code)
{
	return code == -EAGAIN || code == -ENOMEM || code == -EMFILE || code == -ENFILE || code == -ENOSPC || code == -EBUSY;
}

static void keeper_done(struct omj_keeper *k)
{
	omj_tree_kill(k);
	omj_work_done(k);
	if (k->listen >= 0)
		(void)unlinkat(k->dirfd, "keeper.sock", 0);	/* a leftover is replaced by the next keeper */
	if (k->track)
		ckpt_track_destroy(k->track);
	omj_watch_done(&k->watch);
	json_decref(k->end);
	omj_spec_destroy(k->spec);
}

int omj_keep_main(int argc, char **argv)
{
	struct omj_keeper k = { .dirfd = -1, .lock = -1, .listen = -1, .conn = -1, .ctl = -1, .space.init_pidfd = -1,
				.watch = { .listener = -1, .journal = { .dir = -1, .fd = -1 } },
				.work = { .pidfd = -1, .sock = -1 }, .why = "exit" };
	struct om_err err = { 0 };
	int r;

	(void)argv;
	if (argc != 1) {
		fprintf(stderr, "usage: omjob keep (the current directory is the job's folder, descriptor 3 a socket to omd)\n");
		return OMJ_EXIT_USAGE;
	}
	om_log_init("omjob", OM_LOG_NOTICE);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);	/* the end of a terminal is none of ours */
	(void)signal(SIGINT, SIG_IGN);
	(void)close_range(4, ~0U, 0);	/* whatever our starter let through must not reach the job */
	if (om_fd_set_cloexec(3, 1) == 0 && om_fd_set_nonblock(3, 1) == 0)
		k.conn = 3;
	k.dirfd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = k.dirfd < 0 ? om_err_sys(&err, -errno, "the job's folder") : lock_take(&k, &err);
	if (r == -EALREADY)
		return OMJ_EXIT_HELD;
	if (r == 0)
		r = start(&k, &err);
	if (r < 0) {
		tree_give_up(&k);
		omj_keep_lost(&k, start_again(r), "%s", om_err_text(&err, r));
	}
	r = loop(&k);
	keeper_done(&k);
	return r < 0;
}
