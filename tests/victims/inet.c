/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP and UDP between the job's own processes, on the loopback interface. */
#include "tests/victims/victim.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener(int type, int family, struct sockaddr_storage *addr, socklen_t *len)
{
	struct sockaddr_in *in = (void *)addr;
	struct sockaddr_in6 *in6 = (void *)addr;
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	memset(addr, 0, sizeof(*addr));
	addr->ss_family = (sa_family_t)family;
	if (family == AF_INET)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		in6->sin6_addr = in6addr_loopback;
	*len = family == AF_INET ? sizeof(*in) : sizeof(*in6);
	if (fd < 0 || bind(fd, (struct sockaddr *)addr, *len) < 0)
		v_skip("no loopback address of this family");
	V_CHECK(getsockname(fd, (struct sockaddr *)addr, len) == 0);
	if (type == SOCK_STREAM)
		V_CHECK(listen(fd, 5) == 0);
	return fd;
}

static int connected(const struct sockaddr_storage *addr, socklen_t len)
{
	int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	V_CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)addr, len) == 0);
	return fd;
}

static void expect(int fd, const char *text)
{
	char buf[64] = "";

	V_EQ(recv(fd, buf, strlen(text), MSG_WAITALL), strlen(text));
	V_CHECK(strncmp(buf, text, strlen(text)) == 0);
}

static void listening(int family)
{
	struct sockaddr_storage addr, now;
	socklen_t len, now_len = sizeof(now);
	int l = listener(SOCK_STREAM, family, &addr, &len), c, a, on = 0;
	socklen_t on_len = sizeof(on);

	on = 1;
	V_CHECK(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(getsockname(l, (struct sockaddr *)&now, &now_len) == 0 && now_len == len && memcmp(&addr, &now, len) == 0);
	V_CHECK(getsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, &on_len) == 0 && on == 1);
	c = connected(&addr, len);
	a = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	V_CHECK(a >= 0 && write(c, "hello", 5) == 5);
	expect(a, "hello");
}

static void run_listen(void)
{
	listening(AF_INET);
}

static void run_listen6(void)
{
	listening(AF_INET6);
}

static void pair(int family, int fd[2])
{
	struct sockaddr_storage addr;
	socklen_t len;
	int l = listener(SOCK_STREAM, family, &addr, &len);

	fd[0] = connected(&addr, len);
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	V_CHECK(fd[1] >= 0);
	close(l);
}

static void queued(int family)
{
	static char in[60000], out[60000];
	struct sockaddr_storage name[2], now;
	socklen_t len[2] = { sizeof(name[0]), sizeof(name[0]) }, now_len = sizeof(now);
	int fd[2], on = 1;
	socklen_t on_len = sizeof(on);

	pair(family, fd);
	V_CHECK(setsockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
	V_CHECK(getsockname(fd[0], (struct sockaddr *)&name[0], &len[0]) == 0);
	V_CHECK(getpeername(fd[0], (struct sockaddr *)&name[1], &len[1]) == 0);
	v_fill(in, sizeof(in), 3);
	V_CHECK(send(fd[0], in, sizeof(in), 0) == sizeof(in) && send(fd[1], "back", 4, 0) == 4);
	v_ready();
	v_wait_go();
	V_CHECK(getsockname(fd[0], (struct sockaddr *)&now, &now_len) == 0 && memcmp(&now, &name[0], now_len) == 0);
	V_CHECK(getpeername(fd[0], (struct sockaddr *)&now, &now_len) == 0 && memcmp(&now, &name[1], now_len) == 0);
	on = 0;
	V_CHECK(getsockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, &on, &on_len) == 0 && on != 0);
	V_EQ(recv(fd[1], out, sizeof(out), MSG_WAITALL), sizeof(out));
	V_CHECK(memcmp(in, out, sizeof(in)) == 0);
	expect(fd[0], "back");
	V_CHECK(send(fd[1], "again", 5, 0) == 5);
	expect(fd[0], "again");
	close(fd[0]);
	V_EQ(recv(fd[1], out, 1, 0), 0);
}

static void run_pair(void)
{
	queued(AF_INET);
}

static void run_pair6(void)
{
	queued(AF_INET6);
}

static void run_half(void)
{
	int fd[2];
	char c;

	pair(AF_INET, fd);
	V_CHECK(send(fd[0], "bye", 3, 0) == 3 && shutdown(fd[0], SHUT_WR) == 0);
	v_ready();
	v_wait_go();
	expect(fd[1], "bye");
	V_EQ(recv(fd[1], &c, 1, 0), 0);
	V_CHECK(send(fd[1], "still", 5, 0) == 5);
	expect(fd[0], "still");
}

static void echo(void *arg)
{
	int *fd = arg;
	uint32_t v;

	close(fd[0]);
	while (recv(fd[1], &v, sizeof(v), MSG_WAITALL) == sizeof(v)) {
		v++;
		V_EQ(send(fd[1], &v, sizeof(v), 0), sizeof(v));
	}
}

static void run_traffic(void)
{
	int fd[2];
	pid_t kid;
	uint32_t v;

	pair(AF_INET, fd);
	kid = v_child(echo, fd);
	close(fd[1]);
	v_ready();
	for (uint32_t i = 0; i % 256 || !v_go(); i++) {
		V_EQ(send(fd[0], &i, sizeof(i), 0), sizeof(i));
		V_EQ(recv(fd[0], &v, sizeof(v), MSG_WAITALL), sizeof(v));
		V_EQ(v, i + 1);
	}
	close(fd[0]);
	v_reap(kid);
}

/* a connection that waits to be accepted, with data */
static void run_pending(void)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int l = listener(SOCK_STREAM, AF_INET, &addr, &len), c = connected(&addr, len), a;

	v_ready();
	v_wait_go();
	V_CHECK(send(c, "early", 5, 0) == 5);
	a = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	V_CHECK(a >= 0);
	expect(a, "early");
	V_CHECK(send(a, "answer", 6, 0) == 6);
	expect(c, "answer");
}

static void udp(int family)
{
	struct sockaddr_storage addr, from, own;
	socklen_t len, from_len = sizeof(from), own_len = sizeof(own);
	int s = listener(SOCK_DGRAM, family, &addr, &len), c = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char buf[32];

	V_CHECK(c >= 0 && connect(c, (struct sockaddr *)&addr, len) == 0);
	V_CHECK(getsockname(c, (struct sockaddr *)&own, &own_len) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(getsockname(s, (struct sockaddr *)&from, &from_len) == 0 && memcmp(&from, &addr, len) == 0);
	V_CHECK(send(c, "packet", 6, 0) == 6);
	from_len = sizeof(from);
	V_EQ(recvfrom(s, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len), 6);
	V_CHECK(from_len == own_len && memcmp(&from, &own, own_len) == 0);
	V_CHECK(sendto(s, "answer", 6, 0, (struct sockaddr *)&from, from_len) == 6);
	V_EQ(recv(c, buf, sizeof(buf), 0), 6);
}

static void run_udp(void)
{
	udp(AF_INET);
}

static void run_udp6(void)
{
	udp(AF_INET6);
}

/* a socket with nothing done to it yet */
static void run_fresh(void)
{
	int t = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), u = socket(AF_INET6, SOCK_DGRAM, 0), fd[2], on = 1, got = 0;
	socklen_t len = sizeof(got);

	V_CHECK(t >= 0 && setsockopt(t, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(getsockopt(t, SOL_SOCKET, SO_KEEPALIVE, &got, &len) == 0 && got == 1);
	V_CHECK(getsockopt(t, SOL_SOCKET, SO_TYPE, &got, &len) == 0 && got == SOCK_STREAM);
	if (u >= 0)
		V_CHECK(getsockopt(u, SOL_SOCKET, SO_DOMAIN, &got, &len) == 0 && got == AF_INET6);
	V_CHECK(fcntl(t, F_GETFL) & O_NONBLOCK);
	pair(AF_INET, fd);
}

const struct victim victims_inet[] = {
	{ "tcp-listen", run_listen },
	{ "tcp-listen6", run_listen6 },
	{ "tcp-pair", run_pair },
	{ "tcp-pair6", run_pair6 },
	{ "tcp-half", run_half },
	{ "tcp-traffic", run_traffic },
	{ "tcp-pending", run_pending },
	{ "udp", run_udp },
	{ "udp6", run_udp6 },
	{ "inet-fresh", run_fresh },
	{ 0 },
};
