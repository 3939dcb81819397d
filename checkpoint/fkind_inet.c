/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_inet.c - TCP and UDP sockets.
 *
 * The job lives in the machine's network.  What it has with itself is made again on the same ports; "how":
 *   plain    not connected (perhaps bound)
 *   listen   "backlog"
 *   pair     TCP, connected with description "peer" of the job
 *   orphan   TCP, the other side was in this machine and was closed
 *   pending  TCP, connected to a listener of the job that has not accepted it
 *   to       UDP, connected to "remote"
 *   reset    TCP, was connected to elsewhere (only with net_reset): reads say ECONNRESET
 * A TCP connection is made by a listener on one of its two addresses: the job's own where there is one.  What was received is copied by MSG_PEEK and
 * written again by the other side.  What the sender's kernel still holds, because the receiver's buffer is full, can only be read with TCP_REPAIR
 * (CAP_NET_ADMIN); without that right such a moment is refused. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/fsocket.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

enum { TCP_ESTAB = 1, TCP_SYN_SENT_, TCP_SYN_RECV_, TCP_FIN1, TCP_FIN2, TCP_TW, TCP_CLOSED, TCP_CLOSE_W, TCP_LAST, TCP_LISTENS, TCP_CLOSING_ };
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
enum {
	REUSE_WAIT_MS = 3000,		/* a connection of the same name in TIME_WAIT may be taken over after a second */
	LISTEN_WAIT_MS = 65000,		/* the kernel's TIME_WAIT of a minute, in which nobody without SO_REUSEADDR gets the port */
};

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} u;
	socklen_t len;
};
struct tcp {				/* a TCP description at dump */
	int state;
	struct addr local, remote;
	struct tcp_info info;
	bool finished;			/* closed after a connection */
};

/* ---- addresses ---- */
static int addr_get(int fd, bool peer, struct addr *a)
{
	memset(a, 0, sizeof(*a));
	a->len = sizeof(a->u);
	if ((peer ? getpeername : getsockname)(fd, &a->u.sa, &a->len) < 0)
		return -errno;
	return 0;
}

static uint16_t port_of(const struct addr *a)
{
	return ntohs(a->u.sa.sa_family == AF_INET6 ? a->u.in6.sin6_port : a->u.in.sin_port);
}

/* As 16 bytes; an IPv4 address in its IPv6 form. */
static void addr_bytes(const struct addr *a, uint8_t b[16])
{
	if (a->u.sa.sa_family == AF_INET6) {
		memcpy(b, &a->u.in6.sin6_addr, 16);
		return;
	}
	memset(b, 0, 10);
	memset(b + 10, 0xff, 2);
	memcpy(b + 12, &a->u.in.sin_addr, 4);
}

static bool addr_is_any(const struct addr *a)
{
	static const uint8_t any4[16] = { [10] = 0xff, [11] = 0xff }, any6[16];
	uint8_t b[16];

	addr_bytes(a, b);
	return !memcmp(b, any4, 16) || !memcmp(b, any6, 16);
}

static bool addr_same(const struct addr *a, const struct addr *b)
{
	uint8_t x[16], y[16];

	addr_bytes(a, x);
	addr_bytes(b, y);
	return port_of(a) == port_of(b) && !memcmp(x, y, 16);
}

static const char *addr_text(const struct addr *a, char *dst, size_t n)
{
	char ip[INET6_ADDRSTRLEN] = "?";

	if (a->u.sa.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->u.in6.sin6_addr, ip, sizeof(ip));
	else
		inet_ntop(AF_INET, &a->u.in.sin_addr, ip, sizeof(ip));
	snprintf(dst, n, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, port_of(a));
	return dst;
}

static int addr_put(json_t *j, const char *key, const struct addr *a)
{
	return fj_put_bytes(j, key, &a->u, a->len);
}

static int addr_read(const json_t *j, const char *key, struct addr *a, struct om_err *err)
{
	om_autofree char *bytes = NULL;
	size_t n = 0;
	int r = fj_bytes(j, key, sizeof(a->u), &bytes, &n, err);

	if (r < 0)
		return r;
	memset(a, 0, sizeof(*a));
	memcpy(&a->u, bytes, n);
	a->len = (socklen_t)n;
	if ((a->u.sa.sa_family == AF_INET && n >= sizeof(a->u.in)) || (a->u.sa.sa_family == AF_INET6 && n >= sizeof(a->u.in6)))
		return 0;
	return om_err_set(err, -EBADMSG, "the image is damaged: '%s' is no internet address", key);
}

/* ---- dump ---- */
/* Who has the other end in this machine: its inode (0: nobody any more, or not accepted yet); -ENOENT: it is not in this machine. */
static int64_t other_end(const struct tcp *t)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} req = {
		.h = { .nlmsg_len = sizeof(req), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0U, .id.idiag_cookie = { ~0U, ~0U } },
	};
	om_autofd int nl = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	char buf[8192] __attribute__((aligned(8)));
	const struct nlmsghdr *h = (const void *)buf;
	uint8_t src[16], dst[16];
	ssize_t n;
	bool v4;

	addr_bytes(&t->remote, src);
	addr_bytes(&t->local, dst);
	v4 = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)src);
	req.r.sdiag_family = v4 ? AF_INET : AF_INET6;
	memcpy(req.r.id.idiag_src, v4 ? src + 12 : src, v4 ? 4 : 16);
	memcpy(req.r.id.idiag_dst, v4 ? dst + 12 : dst, v4 ? 4 : 16);
	req.r.id.idiag_sport = htons(port_of(&t->remote));
	req.r.id.idiag_dport = htons(port_of(&t->local));
	if (nl < 0 || send(nl, &req, sizeof(req), 0) < 0)
		return -errno;
	n = recv(nl, buf, sizeof(buf), 0);
	if (n < (ssize_t)sizeof(*h))
		return n < 0 ? -errno : -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR)
		return n >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) ? ((const struct nlmsgerr *)NLMSG_DATA(h))->error : -EBADMSG;
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		return -EBADMSG;
	return ((const struct inet_diag_msg *)NLMSG_DATA(h))->idiag_inode;
}

static int tcp_read(struct fdesc *d)
{
	struct tcp *t = calloc(1, sizeof(*t));
	socklen_t n = sizeof(t->info);
	struct pollfd p = { .fd = d->dup, .events = POLLRDHUP };

	if (!t)
		return -ENOMEM;
	d->priv = t;
	if (getsockopt(d->dup, IPPROTO_TCP, TCP_INFO, &t->info, &n) < 0)
		return -errno;
	t->state = t->info.tcpi_state;
	(void)addr_get(d->dup, true, &t->remote);	/* none when it is not connected */
	t->finished = t->state == TCP_CLOSED && poll(&p, 1, 0) > 0 && (p.revents & POLLRDHUP);
	return addr_get(d->dup, false, &t->local);
}

static int inet_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	int type = fsock_int(d->dup, SOL_SOCKET, SO_TYPE, -1), proto = fsock_int(d->dup, SOL_SOCKET, SO_PROTOCOL, -1), r;
	struct addr local;

	if (!((type == SOCK_STREAM && proto == IPPROTO_TCP) || (type == SOCK_DGRAM && proto == IPPROTO_UDP)))
		return files_refuse(f, d, "a socket of type %d, protocol %d", type, proto);
	r = fj_put_int(d->json, "family", fsock_int(d->dup, SOL_SOCKET, SO_DOMAIN, -1));
	if (r == 0)
		r = fj_put_int(d->json, "type", type);
	if (r == 0)
		r = fsock_opts_dump(d->dup, d->json, err);
	if (r == 0 && addr_get(d->dup, false, &local) == 0 && (port_of(&local) || !addr_is_any(&local)))
		r = addr_put(d->json, "local", &local);
	if (r < 0)
		return r;
	if (type == SOCK_DGRAM)
		return fsock_queue_dump(f, d, true, err);
	r = tcp_read(d);
	return r < 0 ? om_err_sys(err, r, "a TCP socket") : 0;
}

static struct tcp *tcp_of(const struct fdesc *d)
{
	return d->kind == &fkind_inet ? d->priv : NULL;
}

static struct fdesc *pair_find(struct ckpt_files *f, const struct fdesc *d)
{
	const struct tcp *t = d->priv;

	for (size_t i = 0; i < f->n_descs; i++) {
		const struct tcp *o = tcp_of(f->descs[i]);

		if (o && o != t && o->remote.len && addr_same(&o->local, &t->remote) && addr_same(&o->remote, &t->local))
			return f->descs[i];
	}
	return NULL;
}

/* The job's listener on @a. */
static struct fdesc *listener_find(struct ckpt_files *f, const struct addr *a)
{
	struct fdesc *any = NULL;

	for (size_t i = 0; i < f->n_descs; i++) {
		const struct tcp *o = tcp_of(f->descs[i]);

		if (!o || o->state != TCP_LISTENS || port_of(&o->local) != port_of(a))
			continue;
		if (addr_same(&o->local, a))
			return f->descs[i];
		if (addr_is_any(&o->local))
			any = f->descs[i];
	}
	return any;
}

static int how_put(struct fdesc *d, const char *how)
{
	return fj_put(d->json, "how", json_string(how));
}

static bool net_admin_repair(int fd, int on)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0;
}

/* The last @n bytes the sender's kernel holds. */
static int unsent_read(struct ckpt_files *f, struct fdesc *from, size_t n, char *dst, struct om_err *err)
{
	int fd = from->dup, held = 0, queue = TCP_SEND_QUEUE, none = TCP_NO_QUEUE, reuse = fsock_int(fd, SOL_SOCKET, SO_REUSEADDR, 0), r = 0;
	om_autofree char *buf = NULL;
	ssize_t got;

	if (ioctl(fd, SIOCOUTQ, &held) < 0 || (size_t)held < n)
		return om_err_set(err, -EIO, "a TCP connection moves while it is looked at");
	buf = malloc((size_t)held + 1);
	if (!buf)
		return om_err_sys(err, -ENOMEM, "a TCP connection");
	if (!net_admin_repair(fd, 1))
		return files_refuse(f, from, "%zu bytes wait for the receiver's full buffer; only root can read them (CAP_NET_ADMIN); "
				    "a later checkpoint can succeed", n);
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0)
		r = -errno;
	got = r < 0 ? r : recv(fd, buf, (size_t)held, MSG_PEEK | MSG_DONTWAIT);
	if (r == 0 && got != held)
		r = got < 0 ? -errno : -EIO;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &none, sizeof(none));	/* leaving repair does it as well */
	/* leaving it clears this option */
	if (!net_admin_repair(fd, TCP_REPAIR_OFF_NO_WP) || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0)
		r = r < 0 ? r : -errno;
	if (r < 0)
		return om_err_sys(err, r, "cannot read what a TCP socket has not sent yet");
	memcpy(dst, buf + held - n, n);
	return 0;
}

/* What the receiver has not got: written, but held back by its full buffer. */
static size_t unsent_size(struct fdesc *from, const struct fdesc *to)
{
	struct tcp_info a, b;
	socklen_t n = sizeof(a), m = sizeof(b);
	int later = 0;
	int64_t way;

	if (getsockopt(from->dup, IPPROTO_TCP, TCP_INFO, &a, &n) < 0 || getsockopt(to->dup, IPPROTO_TCP, TCP_INFO, &b, &m) < 0)
		return 0;
	(void)ioctl(from->dup, SIOCOUTQNSD, &later);
	way = (int64_t)(a.tcpi_bytes_sent - a.tcpi_bytes_retrans) - (int64_t)b.tcpi_bytes_received;
	return (size_t)later + (size_t)(way > 0 ? way : 0);
}

/* The receive queue of @d, and behind it what @from holds back. */
static int stream_dump(struct ckpt_files *f, struct fdesc *d, struct fdesc *from, struct om_err *err)
{
	size_t more = from ? unsent_size(from, d) : 0;
	om_autofree char *buf = NULL;
	int held = 0, r = 0;
	ssize_t n = 0;

	if (!f->o.sink || ioctl(d->dup, FIONREAD, &held) < 0 || (held <= 0 && !more))
		return 0;
	buf = malloc((size_t)held + more + 1);
	if (!buf)
		return om_err_sys(err, -ENOMEM, "a TCP connection");
	if (held > 0)
		n = recv(d->dup, buf, (size_t)held, MSG_PEEK | MSG_DONTWAIT);
	if (n != held)
		return om_err_sys(err, n < 0 ? -errno : -EIO, "cannot look into a TCP socket's queue");
	if (more)
		r = unsent_read(f, from, more, buf + held, err);
	return r < 0 ? r : fj_blob_put(f->o.sink, d->json, "data", buf, (size_t)held + more, err);
}

static bool sent_fin(int state)
{
	return state == TCP_FIN1 || state == TCP_FIN2 || state == TCP_CLOSING_ || state == TCP_LAST || state == TCP_TW;
}

static int elsewhere_dump(struct ckpt_files *f, struct fdesc *d, const struct tcp *t)
{
	char text[80];

	if (f->o.net_reset)
		return how_put(d, "reset");
	return files_refuse(f, d, "TCP %s: a connection to outside the job", addr_text(&t->remote, text, sizeof(text)));
}

static int pending_dump(struct ckpt_files *f, struct fdesc *d, const struct tcp *t, struct fdesc *l)
{
	int r;

	if (t->info.tcpi_bytes_sent)
		return files_refuse(f, d, "it has sent data to a listener that has not accepted it yet");
	r = how_put(d, "pending");
	((struct tcp *)l->priv)->info.tcpi_unacked--;	/* one that waits there is accounted for */
	return r < 0 ? r : fj_put_int(d->json, "via", (int64_t)l->index);
}

static int connection_dump(struct ckpt_files *f, struct fdesc *d, struct tcp *t, struct om_err *err)
{
	struct fdesc *peer = pair_find(f, d), *l;
	int64_t ino;
	int r = addr_put(d->json, "remote", &t->remote);

	if (r == 0 && sent_fin(t->state))
		r = fj_put(d->json, "fin", json_true());
	if (r < 0)
		return r;
	if (peer) {
		r = how_put(d, "pair");
		if (r == 0)
			r = fj_put_int(d->json, "peer", (int64_t)peer->index);
		return r < 0 ? r : stream_dump(f, d, peer, err);
	}
	ino = other_end(t);
	l = listener_find(f, &t->remote);
	if (ino == 0 && l && (t->state == TCP_ESTAB || t->state == TCP_FIN2))
		return pending_dump(f, d, t, l);
	if (ino > 0 || t->state == TCP_ESTAB || t->state == TCP_SYN_SENT_ || t->state == TCP_FIN1 || t->state == TCP_FIN2)
		return elsewhere_dump(f, d, t);
	if (ino < 0) {
		uint8_t a[16], b[16];

		addr_bytes(&t->local, a);
		addr_bytes(&t->remote, b);
		/* closed by the other side, which has left no trace: within this machine, or not */
		if (memcmp(a, b, 16) && b[12] != 127)
			return elsewhere_dump(f, d, t);
	}
	r = how_put(d, "orphan");
	return r < 0 ? r : stream_dump(f, d, NULL, err);
}

static int udp_check(struct fdesc *d)
{
	struct addr remote;
	int r;

	if (addr_get(d->dup, true, &remote) < 0)
		return how_put(d, "plain");
	r = how_put(d, "to");
	return r < 0 ? r : addr_put(d->json, "remote", &remote);
}

static int inet_check(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	struct tcp *t = d->priv;
	int r;

	if (!t)
		return udp_check(d);
	if (t->state == TCP_LISTENS) {
		r = how_put(d, "listen");
		return r < 0 ? r : fj_put_int(d->json, "backlog", t->info.tcpi_sacked);	/* the kernel puts it there */
	}
	if (t->finished) {
		r = how_put(d, "orphan");
		if (r == 0)
			r = fj_put(d->json, "fin", json_true());
		return r < 0 ? r : stream_dump(f, d, NULL, err);
	}
	if (t->state == TCP_CLOSED)
		return how_put(d, "plain");
	if (!t->remote.len)
		return files_refuse(f, d, "a TCP socket in state %d", t->state);
	return connection_dump(f, d, t, err);
}

/* ---- restore ---- */
static const char *how_of(const json_t *j)
{
	const char *how = json_string_value(json_object_get(j, "how"));

	return how ? how : "";
}

static int on(int fd, int level, int opt)
{
	int one = 1;

	return setsockopt(fd, level, opt, &one, sizeof(one));
}

/* As root: although connections of the job's earlier life are still in TIME_WAIT there.  A live listener is met by listen(2). */
static int bind_forced(int fd, const struct addr *local)
{
	int r;

	if (!net_admin_repair(fd, 1)) {
		errno = EADDRINUSE;
		return -1;
	}
	r = bind(fd, &local->u.sa, local->len);
	if (!net_admin_repair(fd, TCP_REPAIR_OFF_NO_WP) || on(fd, SOL_SOCKET, SO_REUSEADDR) < 0)
		return -1;
	return r;
}

/* A socket on @local; the options that must be there before bind(2). */
static int socket_on(const json_t *opts, const struct addr *local, int type, struct om_err *err)
{
	om_autofd int fd = socket(local->u.sa.sa_family, type | SOCK_CLOEXEC, 0);
	char text[80];

	if (fd < 0)
		return om_err_sys(err, -errno, "socket");
	/* what is left of the job's earlier life on this port must not be in the way */
	if ((type == SOCK_STREAM || json_object_get(opts, "reuseaddr")) && on(fd, SOL_SOCKET, SO_REUSEADDR) < 0)
		return om_err_sys(err, -errno, "socket");
	if (json_object_get(opts, "reuseport") && on(fd, SOL_SOCKET, SO_REUSEPORT) < 0)
		return om_err_sys(err, -errno, "socket");
	if (json_object_get(opts, "v6only") && on(fd, IPPROTO_IPV6, IPV6_V6ONLY) < 0)
		return om_err_sys(err, -errno, "socket");
	if (bind(fd, &local->u.sa, local->len) < 0 && !(errno == EADDRINUSE && type == SOCK_STREAM && bind_forced(fd, local) == 0))
		return om_err_sys(err, -errno, "cannot use %s %s again", type == SOCK_STREAM ? "TCP" : "UDP", addr_text(local, text, sizeof(text)));
	return om_fd_steal(&fd);
}

/* Does anybody listen there now? */
static bool is_served(const struct addr *a)
{
	om_autofd int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && (connect(fd, &a->u.sa, a->len) == 0 || errno == EINPROGRESS);
}

static int listener_open(const json_t *j, int *ret_fd, struct om_err *err)
{
	uint64_t until = om_clock_mono_ns() + LISTEN_WAIT_MS * 1000000ULL;
	struct addr a;
	int64_t backlog = 0;
	int fd, r = addr_read(j, "local", &a, err);

	if (r == 0)
		r = fj_int(j, "backlog", 0, INT_MAX, &backlog, err);
	if (r < 0)
		return r;
	for (;;) {
		fd = socket_on(json_object_get(j, "opts"), &a, SOCK_STREAM, err);
		if (fd >= 0 && listen(fd, (int)backlog) == 0)
			break;
		r = fd < 0 ? fd : om_err_sys(err, -errno, "cannot listen again");
		om_fd_close(fd);
		if (r != -EADDRINUSE || is_served(&a) || om_clock_mono_ns() > until)
			return r;
		(void)poll(NULL, 0, 200);
	}
	*ret_fd = fd;
	return 0;
}

static int plain_open(const json_t *j, int type, int *ret_fd, struct om_err *err)
{
	struct addr a;
	int64_t v = 0;
	int fd, r = fj_int(j, "family", AF_INET, AF_INET6, &v, err);

	if (r == 0 && v != AF_INET && v != AF_INET6)
		r = om_err_set(err, -EBADMSG, "the image is damaged: a socket's family");
	if (r < 0)
		return r;
	if (type == SOCK_STREAM && !strcmp(how_of(j), "listen"))
		return listener_open(j, ret_fd, err);
	if (json_object_get(j, "local") && strcmp(how_of(j), "pending")) {
		r = addr_read(j, "local", &a, err);
		fd = r < 0 ? r : socket_on(json_object_get(j, "opts"), &a, type, err);
	} else {
		fd = socket((int)v, type | SOCK_CLOEXEC, 0);
		if (fd < 0)
			fd = om_err_sys(err, -errno, "socket");
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

/* The number of the job's own listener for @a, or SIZE_MAX. */
static size_t own_listener(const struct ckpt_opened *o, const struct addr *a)
{
	for (size_t i = 0; i < o->n; i++) {
		struct addr l;

		if (o->f[i].kind == &fkind_inet && !strcmp(how_of(o->f[i].json), "listen") && addr_read(o->f[i].json, "local", &l, NULL) == 0 &&
		    port_of(&l) == port_of(a) && (addr_is_any(&l) || addr_same(&l, a)))
			return i;
	}
	return SIZE_MAX;
}

/* A socket that will connect from port @from: bound to it, or with only this port to choose from: that is allowed while an earlier connection of
 * the port is in TIME_WAIT; -1: neither. */
static int client_on(const struct addr *from, bool bound)
{
	uint32_t range = port_of(from) | (uint32_t)port_of(from) << 16;
	int fd;

	if (bound)
		return socket_on(NULL, from, SOCK_STREAM, NULL);
	fd = socket(from->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)) < 0) {	/* before Linux 6.3 */
		om_fd_close(fd);
		fd = -1;
	}
	return fd;
}

/* Connect from @from to @to. Where that port cannot be had in time, from another: better another port than no connection. */
static int connect_patient(int *c, const struct addr *from, const struct addr *to, struct om_err *err)
{
	uint64_t until = om_clock_mono_ns() + REUSE_WAIT_MS * 1000000ULL;
	const uint32_t any = 0;
	char text[80];

	for (unsigned try = 0; om_clock_mono_ns() < until && port_of(from); try++) {
		*c = client_on(from, try % 2 == 0);
		if (*c >= 0 && connect(*c, &to->u.sa, to->len) == 0)
			return setsockopt(*c, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &any, sizeof(any)) < 0 && errno != ENOPROTOOPT ?
				om_err_sys(err, -errno, "socket") : 0;
		om_fd_close(om_fd_steal(c));
		if (try % 2)
			(void)poll(NULL, 0, 50);
	}
	*c = socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*c < 0 || connect(*c, &to->u.sa, to->len) < 0)
		return om_err_sys(err, -errno, "cannot connect to TCP %s of the job again", addr_text(to, text, sizeof(text)));
	return 0;
}

/* A listener for one connection: on @a, or where that port is not to be had on any. */
static int listener_for_now(const struct addr *a, struct addr *ret, struct om_err *err)
{
	om_autofd int fd = socket_on(NULL, a, SOCK_STREAM, NULL);

	*ret = *a;
	if (fd < 0 || listen(fd, 1) < 0) {
		if (ret->u.sa.sa_family == AF_INET6)
			ret->u.in6.sin6_port = 0;
		else
			ret->u.in.sin_port = 0;
		om_fd_close(om_fd_steal(&fd));
		fd = socket_on(NULL, ret, SOCK_STREAM, err);
		if (fd < 0)
			return fd;
		if (listen(fd, 1) < 0 || addr_get(fd, false, ret) < 0)
			return om_err_sys(err, -errno, "cannot listen again");
	}
	return om_fd_steal(&fd);
}

/* The other end of our connection @c. Somebody else may have connected to the job's listener as well: he must try again. */
static int accept_from(int listener, int c, struct om_err *err)
{
	struct addr mine, peer;
	int s;

	if (addr_get(c, false, &mine) < 0)
		return om_err_sys(err, -errno, "socket");
	for (;;) {
		s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (s < 0)
			return om_err_sys(err, -errno, "cannot accept a connection of the job again");
		if (addr_get(s, true, &peer) == 0 && addr_same(&mine, &peer))
			return s;
		om_fd_close(s);
	}
}

/* A connection between @server and @client, made through listener @l of the job, or one for the moment. */
static int connection_make(struct ckpt_opened *o, const struct addr *server, const struct addr *client, size_t l,
			   int *ret_server, int *ret_client, struct om_err *err)
{
	om_autofd int temp = -1;
	om_autofd int c = -1;
	struct addr at = *server;
	int r = 0, s, listener;

	if (l != SIZE_MAX) {
		r = fopen_need(o, l, err);
		listener = o->f[l].fd;
	} else {
		listener = temp = listener_for_now(server, &at, err);
		r = temp < 0 ? temp : 0;
	}
	if (r == 0)
		r = connect_patient(&c, client, &at, err);
	if (r < 0)
		return r;
	s = accept_from(listener, c, err);
	if (s < 0)
		return s;
	*ret_server = s;
	*ret_client = om_fd_steal(&c);
	return 0;
}

/* Both ends of the connection of @j: @ret_mine has its local address. */
static int ends_make(struct ckpt_opened *o, const json_t *j, int *ret_mine, int *ret_theirs, struct om_err *err)
{
	struct addr local, remote;
	size_t mine, theirs;
	int r = addr_read(j, "local", &local, err);

	if (r == 0)
		r = addr_read(j, "remote", &remote, err);
	if (r < 0)
		return r;
	mine = own_listener(o, &local);
	theirs = own_listener(o, &remote);
	if (mine != SIZE_MAX || (theirs == SIZE_MAX && port_of(&local) < port_of(&remote)))
		return connection_make(o, &local, &remote, mine, ret_mine, ret_theirs, err);
	return connection_make(o, &remote, &local, theirs, ret_theirs, ret_mine, err);
}

static int pair_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	size_t peer = 0, back = 0;
	int mine = -1, theirs = -1, r = fopen_index(o, o->f[i].json, "peer", &peer, err);

	if (r < 0)
		return r;
	if (peer == i || o->f[peer].kind != &fkind_inet || o->f[peer].fd >= 0 || fopen_index(o, o->f[peer].json, "peer", &back, NULL) < 0 || back != i)
		return om_err_set(err, -EBADMSG, "the image is damaged: a socket's peer does not agree");
	r = ends_make(o, o->f[i].json, &mine, &theirs, err);
	if (r == 0)
		r = fopen_set(o, peer, theirs, err);
	if (r == 0)
		*ret_fd = mine;
	return r;
}

/* Any connection: for one whose other end is gone and whose addresses are not known. */
static int ends_anywhere(struct ckpt_opened *o, int family, int *ret_mine, int *ret_theirs, struct om_err *err)
{
	struct addr server = { .u.sa.sa_family = (sa_family_t)family }, client;
	om_autofd int l = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)o;
	if (family == AF_INET6)
		server.u.in6.sin6_addr = in6addr_loopback;
	else
		server.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.len = family == AF_INET6 ? sizeof(server.u.in6) : sizeof(server.u.in);
	client = server;
	if (l < 0 || bind(l, &server.u.sa, server.len) < 0 || listen(l, 1) < 0 || addr_get(l, false, &server) < 0)
		return om_err_sys(err, -errno, "a TCP socket");
	if (connect_patient(ret_mine, &client, &server, err) < 0)
		return -EIO;
	*ret_theirs = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	return *ret_theirs < 0 ? om_err_sys(err, -errno, "a TCP socket") : 0;
}

static int alone_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	bool reset = !strcmp(how_of(j), "reset");
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	int mine = -1, theirs = -1, r;
	struct fgroup *g;
	int64_t family = 0;

	r = fj_int(j, "family", AF_INET, AF_INET6, &family, err);
	if (r < 0)
		return r;
	r = reset || !json_object_get(j, "remote") ? ends_anywhere(o, family == AF_INET6 ? AF_INET6 : AF_INET, &mine, &theirs, err)
		: ends_make(o, j, &mine, &theirs, err);
	if (r < 0) {
		om_fd_close(mine);
		return r;
	}
	if (reset) {
		/* closing with this set sends a reset */
		if (setsockopt(theirs, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0)
			r = om_err_sys(err, -errno, "a TCP socket");
		om_fd_close(theirs);
	} else {
		r = fopen_group(o, "tcp", (int64_t)i, &g, err);
		if (r == 0)
			g->fd[0] = theirs;
		else
			om_fd_close(theirs);
	}
	*ret_fd = mine;
	return r;
}

static int inet_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	const char *how = how_of(j);
	int64_t type = 0;
	int r = fj_int(j, "type", SOCK_STREAM, SOCK_DGRAM, &type, err);

	if (r < 0)
		return r;
	if (!strcmp(how, "plain") || !strcmp(how, "listen") || !strcmp(how, "to") || !strcmp(how, "pending"))
		return plain_open(j, (int)type, ret_fd, err);
	if (type == SOCK_STREAM && !strcmp(how, "pair"))
		return pair_open(o, i, ret_fd, err);
	if (type == SOCK_STREAM && (!strcmp(how, "orphan") || !strcmp(how, "reset")))
		return alone_open(o, i, ret_fd, err);
	return om_err_set(err, -EBADMSG, "the image is damaged: a socket of an unknown state");
}

static int inet_join(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	struct addr local, remote;
	char text[80];
	int c = -1, r;

	if (strcmp(how_of(j), "pending") && strcmp(how_of(j), "to"))
		return 0;
	r = addr_read(j, "remote", &remote, err);
	if (r < 0)
		return r;
	if (!strcmp(how_of(j), "to")) {
		if (connect(o->f[i].fd, &remote.u.sa, remote.len) < 0)
			return om_err_sys(err, -errno, "cannot connect to UDP %s again", addr_text(&remote, text, sizeof(text)));
		return 0;
	}
	/* every connection that was accepted is there by now: this one stays in the listener's queue */
	r = addr_read(j, "local", &local, err);
	if (r == 0)
		r = connect_patient(&c, &local, &remote, err);
	if (r == 0 && dup3(c, o->f[i].fd, O_CLOEXEC) < 0)
		r = om_err_sys(err, -errno, "socket");
	om_fd_close(c);
	return r;
}

static int stream_fill(struct ckpt_opened *o, size_t i, int by, struct om_err *err)
{
	om_autofree char *data = NULL;
	size_t n = 0, done = 0;
	int r = fj_blob_get(o->src, o->f[i].json, "data", FILES_QUEUE_MAX, &data, &n, err);

	if (r < 0)
		return r;
	while (done < n) {
		ssize_t k = send(by, data + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		int most = (int)n + 65536, none = 0;

		if (k < 0 && errno == EAGAIN && setsockopt(by, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof(most)) == 0) {
			k = send(by, data + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
			(void)setsockopt(by, SOL_SOCKET, SO_BUF_LOCK, &none, sizeof(none));	/* it may shrink again */
		}
		if (k < 0)
			return om_err_sys(err, -errno, "cannot fill a TCP socket's queue of %zu bytes again", n);
		done += (size_t)k;
	}
	return 0;
}

/* The job's UDP socket that a message came from, or one for the moment; -1: from elsewhere, and UDP may lose. */
static int udp_sender(struct ckpt_opened *o, const struct addr *from, int *temp)
{
	for (size_t i = 0; i < o->n; i++) {
		struct addr a;

		if (o->f[i].kind == &fkind_inet && o->f[i].fd >= 0 && fsock_int(o->f[i].fd, SOL_SOCKET, SO_TYPE, 0) == SOCK_DGRAM &&
		    addr_get(o->f[i].fd, false, &a) == 0 && port_of(&a) == port_of(from) && (addr_is_any(&a) || addr_same(&a, from)))
			return o->f[i].fd;
	}
	*temp = socket_on(NULL, from, SOCK_DGRAM, NULL);
	return *temp;
}

static int udp_fill(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *queue;
	struct addr to, from;
	int r = fj_array(o->f[i].json, "queue", SOCK_QUEUE_ENTRIES_MAX, &queue, err);

	if (r == 0 && addr_get(o->f[i].fd, false, &to) < 0)
		r = om_err_sys(err, -errno, "socket");
	if (r < 0)
		return r;
	for (size_t k = 0; k < json_array_size(queue); k++) {
		const json_t *e = json_array_get(queue, k);
		om_autofd int temp = -1;
		struct addr dst = to;
		int by;

		if (addr_read(e, "from", &from, NULL) < 0)
			continue;
		if (addr_is_any(&dst)) {	/* to where the sender is: this machine */
			uint16_t port = dst.u.sa.sa_family == AF_INET6 ? dst.u.in6.sin6_port : dst.u.in.sin_port;

			dst = from;
			if (dst.u.sa.sa_family == AF_INET6)
				dst.u.in6.sin6_port = port;
			else
				dst.u.in.sin_port = port;
		}
		by = udp_sender(o, &from, &temp);
		if (by >= 0)
			(void)fsock_queue_send(o, e, by, &dst.u.sa, dst.len, NULL);	/* as on any network */
	}
	return 0;
}

static int inet_fill(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	struct fgroup *g;
	size_t peer = 0;
	int r;

	if (json_object_get(j, "queue"))
		return udp_fill(o, i, err);
	if (!json_object_get(j, "data"))
		return 0;
	if (!strcmp(how_of(j), "pair")) {
		r = fopen_index(o, j, "peer", &peer, err);
		return r < 0 ? r : stream_fill(o, i, o->f[peer].fd, err);
	}
	r = fopen_group(o, "tcp", (int64_t)i, &g, err);
	return r < 0 ? r : stream_fill(o, i, g->fd[0], err);
}

static int inet_finish(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	int zero = 0;

	/* it was set for binding */
	if (!json_object_get(json_object_get(j, "opts"), "reuseaddr") && fsock_int(o->f[i].fd, SOL_SOCKET, SO_REUSEADDR, 0) &&
	    setsockopt(o->f[i].fd, SOL_SOCKET, SO_REUSEADDR, &zero, sizeof(zero)) < 0)
		return om_err_sys(err, -errno, "socket");
	if (fj_true(j, "fin") && shutdown(o->f[i].fd, SHUT_WR) < 0 && errno != ENOTCONN)
		return om_err_sys(err, -errno, "shutdown of a TCP socket");
	return fsock_opts_set(o->f[i].fd, j, err);
}

const struct fkind fkind_inet = { .name = "inet", .dump = inet_dump, .check = inet_check, .open = inet_open, .join = inet_join, .fill = inet_fill,
				  .finish = inet_finish };

/* ---- netlink: a kernel's answer that is not read yet cannot be carried ---- */
static int netlink_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	struct sockaddr_nl sa = { 0 };
	struct pollfd p = { .fd = d->dup, .events = POLLIN };
	socklen_t n = sizeof(sa);
	int r;

	if (f->o.sink && poll(&p, 1, 0) > 0)
		return files_refuse(f, d, "a netlink socket with an unread answer; a later checkpoint can succeed");
	if (getsockname(d->dup, (struct sockaddr *)&sa, &n) < 0)
		return om_err_sys(err, -errno, "netlink socket");
	r = fj_put_int(d->json, "type", fsock_int(d->dup, SOL_SOCKET, SO_TYPE, SOCK_RAW));
	if (r == 0)
		r = fj_put_int(d->json, "proto", fsock_int(d->dup, SOL_SOCKET, SO_PROTOCOL, 0));
	if (r == 0)
		r = fj_put_int(d->json, "port", sa.nl_pid);
	return r == 0 ? fj_put_int(d->json, "groups", sa.nl_groups) : r;
}

static int netlink_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	int64_t type = 0, proto = 0, port = 0, groups = 0;
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	om_autofd int fd = -1;
	int r = fj_int(j, "type", SOCK_DGRAM, SOCK_RAW, &type, err);

	if (r == 0)
		r = fj_int(j, "proto", 0, 31, &proto, err);
	if (r == 0)
		r = fj_int(j, "port", 0, UINT32_MAX, &port, err);
	if (r == 0)
		r = fj_int(j, "groups", 0, UINT32_MAX, &groups, err);
	if (r < 0)
		return r;
	fd = socket(AF_NETLINK, (int)type | SOCK_CLOEXEC, (int)proto);
	sa.nl_pid = (uint32_t)port;
	sa.nl_groups = (uint32_t)groups;
	if (fd < 0 || ((port || groups) && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0))
		return om_err_sys(err, -errno, "a netlink socket");
	*ret_fd = om_fd_steal(&fd);
	return 0;
}

const struct fkind fkind_netlink = { .name = "netlink", .dump = netlink_dump, .open = netlink_open };
