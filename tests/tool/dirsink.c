/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/tool/dirsink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"

static int block_put(void *ctx, const void *data, size_t len, uint32_t *ret, struct om_err *err)
{
	struct dirsink *d = ctx;
	char raw[16];
	int r = len && len <= CKPT_BLOCK_MAX ? om_fd_pwrite_all(d->blocks, data, len, (off_t)d->end) : -EINVAL;

	if (r < 0)
		return om_err_sys(err, r, "%s/blocks", d->dir);
	le32_put(raw, (uint32_t)d->end);
	le32_put(raw + 4, (uint32_t)(d->end >> 32));
	le32_put(raw + 8, (uint32_t)len);
	le32_put(raw + 12, 0);
	*ret = (uint32_t)(d->index.len / 16);
	d->end += len;
	return om_buf_add(&d->index, raw, sizeof(raw));
}

static int block_get(void *ctx, uint32_t i, void *buf, size_t *ret_len, struct om_err *err)
{
	struct dirsink *d = ctx;
	const char *raw = d->index.data + i * (size_t)16;
	int r;

	if (i >= d->index.len / 16)
		return om_err_set(err, -EUCLEAN, "%s has no block %u", d->dir, i);
	*ret_len = le32_get(raw + 8);
	r = om_fd_pread_all(d->blocks, buf, *ret_len, (off_t)le64_get(raw));
	return r < 0 ? om_err_sys(err, r, "%s/blocks", d->dir) : 0;
}

static int block_keep(void *ctx, uint32_t base, uint32_t *ret, struct om_err *err)
{
	static char buf[CKPT_BLOCK_MAX];
	struct dirsink *d = ctx;
	size_t len;
	int r = d->base ? block_get(d->base, base, buf, &len, err) : om_err_set(err, -ENOENT, "no base");

	d->kept++;
	return r < 0 ? r : block_put(d, buf, len, ret, err);
}

static int put_file(const char *dir, const char *name, const void *p, size_t n)
{
	char path[4096];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = om_fd_write_all(fd, p, n);
	close(fd);
	return r;
}

static int commit(void *ctx, const void *meta, size_t len, struct om_err *err)
{
	struct dirsink *d = ctx;
	int r = put_file(d->dir, "index", d->index.data, d->index.len);

	if (r == 0)
		r = put_file(d->dir, "meta", meta, len);
	return r < 0 ? om_err_sys(err, r, "%s", d->dir) : 0;
}

static int meta_get(void *ctx, const void **ret, size_t *ret_len, struct om_err *err)
{
	struct dirsink *d = ctx;

	(void)err;
	*ret = d->meta;
	*ret_len = d->meta_len;
	return 0;
}

static int blocks_open(struct dirsink *d, const char *dir, int flags)
{
	char path[4096];

	snprintf(d->dir, sizeof(d->dir), "%s", dir);
	snprintf(path, sizeof(path), "%s/blocks", dir);
	d->blocks = open(path, flags | O_CLOEXEC, 0600);
	d->sink = (struct ckpt_sink){ d, block_put, block_keep, commit };
	d->source = (struct ckpt_source){ d, meta_get, block_get };
	return d->blocks < 0 ? -errno : 0;
}

int dirsink_create(struct dirsink *d, const char *dir, struct dirsink *base)
{
	*d = (struct dirsink){ .base = base };
	if (mkdir(dir, 0700) < 0)
		return -errno;
	return blocks_open(d, dir, O_RDWR | O_CREAT | O_EXCL);
}

int dirsink_open(struct dirsink *d, const char *dir)
{
	char path[4096], *p;
	size_t n;
	int r;

	*d = (struct dirsink){ .blocks = -1 };
	r = blocks_open(d, dir, O_RDONLY);
	snprintf(path, sizeof(path), "%s/index", dir);
	if (r == 0)
		r = om_file_read(path, 1 << 30, &p, &n);
	if (r == 0)
		d->index = (struct om_buf){ p, n, n };
	snprintf(path, sizeof(path), "%s/meta", dir);
	if (r == 0)
		r = om_file_read(path, 1 << 30, &p, &d->meta_len);
	if (r == 0)
		d->meta = p;
	return r;
}

void dirsink_done(struct dirsink *d)
{
	om_fd_close(d->blocks);
	om_buf_done(&d->index);
	free(d->meta);
}
