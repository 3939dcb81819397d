/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_pty.c - terminals made by the job: both sides of a pty, what is between them, controlling terminals.
 *
 * Every job has a devpts of its own (space.c), so a number that was free at the restart is free again.  What the master has not read and what the
 * slave has not read cannot be looked at in place: while the job stands still it is read out and written in again, with a line discipline
 * set so that every byte arrives as it is; the restore writes it in the same way. */
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/fimpl.h"

enum {
	PTY_MAX = 4096,			/* kernel.pty.max */
	PTY_QUEUE_MAX = 1 << 20,	/* above what the kernel buffers for a terminal */
};

/* ---- what lies between the two sides ---- */
static void disciplines(const struct termios2 *own, struct termios2 *out, struct termios2 *in)
{
	*out = *own;			/* for reading everything, and for writing at the slave: bytes as they are */
	out->c_iflag = 0;
	out->c_oflag = 0;
	out->c_lflag = 0;
	out->c_cc[VMIN] = 0;
	out->c_cc[VTIME] = 0;
	*in = *out;			/* for writing at the master: lines, where the job has lines */
	in->c_lflag = own->c_lflag & ICANON;
	memset(in->c_cc, 0, sizeof(in->c_cc));	/* _POSIX_VDISABLE: no character is special but this one */
	in->c_cc[VEOF] = own->c_cc[VEOF];
}

/* Read until nothing more comes for a moment: the kernel moves bytes between its buffers in a worker. */
static int drain(int fd, char *buf, size_t room, size_t *ret)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;

	while (n < room && poll(&p, 1, n ? 2 : 0) > 0 && (p.revents & POLLIN)) {
		ssize_t k = read(fd, buf + n, room - n);

		if (k < 0 && errno != EAGAIN && errno != EIO)
			return -errno;
		if (k <= 0)
			break;
		n += (size_t)k;
	}
	*ret = n;
	return n < room ? 0 : -EFBIG;
}

static int pour(int fd, const char *buf, size_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (n) {
		ssize_t k = poll(&p, 1, 1000) > 0 ? write(fd, buf, n) : -1;

		if (k < 0)
			return -errno;
		buf += k;
		n -= (size_t)k;
	}
	return 0;
}

struct between {
	char *out, *in;			/* for the master, for the slave */
	size_t n_out, n_in;
};

static int between_put(int master, int slave, const struct termios2 *own, const struct between *b)
{
	struct termios2 out, in;
	int pkt = 0, none = 0, r = 0;

	disciplines(own, &out, &in);
	if (ioctl(master, TIOCGPKT, &pkt) < 0 || ioctl(master, TIOCPKT, &none) < 0 || ioctl(slave, TCSETS2, &out) < 0)
		return -errno;
	if (b->n_out)
		r = pour(slave, b->out, b->n_out);
	if (r == 0 && b->n_in) {
		r = ioctl(slave, TCSETS2, &in) < 0 ? -errno : 0;
		/* an end of file was read as a zero byte; it goes in again as the character that makes one */
		for (size_t i = 0; (in.c_lflag & ICANON) && i < b->n_in; i++)
			if (!b->in[i])
				b->in[i] = (char)in.c_cc[VEOF];
		if (r == 0)
			r = pour(master, b->in, b->n_in);
	}
	if (ioctl(slave, TCSETS2, own) < 0 || ioctl(master, TIOCPKT, &pkt) < 0)
		r = r < 0 ? r : -errno;
	return r;
}

/* Read both directions out and put them in again. */
static int between_get(int master, int slave, const struct termios2 *own, struct between *b)
{
	struct termios2 out, in;
	int pkt = 0, none = 0, r, e;

	b->out = malloc(PTY_QUEUE_MAX);
	b->in = malloc(PTY_QUEUE_MAX);
	if (!b->out || !b->in)
		return -ENOMEM;
	disciplines(own, &out, &in);
	if (ioctl(master, TIOCGPKT, &pkt) < 0 || ioctl(master, TIOCPKT, &none) < 0 || ioctl(slave, TCSETS2, &out) < 0)
		return -errno;
	r = drain(master, b->out, PTY_QUEUE_MAX, &b->n_out);
	if (r == 0)
		r = drain(slave, b->in, PTY_QUEUE_MAX, &b->n_in);
	(void)ioctl(master, TIOCPKT, &pkt);	/* done again below, where it is looked at */
	e = between_put(master, slave, own, b);
	return r < 0 ? r : e;
}

/* ---- dump ---- */
static int state_dump(struct fdesc *d)
{
	struct termios2 t;
	struct winsize w;
	int pkt = 0, lock = 0, excl = 0;

	if (ioctl(d->dup, TCGETS2, &t) < 0 || ioctl(d->dup, TIOCGWINSZ, &w) < 0 || ioctl(d->dup, TIOCGPKT, &pkt) < 0 ||
	    ioctl(d->dup, TIOCGPTLCK, &lock) < 0 || ioctl(d->dup, TIOCGEXCL, &excl) < 0)
		return -errno;
	if (fj_put_bytes(d->json, "termios", &t, sizeof(t)) < 0 || fj_put_bytes(d->json, "winsize", &w, sizeof(w)) < 0 ||
	    (pkt && fj_put(d->json, "packet", json_true()) < 0) || (lock && fj_put(d->json, "locked", json_true()) < 0) ||
	    (excl && fj_put(d->json, "exclusive", json_true()) < 0))
		return -ENOMEM;
	return 0;
}

static int between_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	om_autofd int slave = ioctl(d->dup, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	struct between b = { 0 };
	struct termios2 own;
	int r;

	if (slave < 0 || ioctl(slave, TCGETS2, &own) < 0)
		return om_err_sys(err, -errno, "a terminal of the job");
	r = between_get(d->dup, slave, &own, &b);
	if (r == -EFBIG)
		r = files_refuse(f, d, "too much is written to it and not read");
	else if (r < 0)
		r = om_err_sys(err, r, "cannot look into a terminal of the job");
	if (r == 0 && b.n_out)
		r = fj_blob_put(f->o.sink, d->json, "out", b.out, b.n_out, err);
	if (r == 0 && b.n_in)
		r = fj_blob_put(f->o.sink, d->json, "in", b.in, b.n_in, err);
	free(b.out);
	free(b.in);
	return r;
}

static bool slave_is_open(const struct ckpt_files *f, uint64_t index)
{
	for (size_t i = 0; i < f->n_descs; i++) {
		const struct stat *st = &f->descs[i]->st;

		if (S_ISCHR(st->st_mode) && major(st->st_rdev) >= 136 && major(st->st_rdev) <= 143 &&
		    (major(st->st_rdev) - 136) * 256 + minor(st->st_rdev) == index)
			return true;
	}
	return false;
}

static int ptm_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	struct pollfd p = { .fd = d->dup, .events = 0 };
	unsigned index = 0;
	int r;

	if (ioctl(d->dup, TIOCGPTN, &index) < 0)
		return om_err_sys(err, -errno, "a terminal of the job");
	d->aux = index;
	r = fj_put_int(d->json, "index", index);
	if (r == 0)
		r = state_dump(d);
	/* every slave was closed: reads say so */
	if (r == 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLHUP))
		return fj_put(d->json, "hangup", json_true());
	if (r == 0 && f->o.sink && slave_is_open(f, index))
		r = between_dump(f, d, err);
	return r < 0 ? om_err_sys(err, r, "a terminal of the job") : 0;
}

static const struct fdesc *master_find(const struct ckpt_files *f, uint64_t index)
{
	for (size_t i = 0; i < f->n_descs; i++)
		if (f->descs[i]->kind == &fkind_ptm && f->descs[i]->aux == index)
			return f->descs[i];
	return NULL;
}

static int pts_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	(void)f, (void)err;
	d->aux = (major(d->st.st_rdev) - 136) * 256 + minor(d->st.st_rdev);
	return fj_put_int(d->json, "index", (int64_t)d->aux);
}

static int pts_check(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	struct pollfd p = { .fd = d->dup, .events = 0 };
	const struct fdesc *m = master_find(f, d->aux);

	(void)err;
	if (poll(&p, 1, 0) > 0 && (p.revents & POLLHUP))
		return fj_put(d->json, "hangup", json_true());
	if (!m)
		return files_refuse(f, d, "a terminal that was not made by the job");
	return fj_put_int(d->json, "master", (int64_t)m->index);
}

int fpty_dump_proc(struct ckpt_files *f, const struct ckpt_files_proc *p, struct om_err *err)
{
	char path[64];
	om_autofree char *text = NULL;
	const struct fdesc *m;
	int tty = 0, tpgid = 0, r;
	pid_t group;
	const char *s;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", p->pid);
	r = om_file_read(path, 8192, &text, &n);
	if (r < 0)
		return f->o.sink ? om_err_sys(err, r, "%s", path) : 0;
	s = strrchr(text, ')');
	if (!s || sscanf(s + 1, " %*c %*d %*d %*d %d %d", &tty, &tpgid) != 2)
		return om_err_set(err, -EBADMSG, "%s cannot be understood", path);
	if (!tty)
		return 0;
	m = major((unsigned)tty) >= 136 && major((unsigned)tty) <= 143 ? master_find(f, (major((unsigned)tty) - 136) * 256 + minor((unsigned)tty)) : NULL;
	if (!m)
		return files_refuse_proc(f, p, "controlling terminal", "it is none that the job has made (%u:%u)", major((unsigned)tty), minor((unsigned)tty));
	r = fj_put_int(p->desc, "tty", (int64_t)m->index);
	group = tpgid > 0 ? files_vpgid(f, tpgid) : 0;
	return r == 0 && group ? fj_put_int(p->desc, "foreground", group) : r;
}

/* ---- restore ---- */
static int master_make(int64_t index, struct om_err *err)
{
	om_autofree int *others = calloc(PTY_MAX, sizeof(int));
	size_t n = 0;
	int fd = -1;

	/* the lowest free number is given: hold those below for as long */
	while (others && n < PTY_MAX) {
		unsigned got = 0;

		fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 || (ioctl(fd, TIOCGPTN, &got) == 0 && got == (unsigned)index))
			break;
		others[n++] = fd;
		fd = -1;
		if (got > (unsigned)index)
			break;
	}
	if (fd < 0)
		(void)om_err_set(err, -EBUSY, "the terminal number %d cannot be had again (%s)", (int)index, strerror(errno));
	while (n)
		om_fd_close(others[--n]);
	return fd < 0 ? -EBUSY : fd;
}

static int bytes_of(const json_t *j, const char *key, void *dst, size_t n, struct om_err *err)
{
	om_autofree char *p = NULL;
	size_t len = 0;
	int r = fj_bytes(j, key, n, &p, &len, err);

	if (r == 0 && len != n)
		r = om_err_set(err, -EBADMSG, "the image is damaged: field '%s'", key);
	if (r == 0)
		memcpy(dst, p, n);
	return r;
}

static int peer_open(int master, int flags)
{
	int fd = ioctl(master, TIOCGPTPEER, flags | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int ptm_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	om_autofd int fd = -1;
	int64_t index = 0;
	int unlock = 0, r = fj_int(j, "index", 0, PTY_MAX - 1, &index, err);

	if (r < 0)
		return r;
	fd = master_make(index, err);
	if (fd < 0)
		return fd;
	if (ioctl(fd, TIOCSPTLCK, &unlock) < 0)
		return om_err_sys(err, -errno, "a terminal");
	*ret_fd = om_fd_steal(&fd);
	return 0;
}

static int pts_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	om_autofd int dead = -1;
	int64_t flags = 0;
	size_t m = 0;
	int fd, unlock = 0, r = fj_int(j, "flags", 0, INT_MAX, &flags, err);

	if (r < 0)
		return r;
	if (fj_true(j, "hangup")) {
		/* its master is closed at once: a hangup, as the job had */
		dead = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (dead < 0 || ioctl(dead, TIOCSPTLCK, &unlock) < 0)
			return om_err_sys(err, -errno, "a terminal");
		fd = peer_open(dead, (int)flags & O_ACCMODE);
	} else {
		r = fopen_index(o, j, "master", &m, err);
		if (r == 0 && o->f[m].kind != &fkind_ptm)
			r = om_err_set(err, -EBADMSG, "the image is damaged: a terminal without its master");
		if (r == 0)
			r = fopen_need(o, m, err);
		if (r < 0)
			return r;
		fd = peer_open(o->f[m].fd, ((int)flags & O_ACCMODE) | O_NONBLOCK);
	}
	if (fd < 0)
		return om_err_sys(err, fd, "cannot open a terminal again");
	*ret_fd = fd;
	return 0;
}

/* A master whose slaves are all closed reads an error, one that never had a slave waits: so a slave is opened only where the job has, or had, one. */
static int ptm_fill(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	bool data = json_object_get(j, "out") || json_object_get(j, "in");
	om_autofd int slave = data || fj_true(j, "hangup") ? peer_open(o->f[i].fd, O_RDWR | O_NONBLOCK) : -1;
	struct between b = { 0 };
	struct termios2 t;
	struct winsize w;
	int r;

	if (slave < -1)
		return om_err_sys(err, slave, "cannot open a terminal again");
	r = bytes_of(j, "termios", &t, sizeof(t), err);
	if (r == 0)
		r = bytes_of(j, "winsize", &w, sizeof(w), err);
	if (r == 0 && json_object_get(j, "out"))
		r = fj_blob_get(o->src, j, "out", PTY_QUEUE_MAX, &b.out, &b.n_out, err);
	if (r == 0 && json_object_get(j, "in"))
		r = fj_blob_get(o->src, j, "in", PTY_QUEUE_MAX, &b.in, &b.n_in, err);
	if (r == 0) {
		/* the master's ioctls act on the slave */
		r = data ? between_put(o->f[i].fd, slave, &t, &b) : ioctl(o->f[i].fd, TCSETS2, &t) < 0 ? -errno : 0;
		if (r == 0 && ioctl(o->f[i].fd, TIOCSWINSZ, &w) < 0)
			r = -errno;
		if (r < 0)
			r = om_err_sys(err, r, "cannot set a terminal's state again");
	}
	free(b.out);
	free(b.in);
	return r;
}

static int ptm_finish(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	int on = 1, fd = o->f[i].fd;

	if (fj_true(j, "packet") && ioctl(fd, TIOCPKT, &on) < 0)
		return om_err_sys(err, -errno, "a terminal");
	if (fj_true(j, "exclusive") && ioctl(fd, TIOCEXCL) < 0)
		return om_err_sys(err, -errno, "a terminal");
	if (fj_true(j, "locked") && ioctl(fd, TIOCSPTLCK, &on) < 0)
		return om_err_sys(err, -errno, "a terminal");
	return 0;
}

static int own_master(struct ckpt_opened *o, const json_t *proc, size_t *ret, struct om_err *err)
{
	int r = fopen_index(o, proc, "tty", ret, err);

	if (r == 0 && (o->f[*ret].kind != &fkind_ptm || o->f[*ret].fd < 0))
		r = om_err_set(err, -EBADMSG, "the image is damaged: a controlling terminal that is none");
	return r;
}

int ckpt_files_terminal(struct ckpt_opened *o, size_t which, struct om_err *err)
{
	const json_t *proc = json_array_get(o->procs, which);
	om_autofd int slave = -1;
	size_t m = 0;
	int r;

	if (!json_object_get(proc, "tty") || getsid(0) != getpid())
		return 0;
	r = own_master(o, proc, &m, err);
	if (r < 0)
		return r;
	slave = peer_open(o->f[m].fd, O_RDWR | O_NONBLOCK);
	if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
		return om_err_sys(err, slave < 0 ? slave : -errno, "cannot get the controlling terminal again");
	return 0;
}

int fpty_foreground(struct ckpt_opened *o, const json_t *proc, struct om_err *err)
{
	sigset_t ttou, old;
	int64_t group = 0;
	size_t m = 0;
	pid_t pid;
	int r;

	if (!json_object_get(proc, "tty") || !json_object_get(proc, "foreground") || getsid(0) != getpid())
		return 0;
	r = own_master(o, proc, &m, err);
	if (r == 0)
		r = fj_int(proc, "foreground", 1, INT_MAX, &group, err);
	if (r < 0)
		return r;
	pid = (pid_t)group;
	/* from the background this would stop us */
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &ttou, &old);
	if (ioctl(o->f[m].fd, TIOCSPGRP, &pid) < 0)
		r = om_err_sys(err, -errno, "cannot put group %d into the foreground", pid);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return r;
}

const struct fkind fkind_ptm = { .name = "ptm", .dump = ptm_dump, .open = ptm_open, .fill = ptm_fill, .finish = ptm_finish };
const struct fkind fkind_pts = { .name = "pts", .dump = pts_dump, .check = pts_check, .open = pts_open };
