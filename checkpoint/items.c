/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/item.h"

/* restored in this order, in the leader, before the threads' items */
const struct ckpt_item ckpt_proc_items[] = {
	{ "mm", ckpt_item_mm_ask, ckpt_item_mm_answer, ckpt_item_mm_restore, NULL },
	{ "lock", NULL, NULL, ckpt_item_lock_restore, NULL },
	{ "rlimit", ckpt_item_rlimit_ask, ckpt_item_rlimit_answer, ckpt_item_rlimit_restore, NULL },
	{ "sigaction", ckpt_item_sigaction_ask, ckpt_item_sigaction_answer, ckpt_item_sigaction_restore, NULL },
	{ "oom", NULL, ckpt_item_oom_answer, ckpt_item_oom_restore, NULL },
	{ "semundo", NULL, NULL, ckpt_item_semundo_restore, NULL },
	{ "prctl", ckpt_item_prctl_ask, ckpt_item_prctl_answer, ckpt_item_prctl_restore, NULL },
	{ "pending", NULL, ckpt_item_procpending_answer, ckpt_item_procpending_restore, NULL },
	{ "timer", NULL, ckpt_item_timer_answer, ckpt_item_timer_restore, NULL },	/* last */
	{ NULL, NULL, NULL, NULL, NULL },
};

/* restored in this order in every thread; identity last: the others may need its rights */
const struct ckpt_item ckpt_thread_items[] = {
	{ "thread", ckpt_item_thread_ask, ckpt_item_thread_answer, ckpt_item_thread_restore, NULL },
	{ "altstack", ckpt_item_altstack_ask, ckpt_item_altstack_answer, ckpt_item_altstack_restore, NULL },
	{ "pending", NULL, ckpt_item_sigpending_answer, ckpt_item_sigpending_restore, NULL },
	{ "sched", NULL, ckpt_item_sched_answer, ckpt_item_sched_restore, NULL },
	{ "personality", NULL, ckpt_item_personality_answer, ckpt_item_personality_restore, NULL },
	{ "creds", ckpt_item_creds_ask, ckpt_item_creds_answer, ckpt_item_creds_restore, NULL },
	{ "late", ckpt_item_late_ask, ckpt_item_late_answer, ckpt_item_late_restore, NULL },
	{ "cpu", NULL, ckpt_item_cpu_answer, NULL, ckpt_item_cpu_finish },
	{ "dumpable", NULL, NULL, NULL, ckpt_item_dumpable_finish },
	{ "sigmask", NULL, ckpt_item_sigmask_answer, NULL, ckpt_item_sigmask_finish },
	{ "timer_thread", NULL, ckpt_item_timer_thread_answer, NULL, NULL },	/* last */
	{ NULL, NULL, NULL, NULL, NULL },
};
