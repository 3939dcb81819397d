/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pack files.
 *
 * Writing: small blocks are gathered, large ones go from the caller's buffer to the page cache without a copy between (writev of what was gathered
 * and the block).  Every few MiB the kernel is asked to begin writing back, so that the disk works while blocks still come in and the
 * fsync at the end finds little left to do. */
#include "spool/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "spool/check.h"
#include "spool/file.h"
#include "spool/store.h"

static const char pack_magic[8] = { 'O', 'M', 'P', 'A', 'C', 'K', 0, 1 };

enum {
	PACK_VERSION = 1,
	GATHER = 256 * 1024,		/* small blocks per write(2) */
	DIRECT = 32 * 1024,		/* blocks from here on are not copied into the gathered ones */
	WRITEBACK = 8 * 1024 * 1024,	/* asked for in such pieces */
};

void spool_pack_name(char name[SPOOL_PACK_NAME], uint32_t number)
{
	snprintf(name, SPOOL_PACK_NAME, "pack-%08" PRIx32, number);
}

static int pack_head_parse(const uint8_t *head, struct spool_pack *p, struct om_err *err)
{
	uint8_t sum[8];

	le64_put(sum, XXH3_64bits(head, 24));
	if (memcmp(head, pack_magic, 8) != 0 || !spool_check_equal(sum, head + 24, 8))
		return om_err_set(err, -EUCLEAN, "pack-%08" PRIx32 " is damaged: its header", p->number);
	if (le32_get(head + 8) != PACK_VERSION || le32_get(head + 12) != p->number)
		return om_err_set(err, -EUCLEAN, "pack-%08" PRIx32 " is another pack", p->number);
	p->id = le64_get(head + 16);
	return 0;
}

int spool_pack_open(int dirfd, uint32_t number, struct spool_pack *ret, struct om_err *err)
{
	struct spool_pack p = { .number = number };
	uint8_t head[SPOOL_PACK_HEAD];
	char name[SPOOL_PACK_NAME];
	om_autofd int fd = -1;
	struct stat st;
	int r;

	spool_pack_name(name, number);
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return om_err_sys(err, -errno, "open %s", name);
	if (fstat(fd, &st) < 0)
		return om_err_sys(err, -errno, "look at %s", name);
	if (!S_ISREG(st.st_mode) || st.st_size < SPOOL_PACK_HEAD)
		return om_err_set(err, -EUCLEAN, "%s is cut or no file", name);
	p.size = (uint64_t)st.st_size;
	r = om_fd_pread_all(fd, head, sizeof(head), 0);
	if (r < 0)
		return om_err_sys(err, r == -ENODATA ? -EUCLEAN : r, "read %s", name);
	r = pack_head_parse(head, &p, err);
	if (r < 0)
		return r;
	p.fd = om_fd_steal(&fd);
	*ret = p;
	return 0;
}

void spool_pack_close(struct spool_pack *p)
{
	om_fd_close(p->fd);
	p->fd = -1;
}

int spool_pack_read(const struct spool_pack *p, const struct spool_row *row, uint8_t head[SPOOL_BLOCK_HEAD], void *stored, struct om_err *err)
{
	struct iovec v[2] = { { head, SPOOL_BLOCK_HEAD }, { stored, row->stored_len } };
	size_t all = SPOOL_BLOCK_HEAD + row->stored_len, got = 0;
	int r;

	while (got < SPOOL_BLOCK_HEAD) {
		ssize_t n = preadv(p->fd, v, 2, (off_t)row->offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return om_err_sys(err, -errno, "read");
		if (n < SPOOL_BLOCK_HEAD)
			return om_err_set(err, -EUCLEAN, "it is cut");
		got = (size_t)n;
	}
	r = om_fd_pread_all(p->fd, (char *)stored + (got - SPOOL_BLOCK_HEAD), all - got, (off_t)(row->offset + got));
	if (r == -ENODATA)
		return om_err_set(err, -EUCLEAN, "it is cut");
	return r < 0 ? om_err_sys(err, r, "read") : 0;
}

struct spool_packer {
	int dirfd, fd;
	uint32_t number;
	uint64_t id;
	uint64_t written;		/* in the file */
	uint64_t asked;			/* writeback was asked for up to here */
	bool keep;
	size_t len;			/* gathered */
	uint8_t buf[GATHER];
};

int spool_packer_create(int dirfd, uint32_t number, struct spool_packer **ret, struct om_err *err)
{
	struct spool_packer *p = malloc(sizeof(*p));
	char name[SPOOL_PACK_NAME];
	int r;

	if (!p)
		return om_err_set(err, -ENOMEM, "out of memory");
	*p = (struct spool_packer){ .dirfd = dirfd, .number = number };
	if (getrandom(&p->id, sizeof(p->id), 0) != sizeof(p->id)) {
		r = om_err_sys(err, -errno, "random id");
		goto err_free;
	}
	spool_pack_name(name, number);
	p->fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->fd < 0) {
		r = om_err_sys(err, -errno, "create %s", name);
		goto err_free;
	}
	memcpy(p->buf, pack_magic, 8);
	le32_put(p->buf + 8, PACK_VERSION);
	le32_put(p->buf + 12, number);
	le64_put(p->buf + 16, p->id);
	le64_put(p->buf + 24, XXH3_64bits(p->buf, 24));
	p->len = SPOOL_PACK_HEAD;
	*ret = p;
	return 0;

err_free:
	free(p);
	return r;
}

static int write_pieces(int fd, struct iovec *v, int n)
{
	while (n > 0) {
		ssize_t w = writev(fd, v, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		while (n > 0 && (size_t)w >= v->iov_len) {
			w -= (ssize_t)v->iov_len;
			v++;
			n--;
		}
		if (n > 0) {
			v->iov_base = (char *)v->iov_base + w;
			v->iov_len -= (size_t)w;
		}
	}
	return 0;
}

/* Write what was gathered and @data behind it. */
static int packer_write(struct spool_packer *p, const void *data, size_t len, struct om_err *err)
{
	struct iovec v[2] = { { p->buf, p->len }, { (void *)(uintptr_t)data, len } };
	int r = write_pieces(p->fd, v, len ? 2 : 1);

	if (r < 0)
		return om_err_sys(err, r, "write pack-%08" PRIx32, p->number);
	p->written += p->len + len;
	p->len = 0;
	if (p->written - p->asked >= WRITEBACK) {
		/* a hint: what goes wrong here is told by fsync */
		(void)sync_file_range(p->fd, (off_t)p->asked, (off_t)(p->written - p->asked), SYNC_FILE_RANGE_WRITE);
		p->asked = p->written;
	}
	return 0;
}

int spool_packer_copy(struct spool_packer *p, struct spool_row *row, const uint8_t head[SPOOL_BLOCK_HEAD], const void *stored, struct om_err *err)
{
	uint64_t offset = spool_packer_size(p);
	bool direct = row->stored_len >= DIRECT;
	int r = 0;

	if (p->len + SPOOL_BLOCK_HEAD + (direct ? 0 : row->stored_len) > sizeof(p->buf))
		r = packer_write(p, NULL, 0, err);
	if (r < 0)
		return r;
	memcpy(p->buf + p->len, head, SPOOL_BLOCK_HEAD);
	p->len += SPOOL_BLOCK_HEAD;
	if (direct) {
		r = packer_write(p, stored, row->stored_len, err);
		if (r < 0)
			return r;
	} else {
		memcpy(p->buf + p->len, stored, row->stored_len);
		p->len += row->stored_len;
	}
	row->offset = offset;
	row->pack = p->number;
	return 0;
}

int spool_packer_add(struct spool_packer *p, struct spool_row *row, const void *stored, struct om_err *err)
{
	uint8_t head[SPOOL_BLOCK_HEAD];

	spool_block_head(head, row, stored);
	return spool_packer_copy(p, row, head, stored, err);
}

int spool_packer_finish(struct spool_packer *p, struct om_err *err)
{
	char name[SPOOL_PACK_NAME];
	int r = packer_write(p, NULL, 0, err);

	if (r < 0)
		return r;
	spool_pack_name(name, p->number);
	return spool_file_sync(p->fd, name, err);
}

void spool_packer_keep(struct spool_packer *p)
{
	p->keep = true;
}

uint64_t spool_packer_size(const struct spool_packer *p)
{
	return p->written + p->len;
}

uint64_t spool_packer_id(const struct spool_packer *p)
{
	return p->id;
}

void spool_packer_destroy(struct spool_packer *p)
{
	char name[SPOOL_PACK_NAME];

	if (!p)
		return;
	if (!p->keep) {
		spool_pack_name(name, p->number);
		(void)unlinkat(p->dirfd, name, 0);	/* a leftover is removed by the next writer */
	}
	om_fd_close(p->fd);
	free(p);
}
