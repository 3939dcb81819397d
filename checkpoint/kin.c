/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/kin.c - processes that share their memory without being threads: clone(CLONE_VM), vfork(). */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "checkpoint/procfs.h"
#include "checkpoint/tree.h"

/* A thread that lives: a first thread that has ended has no memory any more. */
static pid_t living(const struct ckpt_proc *p)
{
	return p->threads[p->nthreads - 1].tid;
}

/* 0: the same memory, 1 and 2 order it; below 0: not known. */
static int compare(pid_t a, pid_t b)
{
	return (int)syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0);
}

static int by_memory(const void *a, const void *b)
{
	const struct ckpt_proc *x = *(const struct ckpt_proc *const *)a, *y = *(const struct ckpt_proc *const *)b;
	int c = compare(living(x), living(y));

	return c == 0 ? 0 : c == 1 ? -1 : c == 2 ? 1 : x->pid < y->pid ? -1 : 1;
}

static bool waits_in_kernel(pid_t pid)
{
	struct ckpt_status st;

	return ckpt_status_read(pid, &st) < 0 || st.state == 'D';
}

/* In a tree that runs: a parent in vfork() does, for a moment. */
static bool is_vfork(const struct ckpt_proc *a, const struct ckpt_proc *b)
{
	if (waits_in_kernel(living(a)) || waits_in_kernel(living(b)))
		return true;
	return compare(living(a), living(b)) != 0;	/* over meanwhile */
}

int ckpt_kin_check(const struct ckpt_tree *tree, struct ckpt_why *why)
{
	om_autofree const struct ckpt_proc **list = calloc(tree->n + 1, sizeof(*list));
	unsigned n = 0;

	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < tree->n; i++)
		if (!tree->procs[i].zombie && tree->procs[i].nthreads)
			list[n++] = &tree->procs[i];
	qsort(list, n, sizeof(*list), by_memory);
	for (unsigned i = 1; i < n; i++) {
		if (compare(living(list[i - 1]), living(list[i])) != 0 || is_vfork(list[i - 1], list[i]))
			continue;
		return ckpt_refuse(why, list[i], "memory", "it shares its memory with process %d (%s), of which it is no thread (CLONE_VM)",
				   list[i - 1]->vpid, list[i - 1]->comm);
	}
	return 0;
}

const struct ckpt_proc *ckpt_kin_vforked(const struct ckpt_tree *tree, const struct ckpt_proc *p)
{
	for (unsigned i = 0; i < tree->n; i++) {
		const struct ckpt_proc *c = &tree->procs[i];

		if (c != p && !c->zombie && c->nthreads && p->nthreads && compare(living(c), living(p)) == 0)
			return c;
	}
	return NULL;
}
