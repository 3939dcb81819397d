/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_cpu.c - registers, extended state (the whole xsave area) and the system call that was interrupted.
 *
 * A task stopped in a system call has orig_rax >= 0 and rax = -ERESTART...; loaded with both, the kernel restarts the call or
 * answers EINTR as it would have done.  Only -ERESTART_RESTARTBLOCK refers to something that is not in the image (the kernel's
 * restart block): those calls are issued again, with the time that is left. */
#include <elf.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/procfs.h"

enum {
	ERESTART_RESTARTBLOCK = 516,	/* the kernel's own */
	XSAVE_MIN = 512 + 64, XSAVE_MAX = 64 * 1024,
};

static void again(struct user_regs_struct *regs)
{
	regs->rax = regs->orig_rax;
	regs->rip -= 2;
	regs->orig_rax = (uint64_t)-1;
}

/* Is a signal waiting that will be taken as soon as the task goes on?  Then EINTR is its doing. */
static bool signal_waits(pid_t tid, uint64_t mask)
{
	struct ckpt_status st;

	return ckpt_status_read(tid, &st) < 0 || ((st.sig_pnd | st.shd_pnd) & ~mask);
}

/* nanosleep with an answer pointer: the kernel has written there what is left. */
static void sleep_left(struct user_regs_struct *regs)
{
	if (regs->orig_rax == SYS_nanosleep && regs->rsi)
		regs->rdi = regs->rsi;
	else if (regs->orig_rax == SYS_clock_nanosleep && regs->r10)
		regs->rdx = regs->r10;
}

static void interrupted(struct ckpt_thread *t)
{
	struct user_regs_struct *regs = &t->remote.regs;

	/* epoll_wait, semop, sigtimedwait... answer EINTR to every interruption, ours too; close() must not be repeated */
	if ((int64_t)regs->orig_rax >= 0 && (int64_t)regs->rax == -EINTR && regs->orig_rax != SYS_close &&
	    !signal_waits(t->tid, t->remote.sigmask))
		again(regs);
}

static void restart_block(const struct ckpt_thread *t, struct user_regs_struct *regs)
{
	if (signal_waits(t->tid, t->remote.sigmask)) {
		regs->rax = (uint64_t)-EINTR;	/* as the kernel does for a handler */
		return;
	}
	sleep_left(regs);			/* others: with their whole time again */
	again(regs);
}

int ckpt_item_cpu_answer(struct ckpt_item_dump *d)
{
	struct user_regs_struct regs;
	om_autofree char *xs = malloc(XSAVE_MAX);
	struct iovec v = { xs, XSAVE_MAX };

	if (!xs)
		return -ENOMEM;
	interrupted(d->t);
	regs = d->t->remote.regs;
	if (regs.cs != 0x33)
		return ckpt_refuse(d->why, d->p, "cpu", "it runs 32-bit code");
	if (ptrace(PTRACE_GETREGSET, d->t->tid, NT_X86_XSTATE, &v) < 0)
		return om_err_sys(d->err, -errno, "extended registers of task %d", d->t->tid);
	if ((int64_t)regs.orig_rax >= 0 && (int64_t)regs.rax == -ERESTART_RESTARTBLOCK)
		restart_block(d->t, &regs);
	json_object_set_new(d->obj, "regs", ckpt_json_from_bytes(&regs, sizeof(regs)));
	json_object_set_new(d->obj, "xstate", ckpt_json_from_bytes(xs, v.iov_len));
	return 0;
}

/* Hostile: the kernel refuses what would harm it (segments, canonical addresses, MXCSR, xsave header). */
int ckpt_item_cpu_finish(struct ckpt_item_restore *r)
{
	om_autofree struct user_regs_struct *regs = NULL;
	om_autofree void *xs = NULL;
	void *p;
	size_t n;
	struct iovec v;
	int e = ckpt_json_bytes(r->obj, "regs", sizeof(*regs), sizeof(*regs), &p, NULL, r->err);

	if (e < 0)
		return e;
	regs = p;
	e = ckpt_json_bytes(r->obj, "xstate", XSAVE_MIN, XSAVE_MAX, &xs, &n, r->err);
	if (e < 0)
		return e;
	v = (struct iovec){ xs, n };
	if (ptrace(PTRACE_SETREGSET, r->t->tid, NT_X86_XSTATE, &v) < 0)
		return om_err_sys(r->err, -errno, "extended registers (%zu bytes) of task %d: was the image made on another processor?",
				  n, r->t->vtid);
	v = (struct iovec){ regs, sizeof(*regs) };
	if (ptrace(PTRACE_SETREGSET, r->t->tid, NT_PRSTATUS, &v) < 0)
		return om_err_sys(r->err, -errno, "registers of task %d", r->t->vtid);
	r->t->remote.regs = *regs;
	return 0;
}
