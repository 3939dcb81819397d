/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy/queue-parts.h - the queue's data, for queue.c (jobs in and out), queue-pick.c (who is next) and queue-dep.c (dependencies).
 * Not for other rooms.
 *
 * Waiting jobs that could start are kept by shape (processors, memory, time limit): if the first job of a shape cannot start now, none of that shape can. So only
 * the first job of each shape is ever looked at, and a queue has few shapes.  Jobs that could not start whatever is free are elsewhere: held,
 * dependent, too large or impossible ones nowhere, those with a begin time in a heap of their own, those stopped by their array's cap in a heap of
 * the array.
 *
 * All room that a job may ever need in here is made when it is added: nothing after that can fail. */
#ifndef OM_POLICY_QUEUE_PARTS_H
#define OM_POLICY_QUEUE_PARTS_H
#include "policy/heap.h"
#include "policy/map.h"
#include "policy/queue.h"

enum {
	SHAPES_LOOKED_AT = 1000		/* bounds the work of one decision; Slurm's bf_max_job_test is 500 jobs */
};

enum place { AT_NONE, AT_SHAPE, AT_BEGIN, AT_CAP };

struct slot {				/* a waiting job */
	struct pol_node node;		/* in the heap that `place` says */
	uint32_t shape, array;		/* POL_NIL: none */
	uint32_t deps;			/* edges left */
	uint32_t edge;			/* the first of them */
	uint32_t next_never;		/* list of impossible ones */
	enum place place;
	bool used, never;
	struct om_job_id never_target;
	struct pol_job job;
};
struct shape {
	struct pol_node node;		/* in the heap of shapes, while it has jobs */
	uint32_t first;			/* heap of its jobs; or next free shape */
	uint32_t cpus;
	uint64_t memory, limit_ns;
};
struct array {				/* one with a cap */
	uint64_t id;
	uint32_t running;		/* elements that run */
	uint32_t users;			/* slots and running ones that know it */
	uint32_t capped;		/* heap of jobs that its cap stops; or next free array */
};
struct running {
	struct om_job_id id;
	uint32_t cpus, array;
	uint64_t memory, end_ns;	/* UINT64_MAX: no time limit */
	uint64_t turn;			/* order of starting */
};
struct edge {				/* `slot` waits for `target` */
	uint32_t slot, target;
	uint32_t next_of_slot;		/* or next free edge */
	uint32_t next, prev;		/* of the target */
	enum pol_dep_type type;
};
struct target {
	struct om_job_id id;
	uint32_t first;			/* edge; or next free target */
};

struct pol_queue {
	struct pol_machine machine;
	uint64_t now_ns;		/* the newest that was told */
	bool draining;
	uint64_t waiting, held, turn, cpus_used, memory_used;

	struct slot *slot;
	struct shape *shape;
	struct array *array;
	struct running *running;
	struct edge *edge;
	struct target *target;
	size_t slot_n, shape_n, array_n, running_n, edge_n, target_n;	/* in use ever; running: now */
	size_t slot_room, shape_room, array_room, running_room, edge_room, target_room;
	size_t slots;			/* in use now */
	uint32_t free_slot, free_shape, free_array, free_edge, free_target;	/* lists */
	struct pol_map slot_map, shape_map, array_map, running_map, target_map;
	struct running *by_end;		/* room for a sorted copy of running */

	uint32_t shapes, begin;		/* heaps */
	uint32_t first_never;
};

/* queue.c */
/* Put @s where it belongs now, after it was taken off. */
void pol_slot_place(struct pol_queue *q, uint32_t s);
void pol_slot_take_off(struct pol_queue *q, uint32_t s);
void pol_slot_free(struct pol_queue *q, uint32_t s);
/* A shape with jobs out of the heap of shapes, while others are looked at. */
void pol_shape_take_off(struct pol_queue *q, uint32_t i);
void pol_shape_put_back(struct pol_queue *q, uint32_t i);
bool pol_slot_capped(const struct pol_queue *q, const struct slot *s);
bool pol_slot_too_large(const struct pol_queue *q, const struct slot *s);
uint32_t pol_slot_find(const struct pol_queue *q, struct om_job_id id);
/* @old with room for @n elements of @size, perhaps elsewhere; NULL: out of memory, @old as before. */
void *pol_grow(void *old, size_t *room, size_t n, size_t size);
/* The same for an array pointer: 0 or -ENOMEM. */
#define POL_RESERVE(p, room, n) \
	(__extension__({ void *grown_ = pol_grow((p), &(room), (n), sizeof(*(p))); if (grown_) (p) = grown_; grown_ ? 0 : -ENOMEM; }))
static inline struct pol_map_key pol_key(struct om_job_id id)
{
	return (struct pol_map_key){ id.id, (uint64_t)(uint32_t)id.elem, 0 };
}

/* queue-dep.c */
int pol_dep_reserve(struct pol_queue *q, size_t n);
void pol_dep_add(struct pol_queue *q, uint32_t s, const struct pol_dep *dep);
void pol_dep_drop(struct pol_queue *q, uint32_t s);	/* all of a slot, and from the list of impossible ones */
#endif
