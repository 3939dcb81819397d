/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/retention.h"

#include <errno.h>
#include <stdlib.h>

/* Number of checkpoints newer than @c of the same goodness. */
static size_t newer(const struct pol_ckpt *list, size_t n, const struct pol_ckpt *c)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (list[i].bad == c->bad && list[i].n > c->n)
			k++;
	return k;
}

static size_t count_good(const struct pol_ckpt *list, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += !list[i].bad;
	return k;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

size_t pol_retention_drop(const struct pol_ckpt *list, size_t n, uint32_t keep, uint32_t *drop)
{
	size_t good = count_good(list, n), k = 0;

	if (!keep)
		keep = 1;
	for (size_t i = 0; i < n; i++) {
		if (list[i].in_use)
			continue;
		/* Without any good one the bad ones are all there is: the newest stay, somebody may still want to look. */
		if ((list[i].bad && good) || newer(list, n, &list[i]) >= keep)
			drop[k++] = list[i].n;
	}
	if (k)
		qsort(drop, k, sizeof(*drop), by_number);
	return k;
}

int pol_retention_may_drop(const struct pol_ckpt *list, size_t n, uint32_t which)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].n != which)
			continue;
		if (list[i].in_use)
			return -EBUSY;
		return !list[i].bad && count_good(list, n) == 1 ? -EPERM : 0;
	}
	return -ENOENT;
}
