/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nothing is made before the first record: most short jobs change no file but their output, and pay nothing.
 * The order for each change: what is saved is durable (or in the same file system's own journal, for links), then the record, then the answer. */
#include "omjob/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "spool/file.h"

enum {
	FRAME_HEAD = 12, FIXED = 66,
	PATH_LEN_MAX = 4096,
};
static const char magic[8] = "omundo1\n";
static const uint64_t copy_max = 256 << 20;		/* one file: about 0.2 s of writing */
static const uint64_t copy_epoch_max = 2ULL << 30;	/* all of an epoch */

/* ---- frames ---- */

int omj_rec_add(struct om_buf *b, const struct omj_rec *rec)
{
	size_t n1 = rec->path ? strlen(rec->path) + 1 : 1, n2 = rec->path2 ? strlen(rec->path2) + 1 : 1;
	size_t len = FRAME_HEAD + FIXED + n1 + n2;
	uint8_t *p;

	if (n1 > PATH_LEN_MAX || n2 > PATH_LEN_MAX)
		return -ENAMETOOLONG;
	if (om_buf_reserve(b, len) < 0)
		return -ENOMEM;
	p = (uint8_t *)b->data + b->len;
	le32_put(p, (uint32_t)len);
	p[12] = rec->type;
	p[13] = rec->how;
	le32_put(p + 14, rec->mode);
	le32_put(p + 18, rec->uid);
	le32_put(p + 22, rec->gid);
	le64_put(p + 26, rec->id.dev);
	le64_put(p + 34, rec->id.ino);
	le64_put(p + 42, (uint64_t)rec->id.btime_ns);
	le64_put(p + 50, rec->size);
	le64_put(p + 58, (uint64_t)rec->mtime_ns);
	le32_put(p + 66, rec->save);
	le32_put(p + 70, 0);
	le16_put(p + 74, (uint16_t)n1);
	le16_put(p + 76, (uint16_t)n2);
	memcpy(p + 78, rec->path ? rec->path : "", n1);
	memcpy(p + 78 + n1, rec->path2 ? rec->path2 : "", n2);
	le64_put(p + 4, XXH64(p + FRAME_HEAD, len - FRAME_HEAD, 0));
	b->len += len;
	b->data[b->len] = 0;
	return 0;
}

/* @n bytes are one string with its 0 and nothing behind it */
static bool is_string(const uint8_t *p, size_t n)
{
	return n >= 1 && memchr(p, 0, n) == p + n - 1;
}

static bool makes_sense(const struct omj_rec *r)
{
	if (r->type < OMJ_REC_CREATE || r->type > OMJ_REC_CANNOT || r->how > OMJ_HOW_TARGET || r->path[0] != '/')
		return false;
	if ((r->type == OMJ_REC_RENAME || r->type == OMJ_REC_EXCHANGE) && r->path2[0] != '/')
		return false;
	return true;
}

long omj_rec_parse(const void *data, size_t len, struct omj_rec *ret)
{
	const uint8_t *p = data;
	size_t n, n1, n2;

	if (len < FRAME_HEAD + FIXED)
		return 0;
	n = le32_get(p);
	if (n < FRAME_HEAD + FIXED + 2 || n > OMJ_REC_MAX)
		return -EUCLEAN;
	if (n > len)
		return 0;
	if (le64_get(p + 4) != XXH64(p + FRAME_HEAD, n - FRAME_HEAD, 0))
		return n == len ? 0 : -EUCLEAN;	/* the last one: cut while it was written */
	n1 = le16_get(p + 74);
	n2 = le16_get(p + 76);
	if (FRAME_HEAD + FIXED + n1 + n2 != n || !is_string(p + 78, n1) || !is_string(p + 78 + n1, n2))
		return -EUCLEAN;
	*ret = (struct omj_rec){
		.type = p[12], .how = p[13], .mode = le32_get(p + 14), .uid = le32_get(p + 18), .gid = le32_get(p + 22),
		.id = { le64_get(p + 26), le64_get(p + 34), (int64_t)le64_get(p + 42) },
		.size = le64_get(p + 50), .mtime_ns = (int64_t)le64_get(p + 58), .save = le32_get(p + 66),
		.path = (const char *)p + 78, .path2 = (const char *)p + 78 + n1,
	};
	return makes_sense(ret) ? (long)n : -EUCLEAN;
}

int omj_log_head_parse(const void *data, size_t len, uint32_t *ret_flags, uint32_t *ret_first)
{
	if (len < OMJ_LOG_HEAD || memcmp(data, magic, sizeof(magic)) != 0)
		return -EUCLEAN;
	*ret_flags = le32_get((const char *)data + 8);
	*ret_first = le32_get((const char *)data + 12);
	return 0;
}

void omj_log_head_put(char head[OMJ_LOG_HEAD], uint32_t flags, uint32_t first)
{
	memcpy(head, magic, sizeof(magic));
	le32_put(head + 8, flags);
	le32_put(head + 12, first);
}

/* ---- the folder ---- */

void omj_save_name(char *dst, size_t n, uint32_t epoch, uint32_t save)
{
	snprintf(dst, n, "%u.s%u", epoch, save);
}

int omj_undo_dir_open(int jobdir)
{
	int fd = openat(jobdir, "undo", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int omj_journal_newest(int jobdir, uint32_t *ret, struct om_err *err)
{
	int fd = omj_undo_dir_open(jobdir);
	struct dirent *e;
	DIR *d;

	*ret = 0;
	if (fd == -ENOENT)
		return 0;
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return om_err_sys(err, fd < 0 ? fd : -errno, "undo");
	while ((e = readdir(d))) {
		unsigned v;

		if (sscanf(e->d_name, "%9u.", &v) == 1 && v > *ret)
			*ret = v;
	}
	closedir(d);
	return 0;
}

void omj_journal_init(struct omj_journal *j, int jobdir, uint32_t epoch)
{
	*j = (struct omj_journal){ .jobdir = jobdir, .dir = -1, .fd = -1, .epoch = epoch };
}

void omj_journal_done(struct omj_journal *j)
{
	om_fd_close(om_fd_steal(&j->fd));
	om_fd_close(om_fd_steal(&j->dir));
	om_buf_done(&j->pending);
}

static int log_make(struct omj_journal *j, const char *name, struct om_err *err)
{
	char head[OMJ_LOG_HEAD];
	int fd, r;

	omj_log_head_put(head, 0, 0);
	fd = openat(j->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return om_err_sys(err, -errno, "undo/%s", name);
	r = om_fd_write_all(fd, head, sizeof(head));
	r = r < 0 ? om_err_sys(err, r, "undo/%s", name) : spool_file_sync(fd, name, err);
	r = r ? r : spool_file_sync_dir(j->dir, err);
	if (r < 0) {
		om_fd_close(fd);
		(void)unlinkat(j->dir, name, 0);	/* an empty log does no harm either */
		return r;
	}
	j->fd = fd;
	j->end = OMJ_LOG_HEAD;
	return 0;
}

int omj_journal_ready(struct omj_journal *j, struct om_err *err)
{
	char name[32];
	int r;

	if (j->fd >= 0)
		return 0;
	if (j->dir < 0) {
		if (mkdirat(j->jobdir, "undo", 0700) < 0 && errno != EEXIST)
			return om_err_sys(err, -errno, "undo");
		r = spool_file_sync_dir(j->jobdir, err);
		if (r < 0)
			return r;
		j->dir = omj_undo_dir_open(j->jobdir);
		if (j->dir < 0)
			return om_err_sys(err, j->dir, "undo");
	}
	snprintf(name, sizeof(name), "%u.log", j->epoch);
	return log_make(j, name, err);
}

void omj_journal_cut(struct omj_journal *j, uint32_t epoch)
{
	om_fd_close(om_fd_steal(&j->fd));
	j->epoch = epoch;
	j->next_save = 0;
	j->copied = 0;
	j->end = 0;
}

void omj_journal_clear(int jobdir)
{
	int fd = omj_undo_dir_open(jobdir);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			(void)unlinkat(fd, e->d_name, 0);
	if (d)
		closedir(d);
	(void)unlinkat(jobdir, "undo", AT_REMOVEDIR);	/* leftovers are removed with the job's folder */
}

/* ---- reading ---- */

void omj_log_close(struct omj_log *l)
{
	if (l->data)
		munmap((void *)(uintptr_t)l->data, l->len);
	om_fd_close(l->fd);
	free(l->at);
	*l = (struct omj_log){ .fd = -1 };
}

static int log_index(struct omj_log *l, struct om_err *err)
{
	size_t room = 0, at = OMJ_LOG_HEAD;

	for (;;) {
		struct omj_rec rec;
		long n = omj_rec_parse(l->data + at, l->len - at, &rec);

		if (n < 0)
			return om_err_set(err, -EUCLEAN, "undo/%u.log is damaged at byte %zu", l->epoch, at);
		if (n == 0)
			return 0;
		if (l->n == room) {
			size_t *more;

			room = room ? room * 2 : 64;
			more = realloc(l->at, room * sizeof(*more));
			if (!more)
				return om_err_set(err, -ENOMEM, "undo/%u.log", l->epoch);
			l->at = more;
		}
		l->at[l->n++] = at;
		at += (size_t)n;
	}
}

int omj_log_get(const struct omj_log *l, size_t i, struct omj_rec *ret)
{
	return omj_rec_parse(l->data + l->at[i], l->len - l->at[i], ret) > 0 ? 0 : -EUCLEAN;
}

int omj_log_open(int dir, uint32_t epoch, struct omj_log *l, struct om_err *err)
{
	char name[32];
	struct stat st;

	*l = (struct omj_log){ .fd = -1, .epoch = epoch, .first = epoch };
	snprintf(name, sizeof(name), "%u.log", epoch);
	l->fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (l->fd < 0)
		return errno == ENOENT ? 1 : om_err_sys(err, -errno, "undo/%s", name);
	if (fstat(l->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return om_err_set(err, -EUCLEAN, "undo/%s is no file", name);
	if (st.st_size < OMJ_LOG_HEAD)
		return 1;	/* its head was not durable: nothing was answered */
	l->len = (size_t)st.st_size;
	l->data = mmap(NULL, l->len, PROT_READ, MAP_PRIVATE, l->fd, 0);
	if (l->data == MAP_FAILED) {
		l->data = NULL;
		return om_err_sys(err, -errno, "undo/%s", name);
	}
	if (omj_log_head_parse(l->data, l->len, &l->flags, &l->first) < 0 || l->first > epoch)
		return om_err_set(err, -EUCLEAN, "undo/%s is damaged at its head", name);
	if (!l->first)
		l->first = epoch;
	return log_index(l, err);
}

void omj_epoch_remove(int dir, uint32_t epoch)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	char name[32];

	while (d && (e = readdir(d))) {
		unsigned v, s;

		if (sscanf(e->d_name, "%9u.s%9u", &v, &s) == 2 && v == epoch)
			(void)unlinkat(dir, e->d_name, 0);
	}
	if (d)
		closedir(d);
	snprintf(name, sizeof(name), "%u.log", epoch);
	(void)unlinkat(dir, name, 0);	/* its log last: without one its saved files are never looked at */
}

/* ---- records ---- */

int omj_journal_add(struct omj_journal *j, const struct omj_rec *rec, bool sync)
{
	int r = omj_rec_add(&j->pending, rec);

	if (r == 0 && sync)
		j->sync = true;
	return r;
}

static int log_break(struct omj_journal *j)
{
	uint8_t flags[4];
	int r;

	le32_put(flags, OMJ_LOG_BROKEN);
	r = om_fd_pwrite_all(j->fd, flags, sizeof(flags), 8);
	/* half a record behind the good ones would make the next one unreadable */
	if (r == 0 && ftruncate(j->fd, (off_t)j->end) < 0)
		r = -errno;
	return r == 0 && fdatasync(j->fd) < 0 ? -errno : r;
}

int omj_journal_flush(struct omj_journal *j)
{
	int r;

	if (!j->pending.len)
		return 0;
	r = omj_journal_ready(j, NULL);
	if (r < 0)
		goto out;
	r = om_fault(OM_FI_UNDO_RECORD);
	r = r ? r : om_fd_pwrite_all(j->fd, j->pending.data, j->pending.len, (off_t)j->end);
	if (r == 0 && j->sync && fdatasync(j->fd) < 0)
		r = -errno;
	if (r < 0)
		r = log_break(j);
	else
		j->end += j->pending.len;
out:
	j->pending.len = 0;
	j->sync = false;
	return r;
}

/* ---- saved files ---- */

int omj_save_link(struct omj_journal *j, const char *path, const struct omj_file_id *id, uint32_t *ret_save)
{
	struct stat st;
	char save[32];
	int r = omj_journal_ready(j, NULL);

	if (r < 0)
		return r;
	omj_save_name(save, sizeof(save), j->epoch, j->next_save + 1);
	if (linkat(AT_FDCWD, path, j->dir, save, 0) < 0)
		return -errno;
	if (fstatat(j->dir, save, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != id->ino || st.st_dev != id->dev) {
		(void)unlinkat(j->dir, save, 0);	/* the job sees another file there than we do (mounts of its own) */
		return -ESTALE;
	}
	*ret_save = ++j->next_save;
	return 0;
}

static int copy_bytes(int from, int to, uint64_t size)
{
	loff_t in = 0, out = 0;

	while ((uint64_t)out < size) {
		ssize_t n = copy_file_range(from, &in, to, &out, size - (uint64_t)out, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;	/* it has become shorter meanwhile */
	}
	return 0;
}

static uint64_t limit(void)
{
	const char *text = getenv("OM_UNDO_COPY_MAX");	/* tests: reach the limit without writing so much */
	uint64_t v;

	return text && om_str_u64(text, &v) == 0 ? v : copy_max;
}

int omj_save_copy(struct omj_journal *j, int fd, uint64_t size, uint32_t *ret_save)
{
	om_autofd int to = -1;
	char save[32];
	int r = omj_journal_ready(j, NULL);

	if (r < 0)
		return r;
	omj_save_name(save, sizeof(save), j->epoch, j->next_save + 1);
	to = openat(j->dir, save, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	if (ioctl(to, FICLONE, fd) < 0) {
		if (size > limit() || j->copied + size > copy_epoch_max)
			r = -EFBIG;
		r = r ? r : copy_bytes(fd, to, size);
		j->copied += r == 0 ? size : 0;
	}
	if (r == 0 && (fsync(to) < 0 || fsync(j->dir) < 0))
		r = -errno;
	if (r < 0)
		(void)unlinkat(j->dir, save, 0);	/* a leftover is removed with its epoch */
	else
		*ret_save = ++j->next_save;
	return r;
}
