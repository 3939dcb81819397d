/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/restore_init.c - in pid 1 of the new space: fork the tree with the pids of the image.
 *
 * Each process makes its children, then all meet at barriers (a shared page): tree and sessions exist; group leaders lead; groups are joined;
 * descriptors are arranged.  Then they wait to be filled by the tracer.  Errors of any of them are put into the page, the first one wins. */
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "checkpoint/files.h"
#include "checkpoint/plan.h"
#include "checkpoint/restore.h"
#include "checkpoint/sysv.h"

enum {
	RESTORE_S = 120,			/* all processes must have come to the next barrier, or have loaded something, by then */
	SIGN_S = 10,				/* so often the driver is told that something was loaded */
};

enum phase { PHASE_CREATED, PHASE_LEADERS, PHASE_GROUPS, PHASE_ARRANGED, PHASES };

struct meeting {				/* shared by all */
	_Atomic uint32_t open;			/* barriers that are open */
	_Atomic uint32_t arrived[PHASES];
	_Atomic uint32_t progress;		/* blocks of memory that were loaded */
	_Atomic uint32_t failed;
	struct om_err err;
};
struct birth {
	const struct ckpt_image *im;
	const struct ckpt_plan *plan;
	struct ckpt_opened *files;
	const struct ckpt_cow *cow;
	struct meeting *meet;
};

static void fail(struct meeting *m, const struct om_err *err, int code, pid_t pid) __attribute__((noreturn));
static void fail(struct meeting *m, const struct om_err *err, int code, pid_t pid)
{
	uint32_t no = 0;

	if (atomic_compare_exchange_strong(&m->failed, &no, 1)) {
		(void)om_err_set(&m->err, code, "process %d: %s", pid, om_err_text(err, code));
		atomic_store(&m->failed, 2);
	}
	_exit(127);
}

static void arrive(struct meeting *m, enum phase ph)
{
	atomic_fetch_add(&m->arrived[ph], 1);
	while (atomic_load(&m->open) <= (uint32_t)ph) {
		uint32_t v = atomic_load(&m->open);

		if (v <= (uint32_t)ph)
			(void)syscall(SYS_futex, &m->open, FUTEX_WAIT, v, NULL, NULL, 0);	/* woken for any reason: looked at again */
	}
}

static pid_t fork_as(pid_t pid, int exit_signal)
{
	struct clone_args ca = { .exit_signal = (uint64_t)exit_signal, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };

	return (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));
}

static void end_like(int code) __attribute__((noreturn));
static void end_like(int code)
{
	const struct rlimit none = { 0, 0 };
	int sig = code & 0x7f;

	if (sig) {
		(void)setrlimit(RLIMIT_CORE, &none);
		(void)signal(sig, SIG_DFL);
		(void)kill(getpid(), sig);	/* pid 1 is somebody else: it ends us */
	}
	_exit(code >> 8 & 0xff);
}

static void node_main(struct birth *b, unsigned i) __attribute__((noreturn));

/* A go-between forks node @i and ends: the node becomes its reaper's child. */
static int orphan_make(struct birth *b, unsigned i, struct om_err *err)
{
	const struct ckpt_node *x = &b->plan->node[i];
	pid_t pid = fork_as(x->between, SIGCHLD);
	int st;

	if (pid == 0) {
		pid = fork_as(x->pid, x->ghost ? SIGCHLD : x->p->exit_signal);
		if (pid == 0)
			node_main(b, i);
		_exit(pid < 0 ? errno & 0x7f : 0);
	}
	if (pid < 0 || waitpid(pid, &st, 0) != pid)
		return om_err_sys(err, -errno, "fork a go-between for process %d", x->pid);
	return st ? om_err_sys(err, -WEXITSTATUS(st), "fork a process with number %d", x->pid) : 0;
}

static int children_make(struct birth *b, int maker, bool leads, struct om_err *err)
{
	for (unsigned i = 0; i < b->plan->n; i++) {
		const struct ckpt_node *x = &b->plan->node[i];
		pid_t pid;
		int r;

		if (x->maker != maker || (x->when != CKPT_BEFORE_SETSID) != leads)
			continue;
		r = om_fault(OM_FI_REST_FORK);
		if (r < 0)
			return om_err_sys(err, r, "fork process %d", x->pid);
		if (x->when == CKPT_ORPHANED) {
			r = orphan_make(b, i, err);
			if (r < 0)
				return r;
			continue;
		}
		pid = fork_as(x->pid, x->ghost ? SIGCHLD : x->p->exit_signal);
		if (pid == 0)
			node_main(b, i);
		if (pid < 0)
			return om_err_sys(err, -errno, "fork a process with number %d", x->pid);
	}
	return 0;
}

static void ghosts_reap(const struct birth *b, int maker)
{
	for (unsigned i = 0; i < b->plan->n; i++)
		if (b->plan->node[i].ghost && b->plan->node[i].maker == maker)
			(void)waitpid(b->plan->node[i].pid, NULL, 0);	/* it is our child */
}

/* The process whose zone node @i has inherited. */
static int inherited_from(const struct birth *b, unsigned i)
{
	int m = b->plan->node[i].maker;

	while (m >= 0 && b->plan->node[m].ghost)
		m = b->plan->node[m].maker;
	return m;				/* the first nodes are the image's, in its order */
}

/* Memory, session, children: all that decides where in the tree it is. */
static int node_begin(struct birth *b, unsigned i, struct om_err *err)
{
	const struct ckpt_node *x = &b->plan->node[i];
	int r = x->ghost ? 0 : ckpt_cow_load(b->cow, b->im, i, inherited_from(b, i), &b->meet->progress, err);

	if (r < 0)
		return r;
	if (x->adopts && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return om_err_sys(err, -errno, "sub-reaper");
	r = children_make(b, (int)i, false, err);
	if (r == 0 && x->sid == x->pid && setsid() < 0)
		r = om_err_sys(err, -errno, "setsid");
	if (r == 0 && x->sid == x->pid && x->p && !x->p->zombie)
		r = ckpt_files_terminal(b->files, b->im->where[i], err);
	return r < 0 ? r : children_make(b, (int)i, true, err);
}

static void node_main(struct birth *b, unsigned i)
{
	const struct ckpt_node *x = &b->plan->node[i];
	struct om_err err = { 0 };
	int r = node_begin(b, i, &err);

	if (r < 0)
		fail(b->meet, &err, r, x->pid);
	arrive(b->meet, PHASE_CREATED);
	if (x->pgid == x->pid && x->sid != x->pid && setpgid(0, 0) < 0)
		fail(b->meet, NULL, -errno, x->pid);
	arrive(b->meet, PHASE_LEADERS);
	if (x->pgid && x->pgid != getpgid(0) && setpgid(0, x->pgid) < 0) {
		r = om_err_sys(&err, -errno, "join process group %d", x->pgid);
		fail(b->meet, &err, r, x->pid);
	}
	arrive(b->meet, PHASE_GROUPS);
	ghosts_reap(b, (int)i);
	if (x->ghost)
		_exit(0);
	if (x->p->zombie)
		end_like(x->p->exit_code);
	r = ckpt_files_arrange(b->files, b->im->where[i], NULL, 0, &err);
	if (r < 0)
		fail(b->meet, &err, r, x->pid);
	arrive(b->meet, PHASE_ARRANGED);
	for (;;)
		pause();			/* from here on the tracer has it */
}

/* ---- pid 1 ---- */

static int say(int ctl, enum ckpt_ctl_kind kind, const struct om_err *e)
{
	struct ckpt_ctl m = { .kind = kind };

	if (e)
		m.err = *e;
	return om_fd_write_all(ctl, &m, sizeof(m));
}

static int say_value(int ctl, enum ckpt_ctl_kind kind, uint32_t value)
{
	const struct ckpt_ctl m = { .kind = kind, .value = value };

	return om_fd_write_all(ctl, &m, sizeof(m));
}

/* Wait until @want processes are at barrier @ph, then open it. */
static int lead_phase(struct meeting *m, enum phase ph, uint32_t want, int ctl, struct om_err *err)
{
	uint64_t until = om_clock_mono_ns() + RESTORE_S * 1000000000ULL, sign = om_clock_mono_ns() + SIGN_S * 1000000000ULL;
	uint32_t progress = 0;

	while (atomic_load(&m->arrived[ph]) < want) {
		if (om_clock_mono_ns() > sign && atomic_load(&m->progress) != progress) {
			progress = atomic_load(&m->progress);
			sign = om_clock_mono_ns() + SIGN_S * 1000000000ULL;
			until = om_clock_mono_ns() + RESTORE_S * 1000000000ULL;
			(void)say(ctl, CKPT_CTL_BUSY, NULL);	/* a driver that is gone ends us anyway */
		}
		if (atomic_load(&m->failed) == 2) {
			*err = m->err;
			return err->code < 0 ? err->code : -EIO;
		}
		if (om_clock_mono_ns() > until)
			return om_err_set(err, -ETIMEDOUT, "%u of %u processes are there after %d s", m->arrived[ph], want, RESTORE_S);
		usleep(100);
	}
	atomic_store(&m->open, (uint32_t)ph + 1);
	(void)syscall(SYS_futex, &m->open, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	return 0;
}

static int tree_make(const struct ckpt_image *im, struct ckpt_opened *files, const struct ckpt_cow *cow, int ctl, struct om_err *err)
{
	struct ckpt_plan plan = { 0 };
	struct birth b = { im, &plan, files, cow, mmap(NULL, sizeof(*b.meet), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) };
	unsigned living = 0;
	int r;

	if (b.meet == MAP_FAILED)
		return om_err_sys(err, -errno, "shared memory");
	for (unsigned i = 0; i < im->n; i++)
		living += !im->proc[i].zombie;
	r = ckpt_plan_make(im, getsid(0), &plan, err);
	if (r == 0)
		r = children_make(&b, -1, false, err);
	for (enum phase ph = PHASE_CREATED; ph < PHASES && r == 0; ph++) {
		r = lead_phase(b.meet, ph, ph < PHASE_ARRANGED ? plan.n : living, ctl, err);
		if (r == 0 && ph == PHASE_GROUPS)
			ghosts_reap(&b, -1);
	}
	(void)munmap(b.meet, sizeof(*b.meet));
	ckpt_plan_done(&plan);
	return r;
}

static int memfd_give(void *arg, const json_t *file, int *ret_fd, struct om_err *err)
{
	return ckpt_shm_fd(arg, file, ret_fd, err);
}

/* Open everything, fork the tree, close what only the tree needs. */
static int all_make(struct ckpt_image *im, int ctl, struct om_err *err)
{
	struct ckpt_cow cow = { 0 };
	const struct ckpt_open_opts o = { memfd_give, im };
	struct ckpt_opened *files = NULL;
	int r = om_err_sys(err, om_fault(OM_FI_REST_FILES), "open files");

	if (r == 0)
		r = ckpt_shm_make(im, err);
	if (r == 0)
		r = ckpt_ipc_make(im, err);
	if (r == 0)
		r = ckpt_files_open_all(json_object_get(im->meta, "files"), im->processes, im->src, &o, &files, err);
	if (r == 0)
		r = ckpt_cow_plan(im, &cow, err);
	if (r == 0)
		r = ckpt_cow_reserve(&cow, err);
	if (r == 0)
		r = tree_make(im, files, &cow, ctl, err);
	if (files)
		ckpt_files_close(files);
	if (r == 0)
		r = say_value(ctl, CKPT_CTL_ZONE, (uint32_t)(cow.zone >> 21));
	if (cow.zone)
		(void)munmap((void *)cow.zone, cow.len);
	ckpt_cow_done(&cow);
	return r;
}

static int ctl_wait(int ctl, enum ckpt_ctl_kind kind, struct om_err *err)
{
	struct ckpt_ctl m;

	if (recv(ctl, &m, sizeof(m), 0) == (ssize_t)sizeof(m) && m.kind == kind)
		return 0;
	return om_err_set(err, -ECANCELED, "the restore was given up");
}

int ckpt_restore_in_init(const struct ckpt_source *src, int ctl, pid_t *ret_root, struct om_err *err)
{
	struct om_err own = { 0 };
	struct ckpt_image im;
	const struct sigaction quiet = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP };
	struct sigaction before;
	sigset_t none, old;
	int r;

	if (!err)
		err = &own;
	r = ckpt_image_load(src, &im, err);
	if (r < 0) {
		(void)say(ctl, CKPT_CTL_FAILED, err);	/* the driver also sees our end */
		return r;
	}
	/* shells begin with nothing blocked and SIGCHLD not ignored: zombies must stay; a child that is stopped again sends none */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, &old);
	(void)sigaction(SIGCHLD, &quiet, &before);	/* cannot fail */
	r = ctl_wait(ctl, CKPT_CTL_START, err);
	if (r == 0)
		r = all_make(&im, ctl, err);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	(void)sigaction(SIGCHLD, &before, NULL);	/* cannot fail */
	for (unsigned i = 0; i < im.nshm && r == 0; i++)
		r = say_value(ctl, CKPT_CTL_SHM, (uint32_t)im.shm_fd[i]);
	r = r == 0 ? say(ctl, CKPT_CTL_READY, NULL) : (say(ctl, CKPT_CTL_FAILED, err), r);
	if (r == 0)
		r = ctl_wait(ctl, CKPT_CTL_FILLED, err);
	ckpt_ipc_release(&im);
	if (r == 0)
		r = say(ctl, CKPT_CTL_READY, NULL);
	if (r == 0)
		r = ctl_wait(ctl, CKPT_CTL_GO, err);
	ckpt_shm_close(&im);
	*ret_root = 0;
	for (unsigned i = 0; i < im.n; i++)
		if (im.proc[i].ppid == 1 && im.proc[i].pid == 2)
			*ret_root = 2;
	ckpt_image_done(&im);
	return r;
}
