/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets between the processes of a job: captured with what is in their queues, killed, made again. */
#include "tests/unit/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
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
static void elsewhere_setup(void)
{
	/* a connection whose listener is in a process that ends before the capture is one to a dead peer; so let pid 1's child listen in a
	 * process that is not captured: here simply a listener that closes after the client is in its queue */
	int l = socket(AF_UNIX, SOCK_STREAM, 0), p[2];
	struct sockaddr_un sa;
	socklen_t n = name(&sa, "server");

	CHECK(bind(l, (struct sockaddr *)&sa, n) == 0 && listen(l, 1) == 0);
	files_at(socket(AF_UNIX, SOCK_STREAM, 0), 10);
	connect_to(10, "server");
	says(10, "early");
	CHECK(pipe(p) == 0);
	files_at(l, 11);
}

static void vsock_setup(void)
{
	files_at(socket(AF_PACKET, SOCK_RAW, 0), 10);
}

static const struct files_case cases[] = {
	{ "pairs", pair_setup, NULL, pair_verify, NULL, false, false },
	{ "names", named_setup, NULL, named_verify, NULL, false, false },
	{ "early data", elsewhere_setup, NULL, NULL, "has not accepted", false, false },
	{ "packet", vsock_setup, NULL, NULL, "cannot be carried", false, true },
};

int main(void)
{
	return files_main(cases, OM_ARRAY_SIZE(cases));
}
