/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_memfd.c - memfds: by the owner of shared memory where it wants them, else kept whole here. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/content.h"
#include "checkpoint/fimpl.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

/* ---- dump ---- */
static int memfd_name(const struct fdesc *d, char **ret)
{
	size_t n = strlen(d->link), head = strlen("/memfd:"), tail = strlen(" (deleted)");

	if (n < head + tail)
		return -EBADMSG;
	*ret = strndup(d->link + head, n - head - tail);
	return *ret ? 0 : -ENOMEM;
}

static int first_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	om_autofree char *name = NULL;
	om_autofd int mine = -1;
	int r = memfd_name(d, &name);

	if (r == 0)
		r = fj_put_path(d->json, "name", name);
	if (r == 0)
		r = fj_put_int(d->json, "seals", fcntl(d->dup, F_GET_SEALS));
	if (r == 0)
		r = fj_put_int(d->json, "mode", d->st.st_mode & 07777);
	if (r < 0)
		return r;
	/* a description of their own: they may move its offset */
	mine = fopen_again(d->dup, O_RDONLY);
	if (mine < 0)
		return om_err_sys(err, mine, "memfd '%s'", name);
	r = f->o.memfd ? f->o.memfd(f->o.arg, mine, &d->st, d->json, err) : 1;
	if (r != 1)
		return r;
	if (d->st.st_blksize > 65536)
		return files_refuse(f, d, "a memfd of huge pages");
	r = fwritten_content(f, d->dup, &d->st, d->json, err);
	return r == -EFBIG ? files_refuse(f, d, "a memfd of more than 256 MiB") : r;
}

static int memfd_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	int r = fj_put_int(d->json, "pos", d->pos);

	for (size_t i = 0; i < d->index && !d->aux; i++)
		if (f->descs[i]->kind == d->kind && f->descs[i]->st.st_ino == d->st.st_ino && f->descs[i]->st.st_dev == d->st.st_dev)
			d->aux = f->descs[i]->aux;
	if (r < 0 || d->aux)
		return r < 0 ? r : fj_put_int(d->json, "memfd", (int64_t)d->aux);
	d->aux = ++f->ids;
	r = fj_put_int(d->json, "memfd", (int64_t)d->aux);
	return r < 0 ? r : first_dump(f, d, err);
}

/* ---- restore ---- */
static int memfd_make(struct ckpt_opened *o, const json_t *j, int *ret, struct om_err *err)
{
	om_autofree char *name = NULL;
	om_autofd int fd = -1;
	int64_t size, mode;
	size_t n;
	int r = o->opts.memfd ? o->opts.memfd(o->opts.arg, j, ret, err) : 1;

	if (r != 1)
		return r;
	r = fj_bytes(j, "name", 249, &name, &n, err);	/* the kernel's limit */
	if (r == 0)
		r = fj_int(j, "size", 0, INT64_MAX, &size, err);
	if (r == 0)
		r = fj_int(j, "mode", 0, 07777, &mode, err);
	if (r < 0)
		return r;
	/* sealing is allowed here and closed by F_SEAL_SEAL below if it was */
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return om_err_sys(err, -errno, "memfd '%s'", name);
	r = content_load(o->src, j, size, fd, err);
	if (r == 0 && fchmod(fd, (mode_t)mode) < 0)
		r = om_err_sys(err, -errno, "memfd '%s'", name);
	if (r == 0)
		*ret = om_fd_steal(&fd);
	return r;
}

static int memfd_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	struct fgroup *g;
	int64_t id, flags, pos;
	int fd, made = -1, r = fj_int(j, "memfd", 1, INT64_MAX, &id, err);

	if (r == 0)
		r = fj_int(j, "flags", 0, INT_MAX, &flags, err);
	if (r == 0)
		r = fj_int(j, "pos", 0, INT64_MAX, &pos, err);
	if (r == 0)
		r = fopen_group(o, "memfd", id, &g, err);
	if (r == 0 && g->fd[0] < 0) {
		r = memfd_make(o, j, &made, err);
		if (r == 0)
			g->fd[0] = made;
	}
	if (r < 0)
		return r;
	fd = fopen_again(g->fd[0], (int)flags & O_ACCMODE);
	if (fd < 0)
		return om_err_sys(err, fd, "memfd");
	if (pos && lseek(fd, pos, SEEK_SET) < 0) {
		om_fd_close(fd);
		return om_err_sys(err, -errno, "memfd");
	}
	*ret_fd = fd;
	return 0;
}

/* Seals when everything is open: they may forbid it. */
static int memfd_join(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	int64_t seals;
	int now, r;

	if (!json_object_get(o->f[i].json, "seals"))
		return 0;
	r = fj_int(o->f[i].json, "seals", 0, INT_MAX, &seals, err);
	if (r < 0)
		return r;
	now = fcntl(o->f[i].fd, F_GET_SEALS);
	if (now >= 0 && now != seals && fcntl(o->f[i].fd, F_ADD_SEALS, (int)seals) < 0)
		return om_err_sys(err, -errno, "cannot seal a memfd again");
	return 0;
}

const struct fkind fkind_memfd = { .name = "memfd", .dump = memfd_dump, .open = memfd_open, .join = memfd_join };
