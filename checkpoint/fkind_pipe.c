/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_pipe.c - pipes and fifos, with what is in them.
 *
 * All ends of one pipe carry its number; the first of them its size and content.  The content is copied by tee(2), which takes
 * nothing out.  A pipe whose other end is held outside the job cannot be carried; that the other end is gone altogether is seen by
 * poll(2).  Restore keeps an anchor of both ends until all descriptions are made and filled. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/fimpl.h"

/* ---- dump ---- */
static bool same_pipe(const struct fdesc *a, const struct fdesc *b)
{
	return S_ISFIFO(b->st.st_mode) && !(b->flags & O_PATH) && a->st.st_ino == b->st.st_ino && a->st.st_dev == b->st.st_dev;
}

/* Everything in the tee'd copy, piece by piece: a packet (O_DIRECT) is a piece of its own. */
static int copy_drain(int fd, char *buf, size_t room, size_t *ret_len, json_t *pieces)
{
	size_t len = 0;

	while (len < room) {
		ssize_t n = read(fd, buf + len, room - len);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (fj_push(pieces, json_integer(n)) < 0)
			return -ENOMEM;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

static int content_dump(struct ckpt_files *f, struct fdesc *d, int fd, int held, struct om_err *err)
{
	int p[2];
	om_autofree char *buf = malloc((size_t)held);
	json_t *pieces = json_array();
	size_t len = 0;
	ssize_t n;
	int r = 0, size = fcntl(d->dup, F_GETPIPE_SZ);

	if (!buf || !pieces || pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0) {
		json_decref(pieces);
		return om_err_sys(err, -ENOMEM, "a copy of a pipe");
	}
	/* as many slots as the original; over the user's limit it stays small and tee() below falls short */
	(void)fcntl(p[1], F_SETPIPE_SZ, size);
	n = tee(fd, p[1], (size_t)held, SPLICE_F_NONBLOCK);
	if (n < 0)
		r = om_err_sys(err, -errno, "cannot look into a pipe");
	else if (n < held)
		r = om_err_set(err, -ENOBUFS, "cannot copy a pipe's content: the user's limit of pipe memory (fs.pipe-user-pages-soft) is reached");
	if (r == 0)
		r = copy_drain(p[0], buf, (size_t)held, &len, pieces);
	if (r == 0 && len != (size_t)held)
		r = om_err_set(err, -EIO, "a pipe's content changed while it was read");
	if (r == 0)
		r = fj_blob_put(f->o.sink, d->json, "data", buf, len, err);
	if (r == 0 && json_array_size(pieces) > 1)
		r = fj_put(d->json, "pieces", json_incref(pieces));
	json_decref(pieces);
	om_fd_close(p[0]);
	om_fd_close(p[1]);
	return r;
}

static int first_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	om_autofd int mine = -1;
	int size = fcntl(d->dup, F_GETPIPE_SZ), held = 0, r = 0;

	if (size < 0 || ioctl(d->dup, FIONREAD, &held) < 0)
		return om_err_sys(err, -errno, "a pipe");
	r = fj_put_int(d->json, "size", size);
	if (r == 0 && d->link[0] == '/' && files_path_is(f, d->link, &d->st))
		r = fj_put_path(d->json, "path", d->link);
	if (r < 0 || held == 0 || !f->o.sink)
		return r;
	if ((d->flags & O_ACCMODE) == O_WRONLY) {
		mine = fopen_again(d->dup, O_RDONLY | O_NONBLOCK);
		if (mine < 0)
			return om_err_sys(err, mine, "cannot look into a pipe");
	}
	return content_dump(f, d, mine >= 0 ? mine : d->dup, held, err);
}

static int pipe_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	int r;

	for (size_t i = 0; i < d->index && !d->aux; i++)
		if (same_pipe(d, f->descs[i]))
			d->aux = f->descs[i]->aux;
	if (d->aux)
		return fj_put_int(d->json, "pipe", (int64_t)d->aux);
	d->aux = ++f->ids;
	r = fj_put_int(d->json, "pipe", (int64_t)d->aux);
	return r < 0 ? r : first_dump(f, d, err);
}

static int pipe_check(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	struct pollfd p = { .fd = d->dup, .events = POLLIN | POLLOUT };
	bool readers = false, writers = false;

	(void)err;
	for (size_t i = 0; i < f->n_descs; i++) {
		const struct fdesc *o = f->descs[i];

		if (!same_pipe(d, o))
			continue;
		readers |= (o->flags & O_ACCMODE) != O_WRONLY;
		writers |= (o->flags & O_ACCMODE) != O_RDONLY;
	}
	if ((readers && writers) || poll(&p, 1, 0) < 0)
		return 0;
	if (!readers && !(p.revents & POLLERR))
		return files_refuse(f, d, "a pipe that is read by a process outside the job");
	/* a fifo that nobody has opened for writing yet shows nothing either */
	if (!writers && !(p.revents & POLLHUP) && d->link[0] != '/')
		return files_refuse(f, d, "a pipe that is written by a process outside the job");
	return 0;
}

/* ---- restore ---- */
static int fifo_anchor(const json_t *j, struct fgroup *g, struct om_err *err)
{
	om_autofree char *path = NULL;
	om_autofd int look = -1;
	struct stat st;
	int held = 0, r = fj_path(j, "path", &path, err);

	if (r < 0)
		return r;
	look = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (look < 0 || fstat(look, &st) < 0)
		return om_err_sys(err, -errno, "cannot open the fifo '%s'", path);
	if (!S_ISFIFO(st.st_mode))
		return om_err_set(err, -ESTALE, "'%s' is no fifo any more", path);
	g->fd[0] = fopen_again(look, O_RDWR | O_NONBLOCK);
	g->fd[1] = g->fd[0] < 0 ? g->fd[0] : fcntl(g->fd[0], F_DUPFD_CLOEXEC, 0);
	if (g->fd[1] < 0 || ioctl(g->fd[0], FIONREAD, &held) < 0)
		return om_err_sys(err, g->fd[0] < 0 ? g->fd[0] : -errno, "cannot open the fifo '%s'", path);
	return held ? om_err_set(err, -EBUSY, "the fifo '%s' is in use by another program", path) : 0;
}

static int anchor_make(const json_t *j, struct fgroup *g, struct om_err *err)
{
	int64_t size;
	int r = fj_int(j, "size", 1, 1 << 30, &size, err);

	if (r < 0)
		return r;
	if (json_object_get(j, "path"))
		r = fifo_anchor(j, g, err);
	else if (pipe2(g->fd, O_CLOEXEC | O_NONBLOCK) < 0)
		r = om_err_sys(err, -errno, "pipe");
	if (r == 0 && fcntl(g->fd[1], F_GETPIPE_SZ) != size && fcntl(g->fd[1], F_SETPIPE_SZ, (int)size) < 0)
		r = om_err_sys(err, -errno, "cannot give a pipe its size of %lld bytes", (long long)size);
	return r;
}

static int pipe_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	struct fgroup *g;
	int64_t id, flags;
	int fd, r = fj_int(j, "pipe", 1, INT64_MAX, &id, err);

	if (r == 0)
		r = fj_int(j, "flags", 0, INT_MAX, &flags, err);
	if (r == 0)
		r = fopen_group(o, "pipe", id, &g, err);
	if (r == 0 && g->fd[0] < 0)
		r = anchor_make(j, g, err);
	if (r < 0)
		return r;
	fd = fopen_again(g->fd[(flags & O_ACCMODE) != O_RDONLY], (int)(flags & O_ACCMODE) | O_NONBLOCK);
	if (fd < 0)
		return om_err_sys(err, fd, "pipe");
	*ret_fd = fd;
	return 0;
}

static int pieces_write(int fd, const json_t *pieces, const char *data, size_t len, struct om_err *err)
{
	int64_t n = (int64_t)len;
	size_t off = 0, count = pieces ? json_array_size(pieces) : 1;

	for (size_t i = 0; i < count; i++) {
		int r = pieces ? fj_at(pieces, i, 1, (int64_t)(len - off), &n, err) : 0;

		if (r == 0)
			r = om_fd_write_all(fd, data + off, (size_t)n);
		if (r < 0)
			return om_err_sys(err, r, "cannot fill a pipe again");
		off += (size_t)n;
	}
	return off == len ? 0 : om_err_set(err, -EBADMSG, "the image is damaged: the pieces of a pipe do not add up");
}

static int pipe_fill(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *j = o->f[i].json, *pieces = json_object_get(j, "pieces");
	om_autofree char *data = NULL;
	struct fgroup *g;
	int64_t id;
	size_t len;
	int r;

	if (!json_object_get(j, "data"))
		return 0;
	r = fj_int(j, "pipe", 1, INT64_MAX, &id, err);
	if (r == 0)
		r = fopen_group(o, "pipe", id, &g, err);
	if (r == 0)
		r = fj_blob_get(o->src, j, "data", FILES_QUEUE_MAX, &data, &len, err);
	if (r == 0 && len == 0)
		return 0;
	if (r == 0 && fcntl(g->fd[1], F_SETFL, O_NONBLOCK | (pieces ? O_DIRECT : 0)) < 0)
		r = om_err_sys(err, -errno, "pipe");
	return r < 0 ? r : pieces_write(g->fd[1], pieces, data, len, err);
}

const struct fkind fkind_pipe = { .name = "pipe", .dump = pipe_dump, .check = pipe_check, .open = pipe_open, .fill = pipe_fill };
