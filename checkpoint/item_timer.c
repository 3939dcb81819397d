/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_timer.c - interval timers and POSIX timers.
 *
 * On the job's own clocks (monotonic, boot time) the time of the next expiry is stored: those clocks go on where they stood.  On all
 * others (processor time, the time of day) the time that is left is.  A timer that expires while we look is either pending or still to come,
 * never both: timers and pending signals are read until nothing expired in between.
 *
 * CLOCK_THREAD_CPUTIME_ID does not say whose: the owner is the thread whose work makes the time left shrink (item "timer_thread"). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/clocks.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/uapi.h"

enum {
	TIMERS_MAX = 65536,			/* of one process; the user's limit of pending signals is below that nearly everywhere */
	CHUNK = 512,				/* timers asked in one batch */
	LOOKS_MAX = 16,				/* a timer faster than we look: one signal more or less */
	ID_TRIES_MAX = 1 << 20,			/* numbers of timers gone that are passed over by making and deleting them */
	SIGNALS = 64,
	SPIN = 64,				/* calls that use processor time which can be told from none */
};
#define NS 1000000000LL
#define US_NS 1000LL

struct timer {
	int id, signo, notify, clock;
	pid_t tid;				/* of SIGEV_THREAD_ID: as the job sees it */
	pid_t owner;				/* of CLOCK_THREAD_CPUTIME_ID */
	uint64_t value;
	int64_t at, left, interval;		/* ns; at: clock of the job, else left */
};

/* ---- interval timers ---- */

static const struct { const char *name; int which; } itimers[] = {
	{ "real", ITIMER_REAL }, { "virtual", ITIMER_VIRTUAL }, { "prof", ITIMER_PROF },
};

static int64_t tv_ns(const struct timeval *tv)
{
	return tv->tv_sec * NS + tv->tv_usec * US_NS;
}

static struct timeval ns_tv(int64_t ns)
{
	return (struct timeval){ ns / NS, ns % NS / US_NS };
}

/* @at: when the real one expires, 0 = not running. */
static int itimers_dump(struct ckpt_item_dump *d, int64_t *ret_at)
{
	json_t *o = json_object();
	uint64_t at[OM_ARRAY_SIZE(itimers)];
	int64_t now;
	int r;

	ckpt_batch_reset(d->b);
	for (size_t i = 0; i < OM_ARRAY_SIZE(itimers); i++) {
		at[i] = ckpt_batch_out(d->b, sizeof(struct itimerval));
		(void)ckpt_call(d->b, SYS_getitimer, (uint64_t)itimers[i].which, at[i]);
	}
	r = ckpt_batch_run(&d->t->remote, d->b, d->err);
	if (r == 0)
		r = ckpt_clock_read(d->p->pid, CLOCK_MONOTONIC, &now, d->err);
	*ret_at = 0;
	for (size_t i = 0; i < OM_ARRAY_SIZE(itimers) && r == 0; i++) {
		const struct itimerval *v = ckpt_batch_at(d->b, at[i]);
		int64_t left = tv_ns(&v->it_value), interval = tv_ns(&v->it_interval);

		/* expired and its signal not taken yet: the kernel starts it again when that happens */
		if (!left)
			left = interval;
		if (left && itimers[i].which == ITIMER_REAL)
			*ret_at = left += now;
		if (left)
			json_object_set_new(o, itimers[i].name, json_pack("[II]", (json_int_t)left, (json_int_t)interval));
	}
	if (r == 0 && json_object_size(o))
		json_object_set(d->obj, "itimers", o);
	json_decref(o);
	return r;
}

static int pair_read(const json_t *o, const char *name, int64_t *a, int64_t *b, struct om_err *err)
{
	const json_t *x = json_array_get(json_object_get(o, name), 0), *y = json_array_get(json_object_get(o, name), 1);

	*a = json_integer_value(x);
	*b = json_integer_value(y);
	if (!json_is_integer(x) || !json_is_integer(y) || *a <= 0 || *b < 0)
		return om_err_set(err, -EUCLEAN, "the image's description: timer '%s'", name);
	return 0;
}

static int itimers_restore(struct ckpt_item_restore *r)
{
	const json_t *o = json_object_get(r->obj, "itimers");

	for (size_t i = 0; i < OM_ARRAY_SIZE(itimers) && o; i++) {
		struct itimerval v;
		int64_t left, interval, now;
		int e;

		if (!json_object_get(o, itimers[i].name))
			continue;
		e = pair_read(o, itimers[i].name, &left, &interval, r->err);
		if (e == 0 && itimers[i].which == ITIMER_REAL) {
			e = ckpt_clock_read(r->p->pid, CLOCK_MONOTONIC, &now, r->err);
			left -= e == 0 ? now : 0;
		}
		if (e < 0)
			return e;
		v = (struct itimerval){ ns_tv(interval), ns_tv(left > US_NS ? left : US_NS) };	/* 0 would stop it */
		(void)ckpt_must(r->b, "interval timer", SYS_setitimer, (uint64_t)itimers[i].which, ckpt_batch_in(r->b, &v, sizeof(v)), 0);
	}
	return 0;
}

/* ---- POSIX timers: dump ---- */

static pid_t vtid_of(const struct ckpt_proc *p, int tid)
{
	for (unsigned i = 0; i < p->nthreads; i++)
		if (p->threads[i].tid == tid)
			return p->threads[i].vtid;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct timer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int timer_parse(const struct ckpt_proc *p, const char *text, struct timer *t, int *len)
{
	char how[8], kind[4];
	unsigned long value;
	int tid;

	if (sscanf(text, "ID: %d signal: %d/%lx notify: %7[a-z]/%3[a-z].%d ClockID: %d%n", &t->id, &t->signo, &value, how, kind, &tid, &t->clock, len) != 7)
		return -EBADMSG;
	t->value = value;
	t->notify = strcmp(how, "none") == 0 ? SIGEV_NONE : strcmp(how, "signal") == 0 ? SIGEV_SIGNAL : SIGEV_THREAD;
	if (strcmp(kind, "tid") == 0) {
		t->notify |= SIGEV_THREAD_ID;
		t->tid = vtid_of(p, tid);	/* 0: its thread has ended, it tells nobody */
	}
	return 0;
}

static int timers_list(struct ckpt_item_dump *d, struct timer **ret, unsigned *ret_n)
{
	om_autofree char *text = NULL;
	struct timer *list = NULL;
	unsigned n = 0;
	char path[32];
	size_t len;
	int r, step;

	snprintf(path, sizeof(path), "/proc/%d/timers", d->p->pid);
	r = om_file_read(path, 16 << 20, &text, &len);
	if (r == -ENOENT)
		return ckpt_refuse(d->why, d->p, "timers", "this kernel does not tell them (CONFIG_CHECKPOINT_RESTORE)");
	if (r < 0)
		return om_err_sys(d->err, r, "%s", path);
	for (const char *at = text; *at && r == 0; at += step + (at[step] == '\n')) {
		struct timer t = { 0 }, *l = n < TIMERS_MAX ? reallocarray(list, n + 1, sizeof(*l)) : NULL;

		list = l ? l : list;
		r = l ? timer_parse(d->p, at, &t, &step) : -ENOMEM;
		if (r == 0)
			list[n++] = t;
	}
	if (r < 0) {
		free(list);
		return om_err_sys(d->err, r, "%s", path);
	}
	if (n)
		qsort(list, n, sizeof(*list), by_id);
	*ret = list;
	*ret_n = n;
	return 0;
}

/* Times of @n timers from @t on. */
static int times_ask(struct ckpt_item_dump *d, struct timer *t, unsigned n)
{
	uint64_t at;
	int64_t now = 0;
	int r;

	ckpt_batch_reset(d->b);
	at = ckpt_batch_out(d->b, n * sizeof(struct itimerspec));
	for (unsigned i = 0; i < n; i++)
		(void)ckpt_must(d->b, "timer_gettime", SYS_timer_gettime, (uint64_t)t[i].id, at + i * sizeof(struct itimerspec));
	r = ckpt_batch_run(&d->t->remote, d->b, d->err);
	for (unsigned i = 0; i < n && r == 0; i++) {
		const struct itimerspec *v = (struct itimerspec *)ckpt_batch_at(d->b, at) + i;

		t[i].left = v->it_value.tv_sec * NS + v->it_value.tv_nsec;
		t[i].interval = v->it_interval.tv_sec * NS + v->it_interval.tv_nsec;
		if (ckpt_clock_is_jobs(t[i].clock))
			r = ckpt_clock_read(d->p->pid, t[i].clock, &now, d->err);
		t[i].at = t[i].left && ckpt_clock_is_jobs(t[i].clock) ? now + t[i].left : 0;
	}
	return r;
}

static json_t *timer_pack(const struct timer *t)
{
	json_t *o = json_pack("{si si si si}", "id", t->id, "clock", t->clock, "notify", t->notify, "signal", t->signo);

	json_object_set_new(o, "value", ckpt_json_from_hex(t->value));
	if (t->tid)
		json_object_set_new(o, "tid", json_integer(t->tid));
	json_object_set_new(o, "interval", json_integer(t->interval));
	if (t->left)
		json_object_set_new(o, t->at ? "at" : "left", json_integer(t->at ? t->at : t->left));
	return o;
}

/* Has a timer expired since its time was read (and its signal been listed as pending, perhaps)? */
static int expired(struct ckpt_item_dump *d, const struct timer *t, unsigned n, int64_t real_at)
{
	int64_t mono, boot;
	int r = ckpt_clock_read(d->p->pid, CLOCK_MONOTONIC, &mono, d->err);

	if (r == 0)
		r = ckpt_clock_read(d->p->pid, CLOCK_BOOTTIME, &boot, d->err);
	if (r < 0)
		return r;
	if (real_at && real_at <= mono)
		return 1;
	for (unsigned i = 0; i < n; i++)
		if (t[i].at && t[i].at <= (t[i].clock == CLOCK_BOOTTIME || t[i].clock == CLOCK_BOOTTIME_ALARM ? boot : mono))
			return 1;
	return 0;
}

static int pending_again(struct ckpt_item_dump *d)
{
	json_t *obj = d->obj;
	int r;

	json_object_del(d->p->desc, "pending");
	json_object_del(d->t->desc, "pending");
	d->obj = d->p->desc;
	r = ckpt_item_procpending_answer(d);
	d->obj = d->t->desc;
	if (r == 0)
		r = ckpt_item_sigpending_answer(d);
	d->obj = obj;
	return r;
}

/* Last of the process items: it uses the batch for itself. */
int ckpt_item_timer_answer(struct ckpt_item_dump *d)
{
	om_autofree struct timer *t = NULL;
	unsigned n = 0;
	int64_t real_at = 0;
	json_t *list;
	int r = timers_list(d, &t, &n), gone = 1;

	for (int look = 0; look < LOOKS_MAX && r == 0 && gone; look++) {
		r = itimers_dump(d, &real_at);
		for (unsigned i = 0; i < n && r == 0; i += CHUNK)
			r = times_ask(d, t + i, n - i < CHUNK ? n - i : CHUNK);
		if (r == 0 && (n || real_at))
			r = pending_again(d);
		gone = r == 0 ? expired(d, t, n, real_at) : 0;
		r = gone < 0 ? gone : r;
	}
	if (r < 0 || !n)
		return r;
	list = json_array();
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, timer_pack(&t[i]));
	json_object_set_new(d->obj, "timers", list);
	return 0;
}

/* ---- whose CLOCK_THREAD_CPUTIME_ID ---- */

/* In every thread but the leader: each such timer is looked at, some work is done, and it is looked at again.  One that nobody owns is the
 * leader's. */
int ckpt_item_timer_thread_answer(struct ckpt_item_dump *d)
{
	const struct itimerspec far = { .it_value = { 1000000, 0 } }, off = { 0 };
	json_t *list = json_object_get(d->p->desc, "timers"), *o;
	size_t i;
	int r = 0;

	if (d->t == &d->p->threads[0])
		return 0;			/* its process items are still to be answered from the batch */
	json_array_foreach(list, i, o) {
		uint64_t id = (uint64_t)json_integer_value(json_object_get(o, "id")), at;
		bool runs = json_object_get(o, "left");
		const struct itimerspec *v;

		if (json_integer_value(json_object_get(o, "clock")) != CLOCK_THREAD_CPUTIME_ID || json_object_get(o, "owner"))
			continue;
		ckpt_batch_reset(d->b);
		if (!runs)
			(void)ckpt_must(d->b, "timer_settime", SYS_timer_settime, id, 0, ckpt_batch_in(d->b, &far, sizeof(far)), 0);
		at = ckpt_batch_out(d->b, 2 * sizeof(*v));
		(void)ckpt_must(d->b, "timer_gettime", SYS_timer_gettime, id, at);
		for (int k = 0; k < SPIN; k++)
			(void)ckpt_call(d->b, SYS_getppid, 0);
		(void)ckpt_must(d->b, "timer_gettime", SYS_timer_gettime, id, at + sizeof(*v));
		if (!runs)
			(void)ckpt_must(d->b, "timer_settime", SYS_timer_settime, id, 0, ckpt_batch_in(d->b, &off, sizeof(off)), 0);
		r = ckpt_batch_run(&d->t->remote, d->b, d->err);
		if (r < 0)
			return r;
		v = ckpt_batch_at(d->b, at);
		if (v[0].it_value.tv_sec != v[1].it_value.tv_sec || v[0].it_value.tv_nsec != v[1].it_value.tv_nsec)
			json_object_set_new(o, "owner", json_integer(d->t->vtid));
	}
	return 0;
}

/* ---- POSIX timers: restore ---- */

static int timer_read(const json_t *o, struct timer *t, struct om_err *err)
{
	int64_t id, clock, notify, signo, tid = 0, owner = 0;
	int e = ckpt_json_int(o, "id", 0, INT32_MAX, &id, err);

	t->at = t->left = 0;
	if (e == 0)
		e = ckpt_json_int(o, "clock", INT32_MIN, 63, &clock, err);
	if (e == 0)
		e = ckpt_json_int(o, "notify", 0, SIGEV_THREAD_ID | SIGEV_THREAD, &notify, err);
	if (e == 0)
		e = ckpt_json_int(o, "signal", 0, SIGNALS, &signo, err);
	if (e == 0)
		e = ckpt_json_hex(o, "value", &t->value, err);
	if (e == 0)
		e = ckpt_json_int_opt(o, "tid", 1, CKPT_PID_MAX, &tid, err);
	if (e == 0)
		e = ckpt_json_int_opt(o, "owner", 1, CKPT_PID_MAX, &owner, err);
	if (e == 0)
		e = ckpt_json_int(o, "interval", 0, INT64_MAX, &t->interval, err);
	if (e == 0)
		e = ckpt_json_int_opt(o, "at", 1, INT64_MAX, &t->at, err);
	if (e == 0)
		e = ckpt_json_int_opt(o, "left", 1, INT64_MAX, &t->left, err);
	if (e < 0)
		return e;
	t->id = (int)id;
	t->clock = (int)clock;
	t->notify = (int)notify;
	t->signo = (int)signo;
	t->tid = (pid_t)tid;
	t->owner = (pid_t)owner;
	return 0;
}

/* The thread that makes the timer: the clock may be its own. */
static struct ckpt_thread *maker(const struct ckpt_item_restore *r, const struct timer *t)
{
	for (unsigned i = 0; i < r->p->nthreads && t->owner; i++)
		if (r->p->threads[i].vtid == t->owner)
			return &r->p->threads[i];
	return &r->p->threads[0];
}

static int run(const struct ckpt_item_restore *r, struct ckpt_thread *by)
{
	int e = ckpt_batch_run(&by->remote, r->b, r->err);

	ckpt_batch_reset(r->b);
	return e;
}

/* Queue a timer_create; the address of the number it will get. */
static uint64_t create(const struct ckpt_item_restore *r, const struct timer *t)
{
	struct sigevent ev = { .sigev_notify = t->notify, .sigev_signo = t->signo, .sigev_value.sival_ptr = (void *)(uintptr_t)t->value };
	uint64_t id = ckpt_batch_in(r->b, &t->id, sizeof(t->id));

	ev._sigev_un._tid = t->tid ? t->tid : r->p->vpid;	/* a thread that is no more: the timer can tell nobody */
	if ((t->notify & SIGEV_THREAD_ID) && !t->tid)
		ev.sigev_notify = SIGEV_NONE;
	if (t->notify == SIGEV_NONE)
		ev.sigev_signo = 0;
	(void)ckpt_must(r->b, "make a timer", SYS_timer_create, (uint64_t)(int64_t)t->clock, ckpt_batch_in(r->b, &ev, sizeof(ev)), id);
	return id;
}

/* A kernel that cannot be asked for a number gives them in order. */
static int create_at(const struct ckpt_item_restore *r, const struct timer *t, struct ckpt_thread *by)
{
	for (;;) {
		uint64_t at = create(r, t);
		int e = ckpt_batch_run(&by->remote, r->b, r->err), id = *(int *)ckpt_batch_at(r->b, at);

		ckpt_batch_reset(r->b);
		if (e < 0 || id == t->id)
			return e;
		if (id > t->id || t->id - id > ID_TRIES_MAX)
			return om_err_set(r->err, -EOPNOTSUPP, "process %d: this kernel cannot give a timer the number %d (needs Linux 6.15)",
					  r->p->vpid, t->id);
		(void)ckpt_must(r->b, "delete a timer", SYS_timer_delete, (uint64_t)id);
		for (int skip = id + 1; skip < t->id && skip <= id + CHUNK; skip++) {
			(void)create(r, t);
			(void)ckpt_must(r->b, "delete a timer", SYS_timer_delete, (uint64_t)skip);
		}
		e = run(r, by);
		if (e < 0)
			return e;
	}
}

static int timer_restore(const struct ckpt_item_restore *r, const struct timer *t, bool by_number)
{
	struct ckpt_thread *by = maker(r, t);
	int64_t first = t->at ? t->at : t->left;
	const struct itimerspec v = { { t->interval / NS, t->interval % NS }, { first / NS, first % NS } };
	int e = 0;

	if (by_number)
		(void)create(r, t);
	else
		e = create_at(r, t, by);
	if (e == 0 && (first || t->interval))
		(void)ckpt_must(r->b, "start a timer", SYS_timer_settime, (uint64_t)t->id, t->at ? TIMER_ABSTIME : 0,
				ckpt_batch_in(r->b, &v, sizeof(v)), 0);
	return e == 0 ? run(r, by) : e;
}

int ckpt_item_timer_restore(struct ckpt_item_restore *r)
{
	const json_t *list = json_object_get(r->obj, "timers"), *o;
	struct timer t = { .id = -1 };
	unsigned probe;
	bool by_number;
	size_t i;
	int e = itimers_restore(r);

	if (e < 0 || !list)
		return e;
	e = ckpt_json_list(r->obj, "timers", TIMERS_MAX, &list, r->err);
	if (e == 0)
		e = run(r, r->t);
	if (e < 0)
		return e;
	probe = ckpt_call(r->b, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_ON, 0, 0, 0);
	e = ckpt_batch_run(&r->t->remote, r->b, r->err);
	by_number = r->b->call[probe].ret == 0;
	ckpt_batch_reset(r->b);
	json_array_foreach(list, i, o) {
		int last = t.id;

		if (e == 0)
			e = timer_read(o, &t, r->err);
		if (e == 0 && t.id <= last)
			e = om_err_set(r->err, -EUCLEAN, "the image's description: timer %d is not in order", t.id);
		if (e == 0)
			e = timer_restore(r, &t, by_number);
	}
	if (e == 0 && by_number)
		(void)ckpt_must(r->b, "timer numbers", SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_OFF, 0, 0, 0);
	return e;
}
