/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_signal.c - actions, alternate stack, mask and pending signals with what came with them. */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"

enum { SIGNALS = 64, PENDING_MAX = 4096 };

/* ---- actions ---- */

int ckpt_item_sigaction_ask(struct ckpt_item_dump *d)
{
	d->slot[0] = ckpt_batch_out(d->b, SIGNALS * sizeof(struct ckpt_sigaction));
	for (unsigned i = 0; i < SIGNALS; i++)
		(void)ckpt_call(d->b, SYS_rt_sigaction, i + 1, 0, d->slot[0] + i * sizeof(struct ckpt_sigaction), 8);
	return 0;
}

int ckpt_item_sigaction_answer(struct ckpt_item_dump *d)
{
	struct ckpt_sigaction *sa = ckpt_batch_at(d->b, d->slot[0]);

	sa[SIGTRAP - 1] = d->t->remote.trap;	/* what the batch shows may be int3's doing */
	json_object_set_new(d->obj, "sigactions", ckpt_json_from_bytes(sa, SIGNALS * sizeof(*sa)));
	return 0;
}

int ckpt_item_sigaction_restore(struct ckpt_item_restore *r)
{
	om_autofree void *p = NULL;
	const struct ckpt_sigaction *sa;
	uint64_t at;
	int e = ckpt_json_bytes(r->obj, "sigactions", SIGNALS * sizeof(*sa), SIGNALS * sizeof(*sa), &p, NULL, r->err);

	if (e < 0)
		return e;
	sa = p;
	at = ckpt_batch_in(r->b, sa, SIGNALS * sizeof(*sa));
	for (unsigned i = 0; i < SIGNALS; i++)
		if (i + 1 != SIGKILL && i + 1 != SIGSTOP)
			(void)ckpt_must(r->b, "signal action", SYS_rt_sigaction, i + 1, at + i * sizeof(*sa), 0, 8);
	r->t->remote.trap = sa[SIGTRAP - 1];
	return 0;
}

/* ---- alternate stack ---- */

int ckpt_item_altstack_ask(struct ckpt_item_dump *d)
{
	d->slot[0] = ckpt_batch_out(d->b, sizeof(stack_t));
	(void)ckpt_call(d->b, SYS_sigaltstack, 0, d->slot[0]);
	return 0;
}

int ckpt_item_altstack_answer(struct ckpt_item_dump *d)
{
	const stack_t *s = ckpt_batch_at(d->b, d->slot[0]);

	json_object_set_new(d->obj, "altstack", json_pack("{sI sI si}", "address", (json_int_t)(uintptr_t)s->ss_sp,
							  "size", (json_int_t)s->ss_size, "flags", s->ss_flags));
	return 0;
}

int ckpt_item_altstack_restore(struct ckpt_item_restore *r)
{
	const json_t *o = json_object_get(r->obj, "altstack");
	int64_t at, size, flags;
	stack_t s = { 0 };
	int e = ckpt_json_int(o, "address", 0, (int64_t)CKPT_TASK_SIZE, &at, r->err);

	if (e == 0)
		e = ckpt_json_int(o, "size", 0, INT64_MAX, &size, r->err);
	if (e == 0)
		e = ckpt_json_int(o, "flags", INT32_MIN, INT32_MAX, &flags, r->err);
	if (e < 0)
		return e;
	s.ss_sp = (void *)(uintptr_t)at;
	s.ss_size = (size_t)size;
	s.ss_flags = (int)flags & ~SS_ONSTACK;	/* whether it is in use follows from the stack pointer */
	(void)ckpt_must(r->b, "sigaltstack", SYS_sigaltstack, ckpt_batch_in(r->b, &s, sizeof(s)), 0);
	return 0;
}

/* ---- pending ---- */

static int pending_dump(struct ckpt_item_dump *d, bool shared)
{
	struct __ptrace_peeksiginfo_args a = { .flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0, .nr = 32 };
	json_t *list = json_array();
	siginfo_t si[32];
	long n;

	while ((n = ptrace(PTRACE_PEEKSIGINFO, d->t->tid, &a, si)) > 0 && a.off < PENDING_MAX) {
		for (long i = 0; i < n; i++)
			json_array_append_new(list, ckpt_json_from_bytes(&si[i], sizeof(si[i])));
		a.off += (uint64_t)n;
	}
	if (json_array_size(list))
		json_object_set(d->obj, "pending", list);
	json_decref(list);
	return n < 0 ? om_err_sys(d->err, -errno, "pending signals of task %d", d->t->tid) : 0;
}

int ckpt_item_sigpending_answer(struct ckpt_item_dump *d)
{
	return pending_dump(d, false);
}

int ckpt_item_procpending_answer(struct ckpt_item_dump *d)
{
	return pending_dump(d, true);
}

static int pending_restore(struct ckpt_item_restore *r, bool shared)
{
	const json_t *list = json_object_get(r->obj, "pending"), *v;
	size_t i;
	int e = 0;

	if (list && (!json_is_array(list) || json_array_size(list) > PENDING_MAX + 32))
		return om_err_set(r->err, -EUCLEAN, "the image's description: pending signals");
	json_array_foreach(list, i, v) {
		json_t *box = json_pack("{sO}", "s", v);
		om_autofree void *p = NULL;
		siginfo_t *si;

		e = ckpt_json_bytes(box, "s", sizeof(*si), sizeof(*si), &p, NULL, r->err);
		json_decref(box);
		if (e == 0)
			e = ckpt_batch_flush(&r->t->remote, r->b, 256, 65536, r->err);
		if (e < 0)
			return e;
		si = p;
		if (si->si_signo < 1 || si->si_signo > SIGNALS)
			return om_err_set(r->err, -EUCLEAN, "the image's description: pending signal %d", si->si_signo);
		/* a task may send itself any code */
		if (shared)
			(void)ckpt_must(r->b, "pending signal", SYS_rt_sigqueueinfo, (uint64_t)r->p->vpid, (uint64_t)si->si_signo,
					ckpt_batch_in(r->b, si, sizeof(*si)));
		else
			(void)ckpt_must(r->b, "pending signal", SYS_rt_tgsigqueueinfo, (uint64_t)r->p->vpid, (uint64_t)r->t->vtid,
					(uint64_t)si->si_signo, ckpt_batch_in(r->b, si, sizeof(*si)));
	}
	return 0;
}

int ckpt_item_sigpending_restore(struct ckpt_item_restore *r)
{
	return pending_restore(r, false);
}

int ckpt_item_procpending_restore(struct ckpt_item_restore *r)
{
	return pending_restore(r, true);
}

/* ---- mask ---- */

int ckpt_item_sigmask_answer(struct ckpt_item_dump *d)
{
	json_object_set_new(d->obj, "sigmask", ckpt_json_from_hex(d->t->remote.sigmask));
	return 0;
}

int ckpt_item_sigmask_finish(struct ckpt_item_restore *r)
{
	uint64_t mask;
	int e = ckpt_json_hex(r->obj, "sigmask", &mask, r->err);

	/* set by ckpt_remote_end(), after the last injected call */
	if (e == 0)
		r->t->remote.sigmask = mask;
	return e;
}
