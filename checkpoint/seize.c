/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/seize.c - stop a whole tree.
 *
 * The tree is read from the children files again and again until a pass finds no task that is not stopped: a stopped task makes no
 * new one.  A parent in vfork() cannot be stopped while its child is: such a tree is let go until the parent stops, and tried again, for
 * FREEZE_MS in all.  A task that does not stop even then stays seized: it goes on as it is, and our end lets go of it. */
#include "checkpoint/tree.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "checkpoint/procfs.h"

enum {
	STOP_MS = 30,				/* one task may wait in the kernel so long before all are let go again */
	RUN_MS = 120 * 1000,			/* and one that runs: it may get little time on a busy machine */
	FREEZE_MS = 10 * 1000,			/* so long until the dump is given up */
};

int ckpt_refuse(struct ckpt_why *why, const struct ckpt_proc *p, const char *object, const char *fmt, ...)
{
	va_list ap;

	if (!why)
		return -EOPNOTSUPP;
	*why = (struct ckpt_why){ .pid = p ? p->vpid : 0 };
	snprintf(why->comm, sizeof(why->comm), "%s", p ? p->comm : "");
	snprintf(why->object, sizeof(why->object), "%s", object);
	va_start(ap, fmt);
	vsnprintf(why->reason, sizeof(why->reason), fmt, ap);
	va_end(ap);
	return -EOPNOTSUPP;
}

static void proc_done(struct ckpt_proc *p)
{
	om_fd_close(p->pidfd);
	for (unsigned i = 0; i < p->nthreads; i++)
		json_decref(p->threads[i].desc);
	free(p->threads);
	ckpt_maps_done(&p->maps);
	if (p->shot)
		ckpt_shot_done(p->shot);
	free(p->shot);
	json_decref(p->desc);
}

void ckpt_tree_done(struct ckpt_tree *tree)
{
	for (unsigned i = 0; i < tree->n; i++)
		proc_done(&tree->procs[i]);
	free(tree->procs);
	*tree = (struct ckpt_tree){ 0 };
}

struct ckpt_proc *ckpt_tree_find(const struct ckpt_tree *tree, pid_t vpid)
{
	for (unsigned i = 0; i < tree->n; i++)
		if (tree->procs[i].vpid == vpid)
			return &tree->procs[i];
	return NULL;
}

/* ---- the list ---- */

static struct ckpt_proc *proc_by_host(struct ckpt_tree *tree, pid_t pid)
{
	for (unsigned i = 0; i < tree->n; i++)
		if (tree->procs[i].pid == pid)
			return &tree->procs[i];
	return NULL;
}

static int proc_add(struct ckpt_tree *tree, pid_t pid, struct ckpt_proc **ret)
{
	struct ckpt_proc *p;

	if (tree->n == CKPT_PROCS_MAX)
		return -E2BIG;
	p = reallocarray(tree->procs, tree->n + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	tree->procs = p;
	p = &tree->procs[tree->n];
	*p = (struct ckpt_proc){ .pid = pid, .pidfd = om_pidfd_open(pid) };
	if (p->pidfd < 0)
		return p->pidfd == -EINVAL ? -ESRCH : p->pidfd;
	tree->n++;
	*ret = p;
	return 0;
}

static int thread_add(struct ckpt_proc *p, pid_t tid)
{
	struct ckpt_thread *t;

	for (unsigned i = 0; i < p->nthreads; i++)
		if (p->threads[i].tid == tid)
			return 0;
	if (p->nthreads == CKPT_THREADS_MAX)
		return -E2BIG;
	t = reallocarray(p->threads, p->nthreads + 1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	p->threads = t;
	t[p->nthreads++] = (struct ckpt_thread){ .tid = tid };
	return 0;
}

/* Refresh what /proc tells about @p and its threads. */
static int proc_look(struct ckpt_tree *tree, struct ckpt_proc *p)
{
	om_autofree pid_t *tids = NULL;
	struct ckpt_status st;
	uint64_t stat[CKPT_STAT_FIELDS];
	unsigned n = 0;
	int r = ckpt_status_read(p->pid, &st);

	if (r < 0)
		return r;
	p->vpid = st.vpid;
	p->vpgid = st.vpgid;
	p->vsid = st.vsid;
	snprintf(p->comm, sizeof(p->comm), "%s", st.comm);
	if (st.ppid == tree->init) {
		p->vppid = 1;
	} else {
		struct ckpt_proc *pp = proc_by_host(tree, st.ppid);

		p->vppid = pp ? pp->vpid : 1;
	}
	r = ckpt_tasks_read(p->pid, &tids, &n);
	if (r < 0)
		return r;
	p->zombie = (st.state == 'Z' || st.state == 'X') && n <= 1;
	if (p->zombie) {
		r = ckpt_stat_read(p->pid, stat);
		p->exit_code = (int)stat[52];
		p->nthreads = 0;
		return r;
	}
	for (unsigned i = 0; i < n && r == 0; i++)
		r = thread_add(p, tids[i]);
	return r;
}

/* Add the children of every thread of @pid, and theirs. */
static int list_below(struct ckpt_tree *tree, pid_t pid)
{
	om_autofree pid_t *tids = NULL;
	unsigned n = 0;
	int r = ckpt_tasks_read(pid, &tids, &n);

	if (r == -ESRCH)
		return 0;
	for (unsigned i = 0; i < n && r == 0; i++) {
		om_autofree pid_t *kids = NULL;
		unsigned nk = 0;

		r = ckpt_children_read(pid, tids[i], &kids, &nk);
		if (r == -ENOENT || r == -ESRCH)
			r = 0;
		for (unsigned k = 0; k < nk && r == 0; k++) {
			struct ckpt_proc *p = proc_by_host(tree, kids[k]);

			if (!p)
				r = proc_add(tree, kids[k], &p);
			if (r == 0)
				r = proc_look(tree, p);
			if (r == 0)
				r = list_below(tree, kids[k]);
			if (r == -ESRCH)
				r = 0;
		}
	}
	return r;
}

static void drop_ended(struct ckpt_tree *tree)
{
	unsigned w = 0;

	for (unsigned i = 0; i < tree->n; i++) {
		struct ckpt_proc *p = &tree->procs[i];

		/* waited for meanwhile, or never seen whole */
		if (!p->vpid || (!p->zombie && p->nthreads == 0))
			proc_done(p);
		else if (kill(p->pid, 0) < 0 && errno == ESRCH)
			proc_done(p);
		else
			tree->procs[w++] = *p;
	}
	tree->n = w;
	tree->nthreads = 0;
	for (unsigned i = 0; i < w; i++)
		tree->nthreads += tree->procs[i].nthreads;
}

int ckpt_tree_list(struct ckpt_tree *tree, pid_t init, struct om_err *err)
{
	int r;

	tree->init = init;
	r = list_below(tree, init);
	if (r < 0)
		return om_err_sys(err, r, "list the job's processes");
	drop_ended(tree);
	return 0;
}

/* ---- stopping ---- */

static int thread_seize(struct ckpt_proc *p, struct ckpt_thread *t, struct ckpt_why *why, struct om_err *err)
{
	struct ckpt_status st;

	if (ptrace(PTRACE_SEIZE, t->tid, 0, PTRACE_O_TRACESYSGOOD) == 0) {
		(void)ptrace(PTRACE_INTERRUPT, t->tid, 0, 0);	/* fails when it has ended: wait tells */
		t->stopped = true;
		return 0;
	}
	if (errno == ESRCH || ckpt_status_read(t->tid, &st) < 0 || st.state == 'Z' || st.state == 'X')
		return -ESRCH;
	if (st.tracer == getpid()) {		/* left seized by an attempt before */
		(void)ptrace(PTRACE_INTERRUPT, t->tid, 0, 0);
		t->stopped = true;
		return 0;
	}
	if (st.tracer)
		return ckpt_refuse(why, p, "trace", "it is traced by another process (a debugger, strace); end that one");
	return om_err_sys(err, -EPERM, "seize process %d (%s)", p->vpid, p->comm);
}

/* 0 stopped, -ESRCH ended, -EAGAIN it does not stop now. */
static int thread_wait(struct ckpt_proc *p, struct ckpt_thread *t)
{
	uint64_t now = om_clock_mono_ns(), until = now + STOP_MS * 1000000ULL, last = now + RUN_MS * 1000000ULL;
	struct ckpt_status status;
	unsigned spins = 0;

	for (;;) {
		int st;
		pid_t r = waitpid(t->tid, &st, __WALL | WNOHANG);

		if (r < 0 || (r > 0 && !WIFSTOPPED(st))) {
			t->stopped = false;
			return -ESRCH;
		}
		if (r > 0 && st >> 16 == PTRACE_EVENT_STOP) {
			if (WSTOPSIG(st) != SIGTRAP) {
				p->job_stop = true;
				p->stop_signal = WSTOPSIG(st);
			}
			return 0;
		}
		if (r > 0) {		/* a signal on its way: let it be taken, the stop comes behind it */
			if (ptrace(PTRACE_CONT, t->tid, 0, WSTOPSIG(st)) < 0)
				return -ESRCH;
			continue;
		}
		now = om_clock_mono_ns();
		if (now > until && (now > last || ckpt_status_read(t->tid, &status) < 0 || status.state == 'D'))
			return -EAGAIN;
		if (++spins < 200)
			sched_yield();
		else
			usleep(50);
	}
}

static void thread_drop(struct ckpt_proc *p, unsigned i)
{
	p->threads[i] = p->threads[--p->nthreads];
}

/* Seize what is not yet, wait for it.  How many were new in @ret_new. */
static int freeze_pass(struct ckpt_tree *tree, unsigned *ret_new, struct ckpt_why *why, struct om_err *err)
{
	int r, late = 0;

	*ret_new = 0;
	r = list_below(tree, tree->init);
	if (r < 0)
		return om_err_sys(err, r, "list the job's processes");
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < tree->n; i++) {
			struct ckpt_proc *p = &tree->procs[i];

			for (unsigned k = 0; k < p->nthreads; k++) {
				struct ckpt_thread *t = &p->threads[k];

				if (t->vtid)
					continue;
				r = round == 0 ? thread_seize(p, t, why, err) : thread_wait(p, t);
				if (r == -ESRCH) {
					thread_drop(p, k--);
				} else if (r == -EAGAIN) {
					late = r;
				} else if (r < 0) {
					return r;
				} else if (round == 1) {
					struct ckpt_status st;

					r = ckpt_status_read(t->tid, &st);
					if (r < 0)
						return om_err_sys(err, r, "task %d", t->tid);
					t->vtid = st.vpid;
					++*ret_new;
				}
			}
		}
	}
	return late;
}

/* Let go of a thread that never stopped.  It must stop for that; it does as soon as what it waits for runs. */
static bool thread_release(struct ckpt_thread *t, uint64_t until)
{
	pid_t r;
	int st;

	while ((r = waitpid(t->tid, &st, __WALL | WNOHANG)) == 0) {
		if (om_clock_mono_ns() > until)
			return false;
		usleep(500);
	}
	if (r > 0)
		(void)ptrace(PTRACE_DETACH, t->tid, 0, 0);	/* it may have been killed */
	t->stopped = false;
	return true;
}

/* The process that did not stop until then, or NULL. */
static const struct ckpt_proc *tree_release(struct ckpt_tree *tree, uint64_t until)
{
	const struct ckpt_proc *late = NULL;

	for (unsigned i = 0; i < tree->n; i++)
		for (unsigned k = 0; k < tree->procs[i].nthreads; k++)
			if (tree->procs[i].threads[k].stopped && !thread_release(&tree->procs[i].threads[k], until))
				late = &tree->procs[i];
	return late;
}

/* A call that answers EINTR to every stop is made again.  What continue.c has mended does not show EINTR any more. */
static void eintr_mend(struct ckpt_thread *t)
{
	struct user_regs_struct regs;
	struct iovec v = { &regs, sizeof(regs) };
	struct ckpt_status st;
	uint64_t mask;

	if (ptrace(PTRACE_GETREGSET, t->tid, NT_PRSTATUS, &v) < 0 || (int64_t)regs.orig_rax < 0 || (int64_t)regs.rax != -EINTR ||
	    regs.orig_rax == SYS_close || ptrace(PTRACE_GETSIGMASK, t->tid, 8, &mask) < 0 || ckpt_status_read(t->tid, &st) < 0 ||
	    ((st.sig_pnd | st.shd_pnd) & ~mask))
		return;
	regs.rax = regs.orig_rax;
	regs.rip -= 2;
	regs.orig_rax = (uint64_t)-1;
	(void)ptrace(PTRACE_SETREGSET, t->tid, NT_PRSTATUS, &v);	/* it may have been killed */
}

void ckpt_tree_thaw(struct ckpt_tree *tree)
{
	for (unsigned i = 0; i < tree->n; i++) {
		for (unsigned k = 0; k < tree->procs[i].nthreads; k++) {
			struct ckpt_thread *t = &tree->procs[i].threads[k];

			if (!t->stopped || !t->vtid)
				continue;
			eintr_mend(t);
			(void)ptrace(PTRACE_DETACH, t->tid, 0, 0);	/* it may have been killed */
			t->stopped = false;
			if (t->remote.stop_sig)
				(void)syscall(SYS_tgkill, tree->procs[i].pid, t->tid, t->remote.stop_sig);
		}
	}
}

/* After the last pass: what each process is, with all known; leaders first among their threads. */
static int tree_settle(struct ckpt_tree *tree, struct ckpt_why *why, struct om_err *err)
{
	drop_ended(tree);
	for (unsigned i = 0; i < tree->n; i++) {
		struct ckpt_proc *p = &tree->procs[i];
		int r = proc_look(tree, p);

		if (r < 0)
			return om_err_sys(err, r, "process %d", p->vpid);
		for (unsigned k = 1; k < p->nthreads; k++) {
			if (p->threads[k].tid == p->pid) {
				struct ckpt_thread t = p->threads[0];

				p->threads[0] = p->threads[k];
				p->threads[k] = t;
			}
		}
		if (!p->zombie && (p->nthreads == 0 || p->threads[0].tid != p->pid))
			return ckpt_refuse(why, p, "thread", "its first thread has ended while others run on");
	}
	return 0;
}

/* Who never stopped. */
static int late_refuse(const struct ckpt_tree *tree, const struct ckpt_proc *p, struct ckpt_why *why)
{
	const struct ckpt_proc *kid = ckpt_kin_vforked(tree, p);

	if (kid)
		return ckpt_refuse(why, p, "vfork", "it waits in vfork() for process %d (%s), which neither ended nor executed a program within %d s",
				   kid->vpid, kid->comm, FREEZE_MS / 1000);
	return ckpt_refuse(why, p, "wait", "it waits in the kernel and cannot be stopped for %d s (for a file server, a device?)", FREEZE_MS / 1000);
}

int ckpt_tree_freeze(struct ckpt_tree *tree, pid_t init, struct ckpt_why *why, struct om_err *err)
{
	uint64_t until = om_clock_mono_ns() + FREEZE_MS * 1000000ULL;
	const struct ckpt_proc *late;
	unsigned fresh = 1;
	int r;

	for (;;) {
		tree->init = init;
		do {
			r = freeze_pass(tree, &fresh, why, err);
		} while (r == 0 && fresh);
		if (r == 0)
			r = tree_settle(tree, why, err);
		if (r == 0)
			return 0;
		ckpt_tree_thaw(tree);
		/* not in time to stop, or to be let go */
		late = tree_release(tree, until);
		if (r == -EAGAIN && late)
			r = late_refuse(tree, late, why);
		ckpt_tree_done(tree);
		if (r != -EAGAIN)
			return r;
		if (om_clock_mono_ns() > until)
			return om_err_set(err, -ETIMEDOUT, "the job's processes cannot be stopped at the same time within %d s", FREEZE_MS / 1000);
		usleep(2000);
	}
}
