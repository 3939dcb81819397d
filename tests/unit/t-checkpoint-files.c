/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Regular files, folders, devices, pipes, event descriptors, locks: captured, killed, made again. */
#include "tests/unit/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"

enum { FL_MASK = O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECT | O_SYNC | O_PATH };

static void put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0);
	CHECK_IS(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void file_is(const char *name, const char *text)
{
	char buf[4096];
	int fd = open(name, O_RDONLY);
	ssize_t n;

	CHECK(fd >= 0);
	n = read(fd, buf, sizeof(buf) - 1);
	CHECK(n >= 0);
	buf[n] = 0;
	if (strcmp(buf, text))
		files_bad(__FILE__, __LINE__, buf);
	close(fd);
}

static int fl(int fd)
{
	return fcntl(fd, F_GETFL) & FL_MASK;
}

/* ---- regular ---- */
static void reg_setup(void)
{
	put("a", "0123456789");
	files_at(open("a", O_RDONLY), 10);
	CHECK_IS(lseek(10, 4, SEEK_SET), 4);
	CHECK(dup2(10, 11) == 11);
	files_at(open("a", O_RDONLY | O_CLOEXEC), 12);
	CHECK(fcntl(12, F_SETFD, FD_CLOEXEC) == 0);
	put("old-name", "renamed");
	files_at(open("old-name", O_RDWR | O_APPEND | O_NONBLOCK), 13);
	CHECK(rename("old-name", "new name \303\244\377") == 0);
	files_at(open("a", O_PATH), 14);
	files_at(open(".", O_RDONLY | O_DIRECTORY), 200);
	CHECK(mkdir("sub", 0700) == 0 && chdir("sub") == 0);
	umask(031);
}

static void reg_verify(int vpid)
{
	char b[16] = "", cwd[PATH_MAX];

	(void)vpid;
	CHECK_IS(lseek(10, 0, SEEK_CUR), 4);
	CHECK_IS(read(10, b, 2), 2);
	CHECK_IS(lseek(11, 0, SEEK_CUR), 6);
	CHECK_IS(lseek(12, 0, SEEK_CUR), 0);
	CHECK_IS(fcntl(12, F_GETFD), FD_CLOEXEC);
	CHECK_IS(fcntl(11, F_GETFD), 0);
	CHECK_IS(fl(13), O_RDWR | O_APPEND | O_NONBLOCK);
	CHECK_IS(pread(13, b, sizeof(b), 0), 7);
	CHECK(!memcmp(b, "renamed", 7));
	CHECK_IS(fl(14), O_PATH);
	CHECK_IS(faccessat(200, "sub", F_OK, 0), 0);
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(strrchr(cwd, '/'), "/sub"));
	CHECK_IS(umask(0), 031);
	CHECK(fcntl(201, F_GETFD) < 0 && errno == EBADF);
	CHECK(fcntl(3, F_GETFD) < 0 && errno == EBADF);
}

static void ghost_setup(void)
{
	int fd = open("gone", O_RDWR | O_CREAT, 0400);

	files_at(fd, 5);
	CHECK_IS(pwrite(5, "head", 4, 0), 4);
	CHECK_IS(pwrite(5, "far away", 8, 5 << 20), 8);
	CHECK(chmod("gone", 0600) == 0);
	files_at(open("gone", O_RDONLY), 6);
	CHECK(chmod("gone", 0400) == 0);
	CHECK_IS(lseek(5, 7, SEEK_SET), 7);
	CHECK(unlink("gone") == 0);
}

static void ghost_verify(int vpid)
{
	char b[16] = "";
	struct stat st;

	(void)vpid;
	CHECK(fstat(5, &st) == 0);
	CHECK_IS(st.st_nlink, 0);
	CHECK_IS(st.st_size, (5 << 20) + 8);
	CHECK(st.st_blocks * 512 < 1 << 20);
	CHECK_IS(st.st_mode & 07777, 0400);
	CHECK_IS(lseek(5, 0, SEEK_CUR), 7);
	CHECK_IS(pwrite(5, "HEAD", 4, 0), 4);
	CHECK_IS(read(6, b, 4), 4);
	CHECK(!memcmp(b, "HEAD", 4));
	CHECK_IS(pread(6, b, 8, 5 << 20), 8);
	CHECK(!memcmp(b, "far away", 8));
	CHECK(access("gone", F_OK) < 0);
}

static void hidden_setup(void)
{
	put("one", "x");
	CHECK(link("one", "two") == 0);
	files_at(open("one", O_RDONLY), 5);
	CHECK(unlink("one") == 0);
}

/* ---- exactly-once output ---- */
static void out_setup(void)
{
	put("app", "line 1\n");
	files_at(open("app", O_WRONLY | O_APPEND), 5);
	files_at(open("seq", O_WRONLY | O_CREAT, 0600), 6);
	CHECK_IS(write(6, "abc", 3), 3);
	put("db", "in place: one two three");
	files_at(open("db", O_RDWR), 7);
	files_at(open("ro", O_WRONLY | O_CREAT, 0600), 8);
	CHECK_IS(write(8, "r", 1), 1);
	CHECK(fchmod(8, 0444) == 0);
}

static void out_between(void)
{
	int fd = open("app", O_WRONLY | O_APPEND);

	CHECK_IS(write(fd, "line 2\n", 7), 7);
	close(fd);
	put("seq", "Xbcdef");
	CHECK(unlink("db") == 0);
}

static void out_verify(int vpid)
{
	struct stat st;

	(void)vpid;
	file_is("app", "line 1\n");
	file_is("seq", "abc");
	file_is("db", "in place: one two three");
	CHECK(stat("ro", &st) == 0);
	CHECK_IS(st.st_mode & 07777, 0444);
	CHECK_IS(write(5, "again\n", 6), 6);
	CHECK_IS(write(6, "d", 1), 1);
	CHECK_IS(write(8, "o", 1), 1);
	file_is("app", "line 1\nagain\n");
	file_is("seq", "abcd");
	file_is("ro", "ro");
}

static void big_setup(void)
{
	char *b = malloc(6 << 20);

	for (int i = 0; i < 6 << 20; i++)
		b[i] = (char)(i * 7 + i / 4096);
	files_at(open("big", O_RDWR | O_CREAT, 0600), 5);
	CHECK_IS(write(5, b, 6 << 20), 6 << 20);
	files_at(open("inplace", O_RDWR | O_CREAT, 0600), 6);
	CHECK_IS(write(6, b, 6 << 20), 6 << 20);
	CHECK_IS(lseek(6, 10, SEEK_SET), 10);
	free(b);
}

static void big_between(void)
{
	int fd = open("big", O_RDWR);

	CHECK_IS(pwrite(fd, "header", 6, 0), 6);
	CHECK_IS(pwrite(fd, "more", 4, 6 << 20), 4);
	close(fd);
	CHECK(truncate("inplace", 100) == 0);
}

static void big_verify(int vpid)
{
	const char *names[] = { "big", "inplace" };
	char *b = malloc((6 << 20) + 1);

	(void)vpid;
	for (int k = 0; k < 2; k++) {
		int fd = open(names[k], O_RDONLY);

		CHECK_IS(read(fd, b, (6 << 20) + 1), 6 << 20);
		for (int i = 0; i < 6 << 20; i++)
			CHECK(b[i] == (char)(i * 7 + i / 4096));
		close(fd);
	}
	free(b);
}

/* ---- devices, /proc ---- */
static void dev_setup(void)
{
	files_at(open("/dev/zero", O_RDONLY), 3);
	files_at(open("/dev/full", O_WRONLY | O_NONBLOCK), 4);
	files_at(open("/dev/urandom", O_RDONLY), 5);
	files_at(open("/proc/self/comm", O_RDONLY), 6);
	files_at(open("/proc", O_RDONLY | O_DIRECTORY), 7);
}

static void dev_verify(int vpid)
{
	char c = 1, link[64];
	struct stat st;

	(void)vpid;
	CHECK_IS(read(3, &c, 1), 1);
	CHECK_IS(c, 0);
	CHECK(write(4, &c, 1) < 0 && errno == ENOSPC);
	CHECK_IS(fl(4), O_WRONLY | O_NONBLOCK);
	CHECK(fstat(5, &st) == 0 && st.st_rdev == makedev(1, 9));
	CHECK(fstat(0, &st) == 0 && st.st_rdev == makedev(1, 3));
	CHECK_IS(read(6, &c, 1), 1);
	CHECK_IS(readlinkat(7, "self", link, sizeof(link)), 1);
}

static void kmsg_setup(void)
{
	files_at(open("/dev/kmsg", O_WRONLY), 3);
}

/* ---- pipes ---- */
static void pipe_at(int r, int w, int flags)
{
	int p[2];

	CHECK(pipe2(p, flags) == 0);
	files_at(p[0], r);
	files_at(p[1], w);
}

static void pipe_child(void)
{
	close(20);		/* keeps the writing end */
}

static void pipe_setup(void)
{
	pipe_at(20, 21, 0);
	CHECK_IS(fcntl(21, F_SETPIPE_SZ, 1 << 17), 1 << 17);
	CHECK_IS(write(21, "in the pipe", 11), 11);
	CHECK_IS(write(21, " and more", 9), 9);
	pipe_at(30, 31, O_DIRECT | O_NONBLOCK);
	CHECK_IS(write(31, "one", 3), 3);
	CHECK_IS(write(31, "three", 5), 5);
	pipe_at(40, 41, 0);
	CHECK_IS(write(41, "eof", 3), 3);
	close(41);
	pipe_at(50, 51, 0);
	close(50);
	CHECK(mkfifo("fifo", 0600) == 0);
	files_at(open("fifo", O_RDWR), 60);
	CHECK_IS(write(60, "fifo", 4), 4);
	files_fork(pipe_child);
	close(21);
}

static void pipe_verify(int vpid)
{
	char b[64];
	ssize_t n;

	if (vpid == 3) {
		CHECK(fcntl(20, F_GETFD) < 0);
		CHECK_IS(write(21, "!", 1), 1);
		return;
	}
	CHECK_IS(fcntl(20, F_GETPIPE_SZ), 1 << 17);
	CHECK_IS(read(20, b, 20), 20);
	CHECK(!memcmp(b, "in the pipe and more", 20));
	CHECK_IS(read(20, b, 1), 1);	/* the child's */
	CHECK_IS(b[0], '!');
	CHECK_IS(read(20, b, 1), 0);	/* and it has ended */
	CHECK_IS(fl(31), O_WRONLY | O_DIRECT | O_NONBLOCK);
	CHECK_IS(read(30, b, sizeof(b)), 3);
	CHECK_IS(read(30, b, sizeof(b)), 5);
	n = read(30, b, sizeof(b));
	CHECK(n < 0 && errno == EAGAIN);
	CHECK_IS(read(40, b, sizeof(b)), 3);
	CHECK_IS(read(40, b, sizeof(b)), 0);
	signal(SIGPIPE, SIG_IGN);
	CHECK(write(51, "x", 1) < 0 && errno == EPIPE);
	CHECK_IS(read(60, b, sizeof(b)), 4);
}

/* the child ends before the parent reads the end of the pipe: shared descriptions */
static void share_child(void)
{
	CHECK(dup2(5, 9) == 9);
	close(5);
}

static void share_setup(void)
{
	put("shared", "0123456789");
	files_at(open("shared", O_RDONLY), 5);
	files_fork(share_child);
}

static void share_verify(int vpid)
{
	char c;

	if (vpid == 3) {
		CHECK_IS(read(9, &c, 1), 1);
		CHECK(fcntl(5, F_GETFD) < 0);
		__atomic_store_n(&files_note[0], 1, __ATOMIC_SEQ_CST);
		return;
	}
	while (!__atomic_load_n(&files_note[0], __ATOMIC_SEQ_CST))
		poll(NULL, 0, 1);
	CHECK_IS(lseek(5, 0, SEEK_CUR), 1);
	CHECK(fcntl(9, F_GETFD) < 0);
}

/* ---- events ---- */
static void event_setup(void)
{
	struct itimerspec its = { .it_value = { 3600, 0 }, .it_interval = { 7, 5 } };
	struct itimerspec soon = { .it_value = { 0, 1 } };
	uint64_t v = 0xfffffffffffffffeULL;
	sigset_t set;

	files_at(eventfd(5, EFD_SEMAPHORE), 10);
	files_at(eventfd(0, EFD_NONBLOCK), 11);
	CHECK_IS(write(11, &v, 8), 8);
	files_at(timerfd_create(CLOCK_MONOTONIC, 0), 12);
	CHECK(timerfd_settime(12, 0, &its, NULL) == 0);
	files_at(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK), 13);
	CHECK(timerfd_settime(13, 0, &soon, NULL) == 0);
	CHECK_IS(poll(&(struct pollfd){ .fd = 13, .events = POLLIN }, 1, 30000), 1);
	files_at(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK), 14);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMAX);
	sigprocmask(SIG_BLOCK, &set, NULL);
	files_at(signalfd(-1, &set, SFD_NONBLOCK), 15);
}

static void event_verify(int vpid)
{
	struct itimerspec its;
	struct signalfd_siginfo si;
	uint64_t v;
	sigset_t set;

	(void)vpid;
	CHECK_IS(read(10, &v, 8), 8);
	CHECK_IS(v, 1);
	CHECK_IS(read(11, &v, 8), 8);
	CHECK(v == 0xfffffffffffffffeULL);
	CHECK(read(11, &v, 8) < 0 && errno == EAGAIN);
	CHECK(timerfd_gettime(12, &its) == 0);
	CHECK(its.it_value.tv_sec > 3000 && its.it_value.tv_sec < 3600);
	CHECK_IS(its.it_interval.tv_sec, 7);
	CHECK_IS(its.it_interval.tv_nsec, 5);
	CHECK_IS(read(13, &v, 8), 8);
	CHECK_IS(v, 1);
	CHECK(read(13, &v, 8) < 0 && errno == EAGAIN);
	CHECK(timerfd_gettime(14, &its) == 0 && its.it_value.tv_sec == 0 && its.it_value.tv_nsec == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMAX);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK(raise(SIGRTMAX) == 0);
	CHECK_IS(read(15, &si, sizeof(si)), sizeof(si));
	CHECK_IS(si.ssi_signo, SIGRTMAX);
}

static void epoll_setup(void)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x1122334455667788ULL };
	int set = epoll_create1(0);

	files_at(set, 70);
	pipe_at(20, 21, 0);
	CHECK_IS(write(21, "x", 1), 1);
	CHECK(epoll_ctl(70, EPOLL_CTL_ADD, 20, &ev) == 0);
	CHECK(dup2(20, 25) == 25);
	close(20);		/* the set still knows it as 20 */
	files_at(eventfd(0, 0), 20);
	ev.data.u64 = 2;
	CHECK(epoll_ctl(70, EPOLL_CTL_ADD, 20, &ev) == 0);
	files_at(epoll_create1(0), 71);
	ev.events = EPOLLIN;
	ev.data.u64 = 3;
	CHECK(epoll_ctl(71, EPOLL_CTL_ADD, 70, &ev) == 0);
	files_at((int)syscall(SYS_pidfd_open, getpid(), 0), 72);
	ev.data.u64 = 4;
	CHECK(epoll_ctl(70, EPOLL_CTL_ADD, 72, &ev) == 0);
}

static void epoll_verify(int vpid)
{
	struct epoll_event ev[4];
	uint64_t one = 1;

	(void)vpid;
	CHECK_IS(epoll_wait(71, ev, 4, 0), 1);
	CHECK_IS(ev[0].data.u64, 3);
	CHECK_IS(epoll_wait(70, ev, 4, 0), 1);
	CHECK(ev[0].data.u64 == 0x1122334455667788ULL);
	CHECK_IS(write(20, &one, 8), 8);
	CHECK_IS(epoll_wait(70, ev, 4, 0), 1);
	CHECK_IS(ev[0].data.u64, 2);
	CHECK(epoll_ctl(70, EPOLL_CTL_DEL, 20, NULL) == 0);
	CHECK(epoll_ctl(70, EPOLL_CTL_DEL, 72, NULL) == 0);
}

static void inotify_setup(void)
{
	CHECK(mkdir("seen", 0700) == 0 && mkdir("seen/deep", 0700) == 0);
	files_at(inotify_init1(IN_NONBLOCK), 10);
	CHECK_IS(inotify_add_watch(10, "seen", IN_CREATE), 1);
	CHECK_IS(inotify_add_watch(10, ".", IN_MODIFY), 2);
	CHECK(inotify_rm_watch(10, 1) == 0);
	{
		char b[4096];

		CHECK(read(10, b, sizeof(b)) > 0);	/* IN_IGNORED */
	}
	CHECK_IS(inotify_add_watch(10, "seen/deep", IN_CREATE | IN_ONLYDIR), 3);
}

static void inotify_verify(int vpid)
{
	char b[4096] __attribute__((aligned(8)));
	struct inotify_event *e = (void *)b;

	(void)vpid;
	CHECK(read(10, b, sizeof(b)) < 0 && errno == EAGAIN);
	put("seen/deep/file", "");
	CHECK(read(10, b, sizeof(b)) > 0);
	CHECK_IS(e->wd, 3);
	CHECK_IS(e->mask, IN_CREATE);
	CHECK(inotify_rm_watch(10, 2) == 0);
}

static void pidfd_child(void)
{
}

static void pidfd_setup(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	files_at((int)syscall(SYS_pidfd_open, pid, 0), 11);
	CHECK(waitpid(pid, NULL, 0) == pid);
	files_fork(pidfd_child);
	files_at((int)syscall(SYS_pidfd_open, pid + 1, 0), 10);
}

static void pidfd_verify(int vpid)
{
	struct pollfd p[2] = { { .fd = 10, .events = POLLIN }, { .fd = 11, .events = POLLIN } };

	if (vpid != 2) {
		while (!__atomic_load_n(&files_note[0], __ATOMIC_SEQ_CST))
			poll(NULL, 0, 1);
		return;
	}
	CHECK_IS(poll(p, 2, 0), 1);
	CHECK_IS(p[1].revents & POLLIN, POLLIN);
	CHECK_IS(syscall(SYS_pidfd_send_signal, 10, 0, NULL, 0), 0);
	CHECK(syscall(SYS_pidfd_send_signal, 11, 0, NULL, 0) < 0 && errno == ESRCH);
	__atomic_store_n(&files_note[0], 1, __ATOMIC_SEQ_CST);
}

static void memfd_setup(void)
{
	files_at(memfd_create("my name", MFD_ALLOW_SEALING), 10);
	CHECK_IS(pwrite(10, "memory", 6, 100000), 6);
	CHECK(fcntl(10, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE) == 0);
	CHECK(dup2(10, 11) == 11);
	files_at(open("/proc/self/fd/10", O_RDONLY), 12);
	CHECK_IS(lseek(12, 50, SEEK_SET), 50);
}

static void memfd_verify(int vpid)
{
	char b[16], link[64] = "";

	(void)vpid;
	CHECK_IS(pread(11, b, 16, 100000), 6);
	CHECK(!memcmp(b, "memory", 6));
	CHECK_IS(fcntl(10, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_WRITE);
	CHECK(readlink("/proc/self/fd/10", link, sizeof(link) - 1) > 0);
	CHECK(!strcmp(link, "/memfd:my name (deleted)"));
	CHECK_IS(lseek(12, 0, SEEK_CUR), 50);
	CHECK_IS(fl(12), O_RDONLY);
}

/* ---- locks and owners ---- */
static void lock_setup(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5 };

	put("l", "x");
	files_at(open("l", O_RDWR), 10);
	CHECK(flock(10, LOCK_SH) == 0);
	files_at(open("l", O_RDWR), 11);
	CHECK(fcntl(11, F_OFD_SETLK, &l) == 0);
	l.l_start = 100;
	l.l_len = 0;
	CHECK(fcntl(10, F_SETLK, &l) == 0);
}

static void lock_verify(int vpid)
{
	int fd = open("l", O_RDWR);
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 50 };
	pid_t pid;
	int status;

	(void)vpid;
	CHECK(flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK);
	CHECK(flock(fd, LOCK_SH | LOCK_NB) == 0);
	CHECK(fcntl(fd, F_OFD_GETLK, &l) == 0);
	CHECK_IS(l.l_start, 10);
	CHECK_IS(l.l_len, 5);
	pid = fork();
	if (pid == 0) {
		l = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 60, .l_len = 0 };
		CHECK(fcntl(10, F_GETLK, &l) == 0);
		CHECK_IS(l.l_type, F_WRLCK);
		CHECK_IS(l.l_start, 100);
		CHECK_IS(l.l_pid, getppid());
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK_IS(status, 0);
}

static void lease_setup(void)
{
	put("l", "x");
	files_at(open("l", O_RDONLY), 10);
	CHECK(fcntl(10, F_SETLEASE, F_RDLCK) == 0);
}

static void owner_setup(void)
{
	pipe_at(10, 11, 0);
	CHECK(fcntl(10, F_SETOWN, getpid()) == 0);
	CHECK(fcntl(10, F_SETSIG, SIGRTMIN + 3) == 0);
	signal(SIGRTMIN + 3, SIG_IGN);
	CHECK(fcntl(10, F_SETFL, O_ASYNC) == 0);
}

static void owner_verify(int vpid)
{
	CHECK_IS(fcntl(10, F_GETOWN), vpid);
	CHECK_IS(fcntl(10, F_GETSIG), SIGRTMIN + 3);
	CHECK_IS(fcntl(10, F_GETFL) & O_ASYNC, O_ASYNC);
	CHECK_IS(fcntl(11, F_GETOWN), 0);
}

static void outside_setup(void)
{
	/* pid 1 of the job is not captured */
	files_at((int)syscall(SYS_pidfd_open, 1, 0), 10);
}

/* ---- terminals ---- */
static void pty_setup(void)
{
	struct winsize w = { .ws_row = 33, .ws_col = 99 };
	struct termios t;
	int unlock = 0, m, n;
	char b[64];

	/* the number of the second is not that of the first */
	m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	files_at(open("/dev/ptmx", O_RDWR | O_NOCTTY), 10);
	close(m);
	CHECK(ioctl(10, TIOCSPTLCK, &unlock) == 0 && ioctl(10, TIOCGPTN, &n) == 0);
	files_note[0] = n;
	snprintf(b, sizeof(b), "/dev/pts/%d", n);
	CHECK(setsid() > 0 || errno == EPERM);
	files_at(open(b, O_RDWR), 11);		/* becomes the controlling terminal */
	CHECK_IS(getsid(0), getpid());
	CHECK(ioctl(10, TIOCSWINSZ, &w) == 0);
	CHECK(tcgetattr(11, &t) == 0);
	t.c_lflag &= ~(tcflag_t)ECHO;
	t.c_cc[VINTR] = 7;
	CHECK(tcsetattr(11, TCSANOW, &t) == 0);
	CHECK_IS(write(11, "out\n", 4), 4);
	CHECK_IS(write(10, "line one\nline two\npart", 22), 22);
	files_at(open("/dev/tty", O_RDWR), 12);
	files_at(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK), 13);	/* no slave yet */
	CHECK_IS(tcsetpgrp(11, getpid()), 0);
	m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	CHECK(ioctl(m, TIOCSPTLCK, &unlock) == 0 && ioctl(m, TIOCGPTN, &n) == 0);
	snprintf(b, sizeof(b), "/dev/pts/%d", n);
	files_at(open(b, O_RDWR | O_NOCTTY), 14);
	close(m);		/* hung up */
}

static void pty_verify(int vpid)
{
	struct winsize w;
	struct termios t;
	char b[64];
	int n = -1;

	CHECK(ioctl(10, TIOCGPTN, &n) == 0);
	CHECK_IS(n, files_note[0]);
	CHECK(ioctl(11, TIOCGWINSZ, &w) == 0);
	CHECK_IS(w.ws_row, 33);
	CHECK_IS(w.ws_col, 99);
	CHECK(tcgetattr(11, &t) == 0);
	CHECK_IS(t.c_cc[VINTR], 7);
	CHECK_IS(t.c_lflag & (ECHO | ICANON), ICANON);
	CHECK_IS(tcgetsid(11), vpid);
	CHECK_IS(tcgetpgrp(11), vpid);
	CHECK_IS(read(10, b, sizeof(b)), 5);
	CHECK(!memcmp(b, "out\r\n", 5));
	CHECK_IS(read(11, b, sizeof(b)), 9);
	CHECK(!memcmp(b, "line one\n", 9));
	CHECK_IS(read(12, b, sizeof(b)), 9);
	CHECK_IS(write(10, "ial\n", 4), 4);
	CHECK_IS(read(11, b, sizeof(b)), 8);
	CHECK(!memcmp(b, "partial\n", 8));
	CHECK(read(13, b, 1) < 0 && errno == EAGAIN);
	CHECK_IS(read(14, b, 1), 0);
}

/* ---- a hostile image ---- */
static void everything_setup(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 5 };
	int unlock = 0, n = 0;
	char b[64];

	put("out", "text");
	files_at(open("out", O_RDWR), 3);
	CHECK(flock(3, LOCK_EX) == 0 && fcntl(3, F_OFD_SETLK, &l) == 0);
	files_at(open("gone", O_RDWR | O_CREAT, 0600), 4);
	CHECK_IS(write(4, "ghost", 5), 5);
	CHECK(unlink("gone") == 0);
	pipe_at(20, 21, O_DIRECT);
	CHECK(write(21, "one", 3) == 3 && write(21, "two", 3) == 3);
	files_at(eventfd(3, 0), 5);
	files_at(timerfd_create(CLOCK_MONOTONIC, 0), 6);
	files_at(memfd_create("m", MFD_ALLOW_SEALING), 7);
	files_at(inotify_init1(0), 8);
	CHECK_IS(inotify_add_watch(8, ".", IN_MOVED_FROM), 1);
	files_at(epoll_create1(0), 9);
	CHECK(epoll_ctl(9, EPOLL_CTL_ADD, 20, &ev) == 0);
	files_at(open("/dev/ptmx", O_RDWR | O_NOCTTY), 10);
	CHECK(ioctl(10, TIOCSPTLCK, &unlock) == 0 && ioctl(10, TIOCGPTN, &n) == 0);
	snprintf(b, sizeof(b), "/dev/pts/%d", n);
	files_at(open(b, O_RDWR | O_NOCTTY), 11);
	CHECK_IS(write(11, "x", 1), 1);
}

static const struct files_case cases[] = {
	{ "damaged", everything_setup, NULL, NULL, NULL, false, false, 300 },
	{ "pty", pty_setup, NULL, pty_verify, NULL, false, false, 0 },
	{ "reg", reg_setup, NULL, reg_verify, NULL, false, false, 0 },
	{ "removed", ghost_setup, NULL, ghost_verify, NULL, false, false, 0 },
	{ "hidden", hidden_setup, NULL, NULL, "another name", false, false, 0 },
	{ "output", out_setup, out_between, out_verify, NULL, false, false, 0 },
	{ "large", big_setup, big_between, big_verify, NULL, false, false, 0 },
	{ "devices", dev_setup, NULL, dev_verify, NULL, false, false, 0 },
	{ "kmsg", kmsg_setup, NULL, NULL, "device", false, true, 0 },
	{ "pipes", pipe_setup, NULL, pipe_verify, NULL, false, false, 0 },
	{ "shared", share_setup, NULL, share_verify, NULL, false, false, 0 },
	{ "events", event_setup, NULL, event_verify, NULL, false, false, 0 },
	{ "epoll", epoll_setup, NULL, epoll_verify, NULL, false, false, 0 },
	{ "inotify", inotify_setup, NULL, inotify_verify, NULL, false, false, 0 },
	{ "memfd", memfd_setup, NULL, memfd_verify, NULL, false, false, 0 },
	{ "locks", lock_setup, NULL, lock_verify, NULL, false, false, 0 },
	{ "lease", lease_setup, NULL, NULL, "lease", false, false, 0 },
	{ "owner", owner_setup, NULL, owner_verify, NULL, false, false, 0 },
	{ "outside", outside_setup, NULL, NULL, "no process of the job", false, false, 0 },
	{ "pidfd", pidfd_setup, NULL, pidfd_verify, NULL, false, false, 0 },
};

int main(void)
{
	return files_main(cases, OM_ARRAY_SIZE(cases));
}
