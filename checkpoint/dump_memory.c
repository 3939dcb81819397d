/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/dump_memory.c - areas and their content.
 *
 * In the freeze each process's written pages are either copied to a stage (few) or left to a twin (many).  A twin does not have the areas
 * marked DONTFORK and has WIPEONFORK areas empty: those are staged.  VmFlags come from smaps, which walks all page tables and is slow: it was
 * read before the freeze; areas that are newer get theirs after it. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/dump.h"
#include "checkpoint/json.h"
#include "checkpoint/pages.h"
#include "checkpoint/procfs.h"
#include "checkpoint/track.h"
#include "checkpoint/twin.h"

enum { STAGE_PAGES = 4096 };			/* so many are copied in 3 ms; a twin costs 1 ms and more the bigger the process is */

/* ---- in the freeze ---- */

/* The flags of @from's areas belong to @to's areas of the same place.  How many of @to's have no match. */
static size_t flags_take(struct ckpt_maps *to, const struct ckpt_maps *from)
{
	size_t k = 0, left = 0;

	for (size_t i = 0; i < to->n; i++) {
		while (k < from->n && from->area[k].from < to->area[i].from)
			k++;
		if (k < from->n && from->area[k].from == to->area[i].from && from->area[k].to == to->area[i].to)
			to->area[i].flags |= from->area[k].flags & ~(uint32_t)CKPT_AREA_SHARED;
		else
			left++;
	}
	return left;
}

int ckpt_dump_maps(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	const struct ckpt_proc *before = NULL;
	struct ckpt_status st;
	int r = ckpt_status_read(p->pid, &st);

	for (unsigned i = 0; i < dump->look.n; i++)
		if (dump->look.procs[i].pid == p->pid)
			before = &dump->look.procs[i];
	if (r < 0)
		return om_err_sys(dump->err, r, "process %d", p->vpid);
	/* new, or locked memory: all anew, slow as it is */
	if (!before || st.locked_kb || ckpt_anon_pages(p->pid) <= STAGE_PAGES / 4)
		return ckpt_maps_read(p->pid, true, &p->maps, dump->err);
	r = ckpt_maps_read(p->pid, false, &p->maps, dump->err);
	if (r == 0)
		p->flags_missing = flags_take(&p->maps, &before->maps) > 0;
	return r;
}

static int stage_fill(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	struct ckpt_shot *sh = p->shot;
	size_t len = sh->staged.pages * CKPT_PAGE, at = 0;
	om_autofd int mem = -1;
	int r = 0;

	if (!len)
		return 0;
	sh->stage = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (sh->stage == MAP_FAILED) {
		sh->stage = NULL;
		return om_err_sys(dump->err, -errno, "copy of the memory of process %d", p->vpid);
	}
	mem = ckpt_mem_open(p->pid);
	for (size_t i = 0; i < sh->staged.n && r == 0; i++) {
		size_t n = sh->staged.r[i].to - sh->staged.r[i].from;

		r = ckpt_mem_fetch(mem, p->pid, sh->staged.r[i].from, sh->stage + at, n);
		if (r == -EFAULT)		/* e.g. guard pages before Linux 6.15, pages with a hardware error */
			return ckpt_refuse(dump->why, p, "memory", "its memory at %#llx cannot be read", (unsigned long long)sh->staged.r[i].from);
		if (r < 0)
			return om_err_sys(dump->err, r, "read memory of process %d at %#llx", p->vpid, (unsigned long long)sh->staged.r[i].from);
		at += n;
	}
	return r;
}

static bool twin_lacks(const struct ckpt_area *a)
{
	return a->flags & (CKPT_AREA_DONTFORK | CKPT_AREA_WIPEONFORK);
}

/* Sort what must be stored into stage and twin. */
static int shot_take(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	struct ckpt_shot *sh;
	bool twin;
	int r = ckpt_track_find(dump, p);

	if (r == 0)
		r = ckpt_track_scan(&p->maps, p->shot, dump->err);
	if (r < 0)
		return r;
	sh = p->shot;
	twin = sh->dirty.pages > STAGE_PAGES;
	for (size_t i = 0; i < sh->dirty.n && r == 0; i++) {
		const struct ckpt_area *a = ckpt_maps_at(&p->maps, sh->dirty.r[i].from);
		uint64_t from = sh->dirty.r[i].from;

		/* ranges of neighbouring areas have been joined */
		for (; a && from < sh->dirty.r[i].to && r == 0; from = a->to, a++) {
			uint64_t to = a->to < sh->dirty.r[i].to ? a->to : sh->dirty.r[i].to;

			r = ckpt_ranges_add(!twin || twin_lacks(a) ? &sh->staged : &sh->later, from, to);
		}
	}
	if (r == 0)
		r = stage_fill(dump, p);
	dump->batch.base = p->threads[0].remote.base;
	if (r == 0 && twin)
		r = ckpt_twin_create(p, &dump->batch, dump->err);
	return r < 0 ? om_err_wrap(dump->err, r, "process %d (%s)", p->vpid, p->comm) : 0;
}

int ckpt_dump_still_memory(struct ckpt_dump *dump)
{
	int r = 0;

	for (unsigned i = 0; i < dump->tree.n && r == 0; i++)
		if (!dump->tree.procs[i].zombie)
			r = shot_take(dump, &dump->tree.procs[i]);
	return r;
}

/* ---- when the tree runs again ---- */

static int vdso_store(struct ckpt_dump *dump, const struct ckpt_area *a)
{
	om_autofree char *buf = malloc(a->to - a->from);
	uint32_t block;
	int r;

	if (dump->vdso || !a->name || strcmp(a->name, "[vdso]") != 0 || a->to - a->from > CKPT_BLOCK_MAX)
		return 0;			/* one kernel, one vdso */
	if (!buf)
		return om_err_set(dump->err, -ENOMEM, "out of memory");
	r = ckpt_own_vdso(buf, a->to - a->from);
	if (r < 0)
		return om_err_sys(dump->err, r, "read the vdso");
	r = dump->sink->block(dump->sink->ctx, buf, a->to - a->from, &block, dump->err);
	if (r == 0)
		dump->vdso = json_pack("{sI sI}", "block", (json_int_t)block, "size", (json_int_t)(a->to - a->from));
	return r;
}

/* A block of the base checkpoint becomes one of ours, once. */
static int block_keep(struct ckpt_dump *dump, uint32_t base, uint32_t *ret)
{
	if (base >= dump->nkept) {
		uint32_t n = base + 1024, *p = reallocarray(dump->kept, n, sizeof(*p));

		if (!p)
			return om_err_set(dump->err, -ENOMEM, "out of memory");
		memset(p + dump->nkept, 0, (n - dump->nkept) * sizeof(*p));
		dump->kept = p;
		dump->nkept = n;
	}
	if (!dump->kept[base]) {
		uint32_t now;
		int r = dump->sink->keep(dump->sink->ctx, base, &now, dump->err);

		if (r < 0)
			return r;
		dump->kept[base] = now + 1;	/* 0: not yet */
	}
	*ret = dump->kept[base] - 1;
	return 0;
}

static int known_store(struct ckpt_dump *dump, struct ckpt_packer *k, struct ckpt_shot *sh)
{
	int r = 0;

	for (size_t i = 0; i < sh->known.n && r == 0; i++) {
		struct ckpt_extent x = sh->known.x[i];

		if (x.zero) {
			r = block_keep(dump, x.block, &x.block);
			dump->stats->pages_kept += x.pages;
		}
		if (r == 0)
			r = ckpt_packer_known(k, &x, dump->err);
	}
	return r;
}

static int shot_store(struct ckpt_dump *dump, struct ckpt_proc *p, struct ckpt_packer *k)
{
	struct ckpt_shot *sh = p->shot;
	uint64_t at = (uintptr_t)sh->stage;
	int r = known_store(dump, k, sh);

	for (size_t i = 0; i < sh->staged.n && r == 0; i++) {
		struct ckpt_range g = sh->staged.r[i];

		r = ckpt_packer_add_at(k, at, g.from, g.to, ckpt_maps_hides_file(&p->maps, g.from), dump->err);
		at += g.to - g.from;
	}
	if (r == 0)
		r = ckpt_packer_source(k, p->twin, dump->err);
	for (size_t i = 0; i < sh->later.n && r == 0; i++)
		r = ckpt_packer_add(k, sh->later.r[i].from, sh->later.r[i].to, ckpt_maps_hides_file(&p->maps, sh->later.r[i].from), dump->err);
	return r;
}

static int proc_dump(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	struct ckpt_packer k;
	json_t *table = NULL;
	int r = ckpt_packer_init(&k, dump->sink, getpid());

	if (r < 0)
		return om_err_set(dump->err, r, "out of memory");
	if (p->flags_missing) {
		struct ckpt_maps now = { 0 };

		/* it may have ended: then they stay unknown */
		if (ckpt_maps_read(p->twin ? p->twin : p->pid, true, &now, NULL) == 0)
			(void)flags_take(&p->maps, &now);
		ckpt_maps_done(&now);
	}
	for (size_t i = 0; i < p->maps.n && r == 0; i++)
		if (p->maps.area[i].kind == CKPT_AREA_KERNEL)
			r = vdso_store(dump, &p->maps.area[i]);
	if (r == 0)
		r = shot_store(dump, p, &k);
	if (r == 0)
		r = ckpt_packer_finish(&k, &table, dump->err);
	dump->stats->pages += k.pages;
	dump->stats->bytes += k.bytes;
	ckpt_packer_done(&k);
	if (r < 0)
		return om_err_wrap(dump->err, r, "process %d (%s)", p->vpid, p->comm);
	json_object_set_new(p->desc, "memory", table);
	for (size_t i = 0; i < p->shot->guards.n; i++) {
		json_t *list = json_object_get(p->desc, "guards");

		if (!list)
			json_object_set_new(p->desc, "guards", list = json_array());
		json_array_append_new(list, json_pack("{sI sI}", "from", (json_int_t)p->shot->guards.r[i].from,
						      "to", (json_int_t)p->shot->guards.r[i].to));
	}
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
		ckpt_twin_destroy(p);
	}
	return r;
}
