/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/twin.c - see twin.h.
 *
 * A child with exit signal 0 is seen by nobody's wait() without __WALL, but as a zombie it would stay its parent's for ever.  So
 * the process makes a helper that shares its memory (cheap), the helper closes all its descriptors and forks the twin, is killed
 * and waited for by the process itself (injected), and the twin becomes the child of the job's init, which reaps what it does not know.
 * A job's own sub-reaper must not get it: that attribute is taken away meanwhile. */
#include "checkpoint/twin.h"

#include <errno.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "checkpoint/procfs.h"

static void end_and_reap(pid_t pid)
{
	int st;

	if (kill(pid, SIGKILL) == 0)
		while (waitpid(pid, &st, __WALL) == pid && !WIFEXITED(st) && !WIFSIGNALED(st))
			;
}

/* In the helper: no descriptors, then the twin. */
static int helper_run(struct ckpt_proc *p, struct ckpt_batch *b, pid_t helper, struct om_err *err)
{
	struct ckpt_remote r = p->threads[0].remote;
	int e;

	r.tid = helper;
	ckpt_batch_reset(b);
	(void)ckpt_must(b, "close_range", SYS_close_range, 0, UINT32_MAX, 0);
	(void)ckpt_must(b, "fork the memory copy", SYS_clone, 0);
	e = ckpt_batch_run(&r, b, err);
	p->twin = r.born;
	return e;
}

int ckpt_twin_create(struct ckpt_proc *p, struct ckpt_batch *b, struct om_err *err)
{
	struct ckpt_remote *r = &p->threads[0].remote;
	struct ckpt_status st;
	pid_t helper;
	int e = om_fault(OM_FI_DUMP_TWIN), e2;

	if (e < 0)
		return om_err_sys(err, e, "copy process %d", p->vpid);
	ckpt_batch_reset(b);
	(void)ckpt_must(b, "fork a helper", SYS_clone, CLONE_VM);
	e = ckpt_batch_run(r, b, err);
	helper = r->born;
	if (!helper)
		return e < 0 ? e : om_err_set(err, -ESRCH, "process %d: no helper was born", p->vpid);
	if (e == 0)
		e = om_err_sys(err, ckpt_status_read(helper, &st), "helper of process %d", p->vpid);
	if (e == 0)
		e = helper_run(p, b, helper, err);
	end_and_reap(helper);
	if (e < 0)
		return e;
	ckpt_batch_reset(b);
	(void)ckpt_must(b, "reap the helper", SYS_wait4, (uint64_t)st.vpid, 0, WNOHANG | __WALL, 0);
	e2 = ckpt_batch_run(r, b, err);
	if (e2 == 0 && !p->twin)
		e2 = om_err_set(err, -ESRCH, "process %d: no copy was born", p->vpid);
	return e2;
}

void ckpt_twin_destroy(struct ckpt_proc *p)
{
	if (p->twin)
		end_and_reap(p->twin);
	p->twin = 0;
}
