/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fwritten.c - exactly-once output: the state of every file the job has open for writing, and its return.
 *
 * Who only appends (O_APPEND) cannot change what is there: the size is enough, with a hash of the last bytes, so that a file that
 * another program changed is refused instead of being cut at a wrong place.  Who writes at the end may seek back (a header that is
 * filled in at the end): small files are kept whole, of large ones the beginning.  All others write in place: kept whole.  "Kept" is
 * a reflink where the file system can, else a copy in memory while the job stands still; both go to the store when it runs again. */
#include "checkpoint/content.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/fimpl.h"
#include "checkpoint/sink.h"

enum {
	WRIT_SMALL = 4 << 20,		/* written at the end: kept whole up to here */
	WRIT_COPY_MAX = 256 << 20,	/* one file copied while the job stands still: about 0.1 s of it */
	WRIT_EDGE = 64 << 10,		/* what is hashed of the end and kept of the beginning of a large file */
	WRITTEN_MAX = 1 << 20,
};

/* ---- which files ---- */
static struct fwritten *writ_find(struct ckpt_files *f, dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < f->n_writ; i++)
		if (f->writ[i].ino == ino && f->writ[i].dev == dev)
			return &f->writ[i];
	return NULL;
}

static int writ_new(struct ckpt_files *f, const char *path, dev_t dev, ino_t ino, struct fwritten **ret)
{
	struct fwritten *w;

	if (f->n_writ == f->room_writ) {
		size_t room = f->room_writ ? 2 * f->room_writ : 16;
		void *p = reallocarray(f->writ, room, sizeof(*f->writ));

		if (!p)
			return -ENOMEM;
		f->writ = p;
		f->room_writ = room;
	}
	w = &f->writ[f->n_writ];
	*w = (struct fwritten){ .dev = dev, .ino = ino, .path = strdup(path), .fd = -1, .append = true };
	if (!w->path)
		return -ENOMEM;
	f->n_writ++;
	*ret = w;
	return 0;
}

int fwritten_add(struct ckpt_files *f, const struct fdesc *d, const char *path, struct om_err *err)
{
	struct fwritten *w = writ_find(f, d->st.st_dev, d->st.st_ino);
	int r = w ? 0 : writ_new(f, path, d->st.st_dev, d->st.st_ino, &w);

	if (r < 0)
		return om_err_sys(err, r, "%s", path);
	if (!w->desc || (d->flags & O_ACCMODE) == O_RDWR)
		w->desc = d;
	if (d->flags & O_APPEND)
		return 0;
	w->append = false;
	if (d->pos != d->st.st_size)
		w->in_place = true;
	return 0;
}

int ckpt_files_note_mapped(struct ckpt_files *f, pid_t vpid, const char *path, dev_t dev, ino_t ino, struct om_err *err)
{
	om_autofd int fd = files_path_open(f, path, 0);
	struct fwritten *w;
	struct stat st;
	int r;

	/* a name that leads nowhere or to another file: the mapping is of a removed file, which the owner of memory carries */
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != ino || !S_ISREG(st.st_mode))
		return 0;
	(void)dev;	/* of the file system beneath an overlay or subvolume: not the one stat(2) says */
	w = writ_find(f, st.st_dev, st.st_ino);
	r = w ? 0 : writ_new(f, path, st.st_dev, st.st_ino, &w);
	if (r < 0)
		return om_err_sys(err, r, "%s", path);
	w->in_place = true;
	w->append = false;
	w->vpid = vpid;
	if (w->fd < 0)
		w->fd = om_fd_steal(&fd);
	return 0;
}

/* ---- their content ---- */
static int late_add(struct ckpt_files *f, int *fd, json_t *target)
{
	void *p = reallocarray(f->late, f->n_late + 1, sizeof(*f->late));

	if (!p)
		return -ENOMEM;
	f->late = p;
	f->late[f->n_late++] = (struct flate){ .fd = om_fd_steal(fd), .target = json_incref(target) };
	return 0;
}

/* A reflink of the file in a nameless file beside it. */
static int twin_reflink(const struct ckpt_files *f, const char *path, int fd)
{
	om_autofree char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	char self[64];
	om_autofd int dirfd = -1;
	om_autofd int twin = -1;

	if (!slash)
		return -EINVAL;
	slash[slash == dir] = 0;
	dirfd = files_path_open(f, dir, O_DIRECTORY);
	if (dirfd < 0)
		return dirfd;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", dirfd);
	twin = open(self, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (twin < 0 || ioctl(twin, FICLONE, fd) < 0)
		return -errno;
	return om_fd_steal(&twin);
}

/* A copy in memory, holes kept. */
static int twin_copy(int fd, int64_t size, bool seek, int *ret, struct om_err *err)
{
	om_autofd int twin = memfd_create("copy", MFD_CLOEXEC);
	om_autofree char *buf = malloc(CKPT_BLOCK_MAX);
	int64_t off = 0;

	if (twin < 0 || !buf || ftruncate(twin, size) < 0)
		return om_err_sys(err, buf ? -errno : -ENOMEM, "memory for a copy");
	while (off < size) {
		int64_t at = seek ? lseek(fd, off, SEEK_DATA) : off;
		size_t n;
		int r;

		if (at < 0 && errno == ENXIO)
			break;
		off = at > off ? at : off;
		n = size - off < CKPT_BLOCK_MAX ? (size_t)(size - off) : CKPT_BLOCK_MAX;
		r = om_fd_pread_all(fd, buf, n, off);
		if (r == 0)
			r = om_fd_pwrite_all(twin, buf, n, off);
		if (r < 0)
			return om_err_sys(err, r, "cannot copy a file's content");
		off += (int64_t)n;
	}
	*ret = om_fd_steal(&twin);
	return 0;
}

static int content_keep(struct ckpt_files *f, int fd, const char *path, int64_t size, bool seek, json_t *target, struct om_err *err)
{
	om_autofd int twin = -1;
	int r;

	if (!f->o.sink)
		return path || size <= WRIT_COPY_MAX ? 0 : -EFBIG;
	if (path && size > WRIT_SMALL)
		twin = twin_reflink(f, path, fd);
	if (twin < 0) {
		if (size > WRIT_COPY_MAX)
			return -EFBIG;
		r = twin_copy(fd, size, seek, &twin, err);
		if (r < 0)
			return r;
	}
	r = late_add(f, &twin, target);
	return r < 0 ? om_err_sys(err, r, "file content") : fj_put_int(target, "size", size);
}

int fwritten_content(struct ckpt_files *f, int fd, const struct stat *st, json_t *target, struct om_err *err)
{
	char self[64];
	om_autofd int mine = -1;

	/* a description of our own: SEEK_DATA moves the offset */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	mine = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return content_keep(f, mine >= 0 ? mine : fd, NULL, st->st_size, mine >= 0, target, err);
}

int ckpt_files_finish(struct ckpt_files *f, struct om_err *err)
{
	for (size_t i = 0; i < f->n_late; i++) {
		struct flate *l = &f->late[i];
		int64_t size = json_integer_value(json_object_get(l->target, "size"));
		int r = f->o.sink ? content_store(f->o.sink, l->fd, size, true, l->target, err) : 0;

		if (r < 0)
			return r;
		om_fd_close(om_fd_steal(&l->fd));
	}
	return 0;
}

/* The end is hashed, the beginning kept. */
static int edges_keep(struct ckpt_files *f, const struct fwritten *w, int fd, int64_t size, json_t *j, struct om_err *err)
{
	om_autofree char *head = malloc(WRIT_EDGE);
	int64_t edge = size < WRIT_EDGE ? size : WRIT_EDGE;
	uint64_t hash;
	int r = head ? content_hash(fd, size - edge, (size_t)edge, &hash) : -ENOMEM;

	if (r == 0)
		r = fj_put_int(j, "tail", (int64_t)hash);
	if (r == 0 && !w->append && edge)
		r = om_fd_pread_all(fd, head, (size_t)edge, 0);
	if (r < 0)
		return om_err_sys(err, r, "%s", w->path);
	return !w->append && edge ? fj_blob_put(f->o.sink, j, "head", head, (size_t)edge, err) : 0;
}

static int writ_refuse(struct ckpt_files *f, const struct fwritten *w, const char *text)
{
	if (w->desc)
		return files_refuse(f, w->desc, "%s", text);
	for (size_t i = 0; i < f->n_procs; i++)
		if (f->procs[i].vpid == w->vpid)
			return files_refuse_proc(f, &f->procs[i], w->path, "%s", text);
	return -EIO;
}

static int writ_dump(struct ckpt_files *f, struct fwritten *w, struct om_err *err)
{
	json_t *j = json_object();
	int any = w->desc ? w->desc->dup : w->fd;
	bool whole;
	char self[64];
	om_autofd int mine = -1;
	struct stat st;
	int fd, r = fj_push(f->written, j);

	if (r < 0 || fstat(any, &st) < 0)
		return om_err_sys(err, r < 0 ? r : -errno, "%s", w->path);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", any);
	mine = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	fd = mine >= 0 ? mine : w->desc && (w->desc->flags & O_ACCMODE) == O_RDWR ? any : -1;
	whole = w->in_place || (!w->append && st.st_size <= WRIT_SMALL);
	r = fj_put_path(j, "path", w->path);
	if (r == 0)
		r = fj_put_int(j, "size", st.st_size);
	if (r == 0)
		r = fj_put_int(j, "mode", st.st_mode & 07777);
	if (r < 0)
		return om_err_sys(err, r, "%s", w->path);
	if (fd < 0)
		return w->in_place ? writ_refuse(f, w, "it is written in place and cannot be read, so its content cannot be kept") : 0;
	if (!whole)
		return f->o.sink ? edges_keep(f, w, fd, st.st_size, j, err) : 0;
	r = content_keep(f, fd, w->path, st.st_size, mine >= 0, j, err);
	if (r == -EFBIG)
		return writ_refuse(f, w, "it is written in place, is larger than 256 MiB, and its file system cannot make reflinks");
	return r;
}

int fwritten_dump(struct ckpt_files *f, struct om_err *err)
{
	int r = 0;

	for (size_t i = 0; i < f->n_writ && r == 0; i++)
		r = writ_dump(f, &f->writ[i], err);
	return r;
}

/* ---- back ---- */
static int back_open(const char *path, int64_t mode, bool whole, int *ret, bool *readable)
{
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	*readable = true;
	if (fd < 0 && errno == ENOENT && whole)
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EACCES) {
		*readable = false;
		fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	if (fd < 0 && errno == EACCES && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    chmod(path, (mode_t)mode | 0600) == 0) {
		/* made read-only while it was open; the mode comes back at the end */
		*readable = true;
		fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		om_fd_close(fd);
		return -EINVAL;
	}
	*ret = fd;
	return 0;
}

/* The file is @size or longer and its part that stays ends as it did: cut it there. */
static int back_cut(const struct ckpt_source *src, const json_t *j, const char *path, int64_t size, int fd, bool readable, struct om_err *err)
{
	size_t edge = size < WRIT_EDGE ? (size_t)size : WRIT_EDGE, n;
	om_autofree char *head = NULL;
	struct stat st;
	uint64_t hash, now;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return om_err_sys(err, -errno, "%s", path);
	if (st.st_size < size)
		return om_err_set(err, -ESTALE, "'%s' is shorter than at the checkpoint (%lld bytes, was %lld): another program has cut it",
				  path, (long long)st.st_size, (long long)size);
	if (json_object_get(j, "head")) {
		r = fj_blob_get(src, j, "head", edge, &head, &n, err);
		if (r == 0)
			r = om_fd_pwrite_all(fd, head, n, 0);
	}
	if (r == 0 && readable && json_object_get(j, "tail")) {
		r = fj_u64(j, "tail", &hash, err);
		if (r == 0)
			r = content_hash(fd, size - (int64_t)edge, edge, &now);
		if (r == 0 && now != hash)
			return om_err_set(err, -ESTALE, "'%s' was changed by another program since the checkpoint (below byte %lld)", path, (long long)size);
	}
	if (r == 0 && ftruncate(fd, size) < 0)
		r = -errno;
	return r < 0 ? om_err_sys(err, r, "cannot put back '%s'", path) : 0;
}

static int back_one(const json_t *j, const struct ckpt_source *src, struct om_err *err)
{
	bool whole = json_object_get(j, "runs"), readable;
	om_autofree char *path = NULL;
	om_autofd int fd = -1;
	int64_t size, mode;
	int r = fj_path(j, "path", &path, err);

	if (r == 0)
		r = fj_int(j, "size", 0, INT64_MAX, &size, err);
	if (r == 0)
		r = fj_int(j, "mode", 0, 07777, &mode, err);
	if (r < 0)
		return r;
	r = back_open(path, mode, whole, &fd, &readable);
	if (r < 0)
		return om_err_sys(err, r, "cannot put back '%s', which the job was writing", path);
	r = whole ? content_load(src, j, size, fd, err) : back_cut(src, j, path, size, fd, readable, err);
	if (r < 0)
		return whole ? om_err_wrap(err, r, "'%s'", path) : r;
	(void)fchmod(fd, (mode_t)mode);	/* a file of another owner that we may write: its mode is not ours to set */
	return 0;
}

int ckpt_files_put_back(const json_t *files, const struct ckpt_source *src, struct om_err *err)
{
	const json_t *all;
	int r = fj_array(files, "written", WRITTEN_MAX, &all, err);

	for (size_t i = 0; r == 0 && i < json_array_size(all); i++)
		r = back_one(json_array_get(all, i), src, err);
	return r;
}
