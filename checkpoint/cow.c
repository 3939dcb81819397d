/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/cow.c - see cow.h. */
#include "checkpoint/cow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/pages.h"

#define HUGE		(2ULL << 20)		/* offsets within huge pages stay: they are moved whole */
#define ZONE_MAX	(1ULL << 46)		/* half of the address space */
#define ZONE_LOW	(1ULL << 32)

/* ---- the plan ---- */

static bool may_share(const struct ckpt_area *a)
{
	return a->kind == CKPT_AREA_ANON &&
		!(a->flags & (CKPT_AREA_SHARED | CKPT_AREA_GROWSDOWN | CKPT_AREA_DONTFORK | CKPT_AREA_WIPEONFORK));
}

static bool alike(const struct ckpt_area *a, const struct ckpt_area *b)
{
	return ((a->flags ^ b->flags) & ~(uint32_t)CKPT_AREA_LOCKED) == 0;
}

/* Pick the areas that child and parent both have at the same place. */
static void pair_pick(struct ckpt_cow_proc *x, struct ckpt_cow_proc *y)
{
	for (size_t i = 0, k = 0; i < x->maps.n && k < y->maps.n;) {
		const struct ckpt_area *a = &x->maps.area[i], *b = &y->maps.area[k];

		if (a->from < b->to && b->from < a->to && may_share(a) && may_share(b) && alike(a, b))
			x->pick[i] = y->pick[k] = true;
		if (a->to <= b->to)
			i++;
		else
			k++;
	}
}

static int by_from(const void *a, const void *b)
{
	const struct ckpt_cow_span *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

/* Join what overlaps or touches; @n becomes how many are left. */
static void spans_join(struct ckpt_cow_span *s, size_t *n)
{
	size_t w = 0;

	qsort(s, *n, sizeof(*s), by_from);
	for (size_t i = 0; i < *n; i++) {
		if (w && s[i].from <= s[w - 1].to)
			s[w - 1].to = s[i].to > s[w - 1].to ? s[i].to : s[w - 1].to;
		else
			s[w++] = s[i];
	}
	*n = w;
}

static int spans_make(struct ckpt_cow *c, struct om_err *err)
{
	size_t n = 0;

	for (unsigned i = 0; i < c->nproc; i++)
		for (size_t k = 0; k < c->proc[i].maps.n; k++)
			n += c->proc[i].pick[k];
	c->span = calloc(n + 1, sizeof(*c->span));
	if (!c->span)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < c->nproc; i++)
		for (size_t k = 0; k < c->proc[i].maps.n; k++)
			if (c->proc[i].pick[k])
				c->span[c->n++] = (struct ckpt_cow_span){ c->proc[i].maps.area[k].from, c->proc[i].maps.area[k].to, 0 };
	spans_join(c->span, &c->n);
	for (size_t i = 0; i < c->n && c->len <= ZONE_MAX; i++) {
		struct ckpt_cow_span *s = &c->span[i];

		/* a page apart, so that no two grow together */
		s->at = (c->len + CKPT_PAGE + HUGE - 1) / HUGE * HUGE + s->from % HUGE;
		c->len = s->at + (s->to - s->from);
	}
	c->len = (c->len + CKPT_PAGE + HUGE - 1) / HUGE * HUGE;
	return 0;
}

static int parent_of(const struct ckpt_image *im, unsigned i)
{
	for (unsigned k = 0; k < im->n; k++)
		if (im->proc[k].pid == im->proc[i].ppid)
			return (int)k;
	return -1;
}

int ckpt_cow_plan(const struct ckpt_image *im, struct ckpt_cow *ret, struct om_err *err)
{
	struct ckpt_cow c = { .nproc = im->n };
	int r = 0;

	c.proc = calloc(im->n + 1, sizeof(*c.proc));
	if (!c.proc)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < im->n && r == 0; i++) {
		if (im->proc[i].zombie)
			continue;
		r = ckpt_maps_unpack(json_object_get(im->proc[i].obj, "areas"), &c.proc[i].maps, err);
		c.proc[i].pick = r == 0 ? calloc(c.proc[i].maps.n + 1, 1) : NULL;
		if (r == 0 && !c.proc[i].pick)
			r = om_err_set(err, -ENOMEM, "out of memory");
	}
	for (unsigned i = 0; i < im->n && r == 0; i++) {
		int p = parent_of(im, i);

		if (p >= 0)
			pair_pick(&c.proc[i], &c.proc[p]);
	}
	if (r == 0)
		r = spans_make(&c, err);
	if (r < 0) {
		ckpt_cow_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}

void ckpt_cow_done(struct ckpt_cow *c)
{
	for (unsigned i = 0; i < c->nproc; i++) {
		ckpt_maps_done(&c->proc[i].maps);
		free(c->proc[i].pick);
	}
	free(c->proc);
	free(c->span);
	*c = (struct ckpt_cow){ 0 };
}

/* ---- the zone ---- */

/* Free in this process and in all of the image. */
static int zone_find(const struct ckpt_cow *c, uint64_t *ret, struct om_err *err)
{
	om_autofree struct ckpt_cow_span *used = NULL;
	struct ckpt_maps own;
	uint64_t at = ZONE_LOW;
	size_t n = 0;
	int r = ckpt_maps_read(getpid(), false, &own, err);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < c->nproc; i++)
		n += c->proc[i].maps.n;
	used = calloc(n + own.n + 1, sizeof(*used));
	n = 0;
	for (size_t k = 0; used && k < own.n; k++)
		used[n++] = (struct ckpt_cow_span){ own.area[k].from, own.area[k].to, 0 };
	for (unsigned i = 0; used && i < c->nproc; i++)
		for (size_t k = 0; k < c->proc[i].maps.n; k++)
			used[n++] = (struct ckpt_cow_span){ c->proc[i].maps.area[k].from, c->proc[i].maps.area[k].to, 0 };
	ckpt_maps_done(&own);
	if (!used)
		return om_err_set(err, -ENOMEM, "out of memory");
	spans_join(used, &n);
	for (size_t i = 0; i < n && used[i].from < at + c->len; i++)
		if (used[i].to > at)
			at = (used[i].to + HUGE - 1) / HUGE * HUGE;
	*ret = c->len <= ZONE_MAX && at + c->len < CKPT_TASK_SIZE - (1ULL << 30) ? at : 0;
	return 0;
}

static int hold(uint64_t at, uint64_t len, struct om_err *err)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

	return mmap((void *)at, len, PROT_NONE, flags, -1, 0) == MAP_FAILED ? om_err_sys(err, -errno, "address space") : 0;
}

int ckpt_cow_reserve(struct ckpt_cow *c, struct om_err *err)
{
	int r;

	if (!c->n)
		return 0;
	r = zone_find(c, &c->zone, err);
	return r == 0 && c->zone ? hold(c->zone, c->len, err) : r;
}

uint64_t ckpt_cow_at(const struct ckpt_cow *c, uint64_t addr)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->span[mid].to <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return c->zone && lo < c->n && c->span[lo].from <= addr ? c->zone + c->span[lo].at + (addr - c->span[lo].from) : 0;
}

/* ---- loading ---- */

struct load {
	const struct ckpt_cow *c;
	const struct ckpt_cow_proc *own, *maker;	/* maker: NULL = nothing was inherited */
	struct ckpt_extent *x, *y;		/* own content; the maker's, ascending */
	size_t nx, ny;
	struct om_err *err;
};

static const struct ckpt_area *picked_at(const struct ckpt_cow_proc *p, uint64_t addr)
{
	const struct ckpt_area *a = p ? ckpt_maps_at(&p->maps, addr) : NULL;

	return a && p->pick[a - p->maps.area] ? a : NULL;
}

/* The page is here by inheritance. */
static bool inherited(const struct load *l, uint64_t addr)
{
	const struct ckpt_area *a = picked_at(l->own, addr), *b = picked_at(l->maker, addr);

	return a && b && alike(a, b);
}

/* Call @f for each part of the picked areas of @p that is not common to both. */
static int apart_each(struct load *l, const struct ckpt_cow_proc *p, const struct ckpt_cow_proc *other,
		      int (*f)(struct load *l, const struct ckpt_area *a, uint64_t from, uint64_t to))
{
	size_t k = 0;
	int r = 0;

	for (size_t i = 0; i < p->maps.n && r == 0; i++) {
		const struct ckpt_area *a = &p->maps.area[i];
		uint64_t at = a->from;

		if (!p->pick[i])
			continue;
		while (other && k < other->maps.n && other->maps.area[k].to <= a->from)
			k++;
		for (size_t m = k; other && m < other->maps.n && other->maps.area[m].from < a->to && r == 0; m++) {
			const struct ckpt_area *b = &other->maps.area[m];

			if (!other->pick[m] || !alike(a, b))
				continue;
			if (b->from > at)
				r = f(l, a, at, b->from);
			at = b->to;
		}
		if (at < a->to && r == 0)
			r = f(l, a, at, a->to);
	}
	return r;
}

static int part_drop(struct load *l, const struct ckpt_area *a, uint64_t from, uint64_t to)
{
	(void)a;
	return hold(ckpt_cow_at(l->c, from), to - from, l->err);
}

static int part_make(struct load *l, const struct ckpt_area *a, uint64_t from, uint64_t to)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (a->flags & CKPT_AREA_NORESERVE ? MAP_NORESERVE : 0);
	void *at = (void *)ckpt_cow_at(l->c, from);

	if (mmap(at, to - from, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
		return om_err_sys(l->err, -errno, "memory of %llu bytes", (unsigned long long)(to - from));
	if (a->flags & CKPT_AREA_HUGE)		/* only advice */
		(void)madvise(at, to - from, MADV_HUGEPAGE);
	if (a->flags & CKPT_AREA_NOHUGE)
		(void)madvise(at, to - from, MADV_NOHUGEPAGE);
	return 0;
}

static int by_addr(const void *a, const void *b)
{
	const struct ckpt_extent *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static bool has_page(const struct ckpt_extent *x, size_t n, uint64_t addr)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (x[mid].addr + x[mid].pages * (uint64_t)CKPT_PAGE <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && x[lo].addr <= addr;
}

/* Pages that only the maker has are zero here. */
static int wipe(struct load *l)
{
	for (size_t i = 0; i < l->ny; i++) {
		for (uint32_t p = 0; p < l->y[i].pages; p++) {
			uint64_t addr = l->y[i].addr + p * (uint64_t)CKPT_PAGE;

			if (inherited(l, addr) && !has_page(l->x, l->nx, addr) &&
			    madvise((void *)ckpt_cow_at(l->c, addr), CKPT_PAGE, MADV_DONTNEED) < 0)
				return om_err_sys(l->err, -errno, "empty memory");
		}
	}
	return 0;
}

static int extent_write(struct load *l, const struct ckpt_extent *x, const char *buf, size_t len)
{
	if ((x->first + (size_t)x->pages) * CKPT_PAGE > len)
		return om_err_set(l->err, -EUCLEAN, "the image: block %u is too short", x->block);
	for (uint32_t p = 0; p < x->pages; p++) {
		uint64_t addr = x->addr + p * (uint64_t)CKPT_PAGE;
		const char *from = buf + (x->first + (size_t)p) * CKPT_PAGE;
		void *to = picked_at(l->own, addr) ? (void *)ckpt_cow_at(l->c, addr) : NULL;

		if (to && (!inherited(l, addr) || memcmp(to, from, CKPT_PAGE) != 0))
			memcpy(to, from, CKPT_PAGE);
	}
	return 0;
}

static int content_load(struct load *l, const struct ckpt_source *src, _Atomic uint32_t *progress)
{
	om_autofree char *buf = malloc(CKPT_BLOCK_MAX);
	uint32_t have = 0;
	size_t len = 0;
	int r = buf ? 0 : om_err_set(l->err, -ENOMEM, "out of memory");

	qsort(l->x, l->nx, sizeof(*l->x), ckpt_extent_by_block);
	for (size_t i = 0; i < l->nx && r == 0; i++) {
		const struct ckpt_extent *x = &l->x[i];
		bool wanted = false;

		for (uint32_t p = 0; p < x->pages && !wanted; p++)
			wanted = picked_at(l->own, x->addr + p * (uint64_t)CKPT_PAGE);
		if (!wanted)
			continue;
		if (!len || have != x->block) {
			r = src->block(src->ctx, x->block, buf, &len, l->err);
			have = x->block;
			atomic_fetch_add(progress, 1);
		}
		if (r == 0)
			r = extent_write(l, x, buf, len);
	}
	return r;
}

static int extents(const struct ckpt_image *im, unsigned i, struct ckpt_extent **ret, size_t *ret_n, struct om_err *err)
{
	int r = ckpt_extents_read(im->src, json_object_get(im->proc[i].obj, "memory"), CKPT_TASK_SIZE, ret, ret_n, err);

	if (r == 0)
		qsort(*ret, *ret_n, sizeof(**ret), by_addr);
	return r;
}

int ckpt_cow_load(const struct ckpt_cow *c, const struct ckpt_image *im, unsigned i, int maker, _Atomic uint32_t *progress, struct om_err *err)
{
	struct load l = { .c = c, .own = &c->proc[i], .maker = maker < 0 ? NULL : &c->proc[maker], .err = err };
	int r;

	if (!c->zone || !l.own->pick)
		return 0;
	r = l.maker ? apart_each(&l, l.maker, l.own, part_drop) : 0;
	if (r == 0)
		r = apart_each(&l, l.own, l.maker, part_make);
	if (r == 0)
		r = extents(im, i, &l.x, &l.nx, err);
	if (r == 0 && maker >= 0)
		r = extents(im, (unsigned)maker, &l.y, &l.ny, err);
	if (r == 0)
		r = wipe(&l);
	if (r == 0)
		r = content_load(&l, im->src, progress);
	free(l.x);
	free(l.y);
	return r;
}
