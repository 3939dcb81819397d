/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/proc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int om_pidfd_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

int om_pidfd_signal(int pidfd, int sig)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

static int poll_in(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r;

	do {
		r = poll(&p, 1, ms);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int om_pidfd_ended(int pidfd)
{
	return poll_in(pidfd, 0) > 0;
}

int om_pidfd_getfd(int pidfd, int fd)
{
	int r = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return r < 0 ? -errno : r;
}

int om_pidfd_wait(int pidfd, int ms, int *status)
{
	siginfo_t si = { 0 };
	int r = poll_in(pidfd, ms);

	if (r < 0)
		return r;
	if (r == 0)
		return -ETIMEDOUT;
	do {
		r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, WEXITED | __WALL);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (status)
		*status = si.si_code == CLD_EXITED ? (si.si_status & 0xff) << 8 :
			  si.si_status | (si.si_code == CLD_DUMPED ? 0x80 : 0);
	return 0;
}
