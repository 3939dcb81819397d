/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/space.c - the namespaces of one job.
 *
 * One clone3() makes all of them but the time namespace: its offsets can only be written before the first task is in it,
 * so pid 1 unshares it, writes the offsets and enters it with setns(), which a single-threaded process may.  It is left out
 * when the clocks are to be the machine's.
 *
 * Who maps the ids: pid 1 itself writes the map of the one own uid and gid (an ordinary user may map no more); a caller with
 * more rights does it in map_ids(), for which pid 1 waits.  Errors come back through a pipe, so that the caller gets the text. */
#include "checkpoint/ckpt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"

struct space_child {			/* what pid 1 needs of its maker */
	const struct ckpt_space_opts *opts;
	uid_t uid;
	gid_t gid;
	int parent;			/* pidfd of the caller */
	int go;				/* read end: a byte when map_ids() is done */
	int said;			/* write end: struct om_err when something fails, closed when all is ready */
};

static int own_ids_map(const struct space_child *c, struct om_err *err)
{
	char text[64];
	int r;

	r = om_file_poke("/proc/self/setgroups", "deny");
	if (r < 0)
		return om_err_sys(err, r, "/proc/self/setgroups");
	snprintf(text, sizeof(text), "%u %u 1\n", c->uid, c->uid);
	r = om_file_poke("/proc/self/uid_map", text);
	if (r < 0)
		return om_err_sys(err, r, "/proc/self/uid_map");
	snprintf(text, sizeof(text), "%u %u 1\n", c->gid, c->gid);
	r = om_file_poke("/proc/self/gid_map", text);
	return r < 0 ? om_err_sys(err, r, "/proc/self/gid_map") : 0;
}

static int mounts_make(struct om_err *err)
{
	/* slave: what the machine mounts later is seen by the job, nothing goes back */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return om_err_sys(err, -errno, "cannot detach the job's mounts from the machine's");
	/* terminals of its own, so that their numbers are free at a restart; without them (a machine without /dev/pts) the job has no less than before */
	(void)mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return om_err_sys(err, -errno, "cannot mount the job's own /proc (does a container cover parts of /proc?)");
	return 0;
}

/* What this process's own time namespace already adds to clock @name; offsets are counted from the machine's clock. */
static int64_t offset_now(const char *text, const char *name)
{
	const char *line = strstr(text, name);
	long long sec = 0, nsec = 0;

	if (line && sscanf(line + strlen(name), "%lld %lld", &sec, &nsec) == 2)
		return sec * 1000000000LL + nsec;
	return 0;
}

static void offset_line(char *dst, size_t n, int clock, int64_t off)
{
	int64_t sec = off / 1000000000LL, nsec = off % 1000000000LL;

	if (nsec < 0) {
		nsec += 1000000000LL;
		sec--;
	}
	snprintf(dst, n, "%d %lld %lld\n", clock, (long long)sec, (long long)nsec);
}

static int clocks_set(const struct ckpt_space_opts *o, struct om_err *err)
{
	char line[2][64] = { "", "" };
	char *old = NULL;
	om_autofd int fd = -1;
	size_t len;
	int r;

	if (!o->mono_ns && !o->boot_ns)
		return 0;
	if (unshare(CLONE_NEWTIME) < 0)
		return om_err_sys(err, -errno, "cannot make a time namespace");
	r = om_file_read("/proc/self/timens_offsets", 4096, &old, &len);
	if (r < 0)
		return om_err_sys(err, r, "/proc/self/timens_offsets");
	if (o->mono_ns)
		offset_line(line[0], sizeof(line[0]), CLOCK_MONOTONIC,
			    offset_now(old, "monotonic") + (int64_t)(o->mono_ns - om_clock_mono_ns()));
	if (o->boot_ns)
		offset_line(line[1], sizeof(line[1]), CLOCK_BOOTTIME,
			    offset_now(old, "boottime") + (int64_t)(o->boot_ns - om_clock_boot_ns()));
	free(old);
	for (int i = 0; i < 2; i++) {
		r = line[i][0] ? om_file_poke("/proc/self/timens_offsets", line[i]) : 0;
		if (r < 0)
			return om_err_sys(err, r, "cannot set the job's clocks (%s)", line[i]);
	}
	fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return om_err_sys(err, -errno, "cannot enter the job's time namespace");
	return 0;
}

static int child_prepare(const struct space_child *c, struct om_err *err)
{
	struct pollfd p = { .fd = c->parent, .events = POLLIN };
	char byte;
	int r;

	if (c->opts->map_ids)
		r = om_err_sys(err, om_fd_read_all(c->go, &byte, 1), "job's init");
	else
		r = c->opts->user_ns ? own_ids_map(c, err) : 0;
	if (r < 0)
		return r;
	r = mounts_make(err);
	if (r < 0)
		return r;
	r = clocks_set(c->opts, err);
	if (r < 0)
		return r;
	/* last: changes of identity clear it; then look whether the parent ended before */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || poll(&p, 1, 0) != 0)
		return om_err_set(err, -ECHILD, "the keeper has ended");
	return 0;
}

static void child_main(struct space_child *c, int (*init_main)(void *), void *arg) __attribute__((noreturn));
static void child_main(struct space_child *c, int (*init_main)(void *), void *arg)
{
	struct om_err err = { 0 };

	if (child_prepare(c, &err) < 0) {
		(void)om_fd_write_all(c->said, &err, sizeof(err));	/* nobody left to tell when this fails */
		_exit(127);
	}
	om_fd_close(c->said);
	om_fd_close(c->go);
	om_fd_close(c->parent);
	_exit(init_main(arg));
}

/* Let the child go on, and wait until it is ready or says why not. */
static int child_lead(const struct ckpt_space_opts *opts, pid_t pid, int *go, int said, struct om_err *err)
{
	struct om_err theirs;
	int r;

	if (opts->map_ids) {
		r = opts->map_ids(opts->map_arg, pid);
		if (r < 0)
			return om_err_sys(err, r, "cannot map the user's ids");
		r = om_fd_write_all(*go, "", 1);
		if (r < 0 && r != -EPIPE)
			return om_err_sys(err, r, "job's init");
	}
	om_fd_close(om_fd_steal(go));
	r = om_fd_read_all(said, &theirs, sizeof(theirs));
	if (r == -ENODATA)
		return 0;
	if (r < 0)
		return om_err_sys(err, r, "job's init");
	theirs.text[sizeof(theirs.text) - 1] = 0;
	return om_err_set(err, theirs.code < 0 ? theirs.code : -EIO, "%s", theirs.text);
}

int ckpt_space_create(const struct ckpt_space_opts *opts, int (*init_main)(void *), void *arg,
		      struct ckpt_space *ret, struct om_err *err)
{
	int go[2] = { -1, -1 }, said[2] = { -1, -1 }, pidfd = -1, r = om_fault(OM_FI_REST_NAMESPACE);
	struct space_child c = { .opts = opts, .uid = geteuid(), .gid = getegid() };
	struct clone_args ca = {
		.flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_PIDFD | (opts->user_ns ? CLONE_NEWUSER : 0),
		.pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD,
	};
	pid_t pid;

	if (r < 0)
		return om_err_sys(err, r, "job's namespaces");
	c.parent = om_pidfd_open(getpid());
	if (c.parent < 0)
		return om_err_sys(err, c.parent, "pidfd_open");
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(said, O_CLOEXEC) < 0) {
		r = om_err_sys(err, -errno, "pipe");
		goto close_all;
	}
	c.go = go[0];
	c.said = said[1];
	pid = (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));
	if (pid == 0) {
		om_fd_close(go[1]);
		om_fd_close(said[0]);
		child_main(&c, init_main, arg);
	}
	if (pid < 0) {
		r = om_err_sys(err, -errno, "cannot make the job's namespaces%s",
			       errno == EPERM && opts->user_ns ? " (are user namespaces allowed to ordinary users?)" : "");
		goto close_all;
	}
	om_fd_close(om_fd_steal(&said[1]));
	r = child_lead(opts, pid, &go[1], said[0], err);
	if (r < 0) {
		(void)om_pidfd_signal(pidfd, SIGKILL);	/* it may have ended itself */
		(void)waitpid(pid, NULL, __WALL);
		om_fd_close(pidfd);
		goto close_all;
	}
	ret->init = pid;
	ret->init_pidfd = pidfd;
close_all:
	om_fd_close(go[0]);
	om_fd_close(go[1]);
	om_fd_close(said[0]);
	om_fd_close(said[1]);
	om_fd_close(c.parent);
	return r;
}
