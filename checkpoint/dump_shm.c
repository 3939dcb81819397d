/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/dump_shm.c - shared memory that has no name: MAP_SHARED|MAP_ANONYMOUS and memfds that are mapped.
 *
 * Each object is stored once, whoever maps it.  It is live memory of everybody who maps it, so it is copied to a staging area while the
 * tree stands still and stored when the tree goes on.  What is in an object is asked with mincore() in a process that maps it:
 * reading a hole would fill it. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/dump.h"
#include "checkpoint/json.h"
#include "checkpoint/pages.h"

enum {
	OBJECTS_MAX = 65536,
	MINCORE_PAGES = 65536,			/* one answer byte each in the scratch area */
};

struct ckpt_shm_object {
	uint64_t dev, ino, size;
	char name[260];				/* of a memfd; "" = anonymous */
	char *stage;
	uint64_t stage_len;
	bool full;				/* taken whole through a descriptor */
	bool disk;				/* a removed file: what is not in memory is on its disk */
};

static bool is_memfd(const char *name)
{
	return name && strncmp(name, "/memfd:", 7) == 0;
}

static int object_find(struct ckpt_dump *dump, uint64_t dev, uint64_t ino)
{
	for (unsigned i = 0; i < dump->nobjects; i++)
		if (dump->object[i].ino == ino && dump->object[i].dev == dev)
			return (int)i;
	return -1;
}

/* A file that lost its name while it is mapped lives on as a memfd: nobody else can have it. */
static void removed_name(struct ckpt_shm_object *o, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = strlen(slash ? slash + 1 : path), tail = strlen(" (deleted)");

	if (n > tail)
		n -= tail;
	snprintf(o->name, sizeof(o->name), "%.*s", n > 249 ? 249 : (int)n, slash ? slash + 1 : path);
	o->disk = true;
}

static int object_add(struct ckpt_dump *dump, struct ckpt_area *a)
{
	struct ckpt_shm_object *o;
	size_t n = strlen(a->name);
	int i = object_find(dump, a->dev, a->ino);

	if (i < 0) {
		o = dump->nobjects < OBJECTS_MAX ? reallocarray(dump->object, dump->nobjects + 1, sizeof(*o)) : NULL;
		if (!o)
			return om_err_set(dump->err, -ENOMEM, "too many shared memory objects");
		dump->object = o;
		i = (int)dump->nobjects++;
		o[i] = (struct ckpt_shm_object){ .dev = a->dev, .ino = a->ino };
		if (is_memfd(a->name))
			snprintf(o[i].name, sizeof(o[i].name), "%.*s", (int)(n - 7 - strlen(" (deleted)")), a->name + 7);
		else if (strcmp(a->name, "/dev/zero (deleted)") != 0)
			removed_name(&o[i], a->name);
	}
	o = &dump->object[i];
	if (a->off + (a->to - a->from) > o->size)
		o->size = a->off + (a->to - a->from);
	a->shm = (uint32_t)i;
	return 0;
}

int ckpt_dump_shm_find(struct ckpt_dump *dump)
{
	int r = 0;

	for (unsigned i = 0; i < dump->tree.n && r == 0; i++) {
		struct ckpt_proc *p = &dump->tree.procs[i];

		for (size_t k = 0; k < p->maps.n && r == 0; k++)
			if (p->maps.area[k].kind == CKPT_AREA_SHM)
				r = object_add(dump, &p->maps.area[k]);
	}
	return r;
}

static int stage_make(struct ckpt_shm_object *o, struct om_err *err)
{
	if (o->stage)
		return 0;
	o->stage_len = (o->size + CKPT_PAGE - 1) / CKPT_PAGE * CKPT_PAGE;
	if (!o->stage_len)
		return 0;
	o->stage = mmap(NULL, o->stage_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (o->stage != MAP_FAILED)
		return 0;
	o->stage = NULL;
	return om_err_sys(err, -errno, "copy of shared memory");
}

int ckpt_dump_shm_memfd(struct ckpt_dump *dump, int fd, const struct stat *st, json_t *file, struct om_err *err)
{
	struct ckpt_shm_object *o;
	int r, i = object_find(dump, st->st_dev, st->st_ino);
	off_t at = 0, end;

	if (i < 0)
		return 1;			/* nobody maps it */
	o = &dump->object[i];
	o->size = (uint64_t)st->st_size;
	r = stage_make(o, err);
	while (r == 0 && (at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			end = st->st_size;
		r = om_fd_pread_all(fd, o->stage + at, (size_t)(end - at), at);
		if (r < 0)
			return om_err_sys(err, r, "read memfd '%s'", o->name);
		at = end;
	}
	o->full = true;
	if (r == 0 && json_object_set_new(file, "shm", json_integer(i)) < 0)
		r = -ENOMEM;
	return r;
}

/* ---- content through mappings ---- */

/* All of a removed file that is mapped; behind its end a page cannot be read. */
static int area_copy_disk(struct ckpt_dump *dump, struct ckpt_proc *p, const struct ckpt_area *a)
{
	struct ckpt_shm_object *o = &dump->object[a->shm];
	int r = stage_make(o, dump->err);

	for (uint64_t at = 0; at < a->to - a->from && r == 0; at += CKPT_PAGE)
		r = ckpt_mem_read(p->pid, a->from + at, o->stage + a->off + at, CKPT_PAGE);
	return r == -EFAULT ? 0 : om_err_sys(dump->err, r, "read shared memory of process %d", p->vpid);
}

/* mincore() shows a page of shared memory that is on swap like one that was never touched (mm/mincore.c): where the machine has swap,
 * all pages are read. */
static bool may_be_swapped(void)
{
	om_autofree char *text = NULL;
	const char *line;

	if (om_file_read("/proc/swaps", 1 << 20, &text, NULL) < 0)
		return true;
	line = strchr(text, '\n');
	return line && line[1];
}

static int area_copy(struct ckpt_dump *dump, struct ckpt_proc *p, const struct ckpt_area *a)
{
	bool all = may_be_swapped();
	struct ckpt_shm_object *o = &dump->object[a->shm];
	uint64_t pages = (a->to - a->from) / CKPT_PAGE;
	struct ckpt_batch *b = &dump->batch;
	int r = o->disk ? area_copy_disk(dump, p, a) : stage_make(o, dump->err);

	if (o->disk)
		return r;
	b->base = p->threads[0].remote.base;
	for (uint64_t at = 0; at < pages && r == 0; at += MINCORE_PAGES) {
		uint64_t n = pages - at < MINCORE_PAGES ? pages - at : MINCORE_PAGES, vec;
		const unsigned char *in;
		unsigned c;

		ckpt_batch_reset(b);
		vec = ckpt_batch_out(b, n);
		c = ckpt_call(b, SYS_mincore, a->from + at * CKPT_PAGE, n * CKPT_PAGE, vec);
		r = ckpt_batch_run(&p->threads[0].remote, b, dump->err);
		if (r == 0 && b->call[c].ret < 0)
			r = om_err_sys(dump->err, (int)b->call[c].ret, "mincore");
		in = ckpt_batch_at(b, vec);
		for (uint64_t i = 0, k; i < n && r == 0; i = k) {
			uint64_t off = a->off + (at + i) * CKPT_PAGE;

			for (k = i + 1; k < n && (all || (in[k] & 1) == (in[i] & 1)); k++)
				;
			if (all || (in[i] & 1))
				r = ckpt_mem_read(p->pid, a->from + (at + i) * CKPT_PAGE, o->stage + off, (k - i) * CKPT_PAGE);
			if (r < 0)
				return om_err_sys(dump->err, r, "read shared memory of process %d", p->vpid);
		}
	}
	return r;
}

int ckpt_dump_shm_still(struct ckpt_dump *dump)
{
	int r = 0;

	for (unsigned i = 0; i < dump->tree.n && r == 0; i++) {
		struct ckpt_proc *p = &dump->tree.procs[i];

		for (size_t k = 0; k < p->maps.n && r == 0; k++) {
			const struct ckpt_area *a = &p->maps.area[k];
			bool seen = false;

			if (a->kind != CKPT_AREA_SHM || dump->object[a->shm].full)
				continue;
			/* relatives map the same at the same place: once is enough */
			for (unsigned j = 0; j < i && !seen; j++)
				for (size_t l = 0; l < dump->tree.procs[j].maps.n && !seen; l++) {
					const struct ckpt_area *c = &dump->tree.procs[j].maps.area[l];

					seen = c->kind == CKPT_AREA_SHM && c->shm == a->shm && c->off <= a->off &&
						c->off + (c->to - c->from) >= a->off + (a->to - a->from);
				}
			if (!seen)
				r = area_copy(dump, p, a);
		}
	}
	return r;
}

/* ---- storing, the tree runs ---- */

struct store_run {
	struct ckpt_packer *k;
	uint64_t stage;
	struct om_err *err;
};

static int run_add(void *arg, uint64_t from, uint64_t to, bool guard)
{
	struct store_run *r = arg;

	(void)guard;				/* our own memory has none */
	return ckpt_packer_add_at(r->k, from, from - r->stage, to - r->stage, false, r->err);
}

static int object_store(struct ckpt_dump *dump, unsigned i)
{
	struct ckpt_shm_object *o = &dump->object[i];
	uint64_t at = (uintptr_t)o->stage;
	struct ckpt_packer k;
	struct store_run run = { &k, at, dump->err };
	om_autofd int pagemap = ckpt_pagemap_open(getpid(), dump->err);
	json_t *table, *d;
	int r = pagemap < 0 ? pagemap : ckpt_packer_init(&k, dump->sink, getpid());

	if (r < 0)
		return r;
	if (o->stage)
		r = ckpt_pages_scan(pagemap, at, at + o->stage_len, run_add, &run, dump->err);
	if (r == 0)
		r = ckpt_packer_finish(&k, &table, dump->err);
	dump->stats->pages += k.pages;
	dump->stats->bytes += k.bytes;
	ckpt_packer_done(&k);
	if (r < 0)
		return om_err_wrap(dump->err, r, "shared memory %u", i);
	d = json_pack("{sI so}", "size", (json_int_t)o->size, "memory", table);
	if (o->name[0])
		json_object_set_new(d, "name", ckpt_json_from_name(o->name));
	return json_array_append_new(dump->shm, d) < 0 ? -ENOMEM : 0;
}

int ckpt_dump_shm_store(struct ckpt_dump *dump)
{
	int r = 0;

	for (unsigned i = 0; i < dump->nobjects && r == 0; i++)
		r = object_store(dump, i);
	return r;
}

void ckpt_dump_shm_done(struct ckpt_dump *dump)
{
	for (unsigned i = 0; i < dump->nobjects; i++)
		if (dump->object[i].stage)
			(void)munmap(dump->object[i].stage, dump->object[i].stage_len);
	free(dump->object);
	dump->object = NULL;
	dump->nobjects = 0;
}
