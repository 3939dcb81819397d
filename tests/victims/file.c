/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors of files, directories, pipes, device nodes. */
#include "tests/victims/victim.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

static int make(const char *path, int flags, size_t len, uint64_t seed)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	char *buf = v_map(len, MAP_PRIVATE);

	v_fill(buf, len, seed);
	V_CHECK(fd >= 0 && write(fd, buf, len) == (ssize_t)len && close(fd) == 0);
	munmap(buf, len);
	fd = open(path, flags);
	V_CHECK(fd >= 0);
	return fd;
}

static void holds(int fd, size_t len, uint64_t seed)
{
	char *buf = v_map(len + 1, MAP_PRIVATE);

	V_EQ(pread(fd, buf, len + 1, 0), len);
	V_CHECK(v_same(buf, len, seed));
	munmap(buf, len + 1);
}

static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void run_offset(void)
{
	const char *path = v_path("offset");
	int fd = make(path, O_RDWR | O_CLOEXEC, 10000, 1), ro = open(path, O_RDONLY | O_NOATIME);

	V_CHECK(lseek(fd, 5000, SEEK_SET) == 5000 && ro >= 0 && lseek(ro, 777777, SEEK_SET) == 777777);
	v_ready();
	v_wait_go();
	V_EQ(lseek(fd, 0, SEEK_CUR), 5000);
	V_EQ(lseek(ro, 0, SEEK_CUR), 777777);
	V_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	V_EQ(fcntl(ro, F_GETFD), 0);
	V_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR);
	V_EQ(fcntl(ro, F_GETFL) & (O_ACCMODE | O_NOATIME), O_RDONLY | O_NOATIME);
	holds(fd, 10000, 1);
	V_CHECK(same_file(fd, path) && same_file(ro, path));
	V_CHECK(write(ro, "x", 1) < 0 && errno == EBADF);
	unlink(path);
}

static void run_append(void)
{
	const char *path = v_path("append");
	int fd = make(path, O_WRONLY | O_APPEND | O_CLOEXEC, 100, 2);
	uint32_t n = 0;
	char buf[100];

	v_ready();
	while (n < 20 || !v_go()) {
		V_EQ(write(fd, &n, sizeof(n)), sizeof(n));
		n++;
		usleep(2000);
	}
	V_CHECK(fcntl(fd, F_GETFL) & O_APPEND);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	V_CHECK(fd >= 0 && read(fd, buf, 100) == 100 && v_same(buf, 100, 2));
	for (uint32_t i = 0, v; i < n; i++) {
		V_EQ(read(fd, &v, sizeof(v)), sizeof(v));
		V_EQ(v, i);
	}
	V_EQ(read(fd, buf, 1), 0);
	unlink(path);
}

static void run_opath(void)
{
	const char *path = v_path("opath");
	int fd = make(path, O_PATH | O_CLOEXEC, 3000, 3), dir = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC), re;
	char link[64];

	v_ready();
	v_wait_go();
	V_CHECK(fcntl(fd, F_GETFL) & O_PATH);
	V_CHECK(read(fd, link, 1) < 0 && errno == EBADF);
	V_CHECK(same_file(fd, path) && same_file(dir, "/usr"));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	re = open(link, O_RDONLY | O_CLOEXEC);
	V_CHECK(re >= 0);
	holds(re, 3000, 3);
	V_CHECK(faccessat(dir, "bin", F_OK, 0) == 0);
	unlink(path);
}

static void run_renamed(void)
{
	const char *from = v_path("from"), *to = v_path("to");
	int fd = make(from, O_RDWR | O_CLOEXEC, 5000, 4);

	V_CHECK(lseek(fd, 10, SEEK_SET) == 10 && rename(from, to) == 0);
	v_ready();
	v_wait_go();
	V_EQ(lseek(fd, 0, SEEK_CUR), 10);
	V_CHECK(same_file(fd, to) && access(from, F_OK) < 0);
	holds(fd, 5000, 4);
	unlink(to);
}

static void run_unlinked(void)
{
	const char *path = v_path("gone");
	int fd = make(path, O_RDWR | O_CLOEXEC, 600000, 5), dup_fd = dup(fd), tmp;
	struct stat st;

	tmp = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	V_CHECK(tmp >= 0 && write(tmp, "temporary", 9) == 9);
	V_CHECK(lseek(fd, 123, SEEK_SET) == 123 && unlink(path) == 0);
	V_CHECK(fchmod(fd, 0604) == 0);
	v_ready();
	v_wait_go();
	holds(fd, 600000, 5);
	V_EQ(lseek(fd, 0, SEEK_CUR), 123);
	V_CHECK(fstat(fd, &st) == 0);
	V_EQ(st.st_nlink, 0);
	V_EQ(st.st_mode & 07777, 0604);
	V_CHECK(access(path, F_OK) < 0);
	V_CHECK(pwrite(fd, "ABC", 3, 600000) == 3);
	V_EQ(lseek(dup_fd, 0, SEEK_END), 600003);
	V_EQ(lseek(tmp, 0, SEEK_CUR), 9);
}

static void run_deleted_name_reused(void)
{
	const char *path = v_path("reused");
	int old = make(path, O_RDWR | O_CLOEXEC, 5000, 6), new;

	V_CHECK(unlink(path) == 0);
	new = make(path, O_RDWR | O_CLOEXEC, 7000, 7);
	v_ready();
	v_wait_go();
	holds(old, 5000, 6);
	holds(new, 7000, 7);
	V_CHECK(same_file(new, path) && !same_file(old, path));
	unlink(path);
}

static void run_directory(void)
{
	char path[600], name[700];
	unsigned seen[64] = { 0 }, n = 0;
	struct dirent *de;
	DIR *d;

	snprintf(path, sizeof(path), "%s", v_path("dir"));
	V_CHECK(mkdir(path, 0700) == 0);
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "%s/%d", path, i);
		V_CHECK(mknod(name, S_IFREG | 0600, 0) == 0);
	}
	d = opendir(path);
	V_CHECK(d);
	while (n < 20 && (de = readdir(d)))
		if (de->d_name[0] != '.') {
			seen[strtol(de->d_name, NULL, 10)]++;
			n++;
		}
	v_ready();
	v_wait_go();
	V_CHECK(same_file(dirfd(d), path));
	while ((de = readdir(d)))
		if (de->d_name[0] != '.')
			seen[strtol(de->d_name, NULL, 10)]++;
	for (int i = 0; i < 64; i++) {
		V_EQ(seen[i], 1);
		snprintf(name, sizeof(name), "%s/%d", path, i);
		unlink(name);
	}
	rmdir(path);
}

static void run_cwd(void)
{
	char path[600], got[600];

	snprintf(path, sizeof(path), "%s", v_path("cwd"));
	V_CHECK(mkdir(path, 0700) == 0 && chdir(path) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(getcwd(got, sizeof(got)));
	V_CHECK(strcmp(got, path) == 0);
	V_CHECK(chdir("/") == 0 && rmdir(path) == 0);
}

static void run_devices(void)
{
	static const struct {
		const char *path;
		unsigned minor;
	} dev[] = { { "/dev/null", 3 }, { "/dev/zero", 5 }, { "/dev/full", 7 }, { "/dev/random", 8 }, { "/dev/urandom", 9 } };
	int fd[5];
	struct stat st;
	char buf[16] = "................";

	for (int i = 0; i < 5; i++)
		V_CHECK((fd[i] = open(dev[i].path, O_RDWR | O_CLOEXEC)) >= 0);
	v_ready();
	v_wait_go();
	for (int i = 0; i < 5; i++) {
		V_CHECK(fstat(fd[i], &st) == 0 && S_ISCHR(st.st_mode));
		V_EQ(st.st_rdev, makedev(1, dev[i].minor));
	}
	V_EQ(read(fd[0], buf, 16), 0);
	V_EQ(read(fd[1], buf, 16), 16);
	V_CHECK(buf[0] == 0 && buf[15] == 0);
	V_CHECK(write(fd[2], buf, 1) < 0 && errno == ENOSPC);
	V_EQ(read(fd[4], buf, 16), 16);
}

/* ---- pipes: contents, size, packet mode, the ends in several processes ---- */
static void run_pipe(void)
{
	static char in[200000], out[200001];
	int p[2], q[2], n = 0;

	V_CHECK(pipe2(p, O_CLOEXEC) == 0 && pipe2(q, O_DIRECT | O_NONBLOCK) == 0);
	V_CHECK(fcntl(p[1], F_SETPIPE_SZ, 1 << 18) == 1 << 18);
	v_fill(in, sizeof(in), 8);
	V_CHECK(write(p[1], in, sizeof(in)) == sizeof(in));
	V_CHECK(write(q[1], "one", 3) == 3 && write(q[1], "three", 5) == 5);
	v_ready();
	v_wait_go();
	V_EQ(fcntl(p[0], F_GETPIPE_SZ), 1 << 18);
	V_CHECK(ioctl(p[0], FIONREAD, &n) == 0);
	V_EQ(n, sizeof(in));
	V_EQ(read(p[0], out, sizeof(out)), sizeof(in));
	V_CHECK(memcmp(in, out, sizeof(in)) == 0);
	V_EQ(read(q[0], out, 100), 3);
	V_EQ(read(q[0], out, 100), 5);
	V_CHECK(read(q[0], out, 100) < 0 && errno == EAGAIN);
	V_CHECK(write(p[1], "more", 4) == 4 && read(p[0], out, 100) == 4);
	close(p[1]);
	V_EQ(read(p[0], out, 100), 0);
}

static void run_pipe_ends(void)
{
	int no_writer[2], no_reader[2];
	char buf[16];

	signal(SIGPIPE, SIG_IGN);
	V_CHECK(pipe(no_writer) == 0 && pipe(no_reader) == 0);
	V_CHECK(write(no_writer[1], "last", 4) == 4 && close(no_writer[1]) == 0 && close(no_reader[0]) == 0);
	v_ready();
	v_wait_go();
	V_EQ(read(no_writer[0], buf, sizeof(buf)), 4);
	V_EQ(read(no_writer[0], buf, sizeof(buf)), 0);
	V_CHECK(write(no_reader[1], "x", 1) < 0 && errno == EPIPE);
}

static void run_fifo(void)
{
	const char *path = v_path("named");
	char buf[64];
	int r, w;

	V_CHECK(mkfifo(path, 0600) == 0);
	r = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	w = open(path, O_WRONLY | O_CLOEXEC);
	V_CHECK(r >= 0 && w >= 0 && write(w, "in the fifo", 11) == 11);
	v_ready();
	v_wait_go();
	V_EQ(read(r, buf, sizeof(buf)), 11);
	V_CHECK(memcmp(buf, "in the fifo", 11) == 0);
	V_CHECK(read(r, buf, 1) < 0 && errno == EAGAIN);
	V_CHECK(same_file(r, path) && same_file(w, path));
	close(w);
	V_EQ(read(r, buf, 1), 0);
	unlink(path);
}

/* ---- one open file description in several descriptors and processes ---- */
static int dup_fd[3];

static void dup_child(void *arg)
{
	v_gate_pass(arg);
	while (lseek(dup_fd[1], 0, SEEK_CUR) != 4444)
		v_nap();
	V_EQ(lseek(dup_fd[2], 0, SEEK_CUR), 50);	/* opened by itself: not the same one */
	V_EQ(lseek(dup_fd[1], 5555, SEEK_SET), 5555);
}

static void run_dup(void)
{
	const char *path = v_path("dup");
	struct v_gate gate = v_gate_open();
	pid_t kid;

	dup_fd[0] = make(path, O_RDWR, 10000, 9);
	dup_fd[1] = fcntl(dup_fd[0], F_DUPFD_CLOEXEC, 200);
	dup_fd[2] = open(path, O_RDWR | O_CLOEXEC);
	V_CHECK(dup_fd[1] == 200 && lseek(dup_fd[2], 50, SEEK_SET) == 50);
	kid = v_child(dup_child, &gate);
	v_gate_wait(&gate, 1);
	v_ready();
	v_wait_go();
	V_EQ(fcntl(200, F_GETFD), FD_CLOEXEC);
	V_EQ(lseek(dup_fd[0], 4444, SEEK_SET), 4444);
	v_reap(kid);
	V_EQ(lseek(dup_fd[0], 0, SEEK_CUR), 5555);
	V_CHECK(fcntl(dup_fd[0], F_SETFL, O_NONBLOCK) == 0 && (fcntl(200, F_GETFL) & O_NONBLOCK));
	unlink(path);
}

static void run_many(void)
{
	enum { FILES = 900 };
	const char *path = v_path("many");
	int fd[FILES];

	close(make(path, O_RDONLY, 2000, 10));
	for (int i = 0; i < FILES; i++)
		V_CHECK((fd[i] = open(path, O_RDONLY | O_CLOEXEC)) >= 0 && lseek(fd[i], i, SEEK_SET) == i);
	v_ready();
	v_wait_go();
	for (int i = 0; i < FILES; i++)
		V_EQ(lseek(fd[i], 0, SEEK_CUR), i);
	unlink(path);
}

static void run_owner(void)
{
	struct f_owner_ex want = { F_OWNER_PID, getpid() }, got;
	int p[2];

	V_CHECK(pipe2(p, O_NONBLOCK) == 0);
	signal(SIGRTMIN + 3, SIG_IGN);
	V_CHECK(fcntl(p[0], F_SETOWN_EX, &want) == 0 && fcntl(p[0], F_SETSIG, SIGRTMIN + 3) == 0);
	V_CHECK(fcntl(p[0], F_SETFL, O_NONBLOCK | O_ASYNC) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(fcntl(p[0], F_GETOWN_EX, &got) == 0);
	V_EQ(got.type, F_OWNER_PID);
	V_EQ(got.pid, getpid());
	V_EQ(fcntl(p[0], F_GETSIG), SIGRTMIN + 3);
	V_CHECK(fcntl(p[0], F_GETFL) & O_ASYNC);
}

static void run_proc(void)
{
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC), dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[64] = "", name[32];

	V_CHECK(fd >= 0 && dir >= 0);
	v_ready();
	v_wait_go();
	V_CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
	V_EQ(strtol(text, NULL, 10), getpid());
	snprintf(name, sizeof(name), "%d", fd);
	V_CHECK(faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

const struct victim victims_file[] = {
	{ "file-offset", run_offset },
	{ "file-append", run_append },
	{ "file-opath", run_opath },
	{ "file-renamed", run_renamed },
	{ "file-unlinked", run_unlinked },
	{ "file-name-reused", run_deleted_name_reused },
	{ "file-directory", run_directory },
	{ "file-cwd", run_cwd },
	{ "file-devices", run_devices },
	{ "file-pipe", run_pipe },
	{ "file-pipe-ends", run_pipe_ends },
	{ "file-fifo", run_fifo },
	{ "file-dup", run_dup },
	{ "file-many", run_many },
	{ "file-owner", run_owner },
	{ "file-proc", run_proc },
	{ 0 },
};
