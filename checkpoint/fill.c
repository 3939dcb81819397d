/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fill.c - memory content of a restored process: each block is read once, its pages written into the process. */
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "checkpoint/pages.h"
#include "checkpoint/restore.h"

/* The extents of one block: x[0..n) into process @pid. */
static int block_write(pid_t pid, const struct ckpt_extent *x, size_t n, char *buf, size_t len, struct om_err *err)
{
	struct iovec l[CKPT_BLOCK_PAGES], v[CKPT_BLOCK_PAGES];

	for (size_t at = 0; at < n;) {
		size_t k = 0, want = 0;

		for (; at < n && k < CKPT_BLOCK_PAGES; at++, k++) {
			size_t bytes = x[at].pages * (size_t)CKPT_PAGE;

			if ((x[at].first + (size_t)x[at].pages) * CKPT_PAGE > len)
				return om_err_set(err, -EUCLEAN, "the image: block %u is too short", x[at].block);
			l[k] = (struct iovec){ buf + x[at].first * (size_t)CKPT_PAGE, bytes };
			v[k] = (struct iovec){ (void *)x[at].addr, bytes };
			want += bytes;
		}
		if (process_vm_writev(pid, l, k, v, k, 0) != (ssize_t)want)
			return om_err_set(err, -EUCLEAN, "memory at %#llx cannot be loaded", (unsigned long long)x[at - 1].addr);
	}
	return 0;
}

/* Leave out what is in areas that are @loaded already; counted all the same. */
static int loaded_drop(const struct ckpt_maps *m, const bool *loaded, struct ckpt_extent **x, size_t *n, struct ckpt_stats *stats, struct om_err *err)
{
	/* extents that are apart are split at most once at each area's end */
	size_t room = *n + m->n, w = 0;
	struct ckpt_extent *out = calloc(room + 1, sizeof(*out));

	if (!out)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < *n; i++) {
		struct ckpt_extent rest = (*x)[i];

		while (rest.pages && w <= room) {
			const struct ckpt_area *a = ckpt_maps_at(m, rest.addr);
			uint64_t pages = a ? (a->to - rest.addr) / CKPT_PAGE : rest.pages;

			pages = pages < rest.pages ? pages : rest.pages;
			if (a && loaded[a - m->area]) {
				stats->pages += pages;
				stats->bytes += pages * CKPT_PAGE;
			} else if (w < room) {
				out[w] = rest;
				out[w++].pages = (uint32_t)pages;
			} else {
				w++;
			}
			rest.addr += pages * CKPT_PAGE;
			rest.first += (uint32_t)pages;
			rest.pages -= (uint32_t)pages;
		}
	}
	free(*x);
	*x = out;
	*n = w <= room ? w : 0;
	return w <= room ? 0 : om_err_set(err, -EUCLEAN, "the image: memory pages overlap");
}

int ckpt_fill(const struct ckpt_image *im, const struct ckpt_image_proc *ip, struct ckpt_proc *p, const bool *loaded, struct ckpt_stats *stats,
	      struct om_err *err)
{
	om_autofree struct ckpt_extent *x = NULL;
	om_autofree char *buf = malloc(CKPT_BLOCK_MAX);
	size_t n, len;
	int r = ckpt_extents_read(im->src, json_object_get(ip->obj, "memory"), CKPT_TASK_SIZE, &x, &n, err);

	if (r < 0)
		return r;
	if (!buf)
		return om_err_set(err, -ENOMEM, "out of memory");
	r = loaded_drop(&p->maps, loaded, &x, &n, stats, err);
	if (r < 0)
		return r;
	qsort(x, n, sizeof(*x), ckpt_extent_by_block);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i; k < n && x[k].block == x[i].block; k++)
			stats->pages += x[k].pages;
		r = im->src->block(im->src->ctx, x[i].block, buf, &len, err);
		if (r == 0)
			r = block_write(p->pid, &x[i], k - i, buf, len, err);
		if (r < 0)
			return r;
		stats->bytes += len;
	}
	return 0;
}
