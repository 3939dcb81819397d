/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_epoll.c - epoll sets and inotify instances.
 *
 * An epoll set knows its targets as (description, number at the time).  The number is in fdinfo, the description is found by
 * kcmp(KCMP_EPOLL_TFD).  At restore the set is built in its leader, where each target is put at its number for a moment. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/fimpl.h"

#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD _IOW('I', 0, int32_t)
#endif

enum {
	TARGETS_MAX = 1 << 20,
	SEARCH_MAX = 4096,		/* names looked at for the path of one watched inode, while the job stands still */
	SEARCH_DEPTH = 4,
};

/* ---- epoll: dump ---- */
static bool is_target(const struct fdesc *set, const struct fdesc *d, unsigned tfd, unsigned toff)
{
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)set->dup, .tfd = tfd, .toff = toff };
	pid_t me = getpid();

	return syscall(SYS_kcmp, me, me, KCMP_EPOLL_TFD, d->dup, &slot) == 0;
}

static struct fdesc *target_find(struct ckpt_files *f, const struct fdesc *set, unsigned tfd, unsigned toff, uint64_t ino)
{
	for (size_t i = 0; i < f->n_descs; i++)
		if (f->descs[i]->st.st_ino == ino && is_target(set, f->descs[i], tfd, toff))
			return f->descs[i];
	return NULL;
}

static int target_dump(struct ckpt_files *f, struct fdesc *set, const char *line, json_t *targets, struct om_err *err)
{
	unsigned tfd, events, toff = 0;
	uint64_t data, ino;
	const struct fdesc *d;

	if (sscanf(line, "tfd: %u events: %x data: %" SCNx64 " pos:%*d ino:%" SCNx64, &tfd, &events, &data, &ino) != 4)
		return om_err_set(err, -EBADMSG, "fdinfo of an epoll set cannot be understood");
	/* the same number may have been added again after it was closed here and kept elsewhere: the kernel tells them apart by position */
	for (size_t i = 0; i < json_array_size(targets); i++)
		toff += json_integer_value(json_object_get(json_array_get(targets, i), "fd")) == tfd;
	d = target_find(f, set, tfd, toff, ino);
	if (!d)
		return files_refuse(f, set, "it watches a file (number %u) that no process has open any more", tfd);
	return fj_push(targets, json_pack("{sIsIsIsI}", "file", (json_int_t)d->index, "fd", (json_int_t)tfd,
					  "events", (json_int_t)events, "data", (json_int_t)data));
}

static int epoll_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	(void)f, (void)err;
	return fj_put(d->json, "targets", json_array());
}

static int epoll_check(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	json_t *targets = json_object_get(d->json, "targets");
	int r = 0;

	for (const char *p = strstr(d->info, "\ntfd:"); p && r == 0; p = strstr(p + 1, "\ntfd:"))
		r = target_dump(f, d, p + 1, targets, err);
	return r;
}

/* ---- epoll: restore ---- */
static int epoll_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	(void)o, (void)i;
	if (fd < 0)
		return om_err_sys(err, -errno, "epoll");
	*ret_fd = fd;
	return 0;
}

void fepoll_files(const json_t *j, uint8_t *need, size_t n)
{
	const json_t *targets = json_object_get(j, "targets");

	for (size_t i = 0; i < json_array_size(targets); i++) {
		int64_t file = json_integer_value(json_object_get(json_array_get(targets, i), "file"));

		if (file >= 0 && (size_t)file < n)
			need[file] = 1;
	}
}

int fepoll_add(struct ckpt_opened *o, int set, const json_t *t, struct om_err *err)
{
	int64_t fd, events;
	struct epoll_event ev = { 0 };
	uint64_t data;
	size_t file;
	int r = fopen_index(o, t, "file", &file, err);

	if (r == 0)
		r = fj_int(t, "fd", 0, FILES_PER_PROC_MAX - 1, &fd, err);
	if (r == 0)
		r = fj_int(t, "events", 0, UINT32_MAX, &events, err);
	if (r == 0)
		r = fj_u64(t, "data", &data, err);
	if (r < 0)
		return r;
	ev.events = (uint32_t)events;
	ev.data.u64 = data;
	if (dup3(o->f[file].fd, (int)fd, O_CLOEXEC) < 0 || epoll_ctl(set, EPOLL_CTL_ADD, (int)fd, &ev) < 0)
		return om_err_sys(err, -errno, "cannot add descriptor %d to an epoll set again", (int)fd);
	/* the description has another holder: it stays in the set when this number goes */
	om_fd_close((int)fd);
	return 0;
}

/* ---- inotify: dump ---- */
struct watch {
	int wd;
	uint64_t ino;
	dev_t dev;
	unsigned mask;
	struct file_handle *handle;
};

/* By device and inode; where a file system shows another device by stat(2) (btrfs), by the kernel's handle of the inode. */
static bool watch_is(const struct ckpt_files *f, const struct watch *w, const char *path)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = { .h.handle_bytes = MAX_HANDLE_SZ };
	struct stat st = { .st_ino = w->ino, .st_dev = w->dev }, now;
	om_autofd int fd = -1;
	int mount;

	if (files_path_is(f, path, &st))
		return true;
	fd = w->handle ? files_path_open(f, path, 0) : -1;
	return fd >= 0 && fstat(fd, &now) == 0 && now.st_ino == w->ino && name_to_handle_at(fd, "", &u.h, &mount, AT_EMPTY_PATH) == 0 &&
		u.h.handle_type == w->handle->handle_type && u.h.handle_bytes == w->handle->handle_bytes &&
		!memcmp(u.h.f_handle, w->handle->f_handle, u.h.handle_bytes);
}

/* As root: the inode's handle leads to its path, from a mount of its file system. */
static int path_by_handle(struct ckpt_files *f, const struct watch *w, char **ret)
{
	om_autofd int fd = -1;
	char link[64], path[PATH_MAX];
	ssize_t n;

	for (size_t i = 0; i < f->n_descs && fd < 0; i++)
		if (f->descs[i]->st.st_dev == w->dev && (S_ISREG(f->descs[i]->st.st_mode) || S_ISDIR(f->descs[i]->st.st_mode)) &&
		    !(f->descs[i]->flags & O_PATH))
			fd = open_by_handle_at(f->descs[i]->dup, w->handle, O_PATH | O_CLOEXEC);
	for (size_t i = 0; i < f->n_procs && fd < 0; i++) {
		om_autofree char *cwd = NULL;
		om_autofd int at = fj_path(f->procs[i].desc, "cwd", &cwd, NULL) < 0 ? -1 : files_path_open(f, cwd, O_DIRECTORY);
		om_autofd int readable = at < 0 ? -1 : fopen_again(at, O_RDONLY | O_DIRECTORY);

		if (readable >= 0)
			fd = open_by_handle_at(readable, w->handle, O_PATH | O_CLOEXEC);
	}
	for (int k = 0; k < 3 && fd < 0; k++) {
		static const char *const places[] = { "/", "/tmp", "/home" };
		om_autofd int at = files_path_open(f, places[k], O_DIRECTORY), readable = at < 0 ? -1 : fopen_again(at, O_RDONLY | O_DIRECTORY);

		if (readable >= 0)
			fd = open_by_handle_at(readable, w->handle, O_PATH | O_CLOEXEC);
	}
	if (fd < 0)
		return -ENOENT;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return -ENOENT;
	path[n] = 0;
	if (!watch_is(f, w, path))
		return -ENOENT;
	*ret = strdup(path);
	return *ret ? 0 : -ENOMEM;
}

/* Below @dir, a few levels deep. */
static int path_below(struct ckpt_files *f, const struct watch *w, const char *dir, int depth, int *budget, char **ret)
{
	om_autofd int at = files_path_open(f, dir, O_DIRECTORY);
	om_autofd int fd = -1;
	struct dirent *e;
	int r = -ENOENT;
	DIR *d;

	if (watch_is(f, w, dir))
		return (*ret = strdup(dir)) ? 0 : -ENOMEM;
	fd = at < 0 ? at : fopen_again(at, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return -ENOENT;
	(void)om_fd_steal(&fd);	/* the stream's now */
	while (r == -ENOENT && *budget > 0 && (e = readdir(d))) {
		om_autofree char *path = NULL;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		--*budget;
		if (asprintf(&path, "%s/%s", strcmp(dir, "/") ? dir : "", e->d_name) < 0)
			r = -ENOMEM;
		else if (e->d_ino == w->ino && watch_is(f, w, path))
			r = (*ret = om_steal(path)) ? 0 : -ENOMEM;
		else if (depth > 0 && e->d_type == DT_DIR)
			r = path_below(f, w, path, depth - 1, budget, ret);
	}
	closedir(d);
	return r;
}

/* Without that right: where programs usually look. */
static int path_by_search(struct ckpt_files *f, const struct watch *w, char **ret)
{
	int r = -ENOENT, budget = SEARCH_MAX;

	for (size_t i = 0; i < f->n_descs && r == -ENOENT; i++) {
		const struct fdesc *d = f->descs[i];
		om_autofree char *dir = NULL;
		char *slash;

		if (!(S_ISREG(d->st.st_mode) || S_ISDIR(d->st.st_mode)) || d->link[0] != '/')
			continue;
		if (watch_is(f, w, d->link))
			return (*ret = strdup(d->link)) ? 0 : -ENOMEM;
		dir = strdup(d->link);
		slash = dir ? strrchr(dir, '/') : NULL;
		if (!slash)
			return -ENOMEM;
		slash[slash == dir] = 0;
		if (watch_is(f, w, dir))
			return (*ret = om_steal(dir)) ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < f->n_procs && r == -ENOENT; i++) {
		om_autofree char *cwd = NULL;

		if (fj_path(f->procs[i].desc, "cwd", &cwd, NULL) == 0)
			r = path_below(f, w, cwd, SEARCH_DEPTH, &budget, ret);
	}
	if (r == -ENOENT)
		r = path_below(f, w, "/tmp", 1, &budget, ret);
	return r;
}

static int handle_parse(const char *line, struct watch *w)
{
	const char *p = strstr(line, "fhandle-bytes:");
	unsigned bytes, type;
	int used = 0;

	if (!p || sscanf(p, "fhandle-bytes:%x fhandle-type:%x f_handle:%n", &bytes, &type, &used) != 2 || !used || bytes > MAX_HANDLE_SZ)
		return -EBADMSG;
	w->handle = calloc(1, sizeof(*w->handle) + bytes);
	if (!w->handle)
		return -ENOMEM;
	w->handle->handle_bytes = bytes;
	w->handle->handle_type = (int)type;
	for (unsigned i = 0; i < bytes; i++) {
		unsigned v;

		if (sscanf(p + used + 2 * i, "%2x", &v) != 1)
			return -EBADMSG;
		w->handle->f_handle[i] = (unsigned char)v;
	}
	return 0;
}

static int watch_dump(struct ckpt_files *f, struct fdesc *d, const char *line, json_t *watches, struct om_err *err)
{
	struct watch w = { 0 };
	om_autofree char *path = NULL;
	json_t *j;
	unsigned dev;
	int r;

	if (sscanf(line, "inotify wd:%x ino:%" SCNx64 " sdev:%x mask:%x", (unsigned *)&w.wd, &w.ino, &dev, &w.mask) != 4)
		return om_err_set(err, -EBADMSG, "fdinfo of an inotify instance cannot be understood");
	w.dev = makedev(dev >> 20, dev & 0xfffff);	/* the kernel's own form */
	r = handle_parse(line, &w);
	if (r < 0) {
		free(w.handle);
		w.handle = NULL;
	}
	r = w.handle ? path_by_handle(f, &w, &path) : -ENOENT;
	if (r == -ENOENT)
		r = path_by_search(f, &w, &path);
	free(w.handle);
	if (r == -ENOENT)
		return files_refuse(f, d, "the path of what it watches (inode %" PRIu64 ") was not found", w.ino);
	j = json_object();
	if (r == 0)
		r = fj_push(watches, j);
	if (r == 0)
		r = fj_put_int(j, "wd", w.wd);
	if (r == 0)
		r = fj_put_int(j, "mask", w.mask);
	return r == 0 ? fj_put_path(j, "path", path) : r;
}

static int inotify_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	json_t *watches = json_array();
	int queued = 0, r = fj_put(d->json, "watches", watches);

	(void)err;
	if (ioctl(d->dup, FIONREAD, &queued) == 0 && queued && f->o.sink)
		return files_refuse(f, d, "the program has not read %d bytes of events yet; a later checkpoint can succeed", queued);
	return r;
}

/* After all descriptions are known: their paths help. */
static int inotify_check(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	json_t *watches = json_object_get(d->json, "watches");
	int r = 0;

	for (const char *p = strstr(d->info, "\ninotify "); p && r == 0; p = strstr(p + 1, "\ninotify "))
		r = watch_dump(f, d, p + 1, watches, err);
	return r;
}

/* ---- inotify: restore ---- */
static int inotify_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	(void)o, (void)i;
	if (fd < 0)
		return om_err_sys(err, -errno, "inotify");
	*ret_fd = fd;
	return 0;
}

static int watch_add(int fd, const json_t *j, struct om_err *err)
{
	om_autofree char *path = NULL;
	int64_t wd, mask;
	int got, r = fj_path(j, "path", &path, err);

	if (r == 0)
		r = fj_int(j, "wd", 1, INT_MAX, &wd, err);
	if (r == 0)
		r = fj_int(j, "mask", 1, UINT32_MAX, &mask, err);
	if (r < 0)
		return r;
	if (ioctl(fd, INOTIFY_IOC_SETNEXTWD, (long)wd) < 0)
		return om_err_sys(err, -errno, "cannot number an inotify watch (a kernel without CONFIG_CHECKPOINT_RESTORE?)");
	got = inotify_add_watch(fd, path, (uint32_t)mask);
	if (got < 0)
		return om_err_sys(err, -errno, "cannot watch '%s' again", path);
	return got == wd ? 0 : om_err_set(err, -EBADMSG, "the watch of '%s' got another number", path);
}

static int inotify_settle(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *watches;
	int r = fj_array(o->f[i].json, "watches", TARGETS_MAX, &watches, err);

	for (size_t k = 0; r == 0 && k < json_array_size(watches); k++)
		r = watch_add(o->f[i].fd, json_array_get(watches, k), err);
	return r;
}

const struct fkind fkind_epoll = { .name = "epoll", .dump = epoll_dump, .check = epoll_check, .open = epoll_open };
const struct fkind fkind_inotify = { .name = "inotify", .dump = inotify_dump, .check = inotify_check, .open = inotify_open, .settle = inotify_settle };
