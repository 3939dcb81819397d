/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is next (the rule: queue.h), and why somebody is not. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/queue-parts.h"

struct room {
	int64_t cpus, memory;		/* below 0: more is used than there is */
};
struct reservation {			/* of the first job that does not fit */
	uint64_t at_ns;			/* UINT64_MAX: some day */
	struct room extra;		/* what it will leave over */
};

static bool fits(struct room room, uint32_t cpus, uint64_t memory)
{
	return (int64_t)cpus <= room.cpus && (room.memory >= 0 && memory <= (uint64_t)room.memory);
}

static struct room free_now(const struct pol_queue *q)
{
	return (struct room){ (int64_t)q->machine.cpus - (int64_t)q->cpus_used, (int64_t)(q->machine.memory - q->memory_used) };
}

static int by_end(const void *a, const void *b)
{
	const struct running *x = a, *y = b;

	if (x->end_ns != y->end_ns)
		return x->end_ns < y->end_ns ? -1 : 1;
	return (x->turn > y->turn) - (x->turn < y->turn);
}

/* The running ones end one after the other, until @sh fits.  It does at last: it is not larger than the machine. */
static struct reservation reserve(struct pol_queue *q, const struct shape *sh)
{
	struct room room = free_now(q);
	struct reservation res = { .at_ns = q->now_ns };

	memcpy(q->by_end, q->running, q->running_n * sizeof(*q->running));
	qsort(q->by_end, q->running_n, sizeof(*q->by_end), by_end);
	for (size_t i = 0; i < q->running_n && !fits(room, sh->cpus, sh->memory); i++) {
		room.cpus += q->by_end[i].cpus;
		room.memory += (int64_t)q->by_end[i].memory;
		/* one that is over its limit may end at any moment */
		if (q->by_end[i].end_ns > res.at_ns)
			res.at_ns = q->by_end[i].end_ns;
	}
	res.extra = (struct room){ room.cpus - (int64_t)sh->cpus, room.memory - (int64_t)sh->memory };
	return res;
}

static bool may_pass(const struct pol_queue *q, const struct shape *sh, const struct reservation *res)
{
	uint64_t end;

	if (sh->limit_ns && !__builtin_add_overflow(q->now_ns, sh->limit_ns, &end) && end <= res->at_ns)
		return true;
	return fits(res->extra, sh->cpus, sh->memory);
}

/* Those whose begin time has come, join the others. */
static void wake(struct pol_queue *q)
{
	while (q->begin != POL_NIL && q->slot[q->begin].job.begin_ns <= q->now_ns) {
		uint32_t s = q->begin;

		pol_slot_take_off(q, s);
		pol_slot_place(q, s);
	}
}

/* The first job that could compete; those that their array's cap stops are put aside when they come to the front. */
static uint32_t front(struct pol_queue *q)
{
	while (q->shapes != POL_NIL) {
		uint32_t s = q->shape[q->shapes].first;

		if (!pol_slot_capped(q, &q->slot[s]))
			return s;
		pol_slot_take_off(q, s);
		pol_slot_place(q, s);
	}
	return POL_NIL;
}

static uint32_t pick(struct pol_queue *q, uint32_t *aside, size_t *naside)
{
	struct room room = free_now(q);
	struct reservation res = { 0 };
	uint32_t s;

	for (*naside = 0; *naside < SHAPES_LOOKED_AT; ) {
		const struct shape *sh;

		s = front(q);
		if (s == POL_NIL)
			return POL_NIL;
		sh = &q->shape[q->slot[s].shape];
		if (fits(room, sh->cpus, sh->memory) && (!*naside || may_pass(q, sh, &res)))
			return s;
		if (!*naside)
			res = reserve(q, sh);
		aside[(*naside)++] = q->slot[s].shape;
		pol_shape_take_off(q, q->slot[s].shape);
	}
	return POL_NIL;
}

bool pol_queue_next(struct pol_queue *q, uint64_t now_ns, struct om_job_id *ret)
{
	uint32_t aside[SHAPES_LOOKED_AT], s;
	size_t n;

	q->now_ns = now_ns;		/* may go back: those who are awake stay so */
	wake(q);
	if (q->draining || q->cpus_used >= q->machine.cpus)
		return false;
	s = pick(q, aside, &n);
	while (n)
		pol_shape_put_back(q, aside[--n]);
	if (s == POL_NIL)
		return false;
	*ret = q->slot[s].job.id;
	return true;
}

int pol_queue_reason(const struct pol_queue *q, struct om_job_id id, uint64_t now_ns, char *dst, size_t n)
{
	uint32_t i = pol_slot_find(q, id);
	const struct slot *s;
	char text[OM_JOB_ID_TEXT];

	if (i == POL_NIL)
		return -ENOENT;
	s = &q->slot[i];
	if (s->job.held)
		snprintf(dst, n, "held");
	else if (s->never)
		snprintf(dst, n, "dependency %s cannot be satisfied", om_job_id_text(s->never_target, text, sizeof(text)));
	else if (s->deps)
		snprintf(dst, n, "dependency %s", om_job_id_text(q->target[q->edge[s->edge].target].id, text, sizeof(text)));
	else if (s->job.cpus > q->machine.cpus)
		snprintf(dst, n, "needs %" PRIu32 " processors, the node has %" PRIu32, s->job.cpus, q->machine.cpus);
	else if (s->job.memory > q->machine.memory)
		snprintf(dst, n, "needs %" PRIu64 " MiB of memory, the node has %" PRIu64, (s->job.memory + (1 << 20) - 1) >> 20, q->machine.memory >> 20);
	else if (q->draining)
		snprintf(dst, n, "draining");
	else if (s->job.begin_ns > now_ns)
		snprintf(dst, n, "begin time");
	else if (pol_slot_capped(q, s))
		snprintf(dst, n, "array cap");
	else if (q->shapes != POL_NIL && q->shape[q->shapes].first == i)
		snprintf(dst, n, "resources");
	else
		snprintf(dst, n, "priority");
	return 0;
}
