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
#include "checkpoint/restore.h"

enum { RESTORE_S = 120 };			/* all processes must have come to the next barrier by then */

enum phase { PHASE_CREATED, PHASE_LEADERS, PHASE_GROUPS, PHASE_ARRANGED, PHASES };

struct meeting {				/* shared by all */
	_Atomic uint32_t open;			/* barriers that are open */
	_Atomic uint32_t arrived[PHASES];
	_Atomic uint32_t failed;
	struct om_err err;
};
struct birth {
	const struct ckpt_image *im;
	struct ckpt_opened *files;
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

static void proc_main(struct birth *b, const struct ckpt_image_proc *p) __attribute__((noreturn));

static int children_make(struct birth *b, pid_t parent, struct om_err *err)
{
	for (unsigned i = 0; i < b->im->n; i++) {
		const struct ckpt_image_proc *p = &b->im->proc[i];
		pid_t pid;
		int r;

		if (p->ppid != parent)
			continue;
		r = om_fault(OM_FI_REST_FORK);
		if (r < 0)
			return om_err_sys(err, r, "fork process %d", p->pid);
		pid = fork_as(p->pid, p->exit_signal);
		if (pid == 0)
			proc_main(b, p);
		if (pid < 0)
			return om_err_sys(err, -errno, "fork a process with number %d", p->pid);
	}
	return 0;
}

static void proc_main(struct birth *b, const struct ckpt_image_proc *p)
{
	size_t which = b->im->where[p - b->im->proc];
	struct om_err err = { 0 };
	int r = 0;

	if (p->sid == p->pid && setsid() < 0)
		r = om_err_sys(&err, -errno, "setsid");
	if (r == 0 && p->sid == p->pid && !p->zombie)
		r = ckpt_files_terminal(b->files, which, &err);
	if (r == 0)
		r = children_make(b, p->pid, &err);
	if (r < 0)
		fail(b->meet, &err, r, p->pid);
	arrive(b->meet, PHASE_CREATED);
	if (p->pgid == p->pid && p->sid != p->pid && setpgid(0, 0) < 0)
		fail(b->meet, NULL, -errno, p->pid);
	arrive(b->meet, PHASE_LEADERS);
	if (p->pgid && p->pgid != getpgid(0) && setpgid(0, p->pgid) < 0) {
		r = om_err_sys(&err, -errno, "join process group %d", p->pgid);
		fail(b->meet, &err, r, p->pid);
	}
	arrive(b->meet, PHASE_GROUPS);
	if (p->zombie)
		end_like(p->exit_code);
	r = ckpt_files_arrange(b->files, which, NULL, 0, &err);
	if (r < 0)
		fail(b->meet, &err, r, p->pid);
	arrive(b->meet, PHASE_ARRANGED);
	for (;;)
		pause();			/* from here on the tracer has it */
}

/* ---- pid 1 ---- */

/* Wait until @want processes are at barrier @ph, then open it. */
static int lead_phase(struct meeting *m, enum phase ph, uint32_t want, struct om_err *err)
{
	uint64_t until = om_clock_mono_ns() + RESTORE_S * 1000000000ULL;

	while (atomic_load(&m->arrived[ph]) < want) {
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

static int tree_make(const struct ckpt_image *im, struct ckpt_opened *files, struct om_err *err)
{
	struct birth b = { im, files, mmap(NULL, sizeof(*b.meet), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) };
	unsigned living = 0;
	int r;

	if (b.meet == MAP_FAILED)
		return om_err_sys(err, -errno, "shared memory");
	for (unsigned i = 0; i < im->n; i++)
		living += !im->proc[i].zombie;
	r = children_make(&b, 1, err);
	for (enum phase ph = PHASE_CREATED; ph < PHASES && r == 0; ph++)
		r = lead_phase(b.meet, ph, ph < PHASE_ARRANGED ? im->n : living, err);
	(void)munmap(b.meet, sizeof(*b.meet));
	return r;
}

static int memfd_give(void *arg, const json_t *file, int *ret_fd, struct om_err *err)
{
	return ckpt_shm_fd(arg, file, ret_fd, err);
}

/* Open everything, fork the tree, close what only the tree needs. */
static int all_make(struct ckpt_image *im, struct om_err *err)
{
	const struct ckpt_open_opts o = { memfd_give, im };
	struct ckpt_opened *files = NULL;
	int r = om_err_sys(err, om_fault(OM_FI_REST_FILES), "open files");

	if (r == 0)
		r = ckpt_shm_make(im, err);
	if (r == 0)
		r = ckpt_files_open_all(json_object_get(im->meta, "files"), im->processes, im->src, &o, &files, err);
	if (r == 0)
		r = tree_make(im, files, err);
	if (files)
		ckpt_files_close(files);
	return r;
}

static int ctl_wait(int ctl, enum ckpt_ctl_kind kind, struct om_err *err)
{
	struct ckpt_ctl m;

	if (recv(ctl, &m, sizeof(m), 0) == (ssize_t)sizeof(m) && m.kind == kind)
		return 0;
	return om_err_set(err, -ECANCELED, "the restore was given up");
}

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

int ckpt_restore_in_init(const struct ckpt_source *src, int ctl, pid_t *ret_root, struct om_err *err)
{
	struct om_err own = { 0 };
	struct ckpt_image im;
	sigset_t none, old;
	int r;

	if (!err)
		err = &own;
	r = ckpt_image_load(src, &im, err);
	if (r < 0) {
		(void)say(ctl, CKPT_CTL_FAILED, err);	/* the driver also sees our end */
		return r;
	}
	/* shells begin with nothing blocked and SIGCHLD not ignored: zombies must stay */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, &old);
	(void)signal(SIGCHLD, SIG_DFL);
	r = ctl_wait(ctl, CKPT_CTL_START, err);
	if (r == 0)
		r = all_make(&im, err);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	for (unsigned i = 0; i < im.nshm && r == 0; i++)
		r = say_value(ctl, CKPT_CTL_SHM, (uint32_t)im.shm_fd[i]);
	r = r == 0 ? say(ctl, CKPT_CTL_READY, NULL) : (say(ctl, CKPT_CTL_FAILED, err), r);
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
