/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/spool-help.h - what the tests of the checkpoint store share: a folder, blocks with known bytes, checkpoints with known blocks. */
#ifndef OM_TESTS_SPOOL_HELP_H
#define OM_TESTS_SPOOL_HELP_H
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "spool/store.h"

/* Deterministic bytes for @seed.  Odd seeds: incompressible; even ones: text-like. */
static inline void help_fill(uint8_t *buf, size_t len, uint32_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buf[i] = seed & 1 ? (uint8_t)(x >> 32) : (uint8_t)"openmosix"[(i / 40 + (x >> 57 == 1)) % 9];
	}
}

/* Length of block @seed: different ones, among them the largest and the smallest. */
static inline size_t help_len(uint32_t seed)
{
	static const size_t lens[] = { 4096, 1, SPOOL_BLOCK_MAX, 300, 70000, 8192 };

	return lens[seed / 2 % (sizeof(lens) / sizeof(lens[0]))];
}

static inline int help_add(struct spool_writer *w, uint32_t seed, struct om_err *err)
{
	static uint8_t buf[SPOOL_BLOCK_MAX];
	uint32_t index;

	help_fill(buf, help_len(seed), seed);
	return spool_writer_block(w, buf, help_len(seed), &index, err);
}

/* A checkpoint of blocks @from..@to-1 with "meta FROM TO" as its description.  Returns its number or -errno. */
static inline int help_write(struct spool_store *st, uint32_t from, uint32_t to, struct om_err *err)
{
	struct spool_ckpt_info info;
	struct spool_writer *w;
	char meta[64];
	int r = spool_writer_create(st, 0, &w, err);

	if (r < 0)
		return r;
	for (uint32_t i = from; r == 0 && i < to; i++)
		r = help_add(w, i, err);
	snprintf(meta, sizeof(meta), "meta %u %u", from, to);
	if (r == 0)
		r = spool_writer_commit(w, meta, strlen(meta), &info, err);
	spool_writer_destroy(w);
	return r < 0 ? r : (int)info.n;
}

/* Everything of checkpoint @n as help_write() made it?  0, -errno, 1 = other contents. */
static inline int help_compare(struct spool_store *st, uint32_t n, struct om_err *err)
{
	static uint8_t buf[SPOOL_BLOCK_MAX], want[SPOOL_BLOCK_MAX];
	struct spool_ckpt_info info;
	struct spool_image *im;
	unsigned from, to;
	const void *meta;
	char text[64] = "";
	size_t len;
	int r = spool_image_open(st, n, &im, err);

	if (r < 0)
		return r;
	spool_image_meta(im, &meta, &len);
	spool_image_info(im, &info);
	memcpy(text, meta, len < sizeof(text) ? len : sizeof(text) - 1);
	if (sscanf(text, "meta %u %u", &from, &to) != 2 || info.blocks != to - from)
		r = 1;
	for (uint32_t i = 0; r == 0 && i < info.blocks; i++) {
		r = spool_image_block(im, i, buf, &len, err);
		help_fill(want, help_len(from + i), from + i);
		if (r == 0 && (len != help_len(from + i) || memcmp(buf, want, len) != 0))
			r = 1;
	}
	if (r == 0)
		r = spool_image_verify(im, NULL, NULL, err);
	spool_image_close(im);
	return r;
}

/* Names in a folder that begin with @prefix. */
static inline int help_count(int dirfd, const char *prefix)
{
	DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;
	int n = 0;

	if (!d)
		return -1;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return n;
}

static inline void help_empty(int dirfd)
{
	DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd, e->d_name, 0);
	if (d)
		closedir(d);
}

struct help_place {
	char path[64];
	int fd;			/* of path */
	int ckpt;		/* of path/ckpt */
	struct spool_store *st;
};

static inline int help_setup(void **state)
{
	static struct help_place p;

	snprintf(p.path, sizeof(p.path), "/tmp/om-spool.XXXXXX");
	if (!mkdtemp(p.path))
		return -1;
	p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool_store_open(p.fd, "ckpt", true, &p.st, NULL) < 0)
		return -1;
	p.ckpt = openat(p.fd, "ckpt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &p;
	return p.ckpt < 0 ? -1 : 0;
}

static inline int help_teardown(void **state)
{
	struct help_place *p = *state;

	spool_store_close(p->st);
	help_empty(p->ckpt);
	close(p->ckpt);
	(void)unlinkat(p->fd, "ckpt", AT_REMOVEDIR);
	close(p->fd);
	return rmdir(p->path);
}
#endif
