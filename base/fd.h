/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/fd.h - file descriptors.  Promise: whole transfers or an error; every descriptor made here is CLOEXEC. */
#ifndef OM_BASE_FD_H
#define OM_BASE_FD_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

static inline void om_fd_cleanup(int *fd);
#define om_autofd __attribute__((cleanup(om_fd_cleanup)))

/* Close @fd if it is one (>= 0); errno kept. */
void om_fd_close(int fd);
/* The descriptor, and the variable is -1 from now on. */
static inline int om_fd_steal(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}
static inline void om_fd_cleanup(int *fd)
{
	om_fd_close(*fd);
}

/* Read or write all @n bytes (EINTR is retried).  0, -errno; a read that meets the end: -ENODATA. */
int om_fd_read_all(int fd, void *buf, size_t n);
int om_fd_write_all(int fd, const void *buf, size_t n);
int om_fd_pread_all(int fd, void *buf, size_t n, off_t off);
int om_fd_pwrite_all(int fd, const void *buf, size_t n, off_t off);

int om_fd_set_cloexec(int fd, int on);
int om_fd_set_nonblock(int fd, int on);
/* Send/receive one message of a unix socket with up to @nfds descriptors.  send: 0 or -errno.
 * recv: bytes received (0 = end), descriptors CLOEXEC in @fds and their number in @nfds (in: room, out: number). */
int om_fd_send(int sock, const void *buf, size_t n, const int *fds, int nfds);
ssize_t om_fd_recv(int sock, void *buf, size_t n, int *fds, int *nfds);
#endif
