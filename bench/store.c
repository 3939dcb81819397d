/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench/store.c - how fast a checkpoint gets to the disk.  Usage: store FOLDER [MIB].  Prints lines "name value unit".
 *
 * Everything is measured in one run, several times in turns, and the median is given, so that the ratios hold on a machine that is
 * not quiet.  The reference is what dd conv=fsync does with the same bytes on the same disk.  One round before is not counted: a virtual
 * disk is several times slower where it was never written; and who of the two begins changes from round to round. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "spool/store.h"

enum { ROUNDS = 5, MIB_DEFAULT = 1024, DD_PIECE = 1 << 20 };

static uint8_t *memory;
static size_t memory_len;
static int folder;

static void die(const char *what, int r, const struct om_err *err)
{
	fprintf(stderr, "store: %s: %s\n", what, om_err_text(err, r));
	exit(1);
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void fill_noise(uint64_t seed)
{
	uint64_t *p = (uint64_t *)memory;

	for (size_t i = 0; i < memory_len / 8; i++)
		p[i] = next_random(&seed);
}

/* What heaps look like: pointers into one area, small numbers, zeroes, some noise. */
static void fill_heap(uint64_t seed)
{
	uint64_t *p = (uint64_t *)memory;

	for (size_t i = 0; i < memory_len / 8; i++) {
		uint64_t x = next_random(&seed);

		switch (x >> 61) {
		case 0: case 1: case 2: p[i] = 0x00007f1234000000u + (x & 0xfffff0); break;
		case 3: case 4: p[i] = x & 0xff; break;
		case 5: p[i] = x; break;
		default: p[i] = 0; break;
		}
	}
}

static double since(uint64_t start)
{
	return (double)(om_clock_mono_ns() - start) / 1e6;
}

static double dd(void)
{
	uint64_t start = om_clock_mono_ns();
	int fd = openat(folder, "dd", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r = 0;

	if (fd < 0)
		die("dd", -errno, NULL);
	for (size_t i = 0; r == 0 && i < memory_len; i += DD_PIECE)
		r = om_fd_write_all(fd, memory + i, DD_PIECE);
	if (r < 0 || fsync(fd) < 0)
		die("dd", r < 0 ? r : -errno, NULL);
	close(fd);
	return since(start);
}

static double checkpoint(struct spool_store *st, struct spool_ckpt_info *info)
{
	uint64_t start = om_clock_mono_ns();
	struct om_err err = { 0 };
	struct spool_writer *w;
	uint32_t index;
	int r = spool_writer_create(st, 0, &w, &err);

	for (size_t i = 0; r == 0 && i < memory_len; i += SPOOL_BLOCK_MAX)
		r = spool_writer_block(w, memory + i, SPOOL_BLOCK_MAX, &index, &err);
	if (r == 0)
		r = spool_writer_commit(w, "bench", 5, info, &err);
	if (r < 0)
		die("checkpoint", r, &err);
	spool_writer_destroy(w);
	return since(start);
}

/* One page in a hundred is new, everything else is kept. */
static double checkpoint_again(struct spool_store *st, uint32_t base)
{
	uint64_t start = om_clock_mono_ns(), seed = start | 1;
	uint32_t blocks = (uint32_t)(memory_len / SPOOL_BLOCK_MAX), index;
	struct om_err err = { 0 };
	struct spool_ckpt_info info;
	struct spool_writer *w;
	uint64_t page[512];
	int r = spool_writer_create(st, base, &w, &err);

	for (uint32_t i = 0; r == 0 && i < blocks; i++)
		r = spool_writer_keep(w, i, &index, &err);
	for (size_t i = 0; r == 0 && i < memory_len / 4096 / 100; i++) {
		for (size_t k = 0; k < 512; k++)
			page[k] = next_random(&seed);
		r = spool_writer_block(w, page, sizeof(page), &index, &err);
	}
	if (r == 0)
		r = spool_writer_commit(w, "bench", 5, &info, &err);
	if (r < 0)
		die("second checkpoint", r, &err);
	spool_writer_destroy(w);
	return since(start);
}

static double read_back(struct spool_store *st, uint32_t n)
{
	uint64_t start = om_clock_mono_ns();
	static uint8_t buf[SPOOL_BLOCK_MAX];
	struct om_err err = { 0 };
	struct spool_image *im;
	size_t len;
	int r = spool_image_open(st, n, &im, &err);

	for (uint32_t i = 0; r == 0 && i < memory_len / SPOOL_BLOCK_MAX; i++)
		r = spool_image_block(im, i, buf, &len, &err);
	if (r < 0)
		die("read", r, &err);
	spool_image_close(im);
	return since(start);
}

static void empty(void)
{
	static const char *const kinds[] = { "ckpt", "pack", "last" };
	char name[64];

	for (size_t k = 0; k < 3; k++)
		for (unsigned i = 1; i < 10; i++) {
			snprintf(name, sizeof(name), "store/%s-%08x", kinds[k], i);
			(void)unlinkat(folder, name, 0);	/* most are not there */
		}
	(void)unlinkat(folder, "store", AT_REMOVEDIR);
	(void)unlinkat(folder, "dd", 0);
	sync();
}

static int cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void tell(const char *kind, const char *name, double *v, const char *unit)
{
	qsort(v, ROUNDS, sizeof(*v), cmp);
	printf("store_%s_%s %.3g %s\n", kind, name, v[ROUNDS / 2], unit);
}

static void measure(const char *kind, void (*fill)(uint64_t))
{
	double d[ROUNDS], w[ROUNDS], again[ROUNDS], rd[ROUNDS], ratio[ROUNDS], ratio2[ROUNDS], size[ROUNDS];

	for (int round = -1; round < ROUNDS; round++) {
		int i = round < 0 ? 0 : round;
		struct spool_ckpt_info info;
		struct spool_store *st;
		struct om_err err = { 0 };

		fill((uint64_t)round * 977 + 1000);
		empty();
		if (round % 2 == 0)
			d[i] = dd();
		empty();
		if (spool_store_open(folder, "store", true, &st, &err) < 0)
			die("open", -EIO, &err);
		w[i] = checkpoint(st, &info);
		again[i] = checkpoint_again(st, info.n);
		rd[i] = read_back(st, info.n);
		size[i] = (double)info.stored / (double)info.bytes;
		spool_store_close(st);
		empty();
		if (round % 2 != 0)
			d[i] = dd();
		ratio[i] = w[i] / d[i];
		ratio2[i] = again[i] / w[i];
		empty();
	}
	tell(kind, "dd", d, "ms");
	tell(kind, "first", w, "ms");
	tell(kind, "first_to_dd", ratio, "ratio");
	tell(kind, "next", again, "ms");
	tell(kind, "next_to_first", ratio2, "ratio");
	tell(kind, "read", rd, "ms");
	tell(kind, "size", size, "ratio");
}

int main(int argc, char **argv)
{
	uint64_t mib = MIB_DEFAULT;

	if (argc < 2 || argc > 3 || (argc == 3 && (om_str_u64(argv[2], &mib) < 0 || mib < 1 || mib > 65536))) {
		fprintf(stderr, "usage: store FOLDER [MIB]\n");
		return 2;
	}
	folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		die(argv[1], -errno, NULL);
	memory_len = (size_t)mib << 20;
	memory = mmap(NULL, memory_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("memory", -errno, NULL);
	measure("noise", fill_noise);
	measure("heap", fill_heap);
	close(folder);
	return 0;
}
