/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

struct tmp_name {
	char s[SPOOL_FILE_NAME_MAX + sizeof(SPOOL_FILE_TMP)];
};

static int tmp_name(const char *name, struct tmp_name *ret, struct om_err *err)
{
	size_t n = strlen(name);

	if (n == 0 || n > SPOOL_FILE_NAME_MAX || strchr(name, '/') || name[0] == '.')
		return om_err_set(err, -EINVAL, "'%.40s' is not a name for a file of the spool", name);
	snprintf(ret->s, sizeof(ret->s), "%s%s", name, SPOOL_FILE_TMP);
	return 0;
}

int spool_file_sync(int fd, const char *name, struct om_err *err)
{
	/* no retry, not even after a failure that looks temporary: what the kernel could not write once it has marked clean */
	if (fsync(fd) < 0)
		return om_err_sys(err, -errno, "sync %s", name);
	return 0;
}

int spool_file_sync_dir(int dirfd, struct om_err *err)
{
	return spool_file_sync(dirfd, "folder", err);
}

int spool_file_remove(int dirfd, const char *name, struct om_err *err)
{
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return om_err_sys(err, -errno, "remove %s", name);
	return 0;
}

int spool_file_tmp_create(int dirfd, const char *name, int *ret_fd, struct om_err *err)
{
	struct tmp_name t;
	int fd, r = tmp_name(name, &t, err);

	if (r < 0)
		return r;
	/* A leftover is removed, not opened: it could be a link, or another name of a file that is in use. */
	r = spool_file_remove(dirfd, t.s, err);
	if (r < 0)
		return r;
	fd = openat(dirfd, t.s, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return om_err_sys(err, -errno, "create %s", t.s);
	*ret_fd = fd;
	return 0;
}

void spool_file_tmp_remove(int dirfd, const char *name)
{
	struct tmp_name t;

	if (tmp_name(name, &t, NULL) == 0)
		(void)unlinkat(dirfd, t.s, 0);	/* a leftover does no harm: the next writer removes it */
}

int spool_file_tmp_commit(int dirfd, const char *name, int fd, struct om_err *err)
{
	struct tmp_name t;
	int r = tmp_name(name, &t, err);

	if (r < 0)
		return r;
	r = spool_file_sync(fd, t.s, err);
	if (r < 0)
		goto err_unlink;
	if (renameat(dirfd, t.s, dirfd, name) < 0) {
		r = om_err_sys(err, -errno, "rename %s to %s", t.s, name);
		goto err_unlink;
	}
	return spool_file_sync_dir(dirfd, err);

err_unlink:
	spool_file_tmp_remove(dirfd, name);
	return r;
}

int spool_file_write_durable(int dirfd, const char *name, const void *data, size_t len, struct om_err *err)
{
	om_autofd int fd = -1;
	int r = spool_file_tmp_create(dirfd, name, &fd, err);

	if (r < 0)
		return r;
	r = om_fd_write_all(fd, data, len);
	if (r < 0) {
		spool_file_tmp_remove(dirfd, name);
		return om_err_sys(err, r, "write %s" SPOOL_FILE_TMP, name);
	}
	return spool_file_tmp_commit(dirfd, name, fd, err);
}
