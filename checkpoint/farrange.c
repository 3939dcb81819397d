/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/farrange.c - restore in each process: descriptions go to their numbers.
 *
 * What the process does not need is closed; what needs this process is made; then number by number the description that belongs there is
 * put there by dup3(2), after whoever stands there in its way has moved; the rest is closed.  POSIX locks come last: closing any descriptor of a file drops them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/fimpl.h"

struct arrange {
	struct ckpt_opened *o;
	size_t which;
	const json_t *proc, *fds;
	int *const *keep;
	size_t n_keep;
	int *at;		/* who stands on a number: i + 1 = description i, -(k + 1) = keep[k], 0 = nobody that is needed */
	int n_at;
};

static int stand_on(struct arrange *a, int fd, int who, struct om_err *err)
{
	if (fd >= a->n_at) {
		int n = fd + 1024;
		int *p = reallocarray(a->at, (size_t)n, sizeof(int));

		if (!p)
			return om_err_sys(err, -ENOMEM, "descriptors");
		memset(p + a->n_at, 0, (size_t)(n - a->n_at) * sizeof(int));
		a->at = p;
		a->n_at = n;
	}
	a->at[fd] = who;
	return 0;
}

/* Whoever stands on @fd goes to the lowest free number; if that is wanted too he goes on from there when it is its turn. */
static int vacate(struct arrange *a, int fd, struct om_err *err)
{
	int who = fd < a->n_at ? a->at[fd] : 0, to;

	if (!who)
		return 0;
	to = fcntl(fd, F_DUPFD_CLOEXEC, a->o->low);
	if (to < 0)
		to = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (to < 0)
		return om_err_sys(err, -errno, "no descriptor left");
	om_fd_close(fd);
	a->at[fd] = 0;
	if (who > 0)
		a->o->f[who - 1].fd = to;
	else
		*a->keep[-who - 1] = to;
	return stand_on(a, to, who, err);
}

int farrange_late(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	struct fopened *f = &o->f[i];
	int64_t flags;
	int fd = -1, up, r;

	if (f->fd >= 0)
		return 0;
	r = f->kind->late ? f->kind->late(o, i, &fd, err) : -EBADMSG;
	if (r == 0)
		r = fj_int(f->json, "flags", 0, INT_MAX, &flags, err);
	if (r < 0)
		return r;
	up = fcntl(fd, F_DUPFD_CLOEXEC, o->low);
	if (up >= 0) {
		om_fd_close(fd);
		fd = up;
	}
	f->fd = fd;
	if (flags & O_PATH)
		return 0;
	r = fopen_setfl(fd, (unsigned)flags);
	return r < 0 ? om_err_sys(err, r, "flags of a descriptor (%s)", f->kind->name) : 0;
}

static size_t file_of(const json_t *fds, size_t i)
{
	return (size_t)json_integer_value(json_object_get(json_array_get(fds, i), "file"));	/* checked by open_all */
}

/* Which descriptions this process needs; the others are closed now, that makes room. */
static int needed_only(struct arrange *a, struct om_err *err)
{
	om_autofree uint8_t *need = calloc(a->o->n + 1, 1);
	int r = 0;

	if (!need)
		return om_err_sys(err, -ENOMEM, "descriptors");
	for (size_t i = 0; i < json_array_size(a->fds); i++)
		need[file_of(a->fds, i)] = 1;
	for (size_t i = 0; i < a->o->n; i++)
		if (a->o->f[i].leader == a->which && a->o->f[i].kind == &fkind_epoll)
			fepoll_files(a->o->f[i].json, need, a->o->n);
	if (json_object_get(a->proc, "tty"))
		need[json_integer_value(json_object_get(a->proc, "tty")) < (json_int_t)a->o->n ?
		     (size_t)json_integer_value(json_object_get(a->proc, "tty")) : a->o->n] = 1;
	for (size_t i = 0; i < a->o->n && r == 0; i++) {
		struct fopened *f = &a->o->f[i];

		if (f->fd >= 0 && !need[i])
			om_fd_close(om_fd_steal(&f->fd));
		else if (f->fd >= 0)
			r = stand_on(a, f->fd, (int)i + 1, err);
	}
	for (size_t k = 0; k < a->n_keep && r == 0; k++)
		r = *a->keep[k] >= 0 ? stand_on(a, *a->keep[k], -(int)k - 1, err) : 0;
	return r;
}

static int late_make(struct arrange *a, size_t i, struct om_err *err)
{
	int r = farrange_late(a->o, i, err);

	return r == 0 ? stand_on(a, a->o->f[i].fd, (int)i + 1, err) : r;
}

/* The numbers that set @i wants for a moment are free, its targets are there. */
static int epoll_room(struct arrange *a, size_t i, struct om_err *err)
{
	const json_t *targets = json_object_get(a->o->f[i].json, "targets");
	int64_t fd = 0;
	size_t file = 0;
	int r = 0;

	for (size_t k = 0; k < json_array_size(targets) && r == 0; k++) {
		const json_t *t = json_array_get(targets, k);

		r = fj_int(t, "fd", 0, FILES_PER_PROC_MAX - 1, &fd, err);
		if (r == 0)
			r = fopen_index(a->o, t, "file", &file, err);
		if (r == 0 && a->o->f[file].late && a->o->f[file].fd < 0)
			r = late_make(a, file, err);
		if (r == 0)
			r = vacate(a, (int)fd, err);
		if (r == 0)
			r = fepoll_add(a->o, a->o->f[i].fd, t, err);
	}
	return r;
}

static int made_here(struct arrange *a, struct om_err *err)
{
	struct ckpt_opened *o = a->o;
	int r = 0;

	for (size_t i = 0; i < json_array_size(a->fds) && r == 0; i++) {
		size_t k = file_of(a->fds, i);

		if (o->f[k].late && o->f[k].fd < 0)
			r = late_make(a, k, err);
	}
	for (size_t i = 0; i < o->n && r == 0; i++) {
		if (o->f[i].leader != a->which || o->f[i].fd < 0)
			continue;
		if (o->f[i].kind == &fkind_epoll)
			r = epoll_room(a, i, err);
		else if (o->f[i].kind->settle)
			r = o->f[i].kind->settle(o, i, err);
		if (r == 0)
			r = fowner_arrange(o->f[i].json, o->f[i].fd, err);
	}
	return r;
}

static int int_order(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return x < y ? -1 : x > y;
}

/* Close all but the numbers in the sorted list. */
static int rest_close(const int *list, size_t n)
{
	unsigned from = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned fd = (unsigned)list[i];

		if (fd > from && syscall(SYS_close_range, from, fd - 1, 0) < 0)
			return -errno;
		from = fd + 1 > from ? fd + 1 : from;
	}
	return syscall(SYS_close_range, from, ~0U, 0) < 0 ? -errno : 0;
}

static int one_in_place(struct arrange *a, const json_t *e, int fd, size_t file, struct om_err *err)
{
	struct fopened *f = &a->o->f[file];
	bool cloexec = fj_true(e, "cloexec");
	int r = 0;

	if (f->fd == fd) {
		f->wanted--;
		f->fixed = true;	/* it stays here, others are made from it */
		a->at[fd] = 0;
		r = om_fd_set_cloexec(fd, cloexec);
		return r < 0 ? om_err_sys(err, r, "descriptor %d", fd) : 0;
	}
	r = vacate(a, fd, err);
	if (r < 0)
		return r;
	if (f->fd < 0)
		return om_err_set(err, -EBADMSG, "descriptor %d was not made", fd);
	if (dup3(f->fd, fd, cloexec ? O_CLOEXEC : 0) < 0)
		return om_err_sys(err, -errno, "cannot put a file at descriptor %d", fd);
	if (--f->wanted == 0 && !f->fixed) {
		a->at[f->fd] = 0;
		om_fd_close(om_fd_steal(&f->fd));
	}
	return 0;
}

static int in_place(struct arrange *a, struct om_err *err)
{
	size_t n = json_array_size(a->fds), count = 0;
	om_autofree int *list = calloc(n + a->n_keep + 1, sizeof(int));
	int r = list ? 0 : om_err_sys(err, -ENOMEM, "descriptors");

	for (size_t i = 0; i < n; i++)
		a->o->f[file_of(a->fds, i)].wanted++;
	for (size_t i = 0; i < n && r == 0; i++) {
		const json_t *e = json_array_get(a->fds, i);
		int fd = (int)json_integer_value(json_object_get(e, "fd"));

		r = one_in_place(a, e, fd, file_of(a->fds, i), err);
		list[count++] = fd;
	}
	if (r < 0)
		return r;
	for (size_t k = 0; k < a->n_keep; k++)
		if (*a->keep[k] >= 0)
			list[count++] = *a->keep[k];
	qsort(list, count, sizeof(int), int_order);
	r = rest_close(list, count);
	for (size_t i = 0; i < a->o->n; i++)
		a->o->f[i].fd = -1;
	return r < 0 ? om_err_sys(err, r, "close_range") : 0;
}

static int folders_set(const json_t *proc, struct om_err *err)
{
	om_autofree char *cwd = NULL, *root = NULL;
	int64_t mask;
	int r = fj_path(proc, "cwd", &cwd, err);

	if (r == 0)
		r = fj_path(proc, "root", &root, err);
	if (r == 0)
		r = fj_int(proc, "umask", 0, 0777, &mask, err);
	if (r < 0)
		return r;
	if (chdir(cwd) < 0)
		return om_err_sys(err, -errno, "cannot enter the working directory '%s'", cwd);
	if (strcmp(root, "/") && chroot(root) < 0)
		return om_err_sys(err, -errno, "cannot make '%s' the root", root);
	(void)umask((mode_t)mask);	/* returns the old one */
	return 0;
}

static int arrange_all(struct arrange *a, struct om_err *err)
{
	int r = needed_only(a, err);

	if (r == 0)
		r = made_here(a, err);
	if (r == 0)
		r = fpty_foreground(a->o, a->proc, err);
	if (r == 0)
		r = folders_set(a->proc, err);
	if (r == 0)
		r = in_place(a, err);
	return r == 0 ? flocks_arrange(a->proc, err) : r;
}

int ckpt_files_arrange(struct ckpt_opened *o, size_t which, int *const keep[], size_t n_keep, struct om_err *err)
{
	struct arrange a = { .o = o, .which = which, .proc = json_array_get(o->procs, which), .keep = keep, .n_keep = n_keep };
	int r;

	a.fds = json_object_get(a.proc, "fds");
	if (!json_is_array(a.fds))
		return om_err_set(err, -EBADMSG, "the image is damaged: a process without descriptors");
	r = arrange_all(&a, err);
	free(a.at);
	return r;
}
