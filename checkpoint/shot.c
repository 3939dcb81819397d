/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/shot.c - the arithmetic of ranges and extents. */
#include "checkpoint/shot.h"

#include <errno.h>

#include "base/mem.h"

int ckpt_ranges_add(struct ckpt_ranges *l, uint64_t from, uint64_t to)
{
	if (l->n && l->r[l->n - 1].to == from) {
		l->r[l->n - 1].to = to;
	} else {
		if (l->n == l->room) {
			size_t room = l->room ? l->room * 2 : 64;
			struct ckpt_range *r = reallocarray(l->r, room, sizeof(*r));

			if (!r)
				return -ENOMEM;
			l->r = r;
			l->room = room;
		}
		l->r[l->n++] = (struct ckpt_range){ from, to };
	}
	l->pages += (to - from) / CKPT_PAGE;
	return 0;
}

void ckpt_ranges_done(struct ckpt_ranges *l)
{
	free(l->r);
	*l = (struct ckpt_ranges){ 0 };
}

void ckpt_known_done(struct ckpt_known *k)
{
	free(k->x);
	*k = (struct ckpt_known){ 0 };
}

static uint64_t end_of(const struct ckpt_extent *x)
{
	return x->addr + x->pages * (uint64_t)CKPT_PAGE;
}

/* The part of @x from @from to @to (both within it). */
static struct ckpt_extent part(const struct ckpt_extent *x, uint64_t from, uint64_t to)
{
	struct ckpt_extent p = *x;

	p.first += (uint32_t)((from - x->addr) / CKPT_PAGE);
	p.pages = (uint32_t)((to - from) / CKPT_PAGE);
	p.addr = from;
	return p;
}

int ckpt_known_overlay(struct ckpt_known *k, struct ckpt_known *over)
{
	/* every extent of @over splits at most one of @k */
	struct ckpt_extent *x = calloc(k->n + 2 * over->n + 1, sizeof(*x));
	size_t n = 0, o = 0;

	if (!x)
		return -ENOMEM;
	for (size_t i = 0; i < k->n; i++) {
		uint64_t at = k->x[i].addr, end = end_of(&k->x[i]);

		while (at < end) {
			while (o < over->n && end_of(&over->x[o]) <= at)
				x[n++] = over->x[o++];
			if (o == over->n || over->x[o].addr >= end) {
				x[n++] = part(&k->x[i], at, end);
				break;
			}
			if (over->x[o].addr > at)
				x[n++] = part(&k->x[i], at, over->x[o].addr);
			at = end_of(&over->x[o]);
		}
	}
	while (o < over->n)
		x[n++] = over->x[o++];
	ckpt_known_done(over);
	free(k->x);
	k->x = x;
	k->n = n;
	return 0;
}

int ckpt_known_cut(struct ckpt_known *k, const struct ckpt_ranges *in)
{
	struct ckpt_extent *x = calloc(k->n + in->n + 1, sizeof(*x));
	size_t n = 0, r = 0;

	if (!x)
		return -ENOMEM;
	for (size_t i = 0; i < k->n; i++) {
		uint64_t at = k->x[i].addr, end = end_of(&k->x[i]);

		while (r < in->n && in->r[r].to <= at)
			r++;
		for (size_t q = r; q < in->n && in->r[q].from < end; q++) {
			uint64_t f = in->r[q].from > at ? in->r[q].from : at, t = in->r[q].to < end ? in->r[q].to : end;

			if (f < t)
				x[n++] = part(&k->x[i], f, t);
		}
	}
	free(k->x);
	k->x = x;
	k->n = n;
	return 0;
}
