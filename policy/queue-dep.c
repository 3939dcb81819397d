/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who waits for whom: edges, in a list of the one who waits and in a list of the target. */
#include <errno.h>

#include "policy/queue-parts.h"

enum pol_fate pol_dep_judge(enum pol_dep_type type, enum om_job_state state)
{
	if (state == OM_JOB_NONE)
		return type == POL_DEP_AFTERANY ? POL_FATE_OK : POL_FATE_NEVER;
	if (!om_job_state_ended(state))
		return POL_FATE_WAIT;
	if (type == POL_DEP_AFTERANY)
		return POL_FATE_OK;
	return (state == OM_JOB_DONE) == (type == POL_DEP_AFTEROK) ? POL_FATE_OK : POL_FATE_NEVER;
}

int pol_dep_reserve(struct pol_queue *q, size_t n)
{
	int r;

	if (!n)
		return 0;
	/* free ones may be enough, but their number is not worth counting */
	r = POL_RESERVE(q->edge, q->edge_room, q->edge_n + n);
	if (r == 0)
		r = POL_RESERVE(q->target, q->target_room, q->target_n + n);
	return r == 0 ? pol_map_reserve(&q->target_map, q->target_map.n + n) : r;
}

static uint32_t target_of(struct pol_queue *q, struct om_job_id id)
{
	uint32_t t = pol_map_get(&q->target_map, pol_key(id));

	if (t != POL_NIL)
		return t;
	t = q->free_target;
	if (t != POL_NIL)
		q->free_target = q->target[t].first;
	else
		t = (uint32_t)q->target_n++;
	q->target[t] = (struct target){ .id = id, .first = POL_NIL };
	pol_map_put(&q->target_map, pol_key(id), t);
	return t;
}

void pol_dep_add(struct pol_queue *q, uint32_t s, const struct pol_dep *dep)
{
	uint32_t t = target_of(q, dep->target), e = q->free_edge;

	if (e != POL_NIL)
		q->free_edge = q->edge[e].next_of_slot;
	else
		e = (uint32_t)q->edge_n++;
	q->edge[e] = (struct edge){ .slot = s, .target = t, .type = dep->type, .next_of_slot = q->slot[s].edge,
				    .next = q->target[t].first, .prev = POL_NIL };
	if (q->target[t].first != POL_NIL)
		q->edge[q->target[t].first].prev = e;
	q->target[t].first = e;
	q->slot[s].edge = e;
	q->slot[s].deps++;
}

/* @e out of both lists. */
static void edge_free(struct pol_queue *q, uint32_t e)
{
	struct edge *d = &q->edge[e];
	struct target *t = &q->target[d->target];
	uint32_t *link = &q->slot[d->slot].edge;

	while (*link != e)
		link = &q->edge[*link].next_of_slot;
	*link = d->next_of_slot;
	q->slot[d->slot].deps--;
	if (d->prev == POL_NIL)
		t->first = d->next;
	else
		q->edge[d->prev].next = d->next;
	if (d->next != POL_NIL)
		q->edge[d->next].prev = d->prev;
	if (t->first == POL_NIL) {
		pol_map_remove(&q->target_map, pol_key(t->id));
		t->first = q->free_target;
		q->free_target = d->target;
	}
	d->next_of_slot = q->free_edge;
	q->free_edge = e;
}

void pol_dep_drop(struct pol_queue *q, uint32_t s)
{
	uint32_t *link = &q->first_never;

	while (q->slot[s].edge != POL_NIL)
		edge_free(q, q->slot[s].edge);
	if (!q->slot[s].never)
		return;
	while (*link != s)
		link = &q->slot[*link].next_never;
	*link = q->slot[s].next_never;
}

int pol_queue_target_ended(struct pol_queue *q, struct om_job_id target, enum om_job_state state)
{
	uint32_t t = pol_map_get(&q->target_map, pol_key(target)), e, next;

	if (!om_job_state_ended(state))
		return -EINVAL;
	for (e = t == POL_NIL ? POL_NIL : q->target[t].first; e != POL_NIL; e = next) {
		uint32_t s = q->edge[e].slot;
		enum pol_fate fate = pol_dep_judge(q->edge[e].type, state);

		next = q->edge[e].next;
		edge_free(q, e);
		if (fate == POL_FATE_NEVER && !q->slot[s].never) {
			q->slot[s].never = true;
			q->slot[s].never_target = target;
			q->slot[s].next_never = q->first_never;
			q->first_never = s;
		}
		if (!q->slot[s].deps)
			pol_slot_place(q, s);
	}
	return 0;
}

bool pol_queue_take_impossible(struct pol_queue *q, struct om_job_id *ret, struct om_job_id *ret_target)
{
	uint32_t s = q->first_never;

	if (s == POL_NIL)
		return false;
	*ret = q->slot[s].job.id;
	*ret_target = q->slot[s].never_target;
	pol_slot_free(q, s);
	return true;
}
