/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item.h - one attribute of a process or thread = one row of a table (items.c) = one small file.
 * To add one: write item_NAME.c with its functions, declare them below, add the row.
 *
 * Dump, all standing still: look() may refuse; ask() queues system calls in the task; answer() writes into the task's object.
 * Restore, memory and threads are there already: restore() queues the calls that bring the attribute back, in table order;
 * calls that must succeed are queued with ckpt_must().  What is read from @obj is hostile. */
#ifndef OM_CHECKPOINT_ITEM_H
#define OM_CHECKPOINT_ITEM_H
#include "checkpoint/tree.h"

enum { CKPT_ITEM_SLOTS = 20 };
struct ckpt_item_dump {
	struct ckpt_proc *p;
	struct ckpt_thread *t;			/* of a process item: its leader */
	const struct ckpt_dump_opts *opts;
	struct ckpt_batch *b;
	uint64_t *slot;				/* CKPT_ITEM_SLOTS numbers from ask() to answer() */
	json_t *obj;
	struct ckpt_why *why;
	struct om_err *err;
};
struct ckpt_item_restore {
	struct ckpt_proc *p;
	struct ckpt_thread *t;
	struct ckpt_batch *b;			/* at least 256 calls and 64 KiB free; ckpt_batch_flush() for more */
	const json_t *obj;
	struct om_err *err;
};
struct ckpt_item {
	const char *name;
	int (*ask)(struct ckpt_item_dump *d);	/* each may be NULL */
	int (*answer)(struct ckpt_item_dump *d);
	int (*restore)(struct ckpt_item_restore *r);
	/* instead of restore(): at the very end, through ptrace, when the task's registers are already its own */
	int (*finish)(struct ckpt_item_restore *r);
};
extern const struct ckpt_item ckpt_proc_items[], ckpt_thread_items[];	/* end: name NULL */

/* item_cpu.c: registers and extended state, interrupted system calls */
int ckpt_item_cpu_answer(struct ckpt_item_dump *d);
int ckpt_item_cpu_finish(struct ckpt_item_restore *r);
/* item_thread.c: robust list, clear_child_tid, rseq, name */
int ckpt_item_thread_ask(struct ckpt_item_dump *d);
int ckpt_item_thread_answer(struct ckpt_item_dump *d);
int ckpt_item_thread_restore(struct ckpt_item_restore *r);
/* item_signal.c: actions, alternate stack, mask, pending */
int ckpt_item_sigaction_ask(struct ckpt_item_dump *d);
int ckpt_item_sigaction_answer(struct ckpt_item_dump *d);
int ckpt_item_sigaction_restore(struct ckpt_item_restore *r);
int ckpt_item_altstack_ask(struct ckpt_item_dump *d);
int ckpt_item_altstack_answer(struct ckpt_item_dump *d);
int ckpt_item_altstack_restore(struct ckpt_item_restore *r);
int ckpt_item_sigpending_answer(struct ckpt_item_dump *d);
int ckpt_item_sigpending_restore(struct ckpt_item_restore *r);
int ckpt_item_procpending_answer(struct ckpt_item_dump *d);
int ckpt_item_procpending_restore(struct ckpt_item_restore *r);
int ckpt_item_sigmask_answer(struct ckpt_item_dump *d);
int ckpt_item_sigmask_finish(struct ckpt_item_restore *r);
/* item_mm.c: brk, mm fields, auxv, exe */
int ckpt_item_mm_ask(struct ckpt_item_dump *d);
int ckpt_item_mm_answer(struct ckpt_item_dump *d);
int ckpt_item_mm_restore(struct ckpt_item_restore *r);
/* item_lock.c: POSIX locks */
int ckpt_item_lock_restore(struct ckpt_item_restore *r);
/* item_process.c: dumpable, subreaper, rlimits, no_new_privs... */
int ckpt_item_prctl_ask(struct ckpt_item_dump *d);
int ckpt_item_prctl_answer(struct ckpt_item_dump *d);
int ckpt_item_prctl_restore(struct ckpt_item_restore *r);
int ckpt_item_rlimit_ask(struct ckpt_item_dump *d);
int ckpt_item_rlimit_answer(struct ckpt_item_dump *d);
int ckpt_item_rlimit_restore(struct ckpt_item_restore *r);
/* item_timer.c: interval and POSIX timers; last: they use the batch for themselves */
int ckpt_item_timer_answer(struct ckpt_item_dump *d);
int ckpt_item_timer_restore(struct ckpt_item_restore *r);
int ckpt_item_timer_thread_answer(struct ckpt_item_dump *d);
/* what changes of identity reset: after them */
int ckpt_item_late_ask(struct ckpt_item_dump *d);
int ckpt_item_late_answer(struct ckpt_item_dump *d);
int ckpt_item_late_restore(struct ckpt_item_restore *r);
int ckpt_item_dumpable_finish(struct ckpt_item_restore *r);
/* item_sched.c: nice, policy, processors, I/O priority, personality, oom_score_adj */
int ckpt_item_sched_answer(struct ckpt_item_dump *d);
int ckpt_item_sched_restore(struct ckpt_item_restore *r);
int ckpt_item_personality_answer(struct ckpt_item_dump *d);
int ckpt_item_personality_restore(struct ckpt_item_restore *r);
int ckpt_item_oom_answer(struct ckpt_item_dump *d);
int ckpt_item_oom_restore(struct ckpt_item_restore *r);
/* item_ipc.c: SEM_UNDO */
int ckpt_item_semundo_restore(struct ckpt_item_restore *r);
/* item_creds.c: identity, capabilities; per thread, last */
int ckpt_item_creds_ask(struct ckpt_item_dump *d);
int ckpt_item_creds_answer(struct ckpt_item_dump *d);
int ckpt_item_creds_restore(struct ckpt_item_restore *r);
#endif
