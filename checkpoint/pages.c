/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/inject.h"
#include "checkpoint/json.h"
#include "checkpoint/uapi.h"

/* ---- which pages ---- */

int ckpt_pagemap_open(pid_t pid, struct om_err *err)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? om_err_sys(err, -errno, "%s", path) : fd;
}

uint64_t ckpt_pages_guard_bit(void)
{
	static int64_t bit = -1;

	if (bit < 0) {
		struct pm_scan_arg a = { .size = sizeof(a), .category_mask = PAGE_IS_GUARD };
		om_autofd int fd = ckpt_pagemap_open(getpid(), NULL);

		bit = fd >= 0 && ioctl(fd, PAGEMAP_SCAN, &a) >= 0 ? PAGE_IS_GUARD : 0;
	}
	return (uint64_t)bit;
}

/* The kernel's page table walk, from Linux 6.7 on: fast over holes.  @a: the categories are filled in. */
static int scan_ioctl(int pagemap, struct pm_scan_arg *a, ckpt_pages_cb *run, void *arg)
{
	struct page_region reg[512];
	uint64_t end = a->start;

	a->size = sizeof(*a);
	a->vec = (uintptr_t)reg;
	a->vec_len = OM_ARRAY_SIZE(reg);
	while (a->start < a->end) {
		int n = ioctl(pagemap, PAGEMAP_SCAN, a);

		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++) {
			/* a restart inside the kernel may give a range twice */
			uint64_t f = reg[i].start > end ? reg[i].start : end;
			int r = f < reg[i].end ? run(arg, f, reg[i].end, reg[i].categories & PAGE_IS_GUARD) : 0;

			if (r < 0)
				return r;
			end = reg[i].end > end ? reg[i].end : end;
		}
		if (a->walk_end <= a->start)
			break;
		a->start = a->walk_end;
	}
	return 0;
}

static int scan_content(int pagemap, uint64_t from, uint64_t to, ckpt_pages_cb *run, void *arg)
{
	struct pm_scan_arg a = {		/* a guard page counts as swapped */
		.start = from, .end = to, .category_inverted = PAGE_IS_FILE | PAGE_IS_PFNZERO, .category_mask = PAGE_IS_FILE | PAGE_IS_PFNZERO,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED, .return_mask = PAGE_IS_PRESENT | ckpt_pages_guard_bit(),
	};

	return scan_ioctl(pagemap, &a, run, arg);
}

enum { PM_CHUNK = 8192 };
#define PM_PRESENT	(1ULL << 63)
#define PM_SWAPPED	(1ULL << 62)
#define PM_FILE		(1ULL << 61)

static int scan_read(int pagemap, uint64_t from, uint64_t to, ckpt_pages_cb *run, void *arg)
{
	om_autofree uint64_t *pm = malloc(PM_CHUNK * sizeof(*pm));
	uint64_t open_at = 0;			/* start of the run being collected */
	int r = 0;

	if (!pm)
		return -ENOMEM;
	for (uint64_t a = from; a < to && r == 0;) {
		uint64_t n = (to - a) / CKPT_PAGE;
		ssize_t got = pread(pagemap, pm, (n < PM_CHUNK ? n : PM_CHUNK) * 8, (off_t)(a / CKPT_PAGE * 8));

		if (got < 8)
			return got < 0 ? -errno : -EIO;
		for (ssize_t i = 0; i < got / 8 && r == 0; i++, a += CKPT_PAGE) {
			bool want = (pm[i] & (PM_PRESENT | PM_SWAPPED)) && !(pm[i] & PM_FILE);

			if (want && !open_at)
				open_at = a;
			if (!want && open_at) {
				r = run(arg, open_at, a, false);
				open_at = 0;
			}
		}
	}
	return r == 0 && open_at ? run(arg, open_at, to, false) : r;
}

int ckpt_pages_scan(int pagemap, uint64_t from, uint64_t to, ckpt_pages_cb *run, void *arg, struct om_err *err)
{
	static int have_scan = -1;
	int r;

	if (have_scan != 0) {
		r = scan_content(pagemap, from, to, run, arg);
		if (have_scan < 0)
			have_scan = r != -ENOTTY && r != -EINVAL;
		if (have_scan)
			return r < 0 ? om_err_sys(err, r, "scan pages") : 0;
	}
	r = scan_read(pagemap, from, to, run, arg);
	return r < 0 ? om_err_sys(err, r, "read pagemap") : 0;
}

int ckpt_pages_guards(int pagemap, uint64_t from, uint64_t to, ckpt_pages_cb *run, void *arg, struct om_err *err)
{
	struct pm_scan_arg a = { .start = from, .end = to, .category_mask = PAGE_IS_GUARD, .return_mask = PAGE_IS_GUARD };
	int r = 0;

	if (ckpt_pages_guard_bit())
		r = scan_ioctl(pagemap, &a, run, arg);
	return r < 0 ? om_err_sys(err, r, "look for guard pages") : 0;
}

bool ckpt_pages_can_track(void)
{
	static int have = -1;

	if (have < 0) {
		struct pm_scan_arg a = { .size = sizeof(a) };
		om_autofd int fd = ckpt_pagemap_open(getpid(), NULL);

		have = fd >= 0 && ioctl(fd, PAGEMAP_SCAN, &a) >= 0;
	}
	return have;
}

int ckpt_own_vdso(char *buf, size_t n)
{
	const char *vdso = (const char *)getauxval(AT_SYSINFO_EHDR);

	if (!vdso)
		return -ENOENT;
	memcpy(buf, vdso, n);
	return 0;
}

/* ---- packing ---- */

int ckpt_packer_init(struct ckpt_packer *k, const struct ckpt_sink *sink, pid_t pid)
{
	*k = (struct ckpt_packer){ .sink = sink, .pid = pid, .mem = pid == getpid() ? -1 : ckpt_mem_open(pid) };
	k->buf = malloc(CKPT_BLOCK_MAX);
	return k->buf ? 0 : -ENOMEM;
}

void ckpt_packer_done(struct ckpt_packer *k)
{
	om_fd_close(k->mem);
	free(k->buf);
	om_buf_done(&k->table);
	k->buf = NULL;
	k->mem = -1;
}

static bool is_zero(const char *page)
{
	const uint64_t *p = (const uint64_t *)(const void *)page;
	uint64_t any = 0;

	if (p[0] | p[CKPT_PAGE / 16])		/* most pages are told by these */
		return false;
	for (size_t i = 0; i < CKPT_PAGE / 8; i += 8)
		any |= p[i] | p[i + 1] | p[i + 2] | p[i + 3] | p[i + 4] | p[i + 5] | p[i + 6] | p[i + 7];
	return any == 0;
}

static int extent_add(struct ckpt_packer *k, const struct ckpt_extent *x)
{
	char raw[sizeof(*x)];

	le64_put(raw, x->addr);
	le32_put(raw + 8, x->pages);
	le32_put(raw + 12, x->block);
	le32_put(raw + 16, x->first);
	le32_put(raw + 20, 0);
	return om_buf_add(&k->table, raw, sizeof(raw));
}

int ckpt_packer_known(struct ckpt_packer *k, const struct ckpt_extent *x, struct om_err *err)
{
	int r = extent_add(k, x);

	return r < 0 ? om_err_sys(err, r, "extent") : 0;
}

/* The same of a process that runs: a page that is gone is 0; what is there instead later was never armed and so counts as written. */
static void run_read_moving(const struct ckpt_packer *k, uint64_t src, char *at, size_t len)
{
	for (size_t i = 0; i < len; i += CKPT_PAGE)
		if (ckpt_mem_fetch(k->mem, k->pid, src + i, at + i, CKPT_PAGE) < 0)
			memset(at + i, 0, CKPT_PAGE);
}

static int runs_read(struct ckpt_packer *k, struct om_err *err)
{
	char *at = k->buf;

	for (unsigned i = 0; i < k->nrun; i++) {
		size_t len = k->run[i].pages * (size_t)CKPT_PAGE;
		int r = ckpt_mem_fetch(k->mem, k->pid, k->run[i].src, at, len);

		if (r < 0 && k->runs) {
			run_read_moving(k, k->run[i].src, at, len);
			r = 0;
		}
		if (r < 0)
			return om_err_sys(err, r, "read memory at %#llx", (unsigned long long)k->run[i].addr);
		at += len;
	}
	return 0;
}

/* Leave zero pages out; what stays moves down in the buffer, @x gets the extents (block unknown yet). */
static unsigned squeeze(struct ckpt_packer *k, struct ckpt_extent *x, unsigned *ret_pages)
{
	unsigned n = 0, to = 0, from = 0;

	for (unsigned i = 0; i < k->nrun; i++) {
		for (unsigned p = 0; p < k->run[i].pages; p++, from++) {
			const char *src = k->buf + from * (size_t)CKPT_PAGE;
			uint64_t addr = k->run[i].addr + p * (uint64_t)CKPT_PAGE;

			if (!k->run[i].keep_zero && is_zero(src))
				continue;
			if (to != from)
				memcpy(k->buf + to * (size_t)CKPT_PAGE, src, CKPT_PAGE);
			if (n && x[n - 1].addr + x[n - 1].pages * (uint64_t)CKPT_PAGE == addr)
				x[n - 1].pages++;
			else
				x[n++] = (struct ckpt_extent){ .addr = addr, .pages = 1, .first = to };
			to++;
		}
	}
	*ret_pages = to;
	return n;
}

static int flush(struct ckpt_packer *k, struct om_err *err)
{
	struct ckpt_extent x[CKPT_BLOCK_PAGES];
	unsigned n, pages;
	uint32_t block;
	int r;

	if (!k->fill)
		return 0;
	r = om_fault(OM_FI_DUMP_PAGES);
	if (r < 0)
		return om_err_sys(err, r, "copy memory");
	r = runs_read(k, err);
	if (r < 0)
		return r;
	n = squeeze(k, x, &pages);
	k->fill = k->nrun = 0;
	if (!pages)
		return 0;
	r = k->sink->block(k->sink->ctx, k->buf, pages * (size_t)CKPT_PAGE, &block, err);
	for (unsigned i = 0; i < n && r == 0; i++) {
		x[i].block = block;
		r = extent_add(k, &x[i]);
	}
	k->pages += pages;
	k->bytes += pages * (uint64_t)CKPT_PAGE;
	return r;
}

int ckpt_packer_source(struct ckpt_packer *k, pid_t pid, struct om_err *err)
{
	int r = flush(k, err);

	om_fd_close(k->mem);
	k->pid = pid;
	k->mem = ckpt_mem_open(pid);		/* there is another way where this fails */
	return r;
}

int ckpt_packer_add(struct ckpt_packer *k, uint64_t from, uint64_t to, bool keep_zero, struct om_err *err)
{
	return ckpt_packer_add_at(k, from, from, to, keep_zero, err);
}

int ckpt_packer_add_at(struct ckpt_packer *k, uint64_t src, uint64_t from, uint64_t to, bool keep_zero, struct om_err *err)
{
	while (from < to) {
		uint64_t pages = (to - from) / CKPT_PAGE;
		/* blocks end at multiples of their size: the same content gives the same blocks next time */
		uint64_t edge = (CKPT_BLOCK_MAX - from % CKPT_BLOCK_MAX) / CKPT_PAGE;
		int r = 0;

		pages = pages < CKPT_BLOCK_PAGES - k->fill ? pages : CKPT_BLOCK_PAGES - k->fill;
		pages = pages < edge ? pages : edge;
		k->run[k->nrun].addr = from;
		k->run[k->nrun].src = src;
		k->run[k->nrun].pages = (uint32_t)pages;
		k->run[k->nrun++].keep_zero = keep_zero;
		k->fill += (unsigned)pages;
		from += pages * CKPT_PAGE;
		src += pages * CKPT_PAGE;
		if (k->fill == CKPT_BLOCK_PAGES || (pages == edge && k->fill >= CKPT_BLOCK_PAGES / 2))
			r = flush(k, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int ckpt_packer_finish(struct ckpt_packer *k, json_t **ret, struct om_err *err)
{
	json_t *blocks = json_array();
	int r = flush(k, err);
	const size_t step = CKPT_BLOCK_MAX / sizeof(struct ckpt_extent) * sizeof(struct ckpt_extent);

	for (size_t at = 0; at < k->table.len && r == 0; at += step) {
		size_t n = k->table.len - at < step ? k->table.len - at : step;
		uint32_t block;

		r = k->sink->block(k->sink->ctx, k->table.data + at, n, &block, err);
		if (r == 0)
			json_array_append_new(blocks, json_integer(block));
	}
	if (r < 0) {
		json_decref(blocks);
		return r;
	}
	*ret = json_pack("{so sI}", "blocks", blocks, "count", (json_int_t)(k->table.len / sizeof(struct ckpt_extent)));
	return *ret ? 0 : -ENOMEM;
}

/* ---- reading ---- */

static int extents_check(const char *raw, size_t n, uint64_t limit, struct ckpt_extent *x)
{
	for (size_t i = 0; i < n; i++, raw += sizeof(*x)) {
		x[i] = (struct ckpt_extent){ le64_get(raw), le32_get(raw + 8), le32_get(raw + 12), le32_get(raw + 16), 0 };
		if (x[i].addr % CKPT_PAGE || x[i].addr > limit || x[i].pages == 0 || x[i].pages > CKPT_BLOCK_PAGES ||
		    x[i].first > CKPT_BLOCK_PAGES - x[i].pages || x[i].pages * (uint64_t)CKPT_PAGE > limit - x[i].addr)
			return -EUCLEAN;
	}
	return 0;
}

int ckpt_extent_by_block(const void *a, const void *b)
{
	const struct ckpt_extent *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

int ckpt_packer_extents(struct ckpt_packer *k, struct ckpt_extent **ret, size_t *ret_n, struct om_err *err)
{
	size_t n;
	int r = flush(k, err);

	if (r < 0)
		return r;
	n = k->table.len / sizeof(**ret);
	*ret = calloc(n + 1, sizeof(**ret));
	if (!*ret)
		return om_err_set(err, -ENOMEM, "out of memory");
	*ret_n = n;
	return extents_check(k->table.data, n, UINT64_MAX, *ret);
}

int ckpt_extents_read(const struct ckpt_source *src, const json_t *obj, uint64_t limit, struct ckpt_extent **ret, size_t *ret_n,
		      struct om_err *err)
{
	om_autofree char *buf = malloc(CKPT_BLOCK_MAX);
	om_autofree struct ckpt_extent *x = NULL;
	const json_t *blocks, *b;
	int64_t count;
	size_t i, n = 0;
	int r = ckpt_json_list(obj, "blocks", 1 << 20, &blocks, err);

	if (r == 0)
		r = ckpt_json_int(obj, "count", 0, (int64_t)json_array_size(blocks) * (CKPT_BLOCK_MAX / (int)sizeof(*x)), &count, err);
	if (r < 0)
		return r;
	x = calloc((size_t)count + 1, sizeof(*x));
	if (!x || !buf)
		return -ENOMEM;
	json_array_foreach(blocks, i, b) {
		size_t len;

		if (!json_is_integer(b) || json_integer_value(b) < 0 || json_integer_value(b) > UINT32_MAX)
			return om_err_set(err, -EUCLEAN, "the image's description: number of a block");
		r = src->block(src->ctx, (uint32_t)json_integer_value(b), buf, &len, err);
		if (r < 0)
			return r;
		if (len % sizeof(*x) || len / sizeof(*x) > (size_t)count - n ||
		    extents_check(buf, len / sizeof(*x), limit, x + n) < 0)
			return om_err_set(err, -EUCLEAN, "the image: table of memory pages");
		n += len / sizeof(*x);
	}
	if (n != (size_t)count)
		return om_err_set(err, -EUCLEAN, "the image: table of memory pages is cut");
	*ret = om_steal(x);
	*ret_n = n;
	return 0;
}
