/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/tool/omflood.c - a hostile, or a fast, client of omd.
 *   omflood SOCKET garbage COUNT SEED      COUNT malformed requests; each must be answered by 4xx (or the connection closed)
 *   omflood SOCKET submit COUNT CONNECTIONS FILE   COUNT times POST /v1/jobs with FILE as body; prints the rate
 *   omflood SOCKET idle COUNT              COUNT connections that say nothing, until standard input ends
 * Prints "name value" lines; exit code 0 when all was as it must be. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static struct sockaddr_un addr = { .sun_family = AF_UNIX };
static uint64_t seed;
static const char *current;		/* request under way */
static unsigned long n_4xx, n_closed, n_cut, n_bad;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static int connect_omd(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		fprintf(stderr, "omflood: connect: %s\n", strerror(errno));
		exit(1);
	}
	return fd;
}

/* The whole answer (or what comes before the end); the status, 0 when there is none. */
static int read_answer(int fd, bool to_end)
{
	char buf[65536];
	size_t n = 0;
	int status = 0;
	ssize_t r;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char *end, *cl;

		if (poll(&p, 1, 30000) <= 0) {
			fprintf(stderr, "omflood: no answer in 30 s to: %.300s\n", current ? current : "?");
			exit(1);
		}
		r = read(fd, buf + n, sizeof(buf) - 1 - n);
		if (r <= 0)
			break;
		n += (size_t)r;
		buf[n] = 0;
		if (sscanf(buf, "HTTP/1.1 %d", &status) != 1)
			sscanf(buf, "HTTP/1.0 %d", &status);
		end = strstr(buf, "\r\n\r\n");
		cl = strcasestr(buf, "Content-Length: ");
		if (!to_end && end && cl && n >= (size_t)(end - buf) + 4 + strtoul(cl + 16, NULL, 10))
			break;
		if (n >= sizeof(buf) - 1)
			n = 0;
	}
	return status;
}

static void fill_random(struct om_buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = (char)rnd(256);

		om_buf_add(b, &c, 1);
	}
}

static void json_garbage(struct om_buf *b)
{
	static const char *const bodies[] = {
		"{", "}", "[]", "null", "17", "\"x\"", "{\"argv\":1}", "{\"argv\":[]}", "{\"argv\":[\"a\",2]}", "{\"argv\":[\"true\"]}",
		"{\"jobs\":{}}", "{\"jobs\":[]}", "{\"jobs\":[{}],\"x\":1}", "{\"argv\":[\"true\"],\"chdir\":\"relative\",\"env\":{}}",
		"{\"argv\":[\"true\"],\"chdir\":\"/\",\"env\":{},\"unknown\":1}", "{\"argv\":[\"true\"],\"chdir\":\"/\",\"env\":[]}",
		"{\"argv\":[\"true\"],\"chdir\":\"/\",\"env\":{},\"priority\":99999999999999999999}",
		"{\"argv\":[\"true\"],\"chdir\":\"/\",\"env\":{},\"array\":{\"indices\":\"0-99999999999\"}}",
		"{\"argv\":[\"true\"],\"chdir\":\"/\",\"env\":{},\"array\":{\"indices\":\"5-1\"}}",
		"{\"argv\":[\"\\u0000\"],\"chdir\":\"/\",\"env\":{}}", "{\"argv\":[\"true\"],\"argv\":[\"x\"],\"chdir\":\"/\",\"env\":{}}",
		"{\"argv\":[\"true\"],\"chdir\":\"/\",\"env\":{},\"depends\":[{\"type\":\"afterok\",\"job\":\"999999999\"}]}",
		"{\"argv\":[\"true\"],\"chdir\":\"/\",\"env\":{},\"notify\":\"file:///etc/passwd\"}",
		"{\"argv\":[\"true\"],\"chdir\":\"/\",\"env\":{},\"cpus\":-1}", "{\"argv\":[\"\xff\xfe\"],\"chdir\":\"/\",\"env\":{}}",
	};

	switch (rnd(4)) {
	case 0:
		fill_random(b, rnd(300));
		break;
	case 1:
		for (uint64_t i = rnd(5000); i; i--)
			om_buf_add(b, rnd(2) ? "[" : "{\"a\":", 1);
		break;
	default:
		om_buf_addf(b, "%s", bodies[rnd(OM_ARRAY_SIZE(bodies))]);
		break;
	}
}

static const char *path_garbage(void)
{
	static const char *const paths[] = {
		"/", "//", "/v1", "/v1/job", "/v1/jobs/x", "/v1/jobs/0", "/v1/jobs/-1", "/v1/jobs/99999999999999999999999", "/v1/jobs/1_",
		"/v1/jobs/999999999", "/v1/jobs/999999999_5", "/v1/jobs/1/2/3/4/5/6/7/8/9/10", "/v1/jobs/%00", "/v1/jobs/%zz",
		"/v1/jobs/../status", "/v1/jobs?limit=0", "/v1/jobs?limit=x", "/v1/jobs?after=x", "/v1/jobs?state=nonsense", "/v1/jobs?foo",
		"/v1/jobs?id=", "/v1/jobs?id=1,,2", "/v1/jobs/999999999/wait?timeout=-1", "/v1/jobs/999999999/wait?timeout=99999999999",
		"/v1/jobs/999999999/checkpoints/x", "/v1/jobs/999999999/checkpoints/999999999999/export", "/metrics/x",
	};

	return paths[rnd(OM_ARRAY_SIZE(paths))];
}

enum after { KEEP, ANSWERED, CUT };	/* what follows: the next one, an answer or the end, nothing: we leave in the middle */

/* One request that is malformed in one of many ways. */
static enum after make_garbage(struct om_buf *b)
{
	static const char *const methods[] = { "GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE", "BREW", "get" };
	om_autobuf body = { 0 };

	switch (rnd(8)) {
	case 0:				/* noise */
		fill_random(b, 1 + rnd(2000));
		om_buf_addf(b, "\r\n\r\n");
		return CUT;
	case 1:				/* a wrong path or method */
		om_buf_addf(b, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", methods[rnd(OM_ARRAY_SIZE(methods))], path_garbage());
		return ANSWERED;
	case 2:				/* headers without end */
		om_buf_addf(b, "GET /v1/status HTTP/1.1\r\n");
		for (uint64_t i = rnd(3000); i; i--)
			om_buf_addf(b, "X-%llu: y\r\n", (unsigned long long)rnd(100000));
		return CUT;
	case 3:				/* a wrong length */
		om_buf_addf(b, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n{}",
			    (const char *[]){ "-1", "99999999999999999999999", "abc", "1073741824", "100" }[rnd(5)]);
		return CUT;
	case 4:				/* wrong chunks */
		om_buf_addf(b, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s",
			    (const char *[]){ "zz\r\n{}\r\n0\r\n\r\n", "ffffffffffffffffff\r\n{}", "2\r\n{}x\r\n", "2\r\n{}\r\n" }[rnd(4)]);
		return CUT;
	default:			/* a wrong body */
		json_garbage(&body);
		om_buf_addf(b, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
			    (const char *[]){ "/v1/jobs", "/v1/jobs", "/v1/jobs", "/v1/drain", "/v1/shutdown", "/v1/jobs/999999999/signal",
					      "/v1/jobs/999999999/restore", "/v1/jobs/999999999/prune" }[rnd(8)], body.len);
		if (body.len)
			om_buf_add(b, body.data, body.len);
		/* an empty body is a right one for these: keep them from doing what they are for */
		return KEEP;
	}
}

static bool harmless(const struct om_buf *b)
{
	return strstr(b->data, "/v1/drain") == NULL && strstr(b->data, "/v1/shutdown") == NULL;
}

static int garbage(unsigned long count)
{
	int fd = -1;

	for (unsigned long i = 0; i < count; i++) {
		om_autobuf b = { 0 };
		enum after after = make_garbage(&b);
		int status;

		if (strstr(b.data, "Content-Length: 0\r") && !harmless(&b))
			continue;
		if (fd < 0)
			fd = connect_omd();
		current = b.data;
		/* an early answer closes the connection while we still write */
		(void)om_fd_write_all(fd, b.data, b.len);
		if (after == CUT) {
			om_fd_close(om_fd_steal(&fd));
			n_cut++;
			continue;
		}
		status = read_answer(fd, after == ANSWERED);
		if (status >= 400 && status < 500)
			n_4xx++;
		else if (status == 0)
			n_closed++;
		else {
			n_bad++;
			if (b.len < 400)
				fprintf(stderr, "status %d for: %.*s\n", status, (int)b.len, b.data);
		}
		if (after == ANSWERED || status == 0)
			om_fd_close(om_fd_steal(&fd));
	}
	om_fd_close(fd);
	printf("refused %lu\nclosed %lu\ncut %lu\nwrong %lu\n", n_4xx, n_closed, n_cut, n_bad);
	return n_bad != 0;
}

/* ---- submit ---- */

static int submit(unsigned long count, unsigned int conns, const char *file)
{
	struct pollfd *p = calloc(conns, sizeof(*p));
	om_autofree char *body = NULL;
	om_autobuf req = { 0 };
	unsigned long sent = 0, done = 0;
	size_t len;
	uint64_t t0;

	if (!p || om_file_read_at(AT_FDCWD, file, 1 << 26, 0, &body, &len) < 0)
		return 1;
	om_buf_addf(&req, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", len);
	om_buf_add(&req, body, len);
	for (unsigned int i = 0; i < conns; i++)
		p[i] = (struct pollfd){ .fd = connect_omd(), .events = POLLIN };
	t0 = om_clock_mono_ns();
	for (unsigned int i = 0; i < conns && sent < count; i++, sent++)
		if (om_fd_write_all(p[i].fd, req.data, req.len) < 0)
			return 1;
	while (done < count) {
		if (poll(p, conns, 60000) <= 0)
			return 1;
		for (unsigned int i = 0; i < conns; i++) {
			if (!p[i].revents)
				continue;
			if (read_answer(p[i].fd, false) != 201) {
				fprintf(stderr, "omflood: not accepted\n");
				return 1;
			}
			done++;
			if (sent < count) {
				sent++;
				if (om_fd_write_all(p[i].fd, req.data, req.len) < 0)
					return 1;
			}
		}
	}
	printf("rate %.0f\n", (double)count * 1e9 / (double)(om_clock_mono_ns() - t0));
	return 0;
}

static int idle(unsigned long count)
{
	char c;

	for (unsigned long i = 0; i < count; i++)
		connect_omd();
	printf("connected %lu\n", count);
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t count, arg = 0;

	if (argc < 4 || om_str_copy(addr.sun_path, sizeof(addr.sun_path), argv[1]) < 0 || om_str_u64(argv[3], &count) < 0 ||
	    (argc > 4 && om_str_u64(argv[4], &arg) < 0)) {
		fprintf(stderr, "usage: omflood SOCKET garbage COUNT SEED | submit COUNT CONNECTIONS FILE | idle COUNT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(argv[2], "garbage") == 0 && argc == 5) {
		seed = arg * 2654435761u + 88172645463325252ULL;
		return garbage(count);
	}
	if (strcmp(argv[2], "submit") == 0 && argc == 6)
		return submit(count, (unsigned int)arg, argv[5]);
	if (strcmp(argv[2], "idle") == 0)
		return idle(count);
	return 2;
}
