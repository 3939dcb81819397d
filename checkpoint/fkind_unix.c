/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_unix.c - unix sockets of the job.
 *
 * Who is connected with whom is told by sock_diag(7).  "how":
 *   plain    not connected (perhaps bound)
 *   listen   bound and listening, "backlog"
 *   pair     connected with description "peer" of the job: socketpair(2), or through listener "via" when the name of the accepted side says so
 *   orphan   the other side was closed
 *   pending  connected to listener "via", not accepted yet
 *   to       a datagram socket connected to the name "to"
 *   reset    was connected to elsewhere (only with net_reset)
 * A name that is a path gets "path" (absolute, found by the inode of the socket file), "mode", "unlinked".  The queue of a socket is filled by its
 * peer, or by the sender with the right name. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/fsocket.h"

/* ---- dump ---- */
struct name {
	struct sockaddr_un sa;
	socklen_t len;		/* of sun_path; 0: none */
};

static int name_get(int fd, bool peer, struct name *n)
{
	socklen_t len = sizeof(n->sa);

	memset(n, 0, sizeof(*n));
	if ((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&n->sa, &len) < 0)
		return -errno;
	n->len = len > offsetof(struct sockaddr_un, sun_path) ? len - (socklen_t)offsetof(struct sockaddr_un, sun_path) : 0;
	return 0;
}

static bool name_same(const struct name *a, const struct name *b)
{
	return a->len && a->len == b->len && !memcmp(a->sa.sun_path, b->sa.sun_path, a->len);
}

static bool socket_file_is(struct ckpt_files *f, const char *path, const struct unix_about *a, struct stat *st)
{
	om_autofd int fd = files_path_open(f, path, 0);

	return fd >= 0 && fstat(fd, st) == 0 && S_ISSOCK(st->st_mode) && (uint32_t)st->st_ino == a->vfs_ino;
}

/* Where a name that is a path lies: a relative one below a working directory of the job. */
static int path_dump(struct ckpt_files *f, struct fdesc *d, const struct name *n, const struct unix_about *a)
{
	char given[sizeof(n->sa.sun_path) + 1] = "";
	om_autofree char *path = NULL;
	struct stat st;

	memcpy(given, n->sa.sun_path, n->len);
	if (given[0] == '/') {
		path = strdup(given);
		if (!path)
			return -ENOMEM;
		if (fj_put_path(d->json, "path", path) < 0)
			return -ENOMEM;
		if (!socket_file_is(f, path, a, &st))
			return fj_put(d->json, "unlinked", json_true());
		return fj_put_int(d->json, "mode", st.st_mode & 07777);
	}
	for (size_t i = 0; i < f->n_procs; i++) {
		om_autofree char *cwd = NULL;

		if (fj_path(f->procs[i].desc, "cwd", &cwd, NULL) < 0)
			continue;
		/* it may have gone down since it named the socket */
		for (char *end = cwd + strlen(cwd); end; end = strrchr(cwd, '/')) {
			om_autofree char *full = NULL;

			*end = 0;
			if (asprintf(&full, "%s/%s", cwd, given) < 0)
				return -ENOMEM;
			if (socket_file_is(f, full, a, &st))
				return fj_put_path(d->json, "path", full) < 0 ? -ENOMEM : fj_put_int(d->json, "mode", st.st_mode & 07777);
		}
	}
	return files_refuse(f, d, "a socket with the relative name '%s' whose folder was not found", given);
}

static int how_put(struct fdesc *d, const char *how)
{
	return fj_put(d->json, "how", json_string(how));
}

/* A listener of the job with this name. */
static struct fdesc *listener_find(struct ckpt_files *f, const struct name *n)
{
	for (size_t i = 0; i < f->n_descs; i++) {
		struct fdesc *l = f->descs[i];
		struct name theirs;

		if (l->kind == &fkind_unix && fsock_int(l->dup, SOL_SOCKET, SO_ACCEPTCONN, 0) && name_get(l->dup, false, &theirs) == 0 && name_same(n, &theirs))
			return l;
	}
	return NULL;
}

static bool waits_at(struct fdesc *l, uint64_t ino)
{
	struct unix_about a;
	bool found = false;

	if (fsock_unix_about(l->st.st_ino, &a) < 0)
		return false;
	for (size_t i = 0; i < a.n_icons; i++)
		found |= a.icons[i] == (uint32_t)ino;
	free(a.icons);
	return found;
}

static int pending_dump(struct ckpt_files *f, struct fdesc *d)
{
	struct name peer;
	struct fdesc *l = name_get(d->dup, true, &peer) == 0 ? listener_find(f, &peer) : NULL;
	int out = 0, r;

	if (!l || !waits_at(l, d->st.st_ino))
		return 1;
	if (ioctl(d->dup, SIOCOUTQ, &out) == 0 && out)
		return files_refuse(f, d, "it has sent data to a listener that has not accepted it yet");
	r = how_put(d, "pending");
	return r < 0 ? r : fj_put_int(d->json, "via", (int64_t)l->index);
}

static int elsewhere_dump(struct ckpt_files *f, struct fdesc *d, int type)
{
	struct name peer;
	char text[sizeof(peer.sa.sun_path) + 1] = "(unnamed)";
	int r = name_get(d->dup, true, &peer);

	if (r == 0 && peer.len) {
		memcpy(text, peer.sa.sun_path, peer.len);
		text[peer.len < sizeof(text) ? peer.len : sizeof(text) - 1] = 0;
		if (!text[0])
			text[0] = '@';
	}
	if (type == SOCK_DGRAM && r == 0 && peer.len) {
		/* nothing but the name connects a datagram socket with, say, the system's log */
		r = how_put(d, "to");
		return r < 0 ? r : fj_put_bytes(d->json, "to", peer.sa.sun_path, peer.len);
	}
	if (f->o.net_reset)
		return how_put(d, "reset");
	return files_refuse(f, d, "a unix socket connected to %s of a process outside the job", text);
}

static int pair_dump(struct ckpt_files *f, struct fdesc *d, struct fdesc *peer, const struct name *mine, int type)
{
	struct name theirs;
	struct fdesc *l;
	int r;

	if (name_get(peer->dup, false, &theirs) < 0)
		return -errno;
	if (type == SOCK_DGRAM && theirs.len) {
		r = how_put(d, "to");
		return r < 0 ? r : fj_put_bytes(d->json, "to", theirs.sa.sun_path, theirs.len);
	}
	if (type == SOCK_DGRAM) {
		struct unix_about a;

		r = fsock_unix_about(peer->st.st_ino, &a);
		free(r < 0 ? NULL : a.icons);
		if (r < 0 || a.peer != (uint32_t)d->st.st_ino || mine->len)
			return files_refuse(f, d, "a datagram socket connected to one without a name that is not connected to it");
	}
	r = how_put(d, "pair");
	if (r == 0)
		r = fj_put_int(d->json, "peer", (int64_t)peer->index);
	l = type == SOCK_DGRAM ? NULL : listener_find(f, mine);
	/* the accepted side has its listener's name */
	return r == 0 && l ? fj_put_int(d->json, "via", (int64_t)l->index) : r;
}

static int connection_dump(struct ckpt_files *f, struct fdesc *d, const struct unix_about *a, const struct name *mine, int type)
{
	struct fdesc *peer = fsock_find(f, a->peer);
	int r;

	if (peer)
		return pair_dump(f, d, peer, mine, type);
	if (a->peer)
		return elsewhere_dump(f, d, type);
	r = type == SOCK_DGRAM || a->shut == 3 ? 1 : pending_dump(f, d);
	if (r <= 0)
		return r;
	if (a->shut != 3 && type != SOCK_DGRAM)
		return elsewhere_dump(f, d, type);	/* in the queue of a listener elsewhere */
	return how_put(d, "orphan");
}

static int unix_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	int type = fsock_int(d->dup, SOL_SOCKET, SO_TYPE, -1), r;

	r = fj_put_int(d->json, "type", type);
	if (r == 0)
		r = fsock_opts_dump(d->dup, d->json, err);
	/* what is in queues are more descriptions: before the checks */
	if (r == 0 && !fsock_int(d->dup, SOL_SOCKET, SO_ACCEPTCONN, 0))
		r = fsock_queue_dump(f, d, type != SOCK_STREAM, err);
	return r;
}

static int unix_check(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	int type = fsock_int(d->dup, SOL_SOCKET, SO_TYPE, -1);
	struct unix_about a;
	struct name n;
	int r = fsock_unix_about(d->st.st_ino, &a);

	if (r == -ENOENT)
		return files_refuse(f, d, "a socket of another network namespace");
	if (r == 0)
		r = name_get(d->dup, false, &n);
	if (r < 0)
		return om_err_sys(err, r, "what the kernel says about a unix socket (sock_diag)");
	free(a.icons);
	if (n.len) {
		r = fj_put_bytes(d->json, "name", n.sa.sun_path, n.len);
		if (r == 0 && n.sa.sun_path[0] && a.vfs_ino && !(a.has_peer && type != SOCK_DGRAM && listener_find(f, &n)))
			r = path_dump(f, d, &n, &a);
	}
	if (r == 0 && a.shut && a.has_peer)
		r = fj_put_int(d->json, "shut", a.shut);
	if (r < 0)
		return r;
	if (a.state == TCP_LISTEN) {
		r = how_put(d, "listen");
		return r < 0 ? r : fj_put_int(d->json, "backlog", a.backlog);
	}
	return a.has_peer ? connection_dump(f, d, &a, &n, type) : how_put(d, "plain");
}

/* ---- restore ---- */
static int name_of(const json_t *j, const char *key, struct name *n, struct om_err *err)
{
	om_autofree char *bytes = NULL;
	size_t len = 0;
	int r = fj_bytes(j, key, sizeof(n->sa.sun_path), &bytes, &len, err);

	if (r < 0)
		return r;
	memset(n, 0, sizeof(*n));
	n->sa.sun_family = AF_UNIX;
	memcpy(n->sa.sun_path, bytes, len);
	n->len = (socklen_t)len;
	return len ? 0 : om_err_set(err, -EBADMSG, "the image is damaged: a socket's name is empty");
}

static socklen_t name_len(const struct name *n)
{
	return (socklen_t)offsetof(struct sockaddr_un, sun_path) + n->len;
}

/* A socket file that was left by the job is removed; one that somebody serves is not ours. */
static int stale_remove(const char *path, const struct name *n, int type, struct om_err *err)
{
	om_autofd int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return om_err_set(err, -EEXIST, "'%s' is no socket any more", path);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return om_err_sys(err, -errno, "socket");
	if (connect(fd, (const struct sockaddr *)&n->sa, name_len(n)) == 0 || errno == EAGAIN || errno == EPROTOTYPE)
		return om_err_set(err, -EADDRINUSE, "the socket '%s' is in use by another program", path);
	return unlink(path) < 0 ? om_err_sys(err, -errno, "cannot remove the old socket '%s'", path) : 0;
}

static int bind_path(int fd, const json_t *j, const struct name *n, int type, struct om_err *err)
{
	om_autofree char *path = NULL, *dir = NULL;
	om_autofd int back = -1;
	int64_t mode = 0;
	int r = fj_path(j, "path", &path, err);

	if (r == 0)
		r = fj_int_or(j, "mode", 0, 07777, 0700, &mode, err);
	if (r < 0)
		return r;
	if (n->sa.sun_path[0] != '/') {
		size_t at = strlen(path) > n->len ? strlen(path) - strnlen(n->sa.sun_path, n->len) : 0;

		/* a relative name: from the folder it was made in */
		back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		dir = strndup(path, at);
		if (back < 0 || !dir || !at || chdir(dir) < 0)
			return om_err_sys(err, -errno, "cannot enter the folder of the socket '%s'", path);
	}
	r = stale_remove(path, n, type, err);
	if (r == 0 && bind(fd, (const struct sockaddr *)&n->sa, name_len(n)) < 0)
		r = om_err_sys(err, -errno, "cannot name a socket '%s' again", path);
	/* one whose name was removed loses it at the end: connections are made by it */
	if (r == 0 && chmod(path, (mode_t)mode) < 0)
		r = om_err_sys(err, -errno, "the socket '%s'", path);
	if (back >= 0 && fchdir(back) < 0 && r == 0)
		r = om_err_sys(err, -errno, "working directory");
	return r;
}

static int bind_again(int fd, const json_t *j, int type, struct om_err *err)
{
	struct name n;
	int r;

	if (!json_object_get(j, "name"))
		return 0;
	r = name_of(j, "name", &n, err);
	if (r < 0)
		return r;
	if (n.sa.sun_path[0])	/* without a path: it was bound by connecting or by a listener of old */
		return json_object_get(j, "path") ? bind_path(fd, j, &n, type, err) : 0;
	if (bind(fd, (const struct sockaddr *)&n.sa, name_len(&n)) < 0)
		return om_err_sys(err, -errno, "cannot name a socket '@%.107s' again", n.sa.sun_path + 1);
	return 0;
}

static int type_of(const json_t *j, int *ret, struct om_err *err)
{
	int64_t v;
	int r = fj_int(j, "type", SOCK_STREAM, SOCK_SEQPACKET, &v, err);

	if (r < 0)
		return r;
	*ret = (int)v;
	return 0;
}

static const char *how_of(const json_t *j)
{
	const char *how = json_string_value(json_object_get(j, "how"));

	return how ? how : "";
}

static int plain_open(const json_t *j, int type, int *ret_fd, struct om_err *err)
{
	om_autofd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	int64_t backlog;
	int r = fd < 0 ? om_err_sys(err, -errno, "socket") : bind_again(fd, j, type, err);

	if (r == 0 && !strcmp(how_of(j), "listen")) {
		r = fj_int(j, "backlog", 0, INT_MAX, &backlog, err);
		if (r == 0 && listen(fd, (int)backlog) < 0)
			r = om_err_sys(err, -errno, "cannot listen again");
	}
	if (r == 0)
		*ret_fd = om_fd_steal(&fd);
	return r;
}

/* The job's socket number @i, by its name. */
static int connect_to(struct ckpt_opened *o, size_t i, int fd, struct om_err *err)
{
	om_autofree char *path = NULL;
	om_autofd int at = -1;
	struct name n;
	int r = name_of(o->f[i].json, "name", &n, err);

	if (r < 0)
		return r;
	if (n.sa.sun_path[0]) {
		/* its name may be a relative one, or too long when made absolute */
		r = fj_path(o->f[i].json, "path", &path, err);
		if (r < 0)
			return r;
		at = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
		memset(n.sa.sun_path, 0, sizeof(n.sa.sun_path));
		n.len = (socklen_t)snprintf(n.sa.sun_path, sizeof(n.sa.sun_path), "/proc/self/fd/%d", at) + 1;
	}
	if ((path && at < 0) || connect(fd, (const struct sockaddr *)&n.sa, name_len(&n)) < 0)
		return om_err_sys(err, -errno, "cannot connect to a socket of the job again (%s)", path ? path : n.sa.sun_path + 1);
	return 0;
}

/* Connect through listener @l. */
static int via_open(struct ckpt_opened *o, size_t l, const json_t *client, int type, int *ret_client, int *ret_server, struct om_err *err)
{
	om_autofd int c = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = c < 0 ? om_err_sys(err, -errno, "socket") : fopen_need(o, l, err);

	if (r == 0)
		r = bind_again(c, client, type, err);
	if (r == 0)
		r = connect_to(o, l, c, err);
	if (r == 0 && ret_server) {
		*ret_server = accept4(o->f[l].fd, NULL, NULL, SOCK_CLOEXEC);
		if (*ret_server < 0)
			r = om_err_sys(err, -errno, "cannot accept a connection of the job again");
	}
	if (r == 0 && fcntl(c, F_SETFL, 0) < 0)
		r = om_err_sys(err, -errno, "socket");
	if (r == 0)
		*ret_client = om_fd_steal(&c);
	return r;
}

static int pair_open(struct ckpt_opened *o, size_t i, int type, int *ret_fd, struct om_err *err)
{
	size_t peer, l = 0;
	int p[2] = { -1, -1 }, r = fopen_index(o, o->f[i].json, "peer", &peer, err);
	const json_t *mine = o->f[i].json, *theirs;
	size_t back = 0;

	if (r < 0)
		return r;
	theirs = o->f[peer].json;
	if (peer == i || o->f[peer].kind != &fkind_unix || o->f[peer].fd >= 0 || fopen_index(o, theirs, "peer", &back, NULL) < 0 || back != i)
		return om_err_set(err, -EBADMSG, "the image is damaged: a socket's peer does not agree");
	if (json_object_get(mine, "via")) {
		r = fopen_index(o, mine, "via", &l, err);
		r = r < 0 ? r : via_open(o, l, theirs, type, &p[1], &p[0], err);
	} else if (json_object_get(theirs, "via")) {
		r = fopen_index(o, theirs, "via", &l, err);
		r = r < 0 ? r : via_open(o, l, mine, type, &p[0], &p[1], err);
	} else if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, p) < 0) {
		r = om_err_sys(err, -errno, "socketpair");
	}
	if (r == 0)
		r = fopen_set(o, peer, p[1], err);
	if (r == 0)
		*ret_fd = p[0];
	return r;
}

static int orphan_open(struct ckpt_opened *o, size_t i, int type, int *ret_fd, struct om_err *err)
{
	struct fgroup *g;
	int p[2], r = fopen_group(o, "orphan", (int64_t)i, &g, err);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, p) < 0)
		return om_err_sys(err, -errno, "socketpair");
	g->fd[0] = p[1];	/* closed when the queue is filled */
	*ret_fd = p[0];
	return 0;
}

static int unix_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const char *how = how_of(o->f[i].json);
	int type = 0, r = type_of(o->f[i].json, &type, err);
	size_t l = 0;

	if (r < 0)
		return r;
	if (!strcmp(how, "pair"))
		return pair_open(o, i, type, ret_fd, err);
	if (!strcmp(how, "orphan") || !strcmp(how, "reset"))
		return orphan_open(o, i, type, ret_fd, err);
	if (!strcmp(how, "plain") || !strcmp(how, "listen") || !strcmp(how, "to"))
		return plain_open(o->f[i].json, type, ret_fd, err);
	if (!strcmp(how, "pending")) {
		r = fopen_index(o, o->f[i].json, "via", &l, err);
		/* made in join(), when all that were accepted have been */
		return r < 0 ? r : plain_open(o->f[i].json, type, ret_fd, err);
	}
	return om_err_set(err, -EBADMSG, "the image is damaged: a unix socket of an unknown state");
}

/* A datagram socket's name: of a socket of the job, or of another program. */
static int to_join(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	struct name n, theirs;
	int r = name_of(o->f[i].json, "to", &n, err);

	if (r < 0)
		return r;
	for (size_t k = 0; k < o->n; k++) {
		const json_t *j = o->f[k].json;

		if (o->f[k].kind == &fkind_unix && json_object_get(j, "name") && (n.sa.sun_path[0] == 0 || json_object_get(j, "path")) &&
		    name_of(j, "name", &theirs, NULL) == 0 && name_same(&n, &theirs))
			return connect_to(o, k, o->f[i].fd, err);
	}
	if (connect(o->f[i].fd, (const struct sockaddr *)&n.sa, name_len(&n)) < 0)
		return om_err_sys(err, -errno, "cannot connect to the socket '%.107s' again", n.sa.sun_path[0] ? n.sa.sun_path : n.sa.sun_path + 1);
	return 0;
}

static int unix_join(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const char *how = how_of(o->f[i].json);
	size_t l = 0;
	int r;

	if (strcmp(how, "pending") && strcmp(how, "to"))
		return 0;
	if (fcntl(o->f[i].fd, F_SETFL, O_NONBLOCK) < 0)
		return om_err_sys(err, -errno, "socket");
	if (!strcmp(how, "to"))
		return to_join(o, i, err);
	r = fopen_index(o, o->f[i].json, "via", &l, err);
	if (r == 0 && o->f[l].kind != &fkind_unix)
		r = om_err_set(err, -EBADMSG, "the image is damaged: a connection to no listener");
	return r < 0 ? r : connect_to(o, l, o->f[i].fd, err);
}

/* The job's socket with the name that a datagram came from. */
static int sender_find(struct ckpt_opened *o, const json_t *e, int *ret, struct om_err *err)
{
	om_autofree char *from = NULL;
	size_t len = 0;
	int r = fj_bytes(e, "from", sizeof(struct sockaddr_un), &from, &len, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < o->n; i++) {
		struct name n;

		if (o->f[i].kind == &fkind_unix && o->f[i].fd >= 0 && name_get(o->f[i].fd, false, &n) == 0 && n.len &&
		    name_len(&n) == len && !memcmp(n.sa.sun_path, from + offsetof(struct sockaddr_un, sun_path), n.len)) {
			*ret = o->f[i].fd;
			return 0;
		}
	}
	return om_err_set(err, -EOPNOTSUPP, "a message in a socket's queue was sent by a socket that is not there any more");
}

static int filler_find(struct ckpt_opened *o, size_t i, int *ret, struct om_err *err)
{
	const char *how = how_of(o->f[i].json);
	struct fgroup *g;
	size_t peer = 0;
	int r;

	if (!strcmp(how, "pair")) {
		r = fopen_index(o, o->f[i].json, "peer", &peer, err);
		*ret = r < 0 ? -1 : o->f[peer].fd;
		return r;
	}
	if (!strcmp(how, "orphan") || !strcmp(how, "reset")) {
		r = fopen_group(o, "orphan", (int64_t)i, &g, err);
		*ret = r < 0 ? -1 : g->fd[0];
		return r;
	}
	*ret = -1;
	return 0;
}

static void sndbuf_widen(int fd)
{
	int most = FILES_QUEUE_MAX / 2, size = fsock_int(fd, SOL_SOCKET, SO_SNDBUF, 0);

	/* what is cut at the limit of an ordinary user is still as much as the job itself could have */
	if (size < most && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof(most)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
}

static int unix_fill(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *queue;
	om_autofd int unnamed = -1;
	struct name n;
	int fd = -1, old, r;

	if (!json_object_get(o->f[i].json, "queue"))
		return 0;
	r = fj_array(o->f[i].json, "queue", SOCK_QUEUE_ENTRIES_MAX, &queue, err);
	if (r == 0)
		r = filler_find(o, i, &fd, err);
	if (r < 0)
		return r;
	if (fd < 0) {
		unnamed = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (unnamed < 0 || name_get(o->f[i].fd, false, &n) < 0)
			return om_err_sys(err, -errno, "socket");
	}
	for (size_t k = 0; r == 0 && k < json_array_size(queue); k++) {
		const json_t *e = json_array_get(queue, k);
		int by = fd >= 0 ? fd : unnamed;

		if (fd < 0 && json_object_get(e, "from"))
			r = sender_find(o, e, &by, err);
		old = fsock_int(by, SOL_SOCKET, SO_SNDBUF, 0) / 2;
		if (r == 0) {
			sndbuf_widen(by);
			r = fsock_queue_send(o, e, by, fd < 0 ? &n.sa : NULL, fd < 0 ? name_len(&n) : 0, err);
			if (setsockopt(by, SOL_SOCKET, SO_SNDBUF, &old, sizeof(old)) < 0 && r == 0)
				r = om_err_sys(err, -errno, "socket");
		}
	}
	return r;
}

static int unix_finish(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	om_autofree char *path = NULL;
	int64_t shut;
	int r = fj_int_or(j, "shut", 0, 3, 0, &shut, err);

	/* of a pair each side carries what concerns it: its own end of reading and of writing */
	if (r == 0 && shut && strcmp(how_of(j), "orphan") && strcmp(how_of(j), "reset") &&
	    shutdown(o->f[i].fd, shut == 1 ? SHUT_RD : shut == 2 ? SHUT_WR : SHUT_RDWR) < 0 && errno != ENOTCONN)
		r = om_err_sys(err, -errno, "shutdown of a socket");
	if (r == 0 && fj_true(j, "unlinked")) {
		r = fj_path(j, "path", &path, err);
		if (r == 0 && unlink(path) < 0)
			r = om_err_sys(err, -errno, "the socket '%s'", path);
	}
	return r < 0 ? r : fsock_opts_set(o->f[i].fd, j, err);
}

const struct fkind fkind_unix = { .name = "unix", .dump = unix_dump, .check = unix_check, .open = unix_open, .join = unix_join,
				  .fill = unix_fill, .finish = unix_finish };
