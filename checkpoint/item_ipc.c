/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_ipc.c - SEM_UNDO: what is added to semaphores when the process ends.
 *
 * The kernel tells whether a process has such adjustments at all (kcmp), not their values.  But an operation whose adjustment would leave
 * -32768..32767 fails with ERANGE, and one semop() of several operations does all or nothing.  So in the process itself, while everything
 * stands still: bring the semaphore to an end of its range, use SEM_UNDO to push the adjustment, last an operation that cannot be done now.
 * ERANGE or EAGAIN says on which side of a bound the adjustment is, and nothing has changed.  Two questions show that it is 0, fifteen more
 * which it is. */
#include <errno.h>
#include <linux/kcmp.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/dump.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/sysv.h"

enum {
	TOP = CKPT_SEM_VALUE_MAX,
	CHUNK = 512,				/* semaphores asked in one batch */
	UNDO_MAX = 1 << 20,			/* adjustments of one process */
	STEP = 16383,				/* from any value there is so much room up or down */
};

const json_t *ckpt_sysv_find(const json_t *ipc, const char *kind, int64_t id)
{
	const json_t *list = json_object_get(ipc, kind), *o;
	size_t i;

	json_array_foreach(list, i, o)
		if (json_integer_value(json_object_get(o, "id")) == id)
			return o;
	return NULL;
}

/* Queue the question: is the adjustment above @bound (0..) / below -@bound?  @v: the semaphore's value. */
static unsigned above(struct ckpt_batch *b, int id, unsigned num, int v, int bound)
{
	struct sembuf op[3];
	size_t n = 0;

	if (v < TOP)
		op[n++] = (struct sembuf){ (unsigned short)num, (short)(TOP - v), IPC_NOWAIT };
	op[n++] = (struct sembuf){ (unsigned short)num, (short)(bound - TOP), IPC_NOWAIT | SEM_UNDO };
	op[n++] = (struct sembuf){ (unsigned short)num, -TOP, IPC_NOWAIT };
	return ckpt_call(b, SYS_semop, (uint64_t)id, ckpt_batch_in(b, op, n * sizeof(*op)), n);
}

static unsigned below(struct ckpt_batch *b, int id, unsigned num, int v, int bound)
{
	int push = TOP + 1 - bound, first = push / 2;
	struct sembuf op[5];
	size_t n = 0;

	if (v)
		op[n++] = (struct sembuf){ (unsigned short)num, (short)-v, IPC_NOWAIT };
	if (first) {
		op[n++] = (struct sembuf){ (unsigned short)num, (short)first, IPC_NOWAIT | SEM_UNDO };
		op[n++] = (struct sembuf){ (unsigned short)num, (short)-first, IPC_NOWAIT };
	}
	op[n++] = (struct sembuf){ (unsigned short)num, (short)(push - first), IPC_NOWAIT | SEM_UNDO };
	op[n++] = (struct sembuf){ (unsigned short)num, -TOP, IPC_NOWAIT };
	return ckpt_call(b, SYS_semop, (uint64_t)id, ckpt_batch_in(b, op, n * sizeof(*op)), n);
}

struct search {
	struct ckpt_dump *dump;
	struct ckpt_proc *p;
	json_t *list;
};

/* 1: yes, 0: no (also: the process may not use this semaphore, so it has adjusted nothing). */
static int answer(const struct search *s, unsigned call)
{
	int64_t ret = s->dump->batch.call[call].ret;

	if (ret == -ERANGE)
		return 1;
	if (ret == -EAGAIN || ret == -EACCES)
		return 0;
	return om_err_set(s->dump->err, ret < 0 ? (int)ret : -EBADMSG, "process %d: adjustments of semaphores", s->p->vpid);
}

/* The adjustment is not 0 and has sign @up. */
static int find_out(const struct search *s, int id, unsigned num, int v, bool up)
{
	struct ckpt_batch *b = &s->dump->batch;
	int lo = 1, hi = up ? TOP : TOP + 1;	/* its size is within these */
	json_t *o;

	while (lo < hi) {
		int mid = (lo + hi) / 2, r;
		unsigned c;

		ckpt_batch_reset(b);
		c = up ? above(b, id, num, v, mid) : below(b, id, num, v, mid);
		r = ckpt_batch_run(&s->p->threads[0].remote, b, s->dump->err);
		r = r == 0 ? answer(s, c) : r;
		if (r < 0)
			return r;
		if (r)
			lo = mid + 1;
		else
			hi = mid;
	}
	o = json_pack("{si si si si}", "id", id, "num", (int)num, "value", v, "add", up ? lo : -lo);
	return json_array_append_new(s->list, o) < 0 ? -ENOMEM : 0;
}

static int some_ask(const struct search *s, int id, const json_t *values, size_t from, size_t n)
{
	struct ckpt_batch *b = &s->dump->batch;
	int found[CHUNK], r;

	ckpt_batch_reset(b);
	for (size_t i = 0; i < n; i++) {
		int v = (int)json_integer_value(json_array_get(values, from + i));

		(void)above(b, id, (unsigned)(from + i), v, 0);
		(void)below(b, id, (unsigned)(from + i), v, 0);
	}
	r = ckpt_batch_run(&s->p->threads[0].remote, b, s->dump->err);
	for (size_t i = 0; i < n && r == 0; i++) {
		int up = answer(s, (unsigned)(2 * i)), down = answer(s, (unsigned)(2 * i + 1));

		r = up < 0 ? up : down < 0 ? down : 0;
		found[i] = up > 0 ? 1 : down > 0 ? -1 : 0;
	}
	for (size_t i = 0; i < n && r == 0; i++)
		if (found[i])
			r = find_out(s, id, (unsigned)(from + i), (int)json_integer_value(json_array_get(values, from + i)), found[i] > 0);
	return r;
}

int ckpt_semundo_dump(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	const json_t *sets = json_object_get(dump->ipc, "sem"), *o;
	struct search s = { dump, p, NULL };
	size_t i;
	int r = 0;

	if (p->zombie || json_array_size(sets) == 0)
		return 0;
	for (unsigned k = 1; k < p->nthreads; k++)
		if (syscall(SYS_kcmp, p->threads[0].tid, p->threads[k].tid, KCMP_SYSVSEM, 0, 0) != 0)
			return ckpt_refuse(dump->why, p, "semaphores", "its threads have different adjustments (SEM_UNDO)");
	/* the same as ours: none, for we have none */
	if (syscall(SYS_kcmp, p->pid, getpid(), KCMP_SYSVSEM, 0, 0) == 0)
		return 0;
	s.list = json_array();
	dump->batch.base = p->threads[0].remote.base;
	json_array_foreach(sets, i, o) {
		const json_t *values = json_object_get(o, "values");
		size_t n = json_array_size(values);

		for (size_t at = 0; at < n && r == 0; at += CHUNK)
			r = some_ask(&s, (int)json_integer_value(json_object_get(o, "id")), values, at, n - at < CHUNK ? n - at : CHUNK);
	}
	if (r == 0 && json_array_size(s.list))
		json_object_set(p->desc, "semundo", s.list);
	json_decref(s.list);
	return r;
}

/* ---- restore ---- */

/* Operations that leave the semaphore as it is, but with an adjustment. */
static void step(struct ckpt_batch *b, int64_t id, int64_t num, int64_t v, int add)
{
	const struct sembuf undo = { (unsigned short)num, (short)-add, IPC_NOWAIT | SEM_UNDO }, back = { (unsigned short)num, (short)add, IPC_NOWAIT };
	bool first = v - add >= 0 && v - add <= TOP;
	const struct sembuf op[2] = { first ? undo : back, first ? back : undo };

	(void)ckpt_must(b, "adjustment of a semaphore (SEM_UNDO)", SYS_semop, (uint64_t)id, ckpt_batch_in(b, op, sizeof(op)), 2);
}

int ckpt_item_semundo_restore(struct ckpt_item_restore *r)
{
	const json_t *list = json_object_get(r->obj, "semundo"), *o;
	size_t i;
	int e = list ? ckpt_json_list(r->obj, "semundo", UNDO_MAX, &list, r->err) : 0;

	if (e < 0 || !list)
		return e;
	json_array_foreach(list, i, o) {
		int64_t id, num, v, add;

		e = ckpt_json_int(o, "id", 0, INT32_MAX, &id, r->err);
		if (e == 0)
			e = ckpt_json_int(o, "num", 0, UINT16_MAX, &num, r->err);
		if (e == 0)
			e = ckpt_json_int(o, "value", 0, TOP, &v, r->err);
		if (e == 0)
			e = ckpt_json_int(o, "add", -TOP - 1, TOP, &add, r->err);
		if (e == 0)
			e = ckpt_batch_flush(&r->t->remote, r->b, 256, 65536, r->err);
		if (e < 0)
			return e;
		while (add) {
			int now = add > STEP ? STEP : add < -STEP ? -STEP : (int)add;

			step(r->b, id, num, v, now);
			add -= now;
		}
	}
	return 0;
}
