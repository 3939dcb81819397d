/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/cwd, root and fd/N are taken as beginnings of paths: so the kernel walks in that process's mounts.  Only the last component is
 * followed here by hand, because it may not exist yet.  The names below /proc/self mean us there, hence a rewriting before. */
#include "omjob/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

enum { LINKS_MAX = 40 };	/* the kernel's own limit */

void omj_place_done(struct omj_place *p)
{
	om_fd_close(om_fd_steal(&p->parent));
}

static void place_stat(struct omj_place *p)
{
	p->exists = true;
	p->id.dev = makedev(p->st.stx_dev_major, p->st.stx_dev_minor);
	p->id.ino = p->st.stx_ino;
	p->id.btime_ns = p->st.stx_mask & STATX_BTIME ? p->st.stx_btime.tv_sec * 1000000000 + p->st.stx_btime.tv_nsec : 0;
}

static int fd_path(int fd, char *dst, size_t n)
{
	char link[48];
	ssize_t r;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	r = readlink(link, dst, n - 1);
	if (r < 0)
		return -errno;
	dst[r] = 0;
	return (size_t)r == n - 1 ? -ENAMETOOLONG : 0;
}

static bool ignored(const char *path)
{
	static const char *const tops[] = { "/proc", "/dev", "/sys" };

	for (size_t i = 0; i < OM_ARRAY_SIZE(tops); i++) {
		size_t n = strlen(tops[i]);

		if (strncmp(path, tops[i], n) == 0 && (path[n] == '/' || !path[n]))
			return true;
	}
	return path[0] != '/';
}

/* @path with its beginning made one of ours, in @dst. */
static int begin(pid_t pid, int dirfd, const char *path, char *dst, size_t n)
{
	static const struct {
		const char *is, *fd;
	} self[] = {
		{ "/proc/self/", "" }, { "/proc/thread-self/", "" }, { "/dev/fd/", "fd/" },
		{ "/dev/stdin", "fd/0" }, { "/dev/stdout", "fd/1" }, { "/dev/stderr", "fd/2" },
	};
	int e;

	for (size_t i = 0; path[0] == '/' && i < OM_ARRAY_SIZE(self); i++)
		if (om_str_starts(path, self[i].is)) {
			e = snprintf(dst, n, "/proc/%d/%s%s", (int)pid, self[i].fd, path + strlen(self[i].is));
			return e < 0 || (size_t)e >= n ? -ENAMETOOLONG : 0;
		}
	if (path[0] == '/')
		e = snprintf(dst, n, "/proc/%d/root%s", (int)pid, path);
	else if (dirfd == AT_FDCWD)
		e = snprintf(dst, n, "/proc/%d/cwd/%s", (int)pid, path);
	else
		e = snprintf(dst, n, "/proc/%d/fd/%d/%s", (int)pid, dirfd, path);
	return e < 0 || (size_t)e >= n ? -ENAMETOOLONG : 0;
}

/* An existing file that is open somewhere: its path if it still has the one it was opened by. */
static int place_of_fd(int fd, struct omj_place *p)
{
	struct statx there;
	int r = fd_path(fd, p->path, sizeof(p->path));
	char *slash;

	if (r < 0 || p->path[0] != '/' || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &p->st) < 0)
		return r < 0 ? r : 1;
	place_stat(p);
	if (statx(AT_FDCWD, p->path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &there) < 0 || there.stx_ino != p->st.stx_ino ||
	    there.stx_dev_major != p->st.stx_dev_major || there.stx_dev_minor != p->st.stx_dev_minor) {
		p->gone = true;
		return 0;
	}
	if (ignored(p->path))
		return 1;
	slash = strrchr(p->path, '/');
	p->name = slash + 1;
	*slash = 0;
	p->parent = open(p->path[0] ? p->path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	return p->parent < 0 ? -errno : 0;
}

int omj_resolve_fd(pid_t pid, int fd, struct omj_place *ret)
{
	char link[64];
	om_autofd int ours = -1;

	*ret = (struct omj_place){ .parent = -1 };
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, fd);
	ours = open(link, O_PATH | O_CLOEXEC);
	return ours < 0 ? 1 : place_of_fd(ours, ret);
}

/* Split @full at its last component and open the folder.  1: no such folder. */
static int parent_open(char *full, struct omj_place *p)
{
	size_t n = strlen(full);
	char *slash, dir[PATH_MAX];
	int r;

	while (n > 1 && full[n - 1] == '/')
		full[--n] = 0;
	slash = strrchr(full, '/');
	*slash = 0;
	r = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);	/* may begin with the descriptor that is closed next */
	omj_place_done(p);
	p->parent = r;
	*slash = '/';
	if (p->parent < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 1;
	r = fd_path(p->parent, dir, sizeof(dir));
	if (r < 0)
		return r;
	r = snprintf(p->path, sizeof(p->path), "%s/%s", strcmp(dir, "/") ? dir : "", slash + 1);
	p->name = p->path + strlen(p->path) - strlen(slash + 1);
	return r < 0 || (size_t)r >= sizeof(p->path) ? 1 : 0;
}

/* One step: the place of @full, and when it is a symbolic link to follow, where it leads (in @full): 2. */
static int step(pid_t pid, char *full, size_t n, bool follow, struct omj_place *p)
{
	char target[PATH_MAX];
	ssize_t k;
	int r = parent_open(full, p), e;

	if (r)
		return r;
	if (!p->name[0] || strcmp(p->name, ".") == 0 || strcmp(p->name, "..") == 0)
		return 1;	/* a folder that is there: nothing can be made or removed by that name */
	if (statx(p->parent, p->name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &p->st) < 0) {
		p->exists = false;
		return errno == ENOENT ? (ignored(p->path) ? 1 : 0) : 1;
	}
	place_stat(p);
	if (!follow || !S_ISLNK(p->st.stx_mode))
		return ignored(p->path) ? 1 : 0;
	if (om_str_starts(p->path, "/proc/")) {	/* a magic link: what is behind it, not what it reads as */
		om_autofd int fd = openat(p->parent, p->name, O_PATH | O_CLOEXEC);

		omj_place_done(p);
		return fd < 0 ? 1 : place_of_fd(fd, p);
	}
	k = readlinkat(p->parent, p->name, target, sizeof(target) - 1);
	if (k < 0)
		return -errno;
	target[k] = 0;
	if (target[0] == '/')
		r = begin(pid, AT_FDCWD, target, full, n);
	else {
		e = snprintf(full, n, "/proc/self/fd/%d/%s", p->parent, target);
		r = e < 0 || (size_t)e >= n ? -ENAMETOOLONG : 0;
	}
	return r < 0 ? 1 : 2;
}

int omj_resolve(pid_t pid, int dirfd, const char *path, bool follow, struct omj_place *ret)
{
	char full[PATH_MAX + 64];
	int r;

	*ret = (struct omj_place){ .parent = -1 };
	if (!path[0] || begin(pid, dirfd, path, full, sizeof(full)) < 0)
		return 1;
	for (int i = 0; i < LINKS_MAX; i++) {
		r = step(pid, full, sizeof(full), follow, ret);
		if (r != 2)
			return r;
	}
	return 1;
}
