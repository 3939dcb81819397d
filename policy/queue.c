/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs in and out of the queue.  What belongs where: queue-parts.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/queue-parts.h"

void *pol_grow(void *old, size_t *room, size_t n, size_t size)
{
	size_t more = *room ? *room : 16;
	void *p;

	if (n <= *room)
		return old;
	while (more < n)
		more *= 2;
	if (more >= POL_NIL)
		return NULL;
	p = reallocarray(old, more, size);
	if (p)
		*room = more;
	return p;
}

/* ---- order ---- */

/* An array's rest comes behind the elements that were in it before. */
static uint32_t elem_order(const struct pol_job *j)
{
	return j->id.elem == OM_ELEM_NONE ? UINT32_MAX : (uint32_t)j->id.elem;
}

static bool job_before(const struct pol_job *a, const struct pol_job *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->order != b->order)
		return a->order < b->order;
	if (a->id.id != b->id.id)
		return a->id.id < b->id.id;
	return elem_order(a) < elem_order(b);
}

static struct pol_node *slot_node(void *ctx, uint32_t i)
{
	return &((struct pol_queue *)ctx)->slot[i].node;
}
static bool slot_before(const void *ctx, uint32_t a, uint32_t b)
{
	const struct pol_queue *q = ctx;

	return job_before(&q->slot[a].job, &q->slot[b].job);
}
static bool slot_begins_before(const void *ctx, uint32_t a, uint32_t b)
{
	const struct pol_queue *q = ctx;

	return q->slot[a].job.begin_ns < q->slot[b].job.begin_ns;
}
static struct pol_node *shape_node(void *ctx, uint32_t i)
{
	return &((struct pol_queue *)ctx)->shape[i].node;
}
static bool shape_before(const void *ctx, uint32_t a, uint32_t b)
{
	const struct pol_queue *q = ctx;

	return slot_before(ctx, q->shape[a].first, q->shape[b].first);
}

static const struct pol_heap_kind by_order = { slot_node, slot_before };
static const struct pol_heap_kind by_begin = { slot_node, slot_begins_before };
static const struct pol_heap_kind shapes_by_first = { shape_node, shape_before };

/* ---- shapes ---- */

static struct pol_map_key shape_key(uint32_t cpus, uint64_t memory, uint64_t limit_ns)
{
	return (struct pol_map_key){ cpus, memory, limit_ns };
}

static uint32_t shape_of(struct pol_queue *q, const struct pol_job *j)
{
	struct pol_map_key key = shape_key(j->cpus, j->memory, j->limit_ns);
	uint32_t i = pol_map_get(&q->shape_map, key);

	if (i != POL_NIL)
		return i;
	i = q->free_shape;
	if (i != POL_NIL)
		q->free_shape = q->shape[i].first;
	else
		i = (uint32_t)q->shape_n++;
	q->shape[i] = (struct shape){ .first = POL_NIL, .cpus = j->cpus, .memory = j->memory, .limit_ns = j->limit_ns };
	pol_map_put(&q->shape_map, key, i);
	return i;
}

void pol_shape_take_off(struct pol_queue *q, uint32_t i)
{
	pol_heap_remove(&shapes_by_first, q, &q->shapes, i);
}

void pol_shape_put_back(struct pol_queue *q, uint32_t i)
{
	pol_heap_insert(&shapes_by_first, q, &q->shapes, i);
}

/* The first job of shape @i may be another one after @change: its place among the shapes with it. */
static void shape_change(struct pol_queue *q, uint32_t i, uint32_t s, void (*change)(const struct pol_heap_kind *, void *, uint32_t *, uint32_t))
{
	struct shape *sh = &q->shape[i];

	if (sh->first != POL_NIL)
		pol_heap_remove(&shapes_by_first, q, &q->shapes, i);
	change(&by_order, q, &sh->first, s);
	if (sh->first != POL_NIL) {
		pol_heap_insert(&shapes_by_first, q, &q->shapes, i);
		return;
	}
	pol_map_remove(&q->shape_map, shape_key(sh->cpus, sh->memory, sh->limit_ns));
	sh->first = q->free_shape;
	q->free_shape = i;
}

/* ---- arrays with a cap ---- */

static uint32_t array_use(struct pol_queue *q, const struct pol_job *j)
{
	struct pol_map_key key = { j->id.id, 0, 0 };
	uint32_t i;

	if (!j->cap)
		return POL_NIL;
	i = pol_map_get(&q->array_map, key);
	if (i == POL_NIL) {
		i = q->free_array;
		if (i != POL_NIL)
			q->free_array = q->array[i].capped;
		else
			i = (uint32_t)q->array_n++;
		q->array[i] = (struct array){ .id = j->id.id, .capped = POL_NIL };
		pol_map_put(&q->array_map, key, i);
	}
	q->array[i].users++;
	return i;
}

static void array_drop(struct pol_queue *q, uint32_t i)
{
	if (i == POL_NIL || --q->array[i].users)
		return;
	pol_map_remove(&q->array_map, (struct pol_map_key){ q->array[i].id, 0, 0 });
	q->array[i].capped = q->free_array;
	q->free_array = i;
}

bool pol_slot_capped(const struct pol_queue *q, const struct slot *s)
{
	return s->array != POL_NIL && q->array[s->array].running >= s->job.cap;
}

/* One of those that the cap stopped may compete again: the first.  Called whenever an element stops running, and when one that competes goes away. That keeps
 * enough of them, and the right ones, among the competitors. */
static void array_let_one(struct pol_queue *q, uint32_t i)
{
	uint32_t s;

	if (i == POL_NIL || q->array[i].capped == POL_NIL)
		return;
	s = q->array[i].capped;
	pol_heap_remove(&by_order, q, &q->array[i].capped, s);
	q->slot[s].place = AT_NONE;
	pol_slot_place(q, s);
}

/* ---- places ---- */

bool pol_slot_too_large(const struct pol_queue *q, const struct slot *s)
{
	return s->job.cpus > q->machine.cpus || s->job.memory > q->machine.memory;
}

void pol_slot_place(struct pol_queue *q, uint32_t i)
{
	struct slot *s = &q->slot[i];

	if (s->job.held || s->deps || s->never || pol_slot_too_large(q, s))
		return;
	if (s->job.begin_ns > q->now_ns) {
		s->place = AT_BEGIN;
		pol_heap_insert(&by_begin, q, &q->begin, i);
	} else if (pol_slot_capped(q, s)) {
		s->place = AT_CAP;
		pol_heap_insert(&by_order, q, &q->array[s->array].capped, i);
	} else {
		s->place = AT_SHAPE;
		s->shape = shape_of(q, &s->job);
		shape_change(q, s->shape, i, pol_heap_insert);
	}
}

void pol_slot_take_off(struct pol_queue *q, uint32_t i)
{
	struct slot *s = &q->slot[i];
	enum place was = s->place;

	s->place = AT_NONE;
	if (was == AT_BEGIN) {
		pol_heap_remove(&by_begin, q, &q->begin, i);
	} else if (was == AT_CAP) {
		pol_heap_remove(&by_order, q, &q->array[s->array].capped, i);
	} else if (was == AT_SHAPE) {
		shape_change(q, s->shape, i, pol_heap_remove);
		if (!pol_slot_capped(q, s))
			array_let_one(q, s->array);
	}
}

static uint64_t elements(const struct pol_job *j)
{
	return j->left ? j->left : 1;
}

static void count(struct pol_queue *q, const struct pol_job *j, int sign)
{
	uint64_t *n = j->held ? &q->held : &q->waiting;

	*n += (uint64_t)sign * elements(j);
}

uint32_t pol_slot_find(const struct pol_queue *q, struct om_job_id id)
{
	return pol_map_get(&q->slot_map, pol_key(id));
}

void pol_slot_free(struct pol_queue *q, uint32_t i)
{
	struct slot *s = &q->slot[i];

	pol_slot_take_off(q, i);
	pol_dep_drop(q, i);
	count(q, &s->job, -1);
	array_drop(q, s->array);
	pol_map_remove(&q->slot_map, pol_key(s->job.id));
	q->slots--;
	s->used = false;
	s->edge = q->free_slot;
	q->free_slot = i;
}

/* ---- public: queue ---- */

int pol_queue_create(const struct pol_machine *machine, struct pol_queue **ret)
{
	struct pol_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->machine = *machine;
	q->free_slot = q->free_shape = q->free_array = q->free_edge = q->free_target = POL_NIL;
	q->shapes = q->begin = q->first_never = POL_NIL;
	*ret = q;
	return 0;
}

void pol_queue_destroy(struct pol_queue *q)
{
	if (!q)
		return;
	free(q->slot);
	free(q->shape);
	free(q->array);
	free(q->running);
	free(q->edge);
	free(q->target);
	free(q->by_end);
	pol_map_done(&q->slot_map);
	pol_map_done(&q->shape_map);
	pol_map_done(&q->array_map);
	pol_map_done(&q->running_map);
	pol_map_done(&q->target_map);
	free(q);
}

/* A shape has a job, an array a job or a running element: so these numbers bound them. */
static int reserve_slot(struct pol_queue *q)
{
	size_t n = q->slots + 1;
	int r = POL_RESERVE(q->slot, q->slot_room, n);

	if (r == 0)
		r = POL_RESERVE(q->shape, q->shape_room, n);
	if (r == 0)
		r = POL_RESERVE(q->array, q->array_room, n + q->running_n);
	if (r == 0)
		r = pol_map_reserve(&q->slot_map, n);
	if (r == 0)
		r = pol_map_reserve(&q->shape_map, n);
	return r == 0 ? pol_map_reserve(&q->array_map, n + q->running_n) : r;
}

int pol_queue_add(struct pol_queue *q, const struct pol_job *job, const struct pol_dep *deps, size_t ndeps)
{
	uint32_t i;
	int r;

	if (!job->cpus || (job->id.elem != OM_ELEM_NONE && job->left))
		return -EINVAL;
	if (pol_slot_find(q, job->id) != POL_NIL)
		return -EEXIST;
	r = reserve_slot(q);
	if (r == 0)
		r = pol_dep_reserve(q, ndeps);
	if (r < 0)
		return r;
	i = q->free_slot;
	if (i != POL_NIL)
		q->free_slot = q->slot[i].edge;
	else
		i = (uint32_t)q->slot_n++;
	q->slots++;
	q->slot[i] = (struct slot){ .job = *job, .shape = POL_NIL, .edge = POL_NIL, .next_never = POL_NIL, .used = true };
	if (!job->order)
		q->slot[i].job.order = job->id.id;
	q->slot[i].array = array_use(q, job);
	pol_map_put(&q->slot_map, pol_key(job->id), i);
	count(q, job, 1);
	for (size_t k = 0; k < ndeps; k++)
		pol_dep_add(q, i, &deps[k]);
	pol_slot_place(q, i);
	return 0;
}

int pol_queue_remove(struct pol_queue *q, struct om_job_id id)
{
	uint32_t i = pol_slot_find(q, id);

	if (i == POL_NIL)
		return -ENOENT;
	pol_slot_free(q, i);
	return 0;
}

int pol_queue_hold(struct pol_queue *q, struct om_job_id id, bool held)
{
	uint32_t i = pol_slot_find(q, id);

	if (i == POL_NIL)
		return -ENOENT;
	pol_slot_take_off(q, i);
	count(q, &q->slot[i].job, -1);
	q->slot[i].job.held = held;
	count(q, &q->slot[i].job, 1);
	pol_slot_place(q, i);
	return 0;
}

int pol_queue_set_priority(struct pol_queue *q, struct om_job_id id, int32_t priority)
{
	uint32_t i = pol_slot_find(q, id);

	if (i == POL_NIL)
		return -ENOENT;
	pol_slot_take_off(q, i);
	q->slot[i].job.priority = priority;
	pol_slot_place(q, i);
	return 0;
}

int pol_queue_set_left(struct pol_queue *q, struct om_job_id id, uint32_t left)
{
	uint32_t i = pol_slot_find(q, id);

	if (i == POL_NIL || !q->slot[i].job.left)
		return -ENOENT;
	if (!left) {
		pol_slot_free(q, i);
		return 0;
	}
	count(q, &q->slot[i].job, -1);
	q->slot[i].job.left = left;
	count(q, &q->slot[i].job, 1);
	return 0;
}

/* ---- public: running ---- */

static int reserve_running(struct pol_queue *q)
{
	size_t n = q->running_n + 1, room = q->running_room;
	int r = POL_RESERVE(q->by_end, room, n);

	if (r == 0)
		r = POL_RESERVE(q->running, q->running_room, n);
	if (r == 0)
		r = POL_RESERVE(q->array, q->array_room, n + q->slots);
	if (r == 0)
		r = pol_map_reserve(&q->array_map, n + q->slots);
	return r == 0 ? pol_map_reserve(&q->running_map, n) : r;
}

static void run(struct pol_queue *q, const struct pol_job *job, struct om_job_id id, uint64_t started_ns)
{
	struct running *r = &q->running[q->running_n];
	uint64_t end;

	*r = (struct running){ .id = id, .cpus = job->cpus, .memory = job->memory, .turn = q->turn++, .array = array_use(q, job) };
	/* more than there is (the machine has changed) is all there is: the sums stay far from their limits */
	if (r->memory > q->machine.memory)
		r->memory = q->machine.memory;
	r->end_ns = job->limit_ns && !__builtin_add_overflow(started_ns, job->limit_ns, &end) ? end : UINT64_MAX;
	if (r->array != POL_NIL)
		q->array[r->array].running++;
	q->cpus_used += r->cpus;
	q->memory_used += r->memory;
	pol_map_put(&q->running_map, pol_key(id), (uint32_t)q->running_n++);
}

int pol_queue_start(struct pol_queue *q, struct om_job_id id, int32_t elem, uint64_t now_ns)
{
	uint32_t i = pol_slot_find(q, id);
	struct om_job_id run_id = { id.id, elem };
	struct pol_job job;
	int r;

	if (i == POL_NIL)
		return -ENOENT;
	if (pol_map_get(&q->running_map, pol_key(run_id)) != POL_NIL)
		return -EEXIST;
	r = reserve_running(q);
	if (r < 0)
		return r;
	job = q->slot[i].job;
	run(q, &job, run_id, now_ns);
	if (job.left > 1) {
		q->waiting -= !job.held;
		q->held -= job.held;
		q->slot[i].job.left--;
	} else {
		pol_slot_free(q, i);
	}
	return 0;
}

int pol_queue_adopt(struct pol_queue *q, const struct pol_job *job, uint64_t started_ns)
{
	int r;

	if (!job->cpus)
		return -EINVAL;
	if (pol_map_get(&q->running_map, pol_key(job->id)) != POL_NIL)
		return -EEXIST;
	r = reserve_running(q);
	if (r == 0)
		run(q, job, job->id, started_ns);
	return r;
}

int pol_queue_stopped(struct pol_queue *q, struct om_job_id id)
{
	uint32_t i = pol_map_get(&q->running_map, pol_key(id));
	struct running gone;

	if (i == POL_NIL)
		return -ENOENT;
	gone = q->running[i];
	pol_map_remove(&q->running_map, pol_key(id));
	q->running[i] = q->running[--q->running_n];
	if (i < q->running_n)
		pol_map_put(&q->running_map, pol_key(q->running[i].id), i);
	q->cpus_used -= gone.cpus;
	q->memory_used -= gone.memory;
	if (gone.array != POL_NIL) {
		q->array[gone.array].running--;
		array_let_one(q, gone.array);
		array_drop(q, gone.array);
	}
	return 0;
}

/* ---- public: the machine ---- */

void pol_queue_set_draining(struct pol_queue *q, bool draining)
{
	q->draining = draining;
}

void pol_queue_set_machine(struct pol_queue *q, const struct pol_machine *machine)
{
	/* first: taking one off may place another one */
	q->machine = *machine;
	for (uint32_t i = 0; i < q->slot_n; i++)
		if (q->slot[i].used) {
			pol_slot_take_off(q, i);
			pol_slot_place(q, i);
		}
}

uint64_t pol_queue_wake_ns(const struct pol_queue *q)
{
	return q->begin == POL_NIL || q->draining ? UINT64_MAX : q->slot[q->begin].job.begin_ns;
}

void pol_queue_stats(const struct pol_queue *q, struct pol_queue_stats *ret)
{
	const struct pol_map *maps[] = { &q->slot_map, &q->shape_map, &q->array_map, &q->running_map, &q->target_map };

	*ret = (struct pol_queue_stats){ .waiting = q->waiting, .held = q->held, .running = q->running_n,
					 .cpus_used = (uint32_t)q->cpus_used, .memory_used = q->memory_used };
	ret->bytes = sizeof(*q) + q->slot_room * sizeof(*q->slot) + q->shape_room * sizeof(*q->shape) + q->array_room * sizeof(*q->array) +
		     q->running_room * 2 * sizeof(*q->running) + q->edge_room * sizeof(*q->edge) + q->target_room * sizeof(*q->target);
	for (size_t i = 0; i < OM_ARRAY_SIZE(maps); i++)
		ret->bytes += maps[i]->room * sizeof(struct pol_map_entry);
}
