/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/plan.h - who forks whom, and when, so that every process gets its number, parent, session and process group.
 * Promise: pure; what cannot be reached by fork, setsid, setpgid and exit is refused. */
#ifndef OM_CHECKPOINT_PLAN_H
#define OM_CHECKPOINT_PLAN_H
#include "checkpoint/image.h"

enum ckpt_when {
	CKPT_BEFORE_SETSID,			/* its maker forks it first of all */
	CKPT_AFTER_SETSID,			/* ... when it leads its session */
	CKPT_ORPHANED,				/* ... through a go-between that ends, so that it gets the maker's reaper as parent */
};
struct ckpt_node {
	pid_t pid, sid, pgid;
	int maker;				/* node, -1: pid 1 */
	enum ckpt_when when;
	pid_t between;				/* CKPT_ORPHANED: free number for the go-between */
	bool adopts;				/* must be a sub-reaper while the tree is made */
	bool ghost;				/* only lends its number to a session or group and ends */
	const struct ckpt_image_proc *p;	/* NULL for a ghost */
};
struct ckpt_plan {
	struct ckpt_node *node;			/* the first im->n are the image's, in its order */
	unsigned n;
};
/* @session: the one pid 1 itself is in, as it sees it. */
int ckpt_plan_make(const struct ckpt_image *im, pid_t session, struct ckpt_plan *ret, struct om_err *err);
void ckpt_plan_done(struct ckpt_plan *plan);
#endif
