/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File locks: another process of the job asks whether they are held, before and after. */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static char path[600];

static int lock_file(const char *name)
{
	int fd;

	strncpy(path, v_path(name), sizeof(path) - 1);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	V_CHECK(fd >= 0);
	return fd;
}

static void wait_and_end(void)
{
	v_ready();
	v_wait_go();
}

static void must_be_busy(void *arg)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	(void)arg;
	V_CHECK(fd >= 0);
	V_EQ(flock(fd, LOCK_EX | LOCK_NB), -1);
	V_EQ(errno, EWOULDBLOCK);
}

static void run_flock(void)
{
	int fd = lock_file("flock"), dup_fd = dup(fd);

	V_CHECK(flock(fd, LOCK_EX) == 0);
	wait_and_end();
	v_reap(v_child(must_be_busy, NULL));
	V_CHECK(flock(dup_fd, LOCK_UN) == 0);	/* the lock belongs to the description */
	fd = open(path, O_RDWR | O_CLOEXEC);
	V_CHECK(flock(fd, LOCK_EX | LOCK_NB) == 0);
	unlink(path);
}

/* ---- byte ranges, of the process (POSIX) and of the description (OFD) ---- */
struct range {
	short type;
	off_t start, len;
};

static const struct range ranges[] = { { F_WRLCK, 0, 10 }, { F_RDLCK, 100, 50 }, { F_WRLCK, 1000, 0 } };
static pid_t owner;

static void ranges_held(void *arg)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	(void)arg;
	V_CHECK(fd >= 0);
	for (int i = 0; i < 3; i++) {
		struct flock fl = { .l_type = F_WRLCK, .l_start = ranges[i].start, .l_len = 1 };

		V_CHECK(fcntl(fd, F_GETLK, &fl) == 0);
		V_EQ(fl.l_type, ranges[i].type);
		V_EQ(fl.l_start, ranges[i].start);
		V_EQ(fl.l_len, ranges[i].len);
		V_EQ(fl.l_pid, owner);
	}
	struct flock fl = { .l_type = F_WRLCK, .l_start = 10, .l_len = 90 };

	V_CHECK(fcntl(fd, F_GETLK, &fl) == 0);
	V_EQ(fl.l_type, F_UNLCK);
}

static void range_locks(int set)
{
	int fd = lock_file("range");

	owner = set == F_OFD_SETLK ? -1 : getpid();
	for (int i = 0; i < 3; i++) {
		struct flock fl = { .l_type = ranges[i].type, .l_start = ranges[i].start, .l_len = ranges[i].len };

		V_CHECK(fcntl(fd, set, &fl) == 0);
	}
	wait_and_end();
	v_reap(v_child(ranges_held, NULL));
	unlink(path);
}

static void run_posix(void)
{
	range_locks(F_SETLK);
}

static void run_ofd(void)
{
	range_locks(F_OFD_SETLK);
}

/* mapped besides: that the mapping is made again must not drop the locks */
static void run_posix_mapped(void)
{
	int fd = lock_file("mapped");
	char *p;

	V_CHECK(ftruncate(fd, 4096) == 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V_CHECK(p != MAP_FAILED);
	memcpy(p, "mapped", 7);
	owner = getpid();
	for (int i = 0; i < 3; i++) {
		struct flock fl = { .l_type = ranges[i].type, .l_start = ranges[i].start, .l_len = ranges[i].len };

		V_CHECK(fcntl(fd, F_SETLK, &fl) == 0);
	}
	wait_and_end();
	v_reap(v_child(ranges_held, NULL));
	V_CHECK(memcmp(p, "mapped", 7) == 0);
	unlink(path);
}

const struct victim victims_lock[] = {
	{ "lock-flock", run_flock },
	{ "lock-posix", run_posix },
	{ "lock-posix-mapped", run_posix_mapped },
	{ "lock-ofd", run_ofd },
	{ 0 },
};
