/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_thread.c - what the kernel keeps for the thread library: robust futex list, clear_child_tid, rseq; and the name. */
#include <errno.h>
#include <linux/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/procfs.h"

enum { ROBUST_LEN = 24 };			/* sizeof(struct robust_list_head), the only length the kernel takes */

int ckpt_item_thread_ask(struct ckpt_item_dump *d)
{
	d->slot[0] = ckpt_batch_out(d->b, 8);
	d->slot[1] = ckpt_call(d->b, SYS_prctl, PR_GET_TID_ADDRESS, d->slot[0]);
	d->slot[2] = ckpt_batch_out(d->b, 16);
	(void)ckpt_call(d->b, SYS_get_robust_list, 0, d->slot[2], d->slot[2] + 8);
	d->slot[3] = ckpt_batch_out(d->b, 16);
	(void)ckpt_call(d->b, SYS_prctl, PR_GET_NAME, d->slot[3]);
	return 0;
}

int ckpt_item_thread_answer(struct ckpt_item_dump *d)
{
	struct __ptrace_rseq_configuration c = { 0 };
	char name[17] = "";

	if (d->b->call[d->slot[1]].ret == 0)	/* without CONFIG_CHECKPOINT_RESTORE it is not told */
		json_object_set_new(d->obj, "tid_address", json_integer(*(int64_t *)ckpt_batch_at(d->b, d->slot[0])));
	json_object_set_new(d->obj, "robust", json_integer(*(int64_t *)ckpt_batch_at(d->b, d->slot[2])));
	memcpy(name, ckpt_batch_at(d->b, d->slot[3]), 16);
	json_object_set_new(d->obj, "comm", ckpt_json_from_name(name));
	if (ptrace((enum __ptrace_request)PTRACE_GET_RSEQ_CONFIGURATION, d->t->tid, sizeof(c), &c) == sizeof(c) && c.rseq_abi_pointer)
		json_object_set_new(d->obj, "rseq", json_pack("{sI sI sI}", "address", (json_int_t)c.rseq_abi_pointer,
							      "size", (json_int_t)c.rseq_abi_size, "sig", (json_int_t)c.signature));
	return 0;
}

int ckpt_item_thread_restore(struct ckpt_item_restore *r)
{
	const json_t *rq = json_object_get(r->obj, "rseq");
	int64_t tid = 0, robust, at, size, sig;
	om_autofree char *comm = NULL;
	char name[16] = "";
	int e = ckpt_json_int_opt(r->obj, "tid_address", 0, (int64_t)CKPT_TASK_SIZE, &tid, r->err);

	if (e == 0)
		e = ckpt_json_int(r->obj, "robust", 0, (int64_t)CKPT_TASK_SIZE, &robust, r->err);
	if (e == 0)
		e = ckpt_json_name(r->obj, "comm", 15, &comm, r->err);
	if (e < 0)
		return e;
	snprintf(name, sizeof(name), "%s", comm);
	(void)ckpt_must(r->b, "set_tid_address", SYS_set_tid_address, (uint64_t)tid);
	(void)ckpt_must(r->b, "set_robust_list", SYS_set_robust_list, (uint64_t)robust, ROBUST_LEN);
	(void)ckpt_must(r->b, "thread name", SYS_prctl, PR_SET_NAME, ckpt_batch_in(r->b, name, sizeof(name)));
	if (!rq)
		return 0;
	e = ckpt_json_int(rq, "address", 4096, (int64_t)CKPT_TASK_SIZE, &at, r->err);
	if (e == 0)
		e = ckpt_json_int(rq, "size", 32, 4096, &size, r->err);
	if (e == 0)
		e = ckpt_json_int(rq, "sig", 0, UINT32_MAX, &sig, r->err);
	if (e == 0)
		(void)ckpt_must(r->b, "register rseq", SYS_rseq, (uint64_t)at, (uint64_t)size, 0, (uint64_t)sig);
	return e;
}
