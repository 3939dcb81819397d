/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets: pairs, names, queued data, descriptors under way. */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void expect(int fd, const char *text)
{
	char buf[256] = "";

	V_EQ(recv(fd, buf, strlen(text), MSG_WAITALL), strlen(text));
	V_CHECK(strncmp(buf, text, strlen(text)) == 0);
}

static void run_pair(void)
{
	static char in[100000], out[100000];
	int s[2], buf = 300000, half[2], n = 0;

	V_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0);
	V_CHECK(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &buf, sizeof(buf)) == 0);
	v_fill(in, sizeof(in), 1);
	V_CHECK(write(s[0], in, sizeof(in)) == sizeof(in) && write(s[1], "back", 4) == 4);
	V_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, half) == 0);
	V_CHECK(write(half[0], "bye", 3) == 3 && shutdown(half[0], SHUT_WR) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(ioctl(s[1], FIONREAD, &n) == 0);
	V_EQ(n, sizeof(in));
	V_EQ(recv(s[1], out, sizeof(out), MSG_WAITALL), sizeof(out));
	V_CHECK(memcmp(in, out, sizeof(in)) == 0);
	expect(s[0], "back");
	expect(half[1], "bye");
	V_EQ(read(half[1], out, 1), 0);
	V_CHECK(write(half[1], "still", 5) == 5);
	expect(half[0], "still");
	close(s[1]);
	V_EQ(read(s[0], out, 1), 0);
}

/* packets keep their bounds */
static void packets(int type)
{
	int s[2];
	char buf[64];

	V_CHECK(socketpair(AF_UNIX, type, 0, s) == 0);
	V_CHECK(send(s[0], "a", 1, 0) == 1 && send(s[0], "", 0, 0) == 0 && send(s[0], "three", 5, 0) == 5 && send(s[1], "r", 1, 0) == 1);
	v_ready();
	v_wait_go();
	V_EQ(recv(s[1], buf, sizeof(buf), 0), 1);
	V_EQ(recv(s[1], buf, sizeof(buf), 0), 0);
	V_EQ(recv(s[1], buf, sizeof(buf), 0), 5);
	V_EQ(recv(s[0], buf, sizeof(buf), 0), 1);
	V_CHECK(recv(s[0], buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

static void run_dgram(void)
{
	packets(SOCK_DGRAM);
}

static void run_seqpacket(void)
{
	packets(SOCK_SEQPACKET);
}

/* ---- a descriptor that was sent and not yet received ---- */
static void send_fd(int s, int fd)
{
	char ctl[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = &(char){ 'f' }, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	V_EQ(sendmsg(s, &m, 0), 1);
}

static int recv_fd(int s)
{
	char ctl[CMSG_SPACE(sizeof(int))] = { 0 }, c1;
	struct iovec iov = { .iov_base = &c1, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl) };
	struct cmsghdr *c;
	int fd = -1;

	V_EQ(recvmsg(s, &m, MSG_CMSG_CLOEXEC), 1);
	c = CMSG_FIRSTHDR(&m);
	V_CHECK(c && c->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static void run_passed_fd(void)
{
	int s[2], p[2], fd, file = open(v_path("sent"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	V_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(p) == 0 && file >= 0);
	V_CHECK(write(file, "0123456789", 10) == 10);
	V_CHECK(write(s[0], "text", 4) == 4);
	send_fd(s[0], p[1]);		/* the only writing end is under way */
	send_fd(s[0], file);
	V_CHECK(write(p[1], "inside", 6) == 6 && close(p[1]) == 0);
	v_ready();
	v_wait_go();
	expect(s[1], "text");
	fd = recv_fd(s[1]);
	V_CHECK(write(fd, "+more", 5) == 5 && close(fd) == 0);
	V_EQ(lseek(file, 3, SEEK_SET), 3);
	fd = recv_fd(s[1]);
	V_EQ(lseek(fd, 0, SEEK_CUR), 3);	/* the same description as ours */
	char buf[32];

	V_EQ(read(p[0], buf, sizeof(buf)), 11);
	V_CHECK(memcmp(buf, "inside+more", 11) == 0);
	V_EQ(read(p[0], buf, 1), 0);
	unlink(v_path("sent"));
}

/* ---- names ---- */
static int bound(int type, struct sockaddr_un *sun, socklen_t *len, bool abstract)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	char name[100];

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	if (abstract) {
		int n = snprintf(name, sizeof(name), "victim-%d-%llx", getpid(), (unsigned long long)v_clock_ns(CLOCK_REALTIME));

		memcpy(sun->sun_path + 1, name, (size_t)n);
		*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	} else {
		V_CHECK(strlen(v_path("sock")) < sizeof(sun->sun_path));
		memcpy(sun->sun_path, v_path("sock"), strlen(v_path("sock")));
		*len = sizeof(*sun);
	}
	V_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)sun, *len) == 0);
	return fd;
}

static int connected(int type, const struct sockaddr_un *sun, socklen_t len)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	V_CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)sun, len) == 0);
	return fd;
}

static void listener(bool abstract)
{
	struct sockaddr_un sun, got;
	socklen_t len, got_len = sizeof(got);
	int l = bound(SOCK_STREAM, &sun, &len, abstract), c1, a1, c2, a2, c3, is = 0;
	socklen_t is_len = sizeof(is);

	V_CHECK(listen(l, 7) == 0);
	c1 = connected(SOCK_STREAM, &sun, len);
	a1 = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	c2 = connected(SOCK_STREAM, &sun, len);		/* not accepted yet */
	V_CHECK(a1 >= 0 && write(c1, "one", 3) == 3);
	v_ready();
	v_wait_go();
	V_CHECK(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &is, &is_len) == 0 && is == 1);
	V_CHECK(getpeername(c1, (struct sockaddr *)&got, &got_len) == 0 && got_len >= 3);
	V_CHECK(memcmp(got.sun_path, sun.sun_path, got_len - offsetof(struct sockaddr_un, sun_path)) == 0);
	expect(a1, "one");
	V_CHECK(write(c2, "two", 3) == 3);
	a2 = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	V_CHECK(a2 >= 0);
	expect(a2, "two");
	c3 = connected(SOCK_STREAM, &sun, len);		/* the name still leads to the listener */
	V_CHECK(write(c3, "three", 5) == 5);
	a2 = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	V_CHECK(a2 >= 0);
	expect(a2, "three");
	if (!abstract)
		unlink(sun.sun_path);
}

static void run_named(void)
{
	listener(false);
}

static void run_abstract(void)
{
	listener(true);
}

/* datagrams from several senders wait at a named socket */
static void run_dgram_named(void)
{
	struct sockaddr_un sun, from, sender;
	socklen_t len, from_len = sizeof(from), sender_len;
	int s = bound(SOCK_DGRAM, &sun, &len, false), c = connected(SOCK_DGRAM, &sun, len), n = bound(SOCK_DGRAM, &sender, &sender_len, true);
	char buf[32];

	V_CHECK(send(c, "first", 5, 0) == 5);
	V_CHECK(sendto(n, "second", 6, 0, (struct sockaddr *)&sun, len) == 6);
	v_ready();
	v_wait_go();
	V_EQ(recv(s, buf, sizeof(buf), 0), 5);
	V_EQ(recvfrom(s, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len), 6);
	V_EQ(from_len, sender_len);
	V_CHECK(memcmp(from.sun_path, sender.sun_path, sender_len - offsetof(struct sockaddr_un, sun_path)) == 0);
	V_CHECK(send(c, "third", 5, 0) == 5);
	V_EQ(recv(s, buf, sizeof(buf), 0), 5);
	unlink(sun.sun_path);
}

/* both ends in different processes, traffic all the time */
static void echo(void *arg)
{
	int *s = arg;
	uint32_t v;

	close(s[0]);
	while (recv(s[1], &v, sizeof(v), MSG_WAITALL) == sizeof(v)) {
		v++;
		V_EQ(send(s[1], &v, sizeof(v), 0), sizeof(v));
	}
}

static void run_traffic(void)
{
	int s[2];
	pid_t kid;
	uint32_t v;

	V_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	kid = v_child(echo, s);
	close(s[1]);
	v_ready();
	for (uint32_t i = 0; i % 256 || !v_go(); i++) {
		V_EQ(send(s[0], &i, sizeof(i), 0), sizeof(i));
		V_EQ(recv(s[0], &v, sizeof(v), MSG_WAITALL), sizeof(v));
		V_EQ(v, i + 1);
	}
	close(s[0]);
	v_reap(kid);
}

static void run_options(void)
{
	int s[2], on = 1, buf = 100000, want[2], got;
	socklen_t len = sizeof(got);
	struct timeval tv = { 12, 500000 }, tv_got;
	socklen_t tv_len = sizeof(tv_got);

	V_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
	V_CHECK(setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
	V_CHECK(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &buf, sizeof(buf)) == 0);
	V_CHECK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
	V_CHECK(getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &want[0], &len) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(getsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &got, &len) == 0);
	V_EQ(got, 1);
	V_CHECK(getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &got, &len) == 0);
	V_EQ(got, want[0]);
	V_CHECK(getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv_got, &tv_len) == 0);
	V_EQ(tv_got.tv_sec, 12);
	V_CHECK(fcntl(s[0], F_GETFL) & O_NONBLOCK);
}

const struct victim victims_socket[] = {
	{ "unix-pair", run_pair },
	{ "unix-dgram", run_dgram },
	{ "unix-seqpacket", run_seqpacket },
	{ "unix-passed-fd", run_passed_fd },
	{ "unix-named", run_named },
	{ "unix-abstract", run_abstract },
	{ "unix-dgram-named", run_dgram_named },
	{ "unix-traffic", run_traffic },
	{ "unix-options", run_options },
	{ 0 },
};
