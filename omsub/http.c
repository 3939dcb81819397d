/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omsub/http.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

enum { CHUNK = 64 * 1024 };

/* the receiving side of one connection */
struct conn {
	int fd, timeout_s;
	struct om_buf in;	/* received, not yet used */
	bool end;
};

void omc_answer_done(struct omc_answer *a)
{
	om_buf_done(&a->body);
}

int omc_http_connect(const char *path, struct om_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	om_autofd int fd = -1;

	if (om_str_copy(sa.sun_path, sizeof(sa.sun_path), path) < 0)
		return om_err_set(err, -ENAMETOOLONG, "socket '%.100s...': longer than a socket address can be (%zu bytes)",
				  path, sizeof(sa.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return om_err_sys(err, -errno, "socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return om_err_sys(err, -errno, "connect to '%s'", path);
	return om_fd_steal(&fd);
}

/* ---- sending ---- */

static int send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

static int send_chunk(int fd, const char *p, size_t n)
{
	char size[24];
	int len = snprintf(size, sizeof(size), "%zx\r\n", n);
	int r = send_all(fd, size, (size_t)len);

	if (r == 0)
		r = send_all(fd, p, n);
	return r < 0 ? r : send_all(fd, "\r\n", 2);
}

/* The content of a file in chunks: its size may be unknown (a pipe) or change. */
static int send_file(int fd, const struct omc_call *call)
{
	om_autofree char *buf = malloc(CHUNK);
	uint64_t done = 0, total = 0;
	struct stat st;

	if (!buf)
		return -ENOMEM;
	if (fstat(call->body_fd, &st) == 0 && S_ISREG(st.st_mode))
		total = (uint64_t)st.st_size;
	for (;;) {
		ssize_t n = read(call->body_fd, buf, CHUNK);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -EIO;
		r = send_chunk(fd, buf, (size_t)n);
		if (r < 0 || n == 0)
			return r;
		done += (uint64_t)n;
		if (call->sent)
			call->sent(call->arg, done, total);
	}
}

static int send_request(int fd, const struct omc_call *call, struct om_err *err)
{
	om_autobuf head = { 0 };
	int r;

	r = om_buf_addf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", call->method, call->path);
	if (r == 0 && call->body_fd > 0)
		r = om_buf_addf(&head, "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
	else if (r == 0 && call->body)
		r = om_buf_addf(&head, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", call->body_len);
	else if (r == 0)
		r = om_buf_addf(&head, "%s\r\n", strcmp(call->method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
	/* one send for a small body: one wake-up of the daemon less */
	if (r == 0 && call->body && call->body_len <= CHUNK)
		r = om_buf_add(&head, call->body, call->body_len);
	if (r < 0)
		return om_err_set(err, r, "out of memory");
	r = send_all(fd, head.data, head.len);
	if (r == 0 && call->body_fd > 0)
		r = send_file(fd, call);
	else if (r == 0 && call->body && call->body_len > CHUNK)
		r = send_all(fd, call->body, call->body_len);
	if (r == -EIO)
		return om_err_set(err, r, "cannot read the file that is to be sent");
	/* A daemon that refuses a long body answers and closes: the answer says why. */
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

/* ---- receiving ---- */

/* Get more bytes: 1, 0 at the end, or -errno. */
static int fill(struct conn *c, struct om_err *err)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	ssize_t n;
	int r;

	if (c->end)
		return 0;
	do {
		r = poll(&p, 1, c->timeout_s ? c->timeout_s * 1000 : -1);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return om_err_sys(err, -errno, "poll");
	if (r == 0)
		return om_err_set(err, -ETIMEDOUT, "no answer from the daemon within %d s", c->timeout_s);
	r = om_buf_reserve(&c->in, CHUNK);
	if (r < 0)
		return om_err_set(err, r, "out of memory");
	do {
		n = recv(c->fd, c->in.data + c->in.len, CHUNK, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return om_err_sys(err, -errno, "receive the daemon's answer");
	if (n == 0) {
		c->end = true;
		return 0;
	}
	c->in.len += (size_t)n;
	c->in.data[c->in.len] = 0;
	return 1;
}

static int gone(struct om_err *err)
{
	return om_err_set(err, -ECONNRESET, "the daemon closed the connection before its answer was complete");
}

static int bad(struct om_err *err, const char *what)
{
	return om_err_set(err, -EBADMSG, "the daemon's answer is no HTTP (%s)", what);
}

/* One line without its end, cut off the input; heap string in @ret. */
static int take_line(struct conn *c, size_t max, char **ret, struct om_err *err)
{
	size_t looked = 0;
	char *nl;

	for (;;) {
		int r;

		nl = c->in.len > looked ? memchr(c->in.data + looked, '\n', c->in.len - looked) : NULL;
		if (nl)
			break;
		looked = c->in.len;
		if (looked > max)
			return bad(err, "line too long");
		r = fill(c, err);
		if (r <= 0)
			return r < 0 ? r : gone(err);
	}
	size_t n = (size_t)(nl - c->in.data);

	if (n > max || memchr(c->in.data, 0, n))
		return bad(err, "bad line");
	*ret = strndup(c->in.data, n && nl[-1] == '\r' ? n - 1 : n);
	if (!*ret)
		return om_err_set(err, -ENOMEM, "out of memory");
	om_buf_shift(&c->in, n + 1);
	return 0;
}

struct head {
	int status;
	bool chunked;
	int64_t length;	/* -1: to the end of the connection */
};

static int parse_status(const char *line, int *ret, struct om_err *err)
{
	if (!om_str_starts(line, "HTTP/1.") || !isdigit((unsigned char)line[7]) || line[8] != ' ')
		return bad(err, "status line");
	for (int i = 9; i < 12; i++)
		if (!isdigit((unsigned char)line[i]))
			return bad(err, "status code");
	if (line[12] && line[12] != ' ')
		return bad(err, "status code");
	*ret = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
	return 0;
}

static int parse_header(const char *line, struct head *h, struct om_err *err)
{
	const char *colon = strchr(line, ':'), *v;
	size_t n;

	if (!colon)
		return bad(err, "header");
	n = (size_t)(colon - line);
	v = colon + 1 + strspn(colon + 1, " \t");
	if (n == 14 && strncasecmp(line, "Content-Length", n) == 0) {
		if (om_str_i64(v, &h->length) < 0 || h->length < 0)
			return bad(err, "Content-Length");
	} else if (n == 17 && strncasecmp(line, "Transfer-Encoding", n) == 0) {
		if (strcasecmp(v, "chunked") != 0)
			return bad(err, "Transfer-Encoding");
		h->chunked = true;
	}
	return 0;
}

static int take_head(struct conn *c, struct head *h, struct om_err *err)
{
	size_t left = OMC_HEAD_MAX;

	*h = (struct head){ .length = -1 };
	for (bool first = true;; first = false) {
		om_autofree char *line = NULL;
		int r = take_line(c, left, &line, err);

		if (r < 0)
			return r;
		left -= strlen(line) < left ? strlen(line) : left;
		r = first ? parse_status(line, &h->status, err) : !*line ? 1 : parse_header(line, h, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
}

/* where the body goes */
struct dest {
	const struct omc_call *call;
	struct omc_answer *ret;
};

static int deliver(const struct dest *d, const char *p, size_t n, struct om_err *err)
{
	int r;

	if (d->call->data && d->ret->status / 100 == 2)
		return d->call->data(d->call->arg, p, n);
	if (d->ret->body.len + n > OMC_BODY_MAX)
		return om_err_set(err, -EFBIG, "the daemon's answer is longer than %d MiB", OMC_BODY_MAX >> 20);
	r = om_buf_add(&d->ret->body, p, n);
	return r < 0 ? om_err_set(err, r, "out of memory") : 0;
}

/* Pass on @left bytes (-1: all to the end of the connection). */
static int take_bytes(struct conn *c, const struct dest *d, int64_t left, struct om_err *err)
{
	while (left != 0) {
		size_t n = c->in.len;
		int r;

		if (n == 0) {
			r = fill(c, err);
			if (r < 0)
				return r;
			if (r == 0)
				return left < 0 ? 0 : gone(err);
			continue;
		}
		if (left > 0 && (uint64_t)left < n)
			n = (size_t)left;
		r = deliver(d, c->in.data, n, err);
		if (r < 0)
			return r;
		om_buf_shift(&c->in, n);
		if (left > 0)
			left -= (int64_t)n;
	}
	return 0;
}

static int chunk_size(const char *line, int64_t *ret)
{
	char *end;
	long long v;

	if (!isxdigit((unsigned char)line[0]))
		return -EINVAL;
	errno = 0;
	v = strtoll(line, &end, 16);
	if (errno || v < 0 || (*end && *end != ';' && *end != ' '))
		return -EINVAL;
	*ret = v;
	return 0;
}

static int take_chunks(struct conn *c, const struct dest *d, struct om_err *err)
{
	for (;;) {
		om_autofree char *line = NULL, *nothing = NULL;
		int64_t n;
		int r = take_line(c, 256, &line, err);

		if (r < 0)
			return r;
		if (chunk_size(line, &n) < 0)
			return bad(err, "chunk");
		if (n == 0)
			return 0;	/* trailers say nothing to us, and the connection ends here */
		r = take_bytes(c, d, n, err);
		if (r == 0)
			r = take_line(c, 256, &nothing, err);
		if (r < 0)
			return r;
		if (*nothing)
			return bad(err, "chunk end");
	}
}

static int take_answer(struct conn *c, const struct dest *d, struct om_err *err)
{
	struct head h;
	int r;

	do {
		r = take_head(c, &h, err);
		if (r < 0)
			return r;
	} while (h.status / 100 == 1);	/* 100 Continue */
	d->ret->status = h.status;
	if (h.status == 204 || h.status == 304)
		return 0;
	return h.chunked ? take_chunks(c, d, err) : take_bytes(c, d, h.length, err);
}

int omc_http_ask(int fd, const struct omc_call *call, struct omc_answer *ret, struct om_err *err)
{
	struct conn c = { .fd = fd, .timeout_s = call->timeout_s };
	struct omc_answer a = { 0 };
	struct dest d = { call, &a };
	int r;

	r = send_request(fd, call, err);
	if (r == 0)
		r = take_answer(&c, &d, err);
	else if (r != -EIO && r != -ENOMEM)
		om_err_sys(err, r, "send the request to the daemon");
	om_buf_done(&c.in);
	if (r < 0) {
		omc_answer_done(&a);
		return r;
	}
	*ret = a;
	return 0;
}
