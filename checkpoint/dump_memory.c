/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/dump_memory.c - areas and their content.
 *
 * VmFlags come from smaps, which walks all page tables and is slow: it is read from the twin, when the job runs again.  A twin does not
 * have the areas marked DONTFORK, has WIPEONFORK areas empty, and forgets that memory was locked. */
#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/dump.h"
#include "checkpoint/json.h"
#include "checkpoint/pages.h"
#include "checkpoint/procfs.h"

bool ckpt_dump_locked(pid_t pid)
{
	struct ckpt_status st;

	return ckpt_status_read(pid, &st) == 0 && st.locked_kb > 0;
}

int ckpt_dump_still_memory(struct ckpt_dump *dump)
{
	(void)dump;
	return 0;
}

static int vdso_store(struct ckpt_dump *dump, pid_t pid, const struct ckpt_area *a)
{
	om_autofree char *buf = malloc(a->to - a->from);
	uint32_t block;
	int r;

	if (dump->vdso || !a->name || strcmp(a->name, "[vdso]") != 0 || a->to - a->from > CKPT_BLOCK_MAX)
		return 0;			/* one kernel, one vdso */
	if (!buf)
		return -ENOMEM;
	r = ckpt_mem_read(pid, a->from, buf, a->to - a->from);
	if (r < 0)
		return om_err_sys(dump->err, r, "read the vdso");
	r = dump->sink->block(dump->sink->ctx, buf, a->to - a->from, &block, dump->err);
	if (r == 0)
		dump->vdso = json_pack("{sI sI}", "block", (json_int_t)block, "size", (json_int_t)(a->to - a->from));
	return r;
}

struct area_run {
	struct ckpt_packer *k;
	bool keep_zero;
	struct om_err *err;
};

static int run_add(void *arg, uint64_t from, uint64_t to)
{
	struct area_run *r = arg;

	return ckpt_packer_add(r->k, from, to, r->keep_zero, r->err);
}

static int area_dump(struct ckpt_dump *dump, struct ckpt_packer *k, int pagemap, const struct ckpt_area *a)
{
	struct area_run run = { k, a->kind == CKPT_AREA_FILE, dump->err };

	if (a->kind == CKPT_AREA_KERNEL)
		return vdso_store(dump, k->pid, a);
	if (a->flags & CKPT_AREA_SHARED)
		return 0;
	if (a->gone)
		return ckpt_packer_add(k, a->from, a->to, true, dump->err);
	return ckpt_pages_scan(pagemap, a->from, a->to, run_add, &run, dump->err);
}

/* The flags of the twin's areas belong to the process's areas of the same place. */
static void flags_take(struct ckpt_maps *to, const struct ckpt_maps *from)
{
	size_t k = 0;

	for (size_t i = 0; i < to->n; i++) {
		while (k < from->n && from->area[k].from < to->area[i].from)
			k++;
		if (k < from->n && from->area[k].from == to->area[i].from && from->area[k].to == to->area[i].to)
			to->area[i].flags |= from->area[k].flags;
	}
}

static int proc_dump(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	struct ckpt_maps twin = { 0 };
	struct ckpt_packer k;
	om_autofd int pagemap = ckpt_pagemap_open(p->twin, dump->err);
	json_t *table = NULL;
	int r = pagemap < 0 ? pagemap : ckpt_maps_read(p->twin, true, &twin, dump->err);

	if (r < 0)
		return r;
	flags_take(&p->maps, &twin);
	ckpt_maps_done(&twin);
	r = ckpt_packer_init(&k, dump->sink, p->twin);
	for (size_t i = 0; i < p->maps.n && r == 0; i++)
		r = area_dump(dump, &k, pagemap, &p->maps.area[i]);
	if (r == 0)
		r = ckpt_packer_finish(&k, &table, dump->err);
	dump->stats->pages += k.pages;
	dump->stats->bytes += k.bytes;
	ckpt_packer_done(&k);
	if (r < 0)
		return om_err_wrap(dump->err, r, "process %d (%s)", p->vpid, p->comm);
	json_object_set_new(p->desc, "memory", table);
	json_object_set_new(p->desc, "areas", ckpt_maps_pack(&p->maps));
	return 0;
}

int ckpt_dump_memory(struct ckpt_dump *dump)
{
	int r = 0;

	for (unsigned i = 0; i < dump->tree.n && r == 0; i++) {
		struct ckpt_proc *p = &dump->tree.procs[i];

		if (!p->zombie)
			r = proc_dump(dump, p);
	}
	return r;
}
