/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that are kernel objects: eventfd, epoll, timerfd, signalfd, inotify, pidfd, pseudo-terminals. */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void run_eventfd(void)
{
	int a = eventfd(0, EFD_CLOEXEC), s = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	uint64_t v = 0xfffffffffffffffe;

	V_CHECK(a >= 0 && s >= 0 && write(a, &v, sizeof(v)) == sizeof(v));
	v_ready();
	v_wait_go();
	V_EQ(read(a, &v, sizeof(v)), sizeof(v));
	V_CHECK(v == 0xfffffffffffffffe);
	for (int i = 0; i < 3; i++) {
		V_EQ(read(s, &v, sizeof(v)), sizeof(v));
		V_EQ(v, 1);
	}
	V_CHECK(read(s, &v, sizeof(v)) < 0 && errno == EAGAIN);
}

/* ---- epoll: nested, one-shot, edge; a watched file under another descriptor number ---- */
static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	V_CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
}

static void run_epoll(void)
{
	int outer = epoll_create1(EPOLL_CLOEXEC), inner = epoll_create1(0), p[2], q[2], o[2], moved;
	struct epoll_event ev[8];
	unsigned seen = 0;
	int n;

	V_CHECK(outer >= 0 && inner >= 0 && pipe(p) == 0 && pipe(q) == 0 && pipe(o) == 0);
	add(inner, p[0], EPOLLIN, 0x1111);
	add(outer, inner, EPOLLIN, 0x2222);
	add(outer, q[0], EPOLLIN | EPOLLET, 0x3333333333333333);
	add(outer, o[0], EPOLLIN | EPOLLONESHOT, 0x4444);
	V_CHECK(write(o[1], "x", 1) == 1);
	V_EQ(epoll_wait(outer, ev, 8, 0), 1);	/* the one shot is used up */
	moved = fcntl(q[0], F_DUPFD_CLOEXEC, 300);
	V_CHECK(moved == 300);
	v_ready();
	v_wait_go();
	V_EQ(epoll_wait(outer, ev, 8, 0), 0);
	V_CHECK(write(p[1], "x", 1) == 1 && write(q[1], "y", 1) == 1 && write(o[1], "z", 1) == 1);
	n = epoll_wait(outer, ev, 8, 1000);
	V_EQ(n, 2);
	for (int i = 0; i < n; i++)
		seen |= ev[i].data.u64 == 0x2222 ? 1 : ev[i].data.u64 == 0x3333333333333333 ? 2 : 4;
	V_EQ(seen, 3);
	V_EQ(epoll_wait(inner, ev, 8, 0), 1);
	V_CHECK(ev[0].data.u64 == 0x1111);
}

static void run_epoll_dup(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), p[2], kept;
	struct epoll_event ev[2];

	V_CHECK(ep >= 0 && pipe(p) == 0);
	add(ep, p[0], EPOLLIN, 0x55);
	kept = fcntl(p[0], F_DUPFD_CLOEXEC, 250);	/* the watch lives on with the description, under the closed number */
	V_CHECK(kept >= 0 && close(p[0]) == 0);
	v_ready();
	v_wait_go();
	V_EQ(epoll_wait(ep, ev, 2, 0), 0);
	V_CHECK(write(p[1], "x", 1) == 1);
	V_EQ(epoll_wait(ep, ev, 2, 1000), 1);
	V_CHECK(ev[0].data.u64 == 0x55);
}

/* ---- timerfd: ticking, far away, expired and unread ---- */
static void run_timerfd(void)
{
	int tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), far = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
	int past = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), off = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	struct itimerspec fast = { { 0, 50000000 }, { 0, 50000000 } }, slow = { { 7, 0 }, { 100000, 0 } }, once = { { 0, 0 }, { 0, 1 } }, got;
	uint64_t v, from = v_clock_ns(CLOCK_MONOTONIC), ticks = 0, ran;

	V_CHECK(timerfd_settime(tick, 0, &fast, NULL) == 0 && timerfd_settime(far, 0, &slow, NULL) == 0 &&
		timerfd_settime(past, 0, &once, NULL) == 0 && off >= 0);
	v_ready();
	do {
		V_EQ(read(tick, &v, sizeof(v)), sizeof(v));
		ticks += v;
		ran = v_clock_ns(CLOCK_MONOTONIC) - from;
		V_CHECK(ticks * 50000000 <= ran);	/* never more of them than time has gone by */
	} while (!v_go());
	V_CHECK((ticks + 2) * 50000000 + 1000000000 > ran);
	V_CHECK(timerfd_gettime(far, &got) == 0);
	V_EQ(got.it_interval.tv_sec, 7);
	V_CHECK(got.it_value.tv_sec <= 100000 && got.it_value.tv_sec > 100000 - 600);
	V_EQ(read(past, &v, sizeof(v)), sizeof(v));
	V_EQ(v, 1);
	V_CHECK(read(past, &v, sizeof(v)) < 0 && errno == EAGAIN);
	V_CHECK(timerfd_gettime(off, &got) == 0 && got.it_value.tv_sec == 0 && got.it_value.tv_nsec == 0);
}

static void run_signalfd(void)
{
	struct signalfd_siginfo si;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 1);
	V_CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	V_CHECK(fd >= 0 && sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 99 }) == 0);
	v_ready();
	v_wait_go();
	V_EQ(read(fd, &si, sizeof(si)), sizeof(si));
	V_EQ(si.ssi_signo, SIGRTMIN + 1);
	V_EQ(si.ssi_int, 99);
	V_CHECK(read(fd, &si, sizeof(si)) < 0 && errno == EAGAIN);
	V_CHECK(kill(getpid(), SIGUSR1) == 0);
	V_EQ(read(fd, &si, sizeof(si)), sizeof(si));
	V_EQ(si.ssi_signo, SIGUSR1);
	V_EQ(si.ssi_pid, getpid());
}

static void run_inotify(void)
{
	char dir[600], name[700], buf[4096] __attribute__((aligned(8)));
	const struct inotify_event *ev = (void *)buf;
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), wd[2];

	snprintf(dir, sizeof(dir), "%s", v_path("watched"));
	snprintf(name, sizeof(name), "%s/new", dir);
	V_CHECK(fd >= 0 && mkdir(dir, 0700) == 0);
	wd[0] = inotify_add_watch(fd, "/tmp", IN_DELETE_SELF);
	wd[1] = inotify_add_watch(fd, dir, IN_CREATE | IN_DELETE);
	V_CHECK(wd[0] == 1 && wd[1] == 2);
	v_ready();
	v_wait_go();
	V_CHECK(read(fd, buf, sizeof(buf)) < 0 && errno == EAGAIN);
	V_CHECK(mknod(name, S_IFREG | 0600, 0) == 0);
	V_CHECK(read(fd, buf, sizeof(buf)) > 0);
	V_EQ(ev->wd, wd[1]);
	V_EQ(ev->mask, IN_CREATE);
	V_CHECK(strcmp(ev->name, "new") == 0);
	V_CHECK(unlink(name) == 0 && rmdir(dir) == 0);
	V_CHECK(inotify_rm_watch(fd, wd[0]) == 0);
}

static void run_pidfd(void)
{
	pid_t kid = fork();
	struct pollfd pfd = { .events = POLLIN };
	siginfo_t si;

	if (kid == 0)
		for (;;)
			pause();
	pfd.fd = (int)syscall(SYS_pidfd_open, kid, 0);
	V_CHECK(pfd.fd >= 0);
	v_ready();
	v_wait_go();
	V_EQ(poll(&pfd, 1, 0), 0);
	V_CHECK(syscall(SYS_pidfd_send_signal, pfd.fd, SIGTERM, NULL, 0) == 0);
	V_EQ(poll(&pfd, 1, -1), 1);
	V_CHECK(waitid(P_PIDFD, (id_t)pfd.fd, &si, WEXITED) == 0);
	V_EQ(si.si_pid, kid);
	V_EQ(si.si_status, SIGTERM);
}

/* ---- pseudo-terminals ---- */
static void run_pty(void)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY), s;
	struct winsize ws = { 33, 99, 0, 0 }, got;
	struct termios tio, now;
	char name[64], again[64], buf[64];

	V_CHECK(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0 && ptsname_r(m, name, sizeof(name)) == 0);
	s = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	V_CHECK(s >= 0 && tcgetattr(s, &tio) == 0);
	cfmakeraw(&tio);
	tio.c_cc[VMIN] = 3;
	V_CHECK(tcsetattr(s, TCSANOW, &tio) == 0 && ioctl(m, TIOCSWINSZ, &ws) == 0);
	V_CHECK(write(s, "from slave", 10) == 10 && write(m, "from master", 11) == 11);
	v_ready();
	v_wait_go();
	V_CHECK(ioctl(s, TIOCGWINSZ, &got) == 0 && memcmp(&got, &ws, sizeof(ws)) == 0);
	V_CHECK(tcgetattr(s, &now) == 0);
	V_EQ(now.c_lflag, tio.c_lflag);
	V_EQ(now.c_oflag, tio.c_oflag);
	V_EQ(now.c_cc[VMIN], 3);
	V_EQ(read(m, buf, sizeof(buf)), 10);
	V_CHECK(memcmp(buf, "from slave", 10) == 0);
	V_EQ(read(s, buf, sizeof(buf)), 11);
	V_CHECK(memcmp(buf, "from master", 11) == 0);
	V_CHECK(ptsname_r(m, again, sizeof(again)) == 0 && strcmp(name, again) == 0);
}

/* a session with the terminal as its controlling one, as script(1) and expect(1) make it */
static void run_pty_session(void)
{
	int m, status;
	char buf[64] = "";
	size_t n = 0;
	pid_t kid = forkpty(&m, NULL, NULL, NULL), group = 0;

	V_CHECK(kid >= 0);
	if (kid == 0) {
		int tty;

		signal(SIGINT, SIG_DFL);
		V_CHECK(write(1, "up", 2) == 2);
		v_wait_go();
		tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
		if (tty < 0 || tcgetpgrp(tty) != getpid())
			_exit(9);
		for (;;)
			pause();
	}
	while (n < 2) {
		ssize_t r = read(m, buf + n, sizeof(buf) - n);

		V_CHECK(r > 0);
		n += (size_t)r;
	}
	v_ready();
	v_wait_go();
	V_CHECK(ioctl(m, TIOCGPGRP, &group) == 0);
	V_EQ(group, kid);
	while (v_state(kid) != 'S')
		v_nap();
	do {
		/* the interrupt key of the terminal reaches the group in front; again, if the child was not there yet */
		if (write(m, "\003", 1) < 0)
			break;
		v_nap();
	} while (waitpid(kid, &status, WNOHANG) == 0);
	V_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

const struct victim victims_special[] = {
	{ "fd-eventfd", run_eventfd },
	{ "fd-epoll", run_epoll },
	{ "fd-epoll-dup", run_epoll_dup },
	{ "fd-timerfd", run_timerfd },
	{ "fd-signalfd", run_signalfd },
	{ "fd-inotify", run_inotify },
	{ "fd-pidfd", run_pidfd },
	{ "fd-pty", run_pty },
	{ "fd-pty-session", run_pty_session },
	{ 0 },
};
