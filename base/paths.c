/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/paths.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int put(char *dst, size_t n, const char *a, const char *b)
{
	int r = snprintf(dst, n, "%s%s", a, b);

	return r < 0 || (size_t)r >= n ? -ENAMETOOLONG : 0;
}

int om_path_user_spool(char *dst, size_t n)
{
	const char *h = getenv("OM_HOME");
	struct passwd *pw;

	if (h && h[0] == '/')
		return put(dst, n, h, "");
	h = getenv("XDG_STATE_HOME");
	if (h && h[0] == '/')
		return put(dst, n, h, "/openmosix");
	h = getenv("HOME");
	if (!h || h[0] != '/') {
		pw = getpwuid(getuid());
		h = pw ? pw->pw_dir : NULL;
	}
	if (!h || h[0] != '/')
		return -ENOENT;
	return put(dst, n, h, "/.local/state/openmosix");
}

int om_path_user_socket(char *dst, size_t n)
{
	char spool[PATH_MAX];
	int r = om_path_user_spool(spool, sizeof(spool));

	return r < 0 ? r : put(dst, n, spool, "/omd.sock");
}

const char *om_path_system_spool(void)
{
	return OM_LOCALSTATEDIR "/lib/openmosix";
}

const char *om_path_system_socket(void)
{
	return OM_RUNSTATEDIR "/openmosix/omd.sock";
}

int om_path_program(char *dst, size_t n, const char *name)
{
	const char *dir = getenv("OM_LIBEXEC");
	char self[PATH_MAX], *slash;
	ssize_t r;

	/* a set-user-id caller could choose our programs otherwise; none of ours is one, this is for a future mistake */
	if (dir && dir[0] == '/' && getuid() == geteuid()) {
		int e = snprintf(dst, n, "%s/%s", dir, name);

		return e < 0 || (size_t)e >= n ? -ENAMETOOLONG : 0;
	}
	r = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (r > 0) {
		self[r] = 0;
		slash = strrchr(self, '/');
		if (slash) {
			int e;

			*slash = 0;
			e = snprintf(dst, n, "%s/%s", self, name);
			if (e > 0 && (size_t)e < n && access(dst, X_OK) == 0)
				return 0;
		}
	}
	if (snprintf(dst, n, "%s/%s", OM_LIBEXECDIR, name) >= (int)n)
		return -ENAMETOOLONG;
	return access(dst, X_OK) == 0 ? 0 : -ENOENT;
}
