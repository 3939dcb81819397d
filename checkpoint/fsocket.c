/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/fsocket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
enum { BUF_LOCK_SND = 1, BUF_LOCK_RCV = 2, MESSAGE_MAX = 1 << 20, PASSED_MAX = 253 };

/* ---- sock_diag ---- */
static void about_attrs(const struct nlmsghdr *h, struct unix_about *a)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));

	a->state = m->udiag_state;
	for (struct rtattr *t = (struct rtattr *)(uintptr_t)(m + 1); RTA_OK(t, left); t = RTA_NEXT(t, left)) {
		const void *p = RTA_DATA(t);
		size_t n = RTA_PAYLOAD(t);

		if (t->rta_type == UNIX_DIAG_PEER && n >= 4) {
			a->has_peer = true;
			a->peer = *(const uint32_t *)p;
		} else if (t->rta_type == UNIX_DIAG_VFS && n >= sizeof(struct unix_diag_vfs)) {
			a->vfs_ino = ((const struct unix_diag_vfs *)p)->udiag_vfs_ino;
			a->vfs_dev = ((const struct unix_diag_vfs *)p)->udiag_vfs_dev;
		} else if (t->rta_type == UNIX_DIAG_RQLEN && n >= sizeof(struct unix_diag_rqlen)) {
			a->backlog = ((const struct unix_diag_rqlen *)p)->udiag_wqueue;
		} else if (t->rta_type == UNIX_DIAG_SHUTDOWN && n >= 1) {
			a->shut = *(const uint8_t *)p;
		} else if (t->rta_type == UNIX_DIAG_ICONS && n >= 4) {
			free(a->icons);
			a->icons = malloc(n);
			a->n_icons = a->icons ? n / 4 : 0;
			if (a->icons)
				memcpy(a->icons, p, n);
		}
	}
}

int fsock_unix_about(uint64_t ino, struct unix_about *ret)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} req = {
		.h = { .nlmsg_len = sizeof(req), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_family = AF_UNIX, .udiag_states = ~0U, .udiag_ino = (uint32_t)ino, .udiag_cookie = { ~0U, ~0U },
		       .udiag_show = UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN },
	};
	om_autofd int nl = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	om_autofree char *buf = malloc(65536);
	const struct nlmsghdr *h = (const void *)buf;
	ssize_t n;

	if (nl < 0 || !buf)
		return buf ? -errno : -ENOMEM;
	if (send(nl, &req, sizeof(req), 0) < 0)
		return -errno;
	n = recv(nl, buf, 65536, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(*h) || h->nlmsg_len > (size_t)n)
		return -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR)
		return h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)) ? ((const struct nlmsgerr *)NLMSG_DATA(h))->error : -EBADMSG;
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
		return -EBADMSG;
	memset(ret, 0, sizeof(*ret));
	about_attrs(h, ret);
	return 0;
}

struct fdesc *fsock_find(struct ckpt_files *f, uint64_t ino)
{
	for (size_t i = 0; ino && i < f->n_descs; i++)
		if (S_ISSOCK(f->descs[i]->st.st_mode) && f->descs[i]->st.st_ino == ino && !(f->descs[i]->flags & O_PATH))
			return f->descs[i];
	return NULL;
}

/* ---- options ---- */
static const struct opt {
	const char *name;
	int family;			/* 0: every; AF_INET: v4 and v6; AF_INET6: v6 only */
	int type;			/* 0: every */
	int level, opt;
	socklen_t size;
} opts[] = {
	{ "reuseaddr", AF_INET, 0, SOL_SOCKET, SO_REUSEADDR, 4 }, { "reuseport", AF_INET, 0, SOL_SOCKET, SO_REUSEPORT, 4 },
	{ "keepalive", AF_INET, 0, SOL_SOCKET, SO_KEEPALIVE, 4 }, { "broadcast", AF_INET, 0, SOL_SOCKET, SO_BROADCAST, 4 },
	{ "oobinline", 0, 0, SOL_SOCKET, SO_OOBINLINE, 4 }, { "passcred", AF_UNIX, 0, SOL_SOCKET, SO_PASSCRED, 4 },
	{ "passsec", AF_UNIX, 0, SOL_SOCKET, SO_PASSSEC, 4 }, { "rcvlowat", 0, 0, SOL_SOCKET, SO_RCVLOWAT, 4 },
	{ "timestamp", 0, 0, SOL_SOCKET, SO_TIMESTAMP, 4 }, { "timestampns", 0, 0, SOL_SOCKET, SO_TIMESTAMPNS, 4 },
	{ "priority", 0, 0, SOL_SOCKET, SO_PRIORITY, 4 }, { "dontroute", AF_INET, 0, SOL_SOCKET, SO_DONTROUTE, 4 },
	{ "linger", 0, 0, SOL_SOCKET, SO_LINGER, sizeof(struct linger) },
	{ "rcvtimeo", 0, 0, SOL_SOCKET, SO_RCVTIMEO, sizeof(struct timeval) },
	{ "sndtimeo", 0, 0, SOL_SOCKET, SO_SNDTIMEO, sizeof(struct timeval) },
	{ "peekoff", AF_UNIX, 0, SOL_SOCKET, SO_PEEK_OFF, 4 },
	{ "nodelay", AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_NODELAY, 4 }, { "cork", AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_CORK, 4 },
	{ "keepidle", AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_KEEPIDLE, 4 }, { "keepintvl", AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_KEEPINTVL, 4 },
	{ "keepcnt", AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_KEEPCNT, 4 }, { "deferaccept", AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_DEFER_ACCEPT, 4 },
	{ "usertimeout", AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_USER_TIMEOUT, 4 }, { "linger2", AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_LINGER2, 4 },
	{ "tos", AF_INET, 0, IPPROTO_IP, IP_TOS, 4 }, { "ttl", AF_INET, 0, IPPROTO_IP, IP_TTL, 4 },
	{ "recverr", AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_RECVERR, 4 }, { "pktinfo", AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_PKTINFO, 4 },
	{ "mcastttl", AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_MULTICAST_TTL, 4 }, { "mcastloop", AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_MULTICAST_LOOP, 4 },
	{ "v6only", AF_INET6, 0, IPPROTO_IPV6, IPV6_V6ONLY, 4 }, { "tclass", AF_INET6, 0, IPPROTO_IPV6, IPV6_TCLASS, 4 },
	{ "recverr6", AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_RECVERR, 4 },
	{ "pktinfo6", AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_RECVPKTINFO, 4 },
};

int fsock_int(int fd, int level, int name, int def)
{
	int v = def;
	socklen_t n = sizeof(v);

	return getsockopt(fd, level, name, &v, &n) == 0 ? v : def;
}

static bool opt_fits(const struct opt *o, int domain, int type)
{
	bool inet = domain == AF_INET || domain == AF_INET6;

	if (o->type && o->type != type)
		return false;
	return !o->family || o->family == domain || (o->family == AF_INET && inet);
}

/* A fresh socket of the same sort, to compare with. */
static int fresh(int fd)
{
	return socket(fsock_int(fd, SOL_SOCKET, SO_DOMAIN, -1), fsock_int(fd, SOL_SOCKET, SO_TYPE, -1) | SOCK_CLOEXEC,
		      fsock_int(fd, SOL_SOCKET, SO_PROTOCOL, 0));
}

static int bufs_dump(int fd, int plain, json_t *j)
{
	int lock = fsock_int(fd, SOL_SOCKET, SO_BUF_LOCK, -1), r = 0;
	int snd = fsock_int(fd, SOL_SOCKET, SO_SNDBUF, 0), rcv = fsock_int(fd, SOL_SOCKET, SO_RCVBUF, 0);

	/* without SO_BUF_LOCK (before 5.14) what differs was set, or grew by itself (TCP), which it will again */
	if (lock < 0)
		lock = fsock_int(fd, SOL_SOCKET, SO_PROTOCOL, 0) == IPPROTO_TCP ? 0 : BUF_LOCK_SND | BUF_LOCK_RCV;
	if ((lock & BUF_LOCK_SND) && snd != fsock_int(plain, SOL_SOCKET, SO_SNDBUF, 0))
		r = fj_put_int(j, "sndbuf", snd / 2);
	if (r == 0 && (lock & BUF_LOCK_RCV) && rcv != fsock_int(plain, SOL_SOCKET, SO_RCVBUF, 0))
		r = fj_put_int(j, "rcvbuf", rcv / 2);
	return r;
}

int fsock_opts_dump(int fd, json_t *j, struct om_err *err)
{
	int domain = fsock_int(fd, SOL_SOCKET, SO_DOMAIN, -1), type = fsock_int(fd, SOL_SOCKET, SO_TYPE, -1), r;
	om_autofd int plain = fresh(fd);
	json_t *all = json_object();

	if (plain < 0 || !all) {
		json_decref(all);
		return om_err_sys(err, plain < 0 ? -errno : -ENOMEM, "socket");
	}
	r = bufs_dump(fd, plain, all);
	for (size_t i = 0; i < OM_ARRAY_SIZE(opts) && r == 0; i++) {
		char a[32] = "", b[32] = "";
		socklen_t n = opts[i].size, m = opts[i].size;

		if (!opt_fits(&opts[i], domain, type) || getsockopt(fd, opts[i].level, opts[i].opt, a, &n) < 0 ||
		    getsockopt(plain, opts[i].level, opts[i].opt, b, &m) < 0 || (n == m && !memcmp(a, b, n)))
			continue;
		if (n == 4) {
			int v;

			memcpy(&v, a, 4);
			r = fj_put_int(all, opts[i].name, v);
		} else {
			r = fj_put_bytes(all, opts[i].name, a, n);
		}
	}
	if (r == 0 && json_object_size(all))
		r = fj_put(j, "opts", json_incref(all));
	json_decref(all);
	return r < 0 ? om_err_sys(err, r, "socket") : 0;
}

static int opt_set(int fd, const json_t *all, const struct opt *o, struct om_err *err)
{
	om_autofree char *bytes = NULL;
	size_t n = 4;
	int64_t v = 0;
	int i, r;

	if (!json_object_get(all, o->name))
		return 0;
	r = o->size == 4 ? fj_int(all, o->name, INT32_MIN, INT32_MAX, &v, err) : fj_bytes(all, o->name, o->size, &bytes, &n, err);
	if (r < 0)
		return r;
	i = (int)v;
	/* some can only be set before what has been done since */
	if (!bytes && fsock_int(fd, o->level, o->opt, ~i) == i)
		return 0;
	if (n != o->size || setsockopt(fd, o->level, o->opt, bytes ? bytes : (const void *)&i, o->size) < 0)
		return om_err_sys(err, n != o->size ? -EBADMSG : -errno, "cannot set a socket's option '%s' again", o->name);
	return 0;
}

int fsock_opts_set(int fd, const json_t *j, struct om_err *err)
{
	int domain = fsock_int(fd, SOL_SOCKET, SO_DOMAIN, -1), type = fsock_int(fd, SOL_SOCKET, SO_TYPE, -1), r;
	const json_t *all = json_object_get(j, "opts");
	int64_t buf;

	if (!all)
		return 0;
	for (size_t i = 0; i < OM_ARRAY_SIZE(opts); i++) {
		r = opt_fits(&opts[i], domain, type) ? opt_set(fd, all, &opts[i], err) : 0;
		if (r < 0)
			return r;
	}
	for (int k = 0; k < 2; k++) {
		const char *name = k ? "rcvbuf" : "sndbuf";
		int v;

		r = fj_int_or(all, name, 0, INT32_MAX / 2, 0, &buf, err);
		v = (int)buf;
		if (r < 0)
			return r;
		/* cut at the machine's limit, as for the job itself */
		if (v && setsockopt(fd, SOL_SOCKET, k ? SO_RCVBUFFORCE : SO_SNDBUFFORCE, &v, sizeof(v)) < 0 &&
		    setsockopt(fd, SOL_SOCKET, k ? SO_RCVBUF : SO_SNDBUF, &v, sizeof(v)) < 0)
			return om_err_sys(err, -errno, "cannot set a socket's buffer again");
	}
	return 0;
}

/* ---- queues ---- */
struct peek {
	struct ckpt_files *f;
	struct fdesc *d;
	json_t *queue;
	char *buf;	/* of MESSAGE_MAX, and as much again before: */
	char *wall;	/* memory that cannot be written */
	size_t total;
	bool empty;	/* there was an empty message */
};

/* What came with a message: descriptors become descriptions. */
static int rights_take(struct peek *p, struct msghdr *m, json_t *e, struct om_err *err)
{
	json_t *fds = NULL;
	int r = 0;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t n;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (!fds && (fds = json_array()))
			r = fj_put(e, "fds", fds);
		for (size_t i = 0; i < n; i++) {
			size_t index = 0;
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if (r < 0) {
				om_fd_close(fd);
				continue;
			}
			r = files_desc_of_fd(p->f, fd, &index, err);
			if (r == 0)
				r = fj_push(fds, json_integer((json_int_t)index));
		}
	}
	return r;
}

static int entry_add(struct peek *p, size_t off, size_t n, json_t **ret, struct om_err *err)
{
	json_t *e = json_object();
	int r = fj_push(p->queue, e);

	*ret = e;
	return r < 0 ? r : fj_blob_put(p->f->o.sink, e, "data", p->buf + off, n, err);
}

static bool carries_fds(struct msghdr *m)
{
	bool any = false;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h))
		any |= h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS;
	return any;
}

union control {
	char buf[CMSG_SPACE(PASSED_MAX * sizeof(int)) + 256];
	struct cmsghdr align;
};

/* A stream gives what was sent before together with the piece that carries descriptors, and even a shorter peek brings them; they must stay with
 * the first byte of that piece.  So peek again into memory that ends one byte too early: the piece does not fit, what is before it does. */
static int piece_start(struct peek *p, size_t n, size_t *ret, struct om_err *err)
{
	int off = (int)(p->total - n), end = (int)p->total, fd = p->d->dup;
	ssize_t k;

	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) < 0)
		return om_err_sys(err, -errno, "cannot look into a socket's queue");
	k = recv(fd, p->wall - (n - 1), n, MSG_PEEK | MSG_DONTWAIT);
	if (k < 0 && errno != EFAULT)
		return om_err_sys(err, -errno, "cannot look into a socket's queue");
	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &end, sizeof(end)) < 0)
		return om_err_sys(err, -errno, "cannot look into a socket's queue");
	*ret = k > 0 ? (size_t)k : 0;
	return 0;
}

static int piece_add(struct peek *p, struct msghdr *m, size_t n, bool records, struct om_err *err)
{
	size_t start = 0;
	json_t *e = NULL;
	int r = carries_fds(m) && !records ? piece_start(p, n, &start, err) : 0;

	if (r == 0 && start)
		r = entry_add(p, 0, start, &e, err);
	if (r == 0)
		r = entry_add(p, start, n - start, &e, err);
	if (r == 0 && records && m->msg_namelen > sizeof(sa_family_t))
		r = fj_put_bytes(e, "from", m->msg_name, m->msg_namelen);
	return r < 0 ? r : rights_take(p, m, e, err);
}

/* Of a connection whose other side writes no more a read of 0 bytes is the end, of others it is an empty message. */
static bool at_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return fsock_int(fd, SOL_SOCKET, SO_TYPE, 0) == SOCK_SEQPACKET && poll(&p, 1, 0) > 0 && (p.revents & POLLRDHUP);
}

/* The kernel shows an empty message to one peek only.  So that the next checkpoint sees it too, all are taken out and sent again, while the job
 * stands still. */
static int send_again(struct peek *p, struct om_err *err)
{
	struct unix_about a = { 0 };
	struct fdesc *peer = fsock_unix_about(p->d->st.st_ino, &a) == 0 ? fsock_find(p->f, a.peer) : NULL;
	size_t n = json_array_size(p->queue), off = 0;
	om_autofree ssize_t *len = calloc(n + 1, sizeof(*len));

	free(a.icons);
	for (size_t i = 0; i < n; i++)
		if (json_object_get(json_array_get(p->queue, i), "fds"))
			peer = NULL;
	if (!len || !peer || p->total > MESSAGE_MAX || fsock_int(p->d->dup, SOL_SOCKET, SO_PASSCRED, 0))
		return 0;	/* what the next checkpoint cannot see is an empty message */
	for (size_t i = 0; i < n; i++) {
		len[i] = recv(p->d->dup, p->buf + off, MESSAGE_MAX, MSG_DONTWAIT);
		if (len[i] < 0)
			return om_err_sys(err, -errno, "a socket's queue");
		off += (size_t)len[i];
	}
	off = 0;
	for (size_t i = 0; i < n; i++) {
		if (send(peer->dup, p->buf + off, (size_t)len[i], MSG_DONTWAIT | MSG_NOSIGNAL) != len[i])
			return om_err_sys(err, -errno, "a socket's queue");
		off += (size_t)len[i];
	}
	return 0;
}

/* 1: took one, 0: no more. */
static int peek_one(struct peek *p, bool records, struct om_err *err)
{
	union control c;
	struct sockaddr_storage from;
	struct iovec iov = { p->buf, MESSAGE_MAX };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = c.buf, .msg_controllen = sizeof(c.buf) };
	ssize_t n = recvmsg(p->d->dup, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (records ? MSG_TRUNC : 0));
	int r;

	if (n < 0)
		return errno == EAGAIN || errno == EINVAL || errno == ENOTCONN ? 0 : om_err_sys(err, -errno, "cannot look into a socket's queue");
	if (n == 0 && (!records || at_end(p->d->dup)))
		return 0;
	p->empty |= n == 0;
	if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || n > MESSAGE_MAX)
		return files_refuse(p->f, p->d, "a message in its queue is too large");
	p->total += (size_t)n;
	if (p->total > FILES_QUEUE_MAX || json_array_size(p->queue) >= SOCK_QUEUE_ENTRIES_MAX)
		return files_refuse(p->f, p->d, "its queue is too large");
	r = piece_add(p, &m, (size_t)n, records, err);
	return r < 0 ? r : 1;
}

int fsock_queue_dump(struct ckpt_files *f, struct fdesc *d, bool records, struct om_err *err)
{
	int old = fsock_int(d->dup, SOL_SOCKET, SO_PEEK_OFF, -1), zero = 0, r;
	struct peek p = { .f = f, .d = d };

	if (!f->o.sink) {
		/* descriptors may travel there, unseen */
		int held = 0;

		f->unseen |= ioctl(d->dup, FIONREAD, &held) == 0 && held;
		return 0;
	}
	p.queue = json_array();
	p.buf = mmap(NULL, 2 * MESSAGE_MAX + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	p.wall = p.buf + 2 * MESSAGE_MAX;
	if (p.buf == MAP_FAILED || mprotect(p.wall, 65536, PROT_NONE) < 0) {
		json_decref(p.queue);
		return om_err_sys(err, -errno, "memory for a socket's queue");
	}
	r = p.queue ? fj_put(d->json, "queue", json_incref(p.queue)) : -ENOMEM;
	/* with it set each peek goes on behind the last; it is the job's socket, so it is set back */
	if (r == 0 && setsockopt(d->dup, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) < 0)
		r = om_err_sys(err, -errno, "cannot look into a socket's queue");
	while (r == 0 && (r = peek_one(&p, records, err)) == 1)
		r = 0;
	if (setsockopt(d->dup, SOL_SOCKET, SO_PEEK_OFF, &old, sizeof(old)) < 0 && r == 0)
		r = om_err_sys(err, -errno, "cannot look into a socket's queue");
	if (r == 0 && p.empty && fsock_int(d->dup, SOL_SOCKET, SO_DOMAIN, 0) == AF_UNIX)
		r = send_again(&p, err);
	if (json_array_size(p.queue) == 0)
		json_object_del(d->json, "queue");
	json_decref(p.queue);
	(void)munmap(p.buf, 2 * MESSAGE_MAX + 65536);
	return r;
}

static int rights_give(struct ckpt_opened *o, const json_t *e, int *fds, size_t *n, struct om_err *err)
{
	const json_t *list = json_object_get(e, "fds");
	int r = 0;

	*n = 0;
	if (!list)
		return 0;
	r = fj_array(e, "fds", PASSED_MAX, &list, err);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		int64_t v = 0;

		r = fj_at(list, i, 0, (int64_t)o->n - 1, &v, err);
		if (r == 0 && o->f[v].fd < 0)
			r = om_err_set(err, -EOPNOTSUPP, "a descriptor of kind '%s' in a socket's queue cannot be restored", o->f[v].kind->name);
		if (r == 0)
			fds[(*n)++] = o->f[v].fd;
	}
	return r;
}

int fsock_queue_send(struct ckpt_opened *o, const json_t *e, int fd, const void *to, socklen_t to_len, struct om_err *err)
{
	union {
		char buf[CMSG_SPACE(PASSED_MAX * sizeof(int))];
		struct cmsghdr align;
	} c = { .buf = "" };
	om_autofree char *data = NULL;
	struct iovec iov;
	struct msghdr m = { .msg_name = (void *)(uintptr_t)to, .msg_namelen = to_len, .msg_iov = &iov, .msg_iovlen = 1 };
	size_t len = 0, n_fds, done = 0;
	int fds[PASSED_MAX], r = fj_blob_get(o->src, e, "data", FILES_QUEUE_MAX, &data, &len, err);

	if (r == 0)
		r = rights_give(o, e, fds, &n_fds, err);
	if (r < 0)
		return r;
	if (n_fds) {
		struct cmsghdr *h;

		m.msg_control = c.buf;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(h), fds, n_fds * sizeof(int));
	}
	do {
		ssize_t n;

		iov = (struct iovec){ data + done, len - done };
		n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return om_err_sys(err, -errno, "cannot fill a socket's queue again");
		done += (size_t)n;
		m.msg_control = NULL;	/* descriptors go once */
		m.msg_controllen = 0;
	} while (done < len);
	return 0;
}
