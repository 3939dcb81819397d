/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_event.c - eventfd, timerfd, signalfd, pidfd. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "checkpoint/fimpl.h"

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

/* fdinfo as it is now (that of the description may be older than what we did to it). */
static int info_now(const struct fdesc *d, char **ret)
{
	char path[64];
	size_t n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", d->dup);
	return om_file_read(path, 65536, ret, &n);
}

/* ---- eventfd ---- */
/* Before Linux 6.5 fdinfo does not say whether it counts like a semaphore: read() does, and what it took is written back. */
static int semaphore_probe(int fd, uint64_t count, struct om_err *err)
{
	uint64_t v = count < 2 ? 2 : 0, got;

	if (v && write(fd, &v, sizeof(v)) != sizeof(v))
		return om_err_sys(err, -errno, "eventfd");
	if (read(fd, &got, sizeof(got)) != sizeof(got))
		return om_err_sys(err, -errno, "eventfd");
	if (got == 1) {			/* a semaphore: take out what was put in */
		for (uint64_t back = v ? v - 1 : 0; back; back--)
			if (read(fd, &got, sizeof(got)) != sizeof(got))
				return om_err_sys(err, -errno, "eventfd");
		v = v ? 0 : 1;
	} else {
		v = count;
	}
	if (v && write(fd, &v, sizeof(v)) != sizeof(v))
		return om_err_sys(err, -errno, "eventfd");
	return got == 1;
}

static int eventfd_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	uint64_t count, sem;
	int r = finfo_get(d->info, "eventfd-count", 16, &count);

	if (r < 0)
		return om_err_sys(err, r, "fdinfo of an eventfd");
	if (finfo_get(d->info, "eventfd-semaphore", 10, &sem) < 0) {
		r = f->o.sink ? semaphore_probe(d->dup, count, err) : 0;
		if (r < 0)
			return r;
		sem = (uint64_t)r;
	}
	r = fj_put_int(d->json, "count", (int64_t)count);
	return r == 0 && sem ? fj_put(d->json, "semaphore", json_true()) : r;
}

static int eventfd_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	uint64_t count;
	int fd, r = fj_u64(j, "count", &count, err);

	if (r < 0)
		return r;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (fj_true(j, "semaphore") ? EFD_SEMAPHORE : 0));
	if (fd < 0)
		return om_err_sys(err, -errno, "eventfd");
	if (count && write(fd, &count, sizeof(count)) != sizeof(count)) {
		om_fd_close(fd);
		return om_err_set(err, -EBADMSG, "the image is damaged: the count of an eventfd");
	}
	*ret_fd = fd;
	return 0;
}

/* ---- timerfd ----
 * The time of the next expiry is kept on the job's own clock ("at"): what is set again is the same moment. */
static int job_clock(const struct ckpt_files *f, int clock, int64_t *ret, struct om_err *err)
{
	const char *name = clock == CLOCK_MONOTONIC ? "monotonic" : clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM ? "boottime" : NULL;
	char path[64];
	om_autofree char *theirs = NULL, *ours = NULL;
	struct timespec ts;
	size_t n;
	int64_t now;
	int r;

	if (clock_gettime(clock, &ts) < 0)
		return om_err_sys(err, -errno, "clock %d", clock);
	now = ts.tv_sec * 1000000000LL + ts.tv_nsec;
	snprintf(path, sizeof(path), "/proc/%d/timens_offsets", f->n_procs ? f->procs[0].pid : getpid());
	/* a kernel without time namespaces has no such file */
	if (name && om_file_read(path, 4096, &theirs, &n) == 0 && om_file_read("/proc/self/timens_offsets", 4096, &ours, &n) == 0) {
		long long s[2], ns[2];
		const char *a = strstr(theirs, name), *b = strstr(ours, name);

		r = a && b && sscanf(a + strlen(name), "%lld %lld", &s[0], &ns[0]) == 2 && sscanf(b + strlen(name), "%lld %lld", &s[1], &ns[1]) == 2;
		if (!r)
			return om_err_set(err, -EBADMSG, "%s cannot be understood", path);
		now += (s[0] - s[1]) * 1000000000LL + ns[0] - ns[1];
	}
	*ret = now;
	return 0;
}

static int timerfd_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	struct itimerspec its;
	om_autofree char *info = NULL;
	uint64_t clock, ticks, flags;
	int64_t now = 0, left;
	int r;

	/* this also lets a periodic timer that has expired run on, as a read would */
	if (timerfd_gettime(d->dup, &its) < 0)
		return om_err_sys(err, -errno, "timerfd");
	r = info_now(d, &info);
	if (r == 0)
		r = finfo_get(info, "clockid", 10, &clock);
	if (r == 0)
		r = finfo_get(info, "ticks", 10, &ticks);
	if (r == 0)
		r = finfo_get(info, "settime flags", 8, &flags);
	if (r < 0)
		return om_err_sys(err, r, "fdinfo of a timerfd");
	left = its.it_value.tv_sec * 1000000000LL + its.it_value.tv_nsec;
	if (left)
		r = job_clock(f, (int)clock, &now, err);
	if (r == 0)
		r = fj_put_int(d->json, "clock", (int64_t)clock);
	if (r == 0)
		r = fj_put_int(d->json, "at", left ? now + left : 0);
	if (r == 0)
		r = fj_put_int(d->json, "interval", its.it_interval.tv_sec * 1000000000LL + its.it_interval.tv_nsec);
	if (r == 0)
		r = fj_put_int(d->json, "ticks", (int64_t)ticks);
	return r == 0 ? fj_put_int(d->json, "cancel", !!(flags & TFD_TIMER_CANCEL_ON_SET)) : r;
}

static int timerfd_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	const json_t *j = o->f[i].json;
	om_autofd int fd = -1;
	int64_t clock, at, interval, cancel;
	uint64_t ticks;
	int r = fj_int(j, "clock", 0, 15, &clock, err);

	if (r == 0)
		r = fj_int(j, "at", 0, INT64_MAX, &at, err);
	if (r == 0)
		r = fj_int(j, "interval", 0, INT64_MAX, &interval, err);
	if (r == 0)
		r = fj_int(j, "cancel", 0, 1, &cancel, err);
	if (r == 0)
		r = fj_u64(j, "ticks", &ticks, err);
	if (r < 0)
		return r;
	fd = timerfd_create((int)clock, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return om_err_sys(err, -errno, "cannot make a timer of clock %d again", (int)clock);
	struct itimerspec its = {
		.it_value = { at / 1000000000, at % 1000000000 }, .it_interval = { interval / 1000000000, interval % 1000000000 },
	};

	if (at && timerfd_settime(fd, TFD_TIMER_ABSTIME | (cancel ? TFD_TIMER_CANCEL_ON_SET : 0), &its, NULL) < 0)
		return om_err_sys(err, -errno, "timerfd");
	if (ticks && ioctl(fd, TFD_IOC_SET_TICKS, &ticks) < 0)
		return om_err_sys(err, -errno, "cannot set the expirations of a timerfd (a kernel without CONFIG_CHECKPOINT_RESTORE?)");
	*ret_fd = om_fd_steal(&fd);
	return 0;
}

/* ---- signalfd ---- */
static int signalfd_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	uint64_t mask;
	int r = finfo_get(d->info, "sigmask", 16, &mask);

	(void)f;
	return r < 0 ? om_err_sys(err, r, "fdinfo of a signalfd") : fj_put_int(d->json, "mask", (int64_t)mask);
}

static int signalfd_open(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	uint64_t mask;
	int fd, r = fj_u64(o->f[i].json, "mask", &mask, err);

	if (r < 0)
		return r;
	/* the kernel's set has 64 bits, the C library's more */
	fd = (int)syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return om_err_sys(err, -errno, "signalfd");
	*ret_fd = fd;
	return 0;
}

/* ---- pidfd ----
 * "pid" 0: of a process that has ended and was reaped. */
static int pidfd_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	uint64_t pid;
	pid_t vpid = 0;
	int r = finfo_get(d->info, "Pid", 10, &pid);

	if (r < 0)
		return om_err_sys(err, r, "fdinfo of a pidfd");
	if ((int64_t)pid > 0) {
		char path[64];
		om_autofree char *status = NULL;
		const char *p;
		size_t n;

		vpid = files_vpid(f, (pid_t)pid);
		snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
		/* a zombie is none of the processes that have descriptors, but it is one of the tree when it has two numbers */
		if (!vpid && om_file_read(path, 65536, &status, &n) == 0 && strstr(status, "\nState:\tZ") && (p = strstr(d->info, "NSpid:"))) {
			const char *end = p + strcspn(p, "\n");

			while (end > p && end[-1] != '\t' && end[-1] != ' ')
				end--;
			vpid = end - p > 7 ? (pid_t)strtol(end, NULL, 10) : 0;
		}
		if (!vpid)
			return files_refuse(f, d, "a pidfd of process %d, which is no process of the job", (int)pid);
	}
	return fj_put_int(d->json, "pid", vpid);
}

static int ended_pidfd(void)
{
	pid_t pid = fork();
	int fd;

	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return -errno;
	fd = om_pidfd_open(pid);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

static int pidfd_open_early(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	int64_t pid;
	int fd, r = fj_int(o->f[i].json, "pid", 0, INT_MAX, &pid, err);

	if (r < 0 || pid)
		return r;
	fd = ended_pidfd();
	if (fd < 0)
		return om_err_sys(err, fd, "pidfd of an ended process");
	*ret_fd = fd;
	return 0;
}

static int pidfd_late(struct ckpt_opened *o, size_t i, int *ret_fd, struct om_err *err)
{
	int64_t pid, flags;
	int fd, r = fj_int(o->f[i].json, "pid", 1, INT_MAX, &pid, err);

	if (r == 0)
		r = fj_int(o->f[i].json, "flags", 0, INT_MAX, &flags, err);
	if (r < 0)
		return r;
	fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, (int)flags & O_EXCL);	/* O_EXCL: PIDFD_THREAD */
	if (fd < 0)
		return om_err_sys(err, -errno, "pidfd of process %d", (int)pid);
	*ret_fd = fd;
	return 0;
}

const struct fkind fkind_eventfd = { .name = "eventfd", .dump = eventfd_dump, .open = eventfd_open };
const struct fkind fkind_timerfd = { .name = "timerfd", .dump = timerfd_dump, .open = timerfd_open };
const struct fkind fkind_signalfd = { .name = "signalfd", .dump = signalfd_dump, .open = signalfd_open };
const struct fkind fkind_pidfd = { .name = "pidfd", .dump = pidfd_dump, .open = pidfd_open_early, .late = pidfd_late };
