/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets between the processes of a job: captured with what is in their queues, killed, made again. */
#include "tests/unit/files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

static void pair_at(int type, int a, int b)
{
	int p[2];

	CHECK(socketpair(AF_UNIX, type, 0, p) == 0);
	files_at(p[0], a);
	files_at(p[1], b);
}

static void reads(int fd, const char *text)
{
	char b[256];
	ssize_t n = recv(fd, b, sizeof(b) - 1, MSG_DONTWAIT);

	CHECK(n >= 0);
	b[n] = 0;
	if (strcmp(b, text))
		files_bad(__FILE__, __LINE__, b);
}

static void nothing(int fd)
{
	char c;

	CHECK(recv(fd, &c, 1, MSG_DONTWAIT) < 0);
	CHECK_IS(errno, EAGAIN);
}

static void says(int fd, const char *text)
{
	CHECK_IS(send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL), strlen(text));
}

/* ---- socketpairs ---- */
static void pair_setup(void)
{
	int big = 100000, fd, p[2];

	pair_at(SOCK_STREAM, 10, 11);
	says(10, "to 11");
	says(11, "to 10");
	CHECK(setsockopt(11, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big)) == 0);
	CHECK(fcntl(11, F_SETFL, O_NONBLOCK) == 0);
	/* a file and the end of a pipe travel in the queue, between data */
	fd = open("passed", O_RDWR | O_CREAT, 0600);
	CHECK_IS(write(fd, "0123", 4), 4);
	CHECK(pipe(p) == 0);
	CHECK_IS(write(p[1], "pipe", 4), 4);
	CHECK(om_fd_send(10, "F", 1, (int[]){ fd, p[0] }, 2) == 0);
	says(10, "after");
	close(fd);
	close(p[0]);
	close(p[1]);
	/* half closed */
	pair_at(SOCK_STREAM, 20, 21);
	says(20, "last");
	CHECK(shutdown(20, SHUT_WR) == 0);
	/* the other side is gone */
	pair_at(SOCK_STREAM, 30, 31);
	says(31, "testament");
	close(31);
	/* records */
	pair_at(SOCK_SEQPACKET, 40, 41);
	says(40, "one");
	says(40, "two two");
	pair_at(SOCK_DGRAM, 50, 51);
	says(50, "a");
	CHECK_IS(send(50, "", 0, 0), 0);
	says(50, "bc");
}

static void pair_verify(int vpid)
{
	char b[64];
	int fds[4], n = 4;

	(void)vpid;
	reads(10, "to 10");
	nothing(10);
	CHECK_IS(recv(11, b, 5, 0), 5);
	CHECK(!memcmp(b, "to 11", 5));
	CHECK_IS(om_fd_recv(11, b, 1, fds, &n), 1);
	CHECK_IS(n, 2);
	CHECK_IS(lseek(fds[0], 0, SEEK_CUR), 4);
	CHECK_IS(pread(fds[0], b, 4, 0), 4);
	CHECK_IS(read(fds[1], b, 64), 4);
	CHECK_IS(read(fds[1], b, 64), 0);
	reads(11, "after");
	CHECK_IS(fcntl(11, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	{
		int v;
		socklen_t l = sizeof(v);

		CHECK(getsockopt(11, SOL_SOCKET, SO_SNDBUF, &v, &l) == 0);
		CHECK_IS(v, 200000);
	}
	reads(21, "last");
	CHECK_IS(recv(21, b, 1, 0), 0);
	CHECK(send(20, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	says(21, "back");
	reads(20, "back");
	reads(30, "testament");
	CHECK_IS(recv(30, b, 1, 0), 0);
	CHECK(send(30, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	reads(41, "one");
	reads(41, "two two");
	nothing(41);
	reads(51, "a");
	reads(51, "");
	reads(51, "bc");
	says(51, "answer");
	reads(50, "answer");
}

/* ---- names ---- */
static socklen_t name(struct sockaddr_un *sa, const char *text)
{
	size_t n = strlen(text);

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	memcpy(sa->sun_path, text, n);
	if (text[0] == '@') {
		sa->sun_path[0] = 0;
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	}
	return sizeof(*sa);
}

static void named_at(int type, const char *text, int to)
{
	struct sockaddr_un sa;
	socklen_t n = name(&sa, text);

	files_at(socket(AF_UNIX, type, 0), to);
	CHECK(bind(to, (struct sockaddr *)&sa, n) == 0);
}

static void connect_to(int fd, const char *text)
{
	struct sockaddr_un sa;
	socklen_t n = name(&sa, text);

	CHECK(connect(fd, (struct sockaddr *)&sa, n) == 0);
}

static void named_setup(void)
{
	char abstract[64];

	named_at(SOCK_STREAM, "server", 10);
	CHECK(chmod("server", 0620) == 0);
	CHECK(listen(10, 7) == 0);
	files_at(socket(AF_UNIX, SOCK_STREAM, 0), 11);
	connect_to(11, "server");
	files_at(accept(10, NULL, NULL), 12);
	says(11, "request");
	says(12, "reply");
	files_at(socket(AF_UNIX, SOCK_STREAM, 0), 13);
	connect_to(13, "server");	/* not accepted */
	snprintf(abstract, sizeof(abstract), "@om-test-%d-%ld", getuid(), files_note[0] = getpid());
	named_at(SOCK_DGRAM, abstract, 20);
	named_at(SOCK_DGRAM, "sender", 21);
	connect_to(21, abstract);
	says(21, "by name");
	files_at(socket(AF_UNIX, SOCK_DGRAM, 0), 22);
	connect_to(22, abstract);
	says(22, "nameless");
	CHECK(mkdir("sub", 0700) == 0 && chdir("sub") == 0);
	named_at(SOCK_SEQPACKET, "deep", 30);
	CHECK(listen(30, 1) == 0);
}

static void named_verify(int vpid)
{
	char b[64];
	struct sockaddr_un sa;
	socklen_t n = sizeof(sa);
	struct stat st;

	(void)vpid;
	reads(12, "request");
	reads(11, "reply");
	CHECK(getsockname(12, (struct sockaddr *)&sa, &n) == 0 && !strcmp(sa.sun_path, "server"));
	files_at(accept(10, NULL, NULL), 14);
	says(13, "late");
	reads(14, "late");
	CHECK(fcntl(10, F_SETFL, O_NONBLOCK) == 0);
	CHECK(accept(10, NULL, NULL) < 0 && errno == EAGAIN);
	CHECK(stat("../server", &st) == 0);
	CHECK_IS(st.st_mode & 07777, 0620);
	n = sizeof(sa);
	CHECK_IS(recvfrom(20, b, sizeof(b), MSG_DONTWAIT, (struct sockaddr *)&sa, &n), 7);
	CHECK(!strcmp(sa.sun_path, "sender"));
	n = sizeof(sa);
	CHECK_IS(recvfrom(20, b, sizeof(b), MSG_DONTWAIT, (struct sockaddr *)&sa, &n), 8);
	says(22, "more");
	reads(20, "more");
	files_at(socket(AF_UNIX, SOCK_SEQPACKET, 0), 31);
	connect_to(31, "deep");
}

/* ---- refused ---- */
static void early_setup(void)
{
	int l = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un sa;
	socklen_t n = name(&sa, "server");

	CHECK(bind(l, (struct sockaddr *)&sa, n) == 0 && listen(l, 1) == 0);
	files_at(socket(AF_UNIX, SOCK_STREAM, 0), 10);
	connect_to(10, "server");
	says(10, "early");
	files_at(l, 11);
}

static void packet_setup(void)
{
	files_at(socket(AF_PACKET, SOCK_RAW, 0), 10);
}

/* ---- TCP ---- */
static uint16_t port(int fd)
{
	struct sockaddr_in6 sa;
	socklen_t n = sizeof(sa);

	CHECK(getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
	return ntohs(sa.sin6_port);	/* in the same place as IPv4's */
}

static void tcp_listen_at(int fd)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	files_at(socket(AF_INET, SOCK_STREAM, 0), fd);
	CHECK(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 5) == 0);
}

static void tcp_connect_at(int fd, uint16_t to)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(to) };

	files_at(socket(AF_INET, SOCK_STREAM, 0), fd);
	CHECK(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
}

static void in_queue(int fd, int n)
{
	int held = 0;

	for (int i = 0; i < 10000 && held < n; i++) {
		CHECK(ioctl(fd, FIONREAD, &held) == 0);
		poll(NULL, 0, 1);
	}
	CHECK_IS(held, n);
}

static void tcp_setup(void)
{
	int one = 1;

	tcp_listen_at(10);
	tcp_connect_at(11, port(10));
	files_at(accept(10, NULL, NULL), 12);
	CHECK(setsockopt(12, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	says(11, "to server");
	says(12, "to client");
	in_queue(11, 9);
	in_queue(12, 9);
	files_note[0] = port(10);
	files_note[1] = port(11);
	tcp_connect_at(13, port(10));		/* pending */
	tcp_connect_at(20, port(10));		/* that is 13's turn: accepted in order */
	files_at(accept(10, NULL, NULL), 21);	/* 13's */
	says(13, "half");
	CHECK(shutdown(13, SHUT_WR) == 0);
	in_queue(21, 4);
	/* its listener is gone */
	tcp_listen_at(30);
	tcp_connect_at(31, port(30));
	files_at(accept(30, NULL, NULL), 32);
	close(30);
	says(31, "alone");
	in_queue(32, 5);
	close(31);
	CHECK_IS(poll(&(struct pollfd){ .fd = 32, .events = POLLRDHUP }, 1, 10000), 1);
}

static void tcp_verify(int vpid)
{
	char b[8];
	int v = 0;
	socklen_t n = sizeof(v);

	(void)vpid;
	CHECK_IS(port(10), files_note[0]);
	CHECK_IS(port(12), files_note[0]);
	CHECK_IS(port(11), files_note[1]);
	CHECK_IS(poll(&(struct pollfd){ .fd = 12, .events = POLLIN }, 1, 10000), 1);
	reads(12, "to server");
	CHECK_IS(poll(&(struct pollfd){ .fd = 11, .events = POLLIN }, 1, 10000), 1);
	reads(11, "to client");
	says(11, "more");
	in_queue(12, 4);
	reads(12, "more");
	CHECK(getsockopt(12, IPPROTO_TCP, TCP_NODELAY, &v, &n) == 0 && v);
	CHECK(getsockopt(11, IPPROTO_TCP, TCP_NODELAY, &v, &n) == 0 && !v);
	in_queue(21, 4);
	reads(21, "half");
	CHECK_IS(recv(21, b, 1, 0), 0);
	says(21, "back");
	in_queue(13, 4);
	reads(13, "back");
	CHECK(send(13, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	files_at(accept(10, NULL, NULL), 22);
	says(20, "accepted late");
	in_queue(22, 13);
	in_queue(32, 5);
	reads(32, "alone");
	CHECK_IS(recv(32, b, 1, 0), 0);
	CHECK(fcntl(10, F_SETFL, O_NONBLOCK) == 0 && accept(10, NULL, NULL) < 0 && errno == EAGAIN);
}

static void tcp6_setup(void)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_addr = in6addr_any };

	files_at(socket(AF_INET6, SOCK_STREAM, 0), 10);
	CHECK(bind(10, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(10, 5) == 0);
	tcp_connect_at(11, port(10));	/* IPv4 to a listener of both */
	files_at(accept(10, NULL, NULL), 12);
	says(12, "mapped");
	in_queue(11, 6);
	files_at(socket(AF_INET6, SOCK_STREAM, 0), 13);	/* never used */
}

static void tcp6_verify(int vpid)
{
	struct sockaddr_in6 sa;
	socklen_t n = sizeof(sa);

	(void)vpid;
	in_queue(11, 6);
	reads(11, "mapped");
	CHECK(getpeername(12, (struct sockaddr *)&sa, &n) == 0 && sa.sin6_family == AF_INET6);
	CHECK(IN6_IS_ADDR_V4MAPPED(&sa.sin6_addr));
	CHECK(getpeername(13, (struct sockaddr *)&sa, &n) < 0 && errno == ENOTCONN);
}

/* The receiver's buffer is full: part of it is still with the sender. */
static void full_setup(void)
{
	char b[65536];
	long sent = 0;
	unsigned char k = 0;

	tcp_listen_at(10);
	tcp_connect_at(11, port(10));
	files_at(accept(10, NULL, NULL), 12);
	for (;;) {
		ssize_t n;

		for (size_t i = 0; i < sizeof(b); i++)
			b[i] = (char)((sent + (long)i) * 31 / 7);
		n = send(11, b, sizeof(b), MSG_DONTWAIT);
		if (n < 0)
			break;
		sent += n;
		k++;
	}
	CHECK(k > 0);
	files_note[0] = sent;
}

static void full_verify(int vpid)
{
	unsigned char b[4096];
	long got = 0;

	(void)vpid;
	CHECK(shutdown(11, SHUT_WR) == 0);
	for (;;) {
		ssize_t n = recv(12, b, sizeof(b), 0);

		CHECK(n >= 0);
		if (n == 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			CHECK_IS(b[i], (unsigned char)((got + i) * 31 / 7));
		got += n;
	}
	CHECK_IS(got, files_note[0]);
}

/* A connection to a process outside the job: to a listener of the test's own. */
static void outer_setup(void)
{
	tcp_connect_at(10, (uint16_t)files_outside_port);
	CHECK(send(10, "x", 1, 0) == 1);
}

static void reset_verify(int vpid)
{
	char c;

	(void)vpid;
	CHECK(recv(10, &c, 1, 0) < 0);
	CHECK_IS(errno, ECONNRESET);
	CHECK(send(10, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
}

/* ---- UDP, netlink ---- */
static void udp_setup(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_groups = 1 };

	files_at(socket(AF_INET, SOCK_DGRAM, 0), 10);
	CHECK(bind(10, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	files_at(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), 11);
	sa.sin_port = htons(port(10));
	CHECK(connect(11, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	says(11, "first");
	says(11, "second one");
	files_note[0] = port(10);
	files_note[1] = port(11);
	files_at(socket(AF_NETLINK, SOCK_RAW, 0), 20);
	CHECK(bind(20, (struct sockaddr *)&nl, sizeof(nl)) == 0);
	files_note[2] = nl.nl_pid;
}

static void udp_verify(int vpid)
{
	struct sockaddr_in sa;
	struct sockaddr_nl nl;
	socklen_t n = sizeof(sa);
	char b[64];

	(void)vpid;
	CHECK_IS(recvfrom(10, b, sizeof(b), MSG_DONTWAIT, (struct sockaddr *)&sa, &n), 5);
	CHECK_IS(ntohs(sa.sin_port), files_note[1]);
	reads(10, "second one");
	nothing(10);
	CHECK_IS(port(10), files_note[0]);
	CHECK(sendto(10, "answer", 6, 0, (struct sockaddr *)&sa, n) == 6);
	reads(11, "answer");
	CHECK_IS(fcntl(11, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	n = sizeof(nl);
	CHECK(getsockname(20, (struct sockaddr *)&nl, &n) == 0);
	CHECK_IS(nl.nl_groups, 1);
}

static void everything_setup(void)
{
	pair_setup();
	tcp_listen_at(60);
	tcp_connect_at(61, port(60));
	files_at(accept(60, NULL, NULL), 62);
	says(61, "x");
	in_queue(62, 1);
	named_at(SOCK_STREAM, "srv", 63);
	CHECK(listen(63, 3) == 0);
	files_at(socket(AF_UNIX, SOCK_STREAM, 0), 64);
	connect_to(64, "srv");
}

static const struct files_case cases[] = {
	{ "damaged", everything_setup, NULL, NULL, NULL, false, false, 300 },
	{ "tcp", tcp_setup, NULL, tcp_verify, NULL, false, false, 0 },
	{ "tcp6", tcp6_setup, NULL, tcp6_verify, NULL, false, false, 0 },
	{ "tcp full", full_setup, NULL, full_verify, NULL, false, true, 0 },
	{ "elsewhere", outer_setup, NULL, NULL, "TCP 127.0.0.1:", false, false, 0 },
	{ "reset", outer_setup, NULL, reset_verify, NULL, true, false, 0 },
	{ "udp", udp_setup, NULL, udp_verify, NULL, false, false, 0 },
	{ "pairs", pair_setup, NULL, pair_verify, NULL, false, false, 0 },
	{ "names", named_setup, NULL, named_verify, NULL, false, false, 0 },
	{ "early data", early_setup, NULL, NULL, "has not accepted", false, false, 0 },
	{ "packet", packet_setup, NULL, NULL, "cannot be carried", false, true, 0 },
};

int main(void)
{
	return files_main(cases, OM_ARRAY_SIZE(cases));
}
