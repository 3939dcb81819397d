/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_sched.c - per thread: nice value, policy, processors, I/O priority, personality; per process: oom_score_adj.
 *
 * All of it can be read from outside.  It is set by the task itself, with no more rights than the task has; only what differs from what a new
 * task of this job has is set, so that nobody is refused what he would not miss. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"

enum {
	CPU_BYTES_MAX = 1024,			/* 8192 processors, the kernel's limit */
	POLICY_MAX = 7,				/* SCHED_EXT */
	FLAGS = 1 | 2 | 4,			/* reset on fork, reclaim, overrun: what sched_setattr() takes besides clamps */
	IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_SHIFT = 13, IOPRIO_MAX = 0xffff,
	OOM_MAX = 1000,
};
struct attr {					/* struct sched_attr, first version; libraries are late to define it */
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};
_Static_assert(sizeof(struct attr) == 48, "the kernel's SCHED_ATTR_SIZE_VER0");

/* ---- scheduling ---- */

static int attr_get(pid_t tid, struct attr *a)
{
	int nice;

	*a = (struct attr){ .size = sizeof(*a) };
	if (syscall(SYS_sched_getattr, tid, a, sizeof(*a), 0) < 0)
		return -errno;
	errno = 0;
	nice = getpriority(PRIO_PROCESS, (id_t)tid);
	if (nice == -1 && errno)
		return -errno;
	a->nice = nice;				/* real-time tasks have one for later, too */
	a->flags &= FLAGS;
	return 0;
}

/* Length in bytes, without trailing zeros. */
static ssize_t cpus_get(pid_t tid, unsigned char *mask)
{
	long n = syscall(SYS_sched_getaffinity, tid, CPU_BYTES_MAX, mask);

	if (n < 0)
		return -errno;
	while (n > 0 && !mask[n - 1])
		n--;
	return n;
}

/* The job's first process has those that a new task gets. */
static int cpus_dump(struct ckpt_item_dump *d)
{
	unsigned char mask[CPU_BYTES_MAX], usual[CPU_BYTES_MAX];
	ssize_t n = cpus_get(d->t->tid, mask), m = cpus_get(d->opts->init, usual);

	if (n < 0 || m < 0)
		return om_err_sys(d->err, (int)(n < 0 ? n : m), "processors of task %d", d->t->vtid);
	if (n != m || memcmp(mask, usual, (size_t)n) != 0)
		json_object_set_new(d->obj, "cpus", ckpt_json_from_bytes(mask, (size_t)n));
	return 0;
}

int ckpt_item_sched_answer(struct ckpt_item_dump *d)
{
	struct attr a;
	int r = attr_get(d->t->tid, &a), io = (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, d->t->tid);
	json_t *o;

	if (r < 0)
		return om_err_sys(d->err, r, "scheduling of task %d", d->t->vtid);
	o = json_pack("{si sI si si}", "policy", (int)a.policy, "flags", (json_int_t)a.flags, "nice", (int)a.nice, "priority", (int)a.priority);
	if (a.period) {
		json_object_set_new(o, "runtime", json_integer((json_int_t)a.runtime));
		json_object_set_new(o, "deadline", json_integer((json_int_t)a.deadline));
		json_object_set_new(o, "period", json_integer((json_int_t)a.period));
	}
	if (io > 0 && io >> IOPRIO_CLASS_SHIFT)
		json_object_set_new(o, "ioprio", json_integer(io));
	json_object_set_new(d->obj, "sched", o);
	return cpus_dump(d);
}

static int attr_read(const json_t *o, struct attr *a, int64_t *io, struct om_err *err)
{
	int64_t policy, flags, nice, priority, runtime = 0, deadline = 0, period = 0;
	int e = ckpt_json_int(o, "policy", 0, POLICY_MAX, &policy, err);

	if (e == 0)
		e = ckpt_json_int(o, "flags", 0, FLAGS, &flags, err);
	if (e == 0)
		e = ckpt_json_int(o, "nice", -20, 19, &nice, err);
	if (e == 0)
		e = ckpt_json_int(o, "priority", 0, 99, &priority, err);
	if (e == 0)
		e = ckpt_json_int_opt(o, "runtime", 0, INT64_MAX, &runtime, err);
	if (e == 0)
		e = ckpt_json_int_opt(o, "deadline", 0, INT64_MAX, &deadline, err);
	if (e == 0)
		e = ckpt_json_int_opt(o, "period", 0, INT64_MAX, &period, err);
	if (e == 0)
		e = ckpt_json_int_opt(o, "ioprio", 1, IOPRIO_MAX, io, err);
	if (e == 0)
		*a = (struct attr){ sizeof(*a), (uint32_t)policy, (uint64_t)flags, (int32_t)nice, (uint32_t)priority,
				    (uint64_t)runtime, (uint64_t)deadline, (uint64_t)period };
	return e;
}

static int cpus_restore(struct ckpt_item_restore *r)
{
	om_autofree void *mask = NULL;
	unsigned char have[CPU_BYTES_MAX];
	ssize_t m = cpus_get(r->t->tid, have);
	size_t n;
	int e;

	if (!json_object_get(r->obj, "cpus"))
		return 0;
	e = ckpt_json_bytes(r->obj, "cpus", 1, CPU_BYTES_MAX, &mask, &n, r->err);
	if (e == 0 && ((size_t)m != n || memcmp(mask, have, n) != 0))
		(void)ckpt_must(r->b, "bind it to the processors it was bound to (are they there?)", SYS_sched_setaffinity, 0, n,
				ckpt_batch_in(r->b, mask, n));
	return e;
}

int ckpt_item_sched_restore(struct ckpt_item_restore *r)
{
	struct attr a, have;
	int64_t io = 0;
	int e = attr_read(json_object_get(r->obj, "sched"), &a, &io, r->err);

	if (e == 0)
		e = om_err_sys(r->err, attr_get(r->t->tid, &have), "scheduling of task %d", r->t->vtid);
	if (e < 0)
		return e;
	if (a.nice != have.nice)
		(void)ckpt_must(r->b, "a nice value lower than this user may have (RLIMIT_NICE, CAP_SYS_NICE)", SYS_setpriority, PRIO_PROCESS, 0,
				(uint64_t)(int64_t)a.nice);
	have.nice = a.nice;
	if (memcmp(&a, &have, sizeof(a)) != 0)
		(void)ckpt_must(r->b, "a scheduling policy that this user may not have (RLIMIT_RTPRIO, CAP_SYS_NICE)", SYS_sched_setattr, 0,
				ckpt_batch_in(r->b, &a, sizeof(a)), 0);
	if (io && io != syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, r->t->tid))
		(void)ckpt_must(r->b, "an I/O priority that this user may not have", SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, (uint64_t)io);
	return cpus_restore(r);
}

/* ---- small numbers in /proc ---- */

static int number_read(pid_t tid, const char *file, int base, long *ret)
{
	om_autofree char *text = NULL;
	char path[48], *end;
	size_t n;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, file);
	r = om_file_read(path, 64, &text, &n);
	if (r < 0)
		return r;
	*ret = strtol(text, &end, base);
	return end == text ? -EBADMSG : 0;
}

int ckpt_item_personality_answer(struct ckpt_item_dump *d)
{
	long v;
	int r = number_read(d->t->tid, "personality", 16, &v);

	if (r < 0)
		return om_err_sys(d->err, r, "personality of task %d", d->t->vtid);
	if (v)
		json_object_set_new(d->obj, "personality", json_integer(v));
	return 0;
}

int ckpt_item_personality_restore(struct ckpt_item_restore *r)
{
	int64_t v = 0;
	int e = ckpt_json_int_opt(r->obj, "personality", 0, UINT32_MAX - 1, &v, r->err);

	if (e == 0)
		(void)ckpt_must(r->b, "personality", SYS_personality, (uint64_t)v);
	return e;
}

int ckpt_item_oom_answer(struct ckpt_item_dump *d)
{
	long v;
	int r = number_read(d->p->pid, "oom_score_adj", 10, &v);

	if (r < 0)
		return om_err_sys(d->err, r, "oom_score_adj of process %d", d->p->vpid);
	json_object_set_new(d->obj, "oom_score_adj", json_integer(v));
	return 0;
}

int ckpt_item_oom_restore(struct ckpt_item_restore *r)
{
	static const char path[] = "/proc/self/oom_score_adj";
	unsigned fd, w, c;
	char text[16];
	int64_t v;
	long have;
	int e = ckpt_json_int(r->obj, "oom_score_adj", -OOM_MAX, OOM_MAX, &v, r->err);

	if (e == 0)
		e = om_err_sys(r->err, number_read(r->p->pid, "oom_score_adj", 10, &have), "oom_score_adj of process %d", r->p->vpid);
	if (e < 0 || v == have)
		return e;
	snprintf(text, sizeof(text), "%d", (int)v);
	fd = ckpt_must(r->b, path, SYS_open, ckpt_batch_in(r->b, path, sizeof(path)), O_WRONLY | O_CLOEXEC);
	w = ckpt_must(r->b, "an oom_score_adj lower than this user may have (CAP_SYS_RESOURCE)", SYS_write, 0, ckpt_batch_in(r->b, text, sizeof(text)),
		      strlen(text));
	ckpt_batch_feed(r->b, fd, w, 0);
	c = ckpt_must(r->b, path, SYS_close, 0);
	ckpt_batch_feed(r->b, fd, c, 0);
	return 0;
}
