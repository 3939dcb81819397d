/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/clocks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

static const char *offset_name(clockid_t clock)
{
	switch (clock) {
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
		return "monotonic";
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		return "boottime";
	default:
		return NULL;
	}
}

bool ckpt_clock_is_jobs(clockid_t clock)
{
	return offset_name(clock);
}

static int offset_parse(const char *text, const char *name, int64_t *ret)
{
	const char *line = strstr(text, name);
	long long sec, nsec;

	if (!line || sscanf(line + strlen(name), "%lld %lld", &sec, &nsec) != 2)
		return -EBADMSG;
	*ret = sec * 1000000000LL + nsec;
	return 0;
}

int ckpt_clock_read(pid_t pid, clockid_t clock, int64_t *ret_ns, struct om_err *err)
{
	const char *name = offset_name(clock);
	om_autofree char *theirs = NULL, *ours = NULL;
	char path[48];
	struct timespec ts;
	int64_t a = 0, b = 0;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/timens_offsets", pid);
	/* a kernel without time namespaces has no such file */
	if (name && om_file_read(path, 4096, &theirs, &n) == 0 && om_file_read("/proc/self/timens_offsets", 4096, &ours, &n) == 0 &&
	    (offset_parse(theirs, name, &a) < 0 || offset_parse(ours, name, &b) < 0))
		return om_err_set(err, -EBADMSG, "%s cannot be understood", path);
	if (clock_gettime(clock, &ts) < 0)
		return om_err_sys(err, -errno, "clock %d", clock);
	*ret_ns = ts.tv_sec * 1000000000LL + ts.tv_nsec + a - b;
	return 0;
}
