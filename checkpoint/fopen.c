/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fopen.c - restore in pid 1: make every description once, before the tree is forked.
 *
 * They get high numbers, above all numbers that any process uses, so that arranging is a plain dup for most; where the limit of
 * descriptors forbids that they get any number, and arranging moves what is in the way. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/fimpl.h"

enum { PROCS_MAX = 1 << 22 };	/* the kernel's limit of pids */

static const struct fkind *const kinds[] = {
	&fkind_reg, &fkind_dir, &fkind_path, &fkind_dev, &fkind_pipe, &fkind_eventfd, &fkind_timerfd, &fkind_signalfd, &fkind_epoll,
	&fkind_inotify, &fkind_pidfd, &fkind_memfd, &fkind_ptm, &fkind_pts, &fkind_unix, &fkind_inet, &fkind_netlink,
};

/* ---- for the kinds ---- */
int fopen_group(struct ckpt_opened *o, const char *type, int64_t id, struct fgroup **ret, struct om_err *err)
{
	void *p;

	for (size_t i = o->n_groups; i-- > 0;) {
		if (o->groups[i].id == id && !strcmp(o->groups[i].type, type)) {
			*ret = &o->groups[i];
			return 0;
		}
	}
	p = reallocarray(o->groups, o->n_groups + 1, sizeof(*o->groups));
	if (!p)
		return om_err_sys(err, -ENOMEM, "descriptors");
	o->groups = p;
	o->groups[o->n_groups] = (struct fgroup){ .type = type, .id = id, .fd = { -1, -1 } };
	*ret = &o->groups[o->n_groups++];
	return 0;
}

int fopen_temp(struct ckpt_opened *o, int fd, struct om_err *err)
{
	void *p = reallocarray(o->temps, o->n_temps + 1, sizeof(*o->temps));

	if (!p) {
		om_fd_close(fd);
		return om_err_sys(err, -ENOMEM, "descriptors");
	}
	o->temps = p;
	o->temps[o->n_temps++] = fd;
	return 0;
}

int fopen_again(int fd, int flags)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, flags | O_CLOEXEC | O_NOCTTY);
	return r < 0 ? -errno : r;
}

int fopen_setfl(int fd, unsigned flags)
{
	int now = fcntl(fd, F_GETFL), mask = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;
	int want = (now & ~mask) | ((int)flags & mask);

	if (now < 0 || (now != want && fcntl(fd, F_SETFL, want) < 0))
		return -errno;
	return 0;
}

int fopen_index(const struct ckpt_opened *o, const json_t *obj, const char *key, size_t *ret, struct om_err *err)
{
	int64_t v;
	int r = fj_int(obj, key, 0, (int64_t)o->n - 1, &v, err);

	if (r == 0)
		*ret = (size_t)v;
	return r;
}

/* ---- checks and order ---- */
static int kind_find(const json_t *j, const struct fkind **ret, struct om_err *err)
{
	const char *name = json_string_value(json_object_get(j, "kind"));

	for (size_t i = 0; name && i < OM_ARRAY_SIZE(kinds); i++) {
		if (!strcmp(kinds[i]->name, name)) {
			*ret = kinds[i];
			return 0;
		}
	}
	return om_err_set(err, -EBADMSG, "the image names a kind of descriptor that this version does not know: '%.40s'", name ? name : "(none)");
}

/* One process: its descriptors are well-formed; who is first for each description; the highest number. */
static int proc_check(struct ckpt_opened *o, size_t which, const json_t *proc, int *high, struct om_err *err)
{
	const json_t *fds;
	int64_t fd = 0;
	size_t file = 0;
	int r;

	if (!json_object_get(proc, "fds"))
		return 0;	/* a zombie */
	r = fj_array(proc, "fds", FILES_PER_PROC_MAX, &fds, err);
	for (size_t i = 0; r == 0 && i < json_array_size(fds); i++) {
		const json_t *e = json_array_get(fds, i);

		r = fj_int(e, "fd", 0, FILES_PER_PROC_MAX, &fd, err);
		if (r == 0)
			r = fopen_index(o, e, "file", &file, err);
		if (r < 0)
			return r;
		*high = fd > *high ? (int)fd : *high;
		if (o->f[file].leader == SIZE_MAX) {
			o->f[file].leader = which;
			o->f[file].leader_fd = (int)fd;
		}
	}
	return r;
}

static int image_check(struct ckpt_opened *o, const json_t *all, struct om_err *err)
{
	int r = 0, high = 2;

	for (size_t i = 0; i < o->n && r == 0; i++) {
		o->f[i] = (struct fopened){ .json = json_array_get(all, i), .fd = -1, .leader = SIZE_MAX, .leader_fd = -1 };
		r = kind_find(o->f[i].json, &o->f[i].kind, err);
	}
	for (size_t i = 0; i < json_array_size(o->procs) && r == 0; i++)
		r = proc_check(o, i, json_array_get(o->procs, i), &high, err);
	o->low = high + 1 < 64 ? 64 : high + 1;
	return r;
}

static void limit_raise(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);	/* then it is EMFILE, by name */
	}
}

static int fd_lift(struct ckpt_opened *o, int *fd)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, o->low);

	if (up < 0 && (errno == EINVAL || errno == EMFILE))	/* the limit is below */
		return om_fd_set_cloexec(*fd, 1);
	if (up < 0)
		return -errno;
	om_fd_close(*fd);
	*fd = up;
	return 0;
}

int fopen_set(struct ckpt_opened *o, size_t i, int fd, struct om_err *err)
{
	int r = fd_lift(o, &fd);

	o->f[i].fd = fd;
	return r < 0 ? om_err_sys(err, r, "cannot open all files of the job (ulimit -n?)") : 0;
}

int fopen_need(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	struct fopened *f = &o->f[i];
	int fd = -1, r;

	if (f->fd >= 0)
		return 0;
	if (f->busy)
		return om_err_set(err, -EBADMSG, "the image is damaged: descriptors depend on each other in a circle");
	f->busy = true;
	r = f->kind->open ? f->kind->open(o, i, &fd, err) : 0;
	f->busy = false;
	if (r < 0)
		return r;
	if (fd < 0) {
		f->late = true;
		return 0;
	}
	return fopen_set(o, i, fd, err);
}

static int one_finish(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	int64_t flags;
	int r = fj_int(o->f[i].json, "flags", 0, INT_MAX, &flags, err);

	if (r == 0 && o->f[i].kind->finish && !o->f[i].late)
		r = o->f[i].kind->finish(o, i, err);
	if (r < 0 || o->f[i].late || (flags & O_PATH))
		return r;
	r = fopen_setfl(o->f[i].fd, (unsigned)flags);
	return r < 0 ? om_err_sys(err, r, "flags of a descriptor (%s)", o->f[i].kind->name) : flocks_open(o, i, err);
}

static void temps_close(struct ckpt_opened *o)
{
	for (size_t i = 0; i < o->n_temps; i++)
		om_fd_close(o->temps[i]);
	for (size_t i = 0; i < o->n_groups; i++) {
		om_fd_close(o->groups[i].fd[0]);
		om_fd_close(o->groups[i].fd[1]);
	}
	free(o->temps);
	free(o->groups);
	o->temps = NULL;
	o->groups = NULL;
	o->n_temps = o->n_groups = 0;
}

static int all_open(struct ckpt_opened *o, struct om_err *err)
{
	int r = om_fault(OM_FI_REST_FILES);

	if (r < 0)
		return om_err_sys(err, r, "descriptors");
	for (size_t i = 0; i < o->n && r == 0; i++)
		r = fopen_need(o, i, err);
	for (size_t i = 0; i < o->n && r == 0; i++)
		r = o->f[i].kind->join && !o->f[i].late ? o->f[i].kind->join(o, i, err) : 0;
	for (size_t i = 0; i < o->n && r == 0; i++)
		r = o->f[i].kind->fill && !o->f[i].late ? o->f[i].kind->fill(o, i, err) : 0;
	temps_close(o);
	for (size_t i = 0; i < o->n && r == 0; i++)
		r = one_finish(o, i, err);
	return r;
}

int ckpt_files_open_all(const json_t *files, const json_t *processes, const struct ckpt_source *src, const struct ckpt_open_opts *opts,
			struct ckpt_opened **ret, struct om_err *err)
{
	const json_t *all;
	struct ckpt_opened *o;
	int r = fj_array(files, "open", FILES_OPEN_MAX, &all, err);

	if (r == 0 && (!json_is_array(processes) || json_array_size(processes) > PROCS_MAX))
		r = om_err_set(err, -EBADMSG, "the image is damaged: no list of processes");
	if (r < 0)
		return r;
	o = calloc(1, sizeof(*o));
	if (!o)
		return om_err_sys(err, -ENOMEM, "descriptors");
	o->files = files;
	o->procs = processes;
	o->src = src;
	if (opts)
		o->opts = *opts;
	o->n = json_array_size(all);
	o->f = calloc(o->n + 1, sizeof(*o->f));
	limit_raise();
	r = o->f ? image_check(o, all, err) : om_err_sys(err, -ENOMEM, "descriptors");
	if (r == 0)
		r = all_open(o, err);
	if (r < 0) {
		ckpt_files_close(o);
		return r;
	}
	*ret = o;
	return 0;
}

void ckpt_files_close(struct ckpt_opened *o)
{
	if (!o)
		return;
	temps_close(o);
	for (size_t i = 0; o->f && i < o->n; i++)
		om_fd_close(o->f[i].fd);
	free(o->f);
	free(o);
}
