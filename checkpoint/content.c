/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/content.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/fjson.h"
#include "checkpoint/sink.h"

enum { RUNS_MAX = 1 << 20 };	/* a file of 256 GiB in single blocks */

static bool all_zero(const char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

struct store {
	const struct ckpt_sink *sink;
	json_t *runs, *blocks;		/* blocks: of the run that grows, borrowed */
	int64_t end;			/* of that run */
	char *buf;
};

static int run_add(struct store *s, int64_t off, size_t n, struct om_err *err)
{
	json_t *run;
	uint32_t index;
	int r = s->sink->block(s->sink->ctx, s->buf, n, &index, err);

	if (r < 0)
		return r;
	if (!s->blocks || off != s->end) {
		s->blocks = json_array();
		run = json_pack("[I,I,o]", (json_int_t)off, (json_int_t)0, s->blocks);
		if (!run || json_array_append_new(s->runs, run) < 0)
			return om_err_sys(err, -ENOMEM, "file content");
	}
	s->end = off + (int64_t)n;
	run = json_array_get(s->runs, json_array_size(s->runs) - 1);
	if (json_array_append_new(s->blocks, json_integer(index)) < 0 ||
	    json_array_set_new(run, 1, json_integer(s->end - json_integer_value(json_array_get(run, 0)))) < 0)
		return om_err_sys(err, -ENOMEM, "file content");
	return 0;
}

/* The start of the block in which there is data again, at or behind @off. */
static int64_t data_next(int fd, int64_t off, int64_t size)
{
	off_t data = lseek(fd, off, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? size : off;
	return data / CKPT_BLOCK_MAX * CKPT_BLOCK_MAX;
}

int content_store(const struct ckpt_sink *sink, int fd, int64_t size, bool seek, json_t *target, struct om_err *err)
{
	om_autofree char *buf = malloc(CKPT_BLOCK_MAX);
	struct store s = { .sink = sink, .runs = json_array(), .buf = buf };
	int64_t off = 0;
	int r = buf && s.runs ? fj_put(target, "runs", s.runs) : -ENOMEM;

	if (r < 0)
		return om_err_sys(err, r, "file content");
	while (off < size) {
		int64_t at = seek ? data_next(fd, off, size) : off;
		size_t n = size - at < CKPT_BLOCK_MAX ? (size_t)(size - at) : CKPT_BLOCK_MAX;

		if (at >= size)
			break;
		off = at > off ? at : off;
		r = om_fd_pread_all(fd, buf, n, off);
		if (r < 0)
			return om_err_sys(err, r, "cannot read a file's content");
		if (!all_zero(buf, n))
			r = run_add(&s, off, n, err);
		if (r < 0)
			return r;
		off += (int64_t)n;
	}
	return 0;
}

static int run_load(const struct ckpt_source *src, const json_t *run, int64_t size, int64_t *end, int fd, char *buf, struct om_err *err)
{
	const json_t *blocks = json_array_get(run, 2);
	int64_t off, len, index;
	size_t n;
	int r = fj_at(run, 0, *end, size, &off, err);

	if (r == 0)
		r = fj_at(run, 1, 1, size - off, &len, err);
	if (r < 0)
		return r;
	if (!json_is_array(blocks))
		return om_err_set(err, -EBADMSG, "the image is damaged: a run of a file has no blocks");
	for (size_t i = 0; i < json_array_size(blocks); i++) {
		r = fj_at(blocks, i, 0, UINT32_MAX, &index, err);
		if (r == 0)
			r = src->block(src->ctx, (uint32_t)index, buf, &n, err);
		if (r < 0)
			return r;
		if ((int64_t)n > len)
			return om_err_set(err, -EBADMSG, "the image is damaged: a run of a file is too long");
		r = om_fd_pwrite_all(fd, buf, n, off);
		if (r < 0)
			return om_err_sys(err, r, "cannot write a file's content");
		off += (int64_t)n;
		len -= (int64_t)n;
	}
	*end = off;
	return len == 0 ? 0 : om_err_set(err, -EBADMSG, "the image is damaged: a run of a file is too short");
}

/* Nothing but zeroes from @off to @end.  Never by way of a shorter file: another process may have it mapped. */
static int zeroes(int fd, int64_t off, int64_t end, char *buf, struct om_err *err)
{
	if (off >= end || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, end - off) == 0)
		return 0;
	memset(buf, 0, CKPT_BLOCK_MAX);
	while (off < end) {
		size_t n = end - off < CKPT_BLOCK_MAX ? (size_t)(end - off) : CKPT_BLOCK_MAX;
		int r = om_fd_pwrite_all(fd, buf, n, off);

		if (r < 0)
			return om_err_sys(err, r, "cannot write a file's content");
		off += (int64_t)n;
	}
	return 0;
}

int content_load(const struct ckpt_source *src, const json_t *target, int64_t size, int fd, struct om_err *err)
{
	om_autofree char *buf = malloc(CKPT_BLOCK_MAX);
	const json_t *runs;
	int64_t end = 0;
	int r = buf ? fj_array(target, "runs", RUNS_MAX, &runs, err) : om_err_sys(err, -ENOMEM, "file content");

	if (r < 0)
		return r;
	if (ftruncate(fd, size) < 0)
		return om_err_sys(err, -errno, "cannot set a file's size");
	for (size_t i = 0; i < json_array_size(runs) && r == 0; i++) {
		int64_t off;

		r = fj_at(json_array_get(runs, i), 0, end, size, &off, err);
		if (r == 0)
			r = zeroes(fd, end, off, buf, err);
		if (r == 0)
			r = run_load(src, json_array_get(runs, i), size, &end, fd, buf, err);
	}
	return r == 0 ? zeroes(fd, end, size, buf, err) : r;
}

int content_hash(int fd, int64_t off, size_t n, uint64_t *ret)
{
	om_autofree char *buf = malloc(n + 1);
	int r = buf ? om_fd_pread_all(fd, buf, n, off) : -ENOMEM;

	if (r < 0)
		return r;
	*ret = XXH3_64bits(buf, n);
	return 0;
}
