/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/plan.c - see plan.h.
 *
 * A child is born into the session its maker is in at that moment: the one the maker itself was born into, or, after setsid(), the
 * maker's own.  A process in any other session was an orphan: its maker of then is gone and a reaper has got it.  It is made by the leader
 * of its session and orphaned again.  A leader that is gone is made as a ghost. */
#include "checkpoint/plan.h"

#include <errno.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/tree.h"

struct planner {
	const struct ckpt_image *im;
	struct ckpt_plan plan;
	pid_t *born;				/* per node: session it was born into */
	unsigned room;
	pid_t session;				/* of pid 1 */
	pid_t between;				/* last number given to a go-between */
};

void ckpt_plan_done(struct ckpt_plan *plan)
{
	free(plan->node);
	*plan = (struct ckpt_plan){ 0 };
}

static int find(const struct planner *pl, pid_t pid)
{
	for (unsigned i = 0; i < pl->plan.n; i++)
		if (pl->plan.node[i].pid == pid)
			return (int)i;
	return -1;
}

static int node_add(struct planner *pl, const struct ckpt_node *n, pid_t born)
{
	if (pl->plan.n == pl->room)
		return -1;
	pl->plan.node[pl->plan.n] = *n;
	pl->born[pl->plan.n] = born;
	return (int)pl->plan.n++;
}

static bool number_used(const struct planner *pl, pid_t pid)
{
	if (find(pl, pid) >= 0)
		return true;
	for (unsigned i = 0; i < pl->im->n; i++) {
		const struct ckpt_image_proc *p = &pl->im->proc[i];

		if (p->sid == pid || p->pgid == pid)
			return true;
		for (unsigned k = 1; k < p->nthreads; k++)
			if (json_integer_value(json_object_get(json_array_get(p->threads, k), "tid")) == pid)
				return true;
	}
	return false;
}

static pid_t number_free(struct planner *pl)
{
	do {
		pl->between++;
	} while (number_used(pl, pl->between));
	return pl->between;
}

/* The session @p must be born into; 0: any. */
static pid_t wanted(const struct planner *pl, const struct ckpt_image_proc *p)
{
	if (p->sid != p->pid)
		return p->sid;
	for (unsigned i = 0; i < pl->im->n; i++)
		if (pl->im->proc[i].ppid == p->pid && pl->im->proc[i].sid != p->pid && pl->im->proc[i].sid != pl->im->proc[i].pid)
			return pl->im->proc[i].sid;
	return 0;
}

static bool is_subreaper(const struct ckpt_image_proc *p)
{
	return json_integer_value(json_object_get(p->obj, "subreaper")) > 0;
}

/* @x was orphaned from session @sid; its parent is node @parent. */
static int orphan(struct planner *pl, struct ckpt_node *x, pid_t sid, int parent, struct om_err *err)
{
	int leader = find(pl, sid);
	struct ckpt_node *l;

	if (parent >= 0 && !is_subreaper(pl->plan.node[parent].p))
		return om_err_set(err, -EUCLEAN, "the image's description: process %d cannot have come into session %d", x->pid, sid);
	if (parent >= 0)
		pl->plan.node[parent].adopts = true;
	if (leader < 0) {
		const struct ckpt_node ghost = { .pid = sid, .sid = sid, .pgid = sid, .maker = parent, .ghost = true };

		leader = node_add(pl, &ghost, parent < 0 ? pl->session : pl->born[parent]);
		if (leader < 0)
			return om_err_set(err, -E2BIG, "the image's description: too many sessions without a leader");
	}
	l = &pl->plan.node[leader];
	if (l->sid != l->pid)
		return om_err_set(err, -EUCLEAN, "the image's description: process %d leads no session", sid);
	x->maker = leader;
	/* who ends anyway makes an orphan by that */
	x->when = l->ghost || l->p->zombie ? CKPT_AFTER_SETSID : CKPT_ORPHANED;
	x->between = x->when == CKPT_ORPHANED ? number_free(pl) : 0;
	return 0;
}

static int place(struct planner *pl, unsigned i, struct om_err *err)
{
	struct ckpt_node *x = &pl->plan.node[i];
	int parent = x->p->ppid == 1 ? -1 : find(pl, x->p->ppid);
	pid_t inherited = parent < 0 ? pl->session : pl->born[parent], want = wanted(pl, x->p);

	if (want == 1)				/* pid 1's own, as it was */
		want = pl->session;
	x->maker = parent;
	x->when = CKPT_BEFORE_SETSID;
	pl->born[i] = want ? want : inherited;
	if (!want || want == inherited)
		return 0;
	if (parent >= 0 && pl->plan.node[parent].sid == want && want == pl->plan.node[parent].pid) {
		x->when = CKPT_AFTER_SETSID;
		return 0;
	}
	return orphan(pl, x, want, parent, err);
}

/* Group leaders that are gone: a member makes a ghost. */
static int groups(struct planner *pl, struct om_err *err)
{
	for (unsigned i = 0; i < pl->im->n; i++) {
		struct ckpt_node *x = &pl->plan.node[i], g;

		if (x->pgid <= 1 || find(pl, x->pgid) >= 0)
			continue;
		g = (struct ckpt_node){ .pid = x->pgid, .sid = x->sid, .pgid = x->pgid, .maker = (int)i, .when = CKPT_AFTER_SETSID, .ghost = true };
		if (node_add(pl, &g, x->sid) < 0)
			return om_err_set(err, -E2BIG, "the image's description: too many groups without a leader");
	}
	return 0;
}

int ckpt_plan_make(const struct ckpt_image *im, pid_t session, struct ckpt_plan *ret, struct om_err *err)
{
	/* each process brings at most one ghost of a session and one of a group */
	struct planner pl = { .im = im, .room = 3 * im->n, .session = session, .between = 299 };
	int r = 0;

	pl.plan.node = calloc(pl.room, sizeof(*pl.plan.node));
	pl.born = calloc(pl.room, sizeof(*pl.born));
	if (!pl.plan.node || !pl.born)
		r = om_err_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < im->n && r == 0; i++) {
		const struct ckpt_image_proc *p = &im->proc[i];
		const struct ckpt_node n = { .pid = p->pid, .sid = p->sid, .pgid = p->pgid, .p = p };

		(void)node_add(&pl, &n, 0);	/* there is room */
	}
	for (unsigned i = 0; i < im->n && r == 0; i++)
		r = place(&pl, i, err);
	if (r == 0)
		r = groups(&pl, err);
	free(pl.born);
	if (r < 0) {
		ckpt_plan_done(&pl.plan);
		return r;
	}
	*ret = pl.plan;
	return 0;
}
