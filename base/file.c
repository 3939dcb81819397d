/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"

int om_file_read_at(int dirfd, const char *path, size_t max, int nofollow, char **ret, size_t *ret_len)
{
	om_autofd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (nofollow ? O_NOFOLLOW : 0));
	om_autobuf b = { 0 };

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t r;
		int e = om_buf_reserve(&b, 4096);

		if (e < 0)
			return e;
		r = read(fd, b.data + b.len, b.room - b.len - 1);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		b.len += (size_t)r;
		b.data[b.len] = 0;
		if (b.len > max)
			return -EFBIG;
	}
	if (ret_len)
		*ret_len = b.len;
	*ret = om_buf_steal(&b);
	return *ret ? 0 : -ENOMEM;
}

int om_file_read(const char *path, size_t max, char **ret, size_t *ret_len)
{
	return om_file_read_at(AT_FDCWD, path, max, 0, ret, ret_len);
}

int om_file_poke(const char *path, const char *text)
{
	om_autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t r;

	if (fd < 0)
		return -errno;
	r = write(fd, text, strlen(text));
	if (r < 0)
		return -errno;
	return (size_t)r == strlen(text) ? 0 : -EIO;
}
