/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/farrange.c - restore in each process: descriptions go to their numbers.
 *
 * First everything of ours that stands on a number of the process is moved away; then what needs this process is made; then all is
 * put in place by dup3(2) and the rest closed.  POSIX locks come last: closing any descriptor of a file drops them. */
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
	uint8_t *used;		/* numbers this process will use: one byte each, up to top */
	int top;
};

static void number_use(void *arg, int fd)
{
	struct arrange *a = arg;

	if (fd >= 0 && fd < a->top)
		a->used[fd] = 1;
}

static bool number_is_used(const struct arrange *a, int fd)
{
	return fd >= 0 && fd < a->top && a->used[fd];
}

static int numbers_collect(struct arrange *a, struct om_err *err)
{
	a->top = a->o->low;
	for (size_t i = 0; i < a->o->n; i++)
		if (a->o->f[i].kind == &fkind_epoll && a->o->f[i].leader == a->which && a->top < FILES_PER_PROC_MAX)
			a->top = FILES_PER_PROC_MAX;	/* its targets may have been at numbers closed since */
	a->used = calloc((size_t)a->top + 1, 1);
	if (!a->used)
		return om_err_sys(err, -ENOMEM, "descriptors");
	for (size_t i = 0; i < json_array_size(a->fds); i++)
		number_use(a, (int)json_integer_value(json_object_get(json_array_get(a->fds, i), "fd")));
	for (size_t i = 0; i < a->o->n; i++)
		if (a->o->f[i].kind == &fkind_epoll && a->o->f[i].leader == a->which)
			fepoll_numbers(a->o->f[i].json, number_use, a);
	return 0;
}

/* Move @fd to a number the process does not use. */
static int move_away(const struct arrange *a, int *fd, struct om_err *err)
{
	int up = a->o->low;

	if (!number_is_used(a, *fd))
		return 0;
	do {
		up = fcntl(*fd, F_DUPFD_CLOEXEC, up);
		if (up < 0 && errno == EINVAL)	/* the limit: look from below */
			up = fcntl(*fd, F_DUPFD_CLOEXEC, 0);
		if (up < 0)
			return om_err_sys(err, -errno, "no descriptor left");
		if (!number_is_used(a, up))
			break;
		om_fd_close(up);
		up++;
	} while (up < FILES_PER_PROC_MAX);
	om_fd_close(*fd);
	*fd = up;
	return 0;
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

static int away_all(struct arrange *a, int *const keep[], size_t n_keep, struct om_err *err)
{
	int r = 0;

	for (size_t i = 0; i < n_keep && r == 0; i++)
		r = *keep[i] >= 0 ? move_away(a, keep[i], err) : 0;
	for (size_t i = 0; i < a->o->n && r == 0; i++)
		r = a->o->f[i].fd >= 0 ? move_away(a, &a->o->f[i].fd, err) : 0;
	return r;
}

static int made_here(struct arrange *a, struct om_err *err)
{
	struct ckpt_opened *o = a->o;
	int r = 0;

	for (size_t i = 0; i < json_array_size(a->fds) && r == 0; i++) {
		size_t k = file_of(a->fds, i);

		r = o->f[k].late ? farrange_late(o, k, err) : 0;
		if (r == 0 && o->f[k].fd >= 0)
			r = move_away(a, &o->f[k].fd, err);
	}
	for (size_t i = 0; i < o->n && r == 0; i++) {
		if (o->f[i].leader != a->which)
			continue;
		if (o->f[i].kind->settle)
			r = o->f[i].kind->settle(o, i, err);
		if (r == 0 && o->f[i].fd >= 0)
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

static int in_place(struct arrange *a, int *const keep[], size_t n_keep, struct om_err *err)
{
	size_t n = json_array_size(a->fds), count = 0;
	om_autofree int *list = calloc(n + n_keep + 1, sizeof(int));
	int r;

	if (!list)
		return om_err_sys(err, -ENOMEM, "descriptors");
	for (size_t i = 0; i < n; i++) {
		const json_t *e = json_array_get(a->fds, i);
		int fd = (int)json_integer_value(json_object_get(e, "fd"));
		int from = a->o->f[file_of(a->fds, i)].fd;

		if (from < 0)
			return om_err_set(err, -EBADMSG, "descriptor %d was not made", fd);
		if (dup3(from, fd, fj_true(e, "cloexec") ? O_CLOEXEC : 0) < 0)
			return om_err_sys(err, -errno, "cannot put a file at descriptor %d", fd);
		list[count++] = fd;
	}
	for (size_t i = 0; i < n_keep; i++)
		if (*keep[i] >= 0)
			list[count++] = *keep[i];
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

static int arrange_all(struct arrange *a, int *const keep[], size_t n_keep, struct om_err *err)
{
	int r = numbers_collect(a, err);

	if (r == 0)
		r = away_all(a, keep, n_keep, err);
	if (r == 0)
		r = made_here(a, err);
	if (r == 0)
		r = fpty_foreground(a->o, a->proc, err);
	if (r == 0)
		r = folders_set(a->proc, err);
	if (r == 0)
		r = in_place(a, keep, n_keep, err);
	return r == 0 ? flocks_arrange(a->proc, err) : r;
}

int ckpt_files_arrange(struct ckpt_opened *o, size_t which, int *const keep[], size_t n_keep, struct om_err *err)
{
	struct arrange a = { .o = o, .which = which, .proc = json_array_get(o->procs, which) };
	int r;

	a.fds = json_object_get(a.proc, "fds");
	if (!json_is_array(a.fds))
		return om_err_set(err, -EBADMSG, "the image is damaged: a process without descriptors");
	r = arrange_all(&a, keep, n_keep, err);
	free(a.used);
	return r;
}
