/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omd/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "omd/omd.h"

enum { LOG_MAX = 16 << 20 };		/* a private omd's log begins anew above this, when omd starts */

/* ---- folders ---- */

static int make_parents(const char *path, struct om_err *err)
{
	char p[PATH_MAX];

	snprintf(p, sizeof(p), "%s", path);
	for (char *s = p + 1; (s = strchr(s, '/')); s++) {
		*s = 0;
		if (mkdir(p, 0755) < 0 && errno != EEXIST)
			return om_err_sys(err, -errno, "make folder %s", p);
		*s = '/';
	}
	return 0;
}

static int open_folder(int at, const char *path, mode_t mode, int *ret, struct om_err *err)
{
	struct stat st;
	int made = mkdirat(at, path, mode) == 0, fd;

	if (!made && errno != EEXIST)
		return om_err_sys(err, -errno, "make folder %s", path);
	fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return om_err_sys(err, -errno, "open folder %s", path);
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		close(fd);
		return om_err_set(err, -EPERM, "folder %s belongs to another user; give another one with --spool", path);
	}
	if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0) {	/* umask, or made by somebody by hand */
		int r = -errno;

		close(fd);
		return om_err_sys(err, r, "set the mode of folder %s", path);
	}
	*ret = fd;
	return 0;
}

static int lock(struct omd *omd, struct om_err *err)
{
	char who[32] = "";
	om_autofd int fd = openat(omd->spool_fd, "omd.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t n;

	if (fd < 0)
		return om_err_sys(err, -errno, "open %s/omd.lock", omd->spool);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int r = errno == EWOULDBLOCK ? -EBUSY : -errno;

		if (r != -EBUSY)
			return om_err_sys(err, r, "lock %s/omd.lock", omd->spool);
		n = pread(fd, who, sizeof(who) - 1, 0);
		who[n > 0 ? strcspn(who, "\n") : 0] = 0;
		return om_err_set(err, r, "another omd (process %s) already serves %s", who[0] ? who : "?", omd->spool);
	}
	snprintf(who, sizeof(who), "%d\n", (int)getpid());
	/* only for the text above: a full disk must not keep omd from starting */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, who, strlen(who), 0) < 0)
		om_log_debug("omd.lock: %s", strerror(errno));
	omd->lock_fd = om_fd_steal(&fd);
	return 0;
}

int omd_setup_spool(struct omd *omd, struct om_err *err)
{
	int r = make_parents(omd->spool, err);

	/* system mode: the jobs' users pass through to their own folders, and see no names */
	if (r >= 0)
		r = open_folder(AT_FDCWD, omd->spool, omd->system ? 0711 : 0700, &omd->spool_fd, err);
	if (r >= 0)
		r = lock(omd, err);
	if (r >= 0)
		r = open_folder(omd->spool_fd, "jobs", omd->system ? 0711 : 0700, &omd->jobs_fd, err);
	return r;
}

/* ---- socket ---- */

static int bind_socket(struct omd *omd, struct om_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	om_autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t old;
	int r;

	if (fd < 0)
		return om_err_sys(err, -errno, "socket");
	if (strlen(omd->socket) >= sizeof(sa.sun_path))
		return om_err_set(err, -ENAMETOOLONG, "the socket's name %s has more than %zu bytes; give a shorter one with --socket or a "
				  "shorter OM_HOME", omd->socket, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, omd->socket, strlen(omd->socket) + 1);
	r = make_parents(omd->socket, err);
	if (r < 0)
		return r;
	/* we hold omd.lock, so a socket of this name is a dead one */
	if (unlink(omd->socket) < 0 && errno != ENOENT)
		return om_err_sys(err, -errno, "remove the old socket %s", omd->socket);
	old = umask(omd->system ? 0111 : 0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	if (r < 0)
		return om_err_sys(err, r, "bind %s", omd->socket);
	if (listen(fd, 512) < 0)
		return om_err_sys(err, -errno, "listen on %s", omd->socket);
	omd->listen_fd = om_fd_steal(&fd);
	omd->socket_made = true;
	return 0;
}

int omd_setup_socket(struct omd *omd, struct om_err *err)
{
	int n = sd_listen_fds(1);

	if (n > 1)
		return om_err_set(err, -EINVAL, "systemd gave %d sockets; omd takes one", n);
	if (n == 1) {
		if (sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0)
			return om_err_set(err, -EINVAL, "the socket from systemd is no listening unix stream socket");
		om_fd_set_nonblock(SD_LISTEN_FDS_START, 1);
		omd->listen_fd = SD_LISTEN_FDS_START;
		return 0;
	}
	return bind_socket(omd, err);
}

void omd_setup_limits(struct omd *omd)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	omd->nofile = rl;		/* what a job gets */
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		om_log_warning("limit of open files stays at %llu: %s", (unsigned long long)omd->nofile.rlim_cur, strerror(errno));
}

void omd_setup_close(struct omd *omd)
{
	if (omd->socket_made)
		unlink(omd->socket);
	om_fd_close(omd->listen_fd);
	om_fd_close(omd->jobs_fd);
	om_fd_close(omd->spool_fd);
	om_fd_close(omd->lock_fd);	/* last: it says that we are gone */
}

/* ---- background ---- */

static void __attribute__((noreturn)) parent(int report)
{
	char text[1024];
	size_t n = 0;
	ssize_t r;

	while ((r = read(report, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = 0;
	if (n == 0) {
		fprintf(stderr, "omd: the daemon ended while it was starting; see omd.log in its spool\n");
		_exit(OMD_EXIT_FAILED);
	}
	if (n > 1)
		fprintf(stderr, "omd: %s\n", text + 1);
	_exit(text[0]);
}

int omd_daemonize(int *ret_report)
{
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		close(p[1]);
		parent(p[0]);
	}
	setsid();
	if (chdir("/") < 0)
		return -errno;
	/* whatever the caller had open (his pipes!) must not stay open because of us */
	if (p[1] > 3)
		close_range(3, (unsigned int)p[1] - 1, 0);
	close_range((unsigned int)p[1] + 1, ~0U, 0);
	*ret_report = p[1];
	return 0;
}

void omd_daemonize_report(int report, int code, const char *text)
{
	char c = (char)code;

	if (report < 0)
		return;
	/* the parent may have been killed: then nobody waits for this */
	if (write(report, &c, 1) == 1 && text && write(report, text, strlen(text)) < 0)
		om_log_debug("report: %s", strerror(errno));
	close(report);
}

int omd_setup_log(struct omd *omd, struct om_err *err)
{
	om_autofd int log = openat(omd->spool_fd, "omd.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	om_autofd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct stat st;

	if (log < 0 || null < 0)
		return om_err_sys(err, -errno, "open %s/omd.log", omd->spool);
	if (fstat(log, &st) == 0 && st.st_size > LOG_MAX && ftruncate(log, 0) < 0)
		return om_err_sys(err, -errno, "empty %s/omd.log", omd->spool);
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log, 2) < 0)
		return om_err_sys(err, -errno, "redirect to omd.log");
	return 0;
}
