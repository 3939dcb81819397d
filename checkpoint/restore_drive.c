/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/restore_drive.c - the tracer's side of a restore: wait for the empty shells, fill each, let all go at once. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "checkpoint/files.h"
#include "checkpoint/json.h"
#include "checkpoint/procfs.h"
#include "checkpoint/restore.h"
#include "checkpoint/sink.h"

enum {
	READY_MS = 150 * 1000,			/* above what init itself waits for its processes without a sign of progress */
	STOP_MS = 60 * 1000,			/* a stop signal is taken at once, when the machine lets it run */
};

/* The next message of init, or its end. */
static int hear(const struct ckpt_space *space, int ctl, struct ckpt_ctl *m, struct om_err *err)
{
	struct pollfd p[2] = { { .fd = ctl, .events = POLLIN }, { .fd = space->init_pidfd, .events = POLLIN } };
	int n = poll(p, 2, READY_MS);

	if (n <= 0)
		return om_err_set(err, -ETIMEDOUT, "the job's init does not answer");
	if (!(p[0].revents & POLLIN) || recv(ctl, m, sizeof(*m), 0) != (ssize_t)sizeof(*m))
		return om_err_set(err, -ECHILD, "the job's init has ended");
	if (m->kind != CKPT_CTL_FAILED)
		return 0;
	m->err.text[sizeof(m->err.text) - 1] = 0;
	return om_err_set(err, m->err.code < 0 ? m->err.code : -EIO, "%s", m->err.text);
}

static int wait_ready(struct ckpt_image *im, struct ckpt_cow *cow, const struct ckpt_space *space, int ctl, struct om_err *err)
{
	struct ckpt_ctl m;
	int r;

	while ((r = hear(space, ctl, &m, err)) == 0 && m.kind != CKPT_CTL_READY) {
		int *p;

		if (m.kind == CKPT_CTL_ZONE)
			cow->zone = (uint64_t)m.value << 21;
		if (m.kind != CKPT_CTL_SHM)
			continue;
		p = reallocarray(im->shm_fd, im->nshm + 1, sizeof(*p));

		if (!p)
			return om_err_set(err, -ENOMEM, "out of memory");
		im->shm_fd = p;
		p[im->nshm++] = (int)m.value;
	}
	return r;
}

static int tell(int ctl, enum ckpt_ctl_kind kind, struct om_err *err)
{
	const struct ckpt_ctl m = { .kind = kind };

	return om_err_sys(err, om_fd_write_all(ctl, &m, sizeof(m)), "the job's init");
}

/* From the end of its injection until it is let go a task dies with us, too. */
static int hold(struct ckpt_tree *tree, struct om_err *err)
{
	for (unsigned i = 0; i < tree->n; i++)
		for (unsigned k = 0; k < tree->procs[i].nthreads; k++)
			if (tree->procs[i].threads[k].stopped && ptrace(PTRACE_SETOPTIONS, tree->procs[i].threads[k].tid, 0, PTRACE_O_EXITKILL) < 0)
				return om_err_sys(err, -errno, "task %d", tree->procs[i].threads[k].vtid);
	return 0;
}

/* Is @sig going to stop @p?  SIGTSTP and the like may be blocked or handled. */
static bool will_stop(const struct ckpt_image_proc *ip, const struct ckpt_proc *p)
{
	om_autofree void *acts = NULL;
	const struct ckpt_sigaction *sa;
	int sig = ip->stop_signal;

	if (sig == SIGSTOP)
		return true;
	if (ckpt_json_bytes(ip->obj, "sigactions", 64 * sizeof(*sa), 64 * sizeof(*sa), &acts, NULL, NULL) < 0)
		return false;
	sa = acts;
	return sa[sig - 1].handler == (uintptr_t)SIG_DFL && !(p->threads[0].remote.sigmask >> (sig - 1) & 1);
}

static bool is_stopped(const struct ckpt_proc *p)
{
	struct ckpt_status st;

	return ckpt_status_read(p->pid, &st) == 0 && st.state == 'T';
}

/* A process that is ready is let go into its stop, while its parent still is a shell that takes no SIGCHLD of it. */
static int stop_again(const struct ckpt_image_proc *ip, struct ckpt_proc *p, struct om_err *err)
{
	uint64_t until = om_clock_mono_ns() + STOP_MS * 1000000ULL;
	int sig = will_stop(ip, p) ? ip->stop_signal : SIGSTOP;

	if (om_pidfd_signal(p->pidfd, sig) < 0)
		return om_err_set(err, -ESRCH, "process %d has ended while it was restored", ip->pid);
	for (unsigned k = 0; k < p->nthreads; k++) {
		if (ptrace(PTRACE_DETACH, p->threads[k].tid, 0, 0) < 0)
			return om_err_sys(err, -errno, "task %d", p->threads[k].vtid);
		p->threads[k].stopped = false;
	}
	while (!is_stopped(p)) {
		if (om_clock_mono_ns() > until)
			return om_err_set(err, -ETIMEDOUT, "process %d does not stop again", ip->pid);
		usleep(100);
	}
	return 0;
}

static int proc_fill(const struct ckpt_image *im, const struct ckpt_cow *cow, const struct ckpt_image_proc *ip,
		     struct ckpt_tree *tree, struct ckpt_stats *stats, struct om_err *err)
{
	struct ckpt_proc *p = ckpt_tree_find(tree, ip->pid);
	int r;

	if (!p || p->zombie != ip->zombie)
		return om_err_set(err, -ECHILD, "process %d has ended while it was restored", ip->pid);
	r = ip->zombie ? 0 : ckpt_rebuild(im, cow, ip, p, stats, err);
	if (r == 0 && ip->stopped)
		r = stop_again(ip, p, err);
	stats->processes++;
	stats->threads += p->nthreads;
	return r < 0 ? om_err_wrap(err, r, "restore process %d", ip->pid) : 0;
}

/* Stopped ones first, children before their parents: see stop_again(). */
static int tree_fill(const struct ckpt_image *im, const struct ckpt_cow *cow, struct ckpt_tree *tree, struct ckpt_stats *stats, struct om_err *err)
{
	int r = 0;

	for (unsigned i = im->n; i-- > 0 && r == 0;)
		if (im->proc[i].stopped)
			r = proc_fill(im, cow, &im->proc[i], tree, stats, err);
	for (unsigned i = 0; i < im->n && r == 0; i++)
		if (!im->proc[i].stopped)
			r = proc_fill(im, cow, &im->proc[i], tree, stats, err);
	return r == 0 ? hold(tree, err) : r;
}

/* Shells that were given up must not run a single instruction of what they have half become: no detaching, they die and are reaped here. */
static void tree_end(struct ckpt_tree *tree)
{
	int st;

	for (unsigned i = 0; i < tree->n; i++)
		(void)om_pidfd_signal(tree->procs[i].pidfd, SIGKILL);	/* init's end may have been faster */
	for (unsigned i = 0; i < tree->n; i++) {
		struct ckpt_proc *p = &tree->procs[i];

		for (unsigned k = p->nthreads; k-- > 0;) {
			while (p->threads[k].stopped && waitpid(p->threads[k].tid, &st, __WALL) > 0 && WIFSTOPPED(st))
				;
			p->threads[k].stopped = false;
		}
	}
}

int ckpt_restore_drive(const struct ckpt_source *src, const struct ckpt_space *space, int ctl, bool trial,
		       int (*before_go)(void *arg, struct om_err *err), void *arg, struct ckpt_stats *stats, struct om_err *err)
{
	struct ckpt_tree tree = { 0 };
	struct ckpt_why why = { 0 };
	struct ckpt_image im = { 0 };
	struct ckpt_cow cow = { 0 };
	uint64_t start = om_clock_mono_ns();
	int r = om_err_sys(err, om_fault(OM_FI_REST_READ), "read the image");

	*stats = (struct ckpt_stats){ 0 };
	if (r == 0)
		r = ckpt_image_load(src, &im, err);
	if (r == 0)
		r = ckpt_cow_plan(&im, &cow, err);
	if (r == 0 && !trial)
		r = ckpt_files_put_back(json_object_get(im.meta, "files"), src, err);
	if (r == 0)
		r = tell(ctl, CKPT_CTL_START, err);
	if (r == 0)
		r = wait_ready(&im, &cow, space, ctl, err);
	if (r == 0)
		r = ckpt_tree_freeze(&tree, space->init, &why, err);
	if (r == 0)
		r = tree_fill(&im, &cow, &tree, stats, err);
	if (r == 0)
		r = tell(ctl, CKPT_CTL_FILLED, err);
	if (r == 0)
		r = wait_ready(&im, &cow, space, ctl, err);
	if (r == 0 && !trial && before_go)
		r = before_go(arg, err);
	if (r == 0)
		r = om_err_sys(err, om_fault(OM_FI_REST_RESUME), "let the job go");
	if (r < 0 || trial) {
		(void)om_pidfd_signal(space->init_pidfd, SIGKILL);	/* and so the whole space */
		tree_end(&tree);
	}
	ckpt_tree_thaw(&tree);
	if (r == 0 && !trial)
		r = tell(ctl, CKPT_CTL_GO, err);
	ckpt_tree_done(&tree);
	ckpt_cow_done(&cow);
	ckpt_image_done(&im);
	stats->wall_ns = om_clock_mono_ns() - start;
	return r;
}
