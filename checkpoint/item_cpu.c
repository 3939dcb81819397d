/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_cpu.c - registers, extended state (the whole xsave area) and the system call that was interrupted.
 *
 * A task stopped in a system call has orig_rax >= 0 and rax = -ERESTART...; loaded with both, the kernel restarts the call or
 * answers EINTR as it would have done.  Only -ERESTART_RESTARTBLOCK refers to something that is not in the image (the kernel's
 * restart block): continue.c has dealt with it. */
#include <elf.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"

enum {
	ERESTART_RESTARTBLOCK = 516,	/* the kernel's own */
	XSAVE_MIN = 512 + 64, XSAVE_MAX = 64 * 1024,
};

int ckpt_item_cpu_answer(struct ckpt_item_dump *d)
{
	struct user_regs_struct regs;
	om_autofree char *xs = malloc(XSAVE_MAX);
	struct iovec v = { xs, XSAVE_MAX };

	if (!xs)
		return -ENOMEM;
	regs = d->t->remote.regs;
	if (regs.cs != 0x33)
		return ckpt_refuse(d->why, d->p, "cpu", "it runs 32-bit code");
	if (ptrace(PTRACE_GETREGSET, d->t->tid, NT_X86_XSTATE, &v) < 0)
		return om_err_sys(d->err, -errno, "extended registers of task %d", d->t->tid);
	if ((int64_t)regs.orig_rax >= 0 && (int64_t)regs.rax == -ERESTART_RESTARTBLOCK)
		regs.rax = (uint64_t)-EINTR;
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
	if (regs->rip >= r->p->old_vdso && regs->rip < r->p->old_vdso_end && (int64_t)regs->orig_rax < 0)
		return om_err_set(r->err, -EOPNOTSUPP, "task %d was inside the vdso, and this is another kernel: restore another checkpoint",
				  r->t->vtid);
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
