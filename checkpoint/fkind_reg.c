/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_reg.c - regular files, folders, plain devices, and O_PATH descriptors of anything that has a name.
 *
 * A name is good when it leads to the same inode (a renamed file is found by its present name).  A file without any name ("ghost")
 * is kept whole in the image and made again as a nameless file in the same folder.  Files of /proc are opened in the restored
 * processes, when the processes that they tell about are there. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/content.h"
#include "checkpoint/fimpl.h"

enum {
	/* what open(2) takes again, and what cannot be set later */
	REG_OPEN_FLAGS = O_ACCMODE | O_SYNC | O_DSYNC | O_NOATIME,
};

static const char deleted[] = " (deleted)";

/* ---- dump ---- */
static int ghost_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	size_t n = strlen(d->link) - strlen(deleted);
	om_autofd int mine = -1;
	int r;

	/* the inode may have been seen through another description */
	for (size_t i = 0; i < d->index; i++) {
		const struct fdesc *o = f->descs[i];

		if (o->st.st_ino == d->st.st_ino && o->st.st_dev == d->st.st_dev && o->kind == d->kind && o->aux) {
			d->aux = o->aux;
			return fj_put_int(d->json, "ghost", (int64_t)d->aux);
		}
	}
	d->aux = ++f->ids;
	d->link[n] = 0;
	r = fj_put_path(d->json, "path", d->link);
	d->link[n] = ' ';
	if (r == 0)
		r = fj_put_int(d->json, "ghost", (int64_t)d->aux);
	if (r == 0)
		r = fj_put_int(d->json, "mode", d->st.st_mode & 07777);
	if (r == 0 && f->o.memfd) {
		/* mapped as well: then the owner of shared memory has it. A description of their own: they may move its offset */
		mine = fopen_again(d->dup, O_RDONLY | O_NONBLOCK);
		r = mine < 0 ? 1 : f->o.memfd(f->o.arg, mine, &d->st, d->json, err);
		if (r != 1)
			return r;
		r = 0;
	}
	if (r == 0)
		r = fwritten_content(f, d->dup, &d->st, d->json, err);
	if (r == -EFBIG)
		return files_refuse(f, d, "a removed file of more than 256 MiB");
	return r;
}

static int reg_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	int r = fj_put_int(d->json, "pos", d->pos);

	if (r == 0 && files_in_proc(f, d))
		r = fj_put(d->json, "late", json_true());
	else if (r == 0)
		r = fj_put_int(d->json, "size", d->st.st_size);
	if (r < 0)
		return r;
	if (files_path_is(f, d->link, &d->st)) {
		if ((d->flags & O_ACCMODE) != O_RDONLY && !json_object_get(d->json, "late"))
			r = fwritten_add(f, d, d->link, err);
		return r < 0 ? r : fj_put_path(d->json, "path", d->link);
	}
	if (d->st.st_nlink == 0 && d->link[0] == '/' && strlen(d->link) > strlen(deleted))
		return ghost_dump(f, d, err);
	return files_refuse(f, d, d->st.st_nlink ? "its name was removed or is hidden, but the file has another name somewhere"
			    : "a removed file in a place that cannot be reached");
}

static int dir_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	int r = fj_put_int(d->json, "pos", d->pos);

	(void)err;
	if (!files_path_is(f, d->link, &d->st))
		return files_refuse(f, d, "a folder that was removed or cannot be reached");
	if (r == 0 && files_in_proc(f, d))
		r = fj_put(d->json, "late", json_true());
	return r < 0 ? r : fj_put_path(d->json, "path", d->link);
}

static int path_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	int r = dir_dump(f, d, err);

	return r < 0 ? r : fj_put_int(d->json, "type", d->st.st_mode & S_IFMT);
}

static int dev_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	static const unsigned plain[][2] = { { 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 }, { 1, 9 }, { 5, 0 } };
	unsigned maj = major(d->st.st_rdev), min = minor(d->st.st_rdev);
	int r;

	(void)err;
	for (size_t i = 0; i < OM_ARRAY_SIZE(plain); i++) {
		if (plain[i][0] != maj || plain[i][1] != min)
			continue;
		if (!files_path_is(f, d->link, &d->st))
			return files_refuse(f, d, "a device whose name was removed or cannot be reached");
		r = fj_put_path(d->json, "path", d->link);
		if (r == 0)
			r = fj_put_int(d->json, "major", maj);
		if (r == 0)
			r = fj_put_int(d->json, "minor", min);
		if (r == 0 && maj == 5)
			r = fj_put(d->json, "late", json_true());	/* the terminal of whoever opens it */
		return r;
	}
	return files_refuse(f, d, "a device (%u:%u) whose state cannot be carried", maj, min);
}

/* ---- restore ---- */
static int reg_place(int fd, const json_t *j, const char *path, int *ret_fd, struct om_err *err)
{
	int64_t pos;
	int r = fj_int(j, "pos", 0, INT64_MAX, &pos, err);

	if (r == 0 && pos && lseek(fd, pos, SEEK_SET) < 0)
		r = om_err_sys(err, -errno, "cannot set the position in '%s'", path);
	if (r < 0) {
		om_fd_close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int ghost_make(const char *path, struct om_err *err)
{
	om_autofree char *dir = strdup(path), *name = NULL;
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int fd;

	if (!slash)
		return om_err_sys(err, -ENOMEM, "%s", path);
	slash[slash == dir] = 0;
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
		/* a file system without nameless files */
		if (asprintf(&name, "%s/.om-ghost-XXXXXX", dir) < 0)
			return om_err_sys(err, -ENOMEM, "%s", path);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
	}
	return fd < 0 ? om_err_sys(err, -errno, "cannot make the removed file '%s' again", path) : fd;
}

static int ghost_first(struct ckpt_opened *o, const json_t *j, int *ret, struct om_err *err)
{
	om_autofree char *path = NULL;
	om_autofd int fd = -1;
	int64_t size;
	int r = o->opts.memfd ? o->opts.memfd(o->opts.arg, j, ret, err) : 1;

	if (r != 1)
		return r;
	r = fj_path(j, "path", &path, err);
	if (r == 0)
		r = fj_int(j, "size", 0, INT64_MAX, &size, err);
	if (r < 0)
		return r;
	fd = ghost_make(path, err);
	r = fd < 0 ? fd : content_load(o->src, j, size, fd, err);
	if (r == 0)
		*ret = om_fd_steal(&fd);
	return r;
}

static int ghost_open(struct ckpt_opened *o, const json_t *j, int flags, int *ret_fd, struct om_err *err)
{
	struct fgroup *g;
	int64_t id;
	int fd, r = fj_int(j, "ghost", 1, INT64_MAX, &id, err);

	if (r == 0)
		r = fopen_group(o, "ghost", id, &g, err);
	if (r < 0)
		return r;
	if (g->fd[0] < 0) {
		r = ghost_first(o, j, &g->fd[0], err);
		if (r < 0)
			return r;
	}
	fd = fopen_again(g->fd[0], flags);
	return fd < 0 ? om_err_sys(err, fd, "a removed file") : reg_place(fd, j, "a removed file", ret_fd, err);
}

/* The mode at last: it may forbid what was opened before. */
static int reg_join(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	int64_t mode;

	if (!json_object_get(o->f[i].json, "ghost") || !json_object_get(o->f[i].json, "mode"))
		return 0;
	if (fj_int(o->f[i].json, "mode", 0, 07777, &mode, err) < 0)
		return -EBADMSG;
	return fchmod(o->f[i].fd, (mode_t)mode) < 0 ? om_err_sys(err, -errno, "a removed file") : 0;
}

static int open_named(const char *path, int flags, mode_t type)
{
	int fd = open(path, flags | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC | (flags & O_PATH ? 0 : O_NONBLOCK));
	struct stat st;

	/* made read-only by its owner while it was open */
	if (fd < 0 && errno == EACCES && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    chmod(path, (st.st_mode & 07777) | 0600) == 0) {
		fd = open(path, flags | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
		(void)chmod(path, st.st_mode & 07777);	/* it was so a moment ago */
		if (fd < 0)
			errno = EACCES;
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || (type && (st.st_mode & S_IFMT) != type)) {
		om_fd_close(fd);
		return -ESTALE;
	}
	return fd;
}

static int named_open(const json_t *j, int flags, mode_t type, int *ret_fd, struct om_err *err)
{
	om_autofree char *path = NULL;
	struct stat st;
	int64_t size;
	int fd, r = fj_path(j, "path", &path, err);

	if (r == 0)
		r = fj_int_or(j, "size", 0, INT64_MAX, 0, &size, err);
	if (r < 0)
		return r;
	fd = open_named(path, flags, type);
	if (fd < 0)
		return om_err_sys(err, fd, "cannot open '%s', which the job had open", path);
	if (size && fstat(fd, &st) == 0 && st.st_size < size) {
		om_fd_close(fd);
		return om_err_set(err, -ESTALE, "'%s' is shorter than at the checkpoint (%lld bytes, was %lld)", path, (long long)st.st_size, (long long)size);
	}
	return flags & O_PATH ? (*ret_fd = fd, 0) : reg_place(fd, j, path, ret_fd, err);
}

static int flags_of(const json_t *j, int mask, int *ret, struct om_err *err)
{
	int64_t flags = 0;
	int r = fj_int(j, "flags", 0, INT_MAX, &flags, err);

	if (r == 0)
		*ret = (int)flags & mask;
	return r;
}

static int reg_late(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	int flags = 0, r = flags_of(j, REG_OPEN_FLAGS, &flags, err);

	if (r < 0)
		return r;
	return json_object_get(j, "ghost") ? ghost_open(o, j, flags, ret_fd, err) : named_open(j, flags, S_IFREG, ret_fd, err);
}

static int reg_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	return fj_true(o->f[i].json, "late") ? 0 : reg_late(o, i, ret_fd, err);
}

static int dir_late(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	return named_open(o->f[i].json, O_RDONLY | O_DIRECTORY, S_IFDIR, ret_fd, err);
}

static int dir_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	return fj_true(o->f[i].json, "late") ? 0 : dir_late(o, i, ret_fd, err);
}

static int path_late(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	int64_t type;
	int r = fj_int(o->f[i].json, "type", 0, S_IFMT, &type, err);

	return r < 0 ? r : named_open(o->f[i].json, O_PATH, (mode_t)type, ret_fd, err);
}

static int path_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	return fj_true(o->f[i].json, "late") ? 0 : path_late(o, i, ret_fd, err);
}

static int dev_late(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	om_autofree char *path = NULL;
	om_autofd int look = -1;
	int64_t maj, min;
	struct stat st;
	int fd, flags = 0, r = flags_of(j, O_ACCMODE, &flags, err);

	if (r == 0)
		r = fj_path(j, "path", &path, err);
	if (r == 0)
		r = fj_int(j, "major", 1, 5, &maj, err);
	if (r == 0)
		r = fj_int(j, "minor", 0, 9, &min, err);
	if (r < 0)
		return r;
	/* looked at before it is opened: opening some devices does things */
	look = open(path, O_PATH | O_CLOEXEC);
	if (look < 0)
		return om_err_sys(err, -errno, "cannot open '%s', which the job had open", path);
	if (fstat(look, &st) < 0 || !S_ISCHR(st.st_mode) || major(st.st_rdev) != maj || minor(st.st_rdev) != min)
		return om_err_set(err, -ESTALE, "'%s' is not the device %d:%d any more", path, (int)maj, (int)min);
	fd = fopen_again(look, flags | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return om_err_sys(err, fd, "cannot open '%s', which the job had open", path);
	*ret_fd = fd;
	return 0;
}

static int dev_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	return fj_true(o->f[i].json, "late") ? 0 : dev_late(o, i, ret_fd, err);
}

const struct fkind fkind_reg = { .name = "reg", .dump = reg_dump, .open = reg_open, .join = reg_join, .late = reg_late };
const struct fkind fkind_dir = { .name = "dir", .dump = dir_dump, .open = dir_open, .late = dir_late };
const struct fkind fkind_path = { .name = "path", .dump = path_dump, .open = path_open, .late = path_late };
const struct fkind fkind_dev = { .name = "dev", .dump = dev_dump, .open = dev_open, .late = dev_late };
