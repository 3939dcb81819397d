/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

static const char *field(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *l = text; l; l = strchr(l, '\n')) {
		l += *l == '\n';
		if (strncmp(l, name, n) == 0 && l[n] == ':')
			return l + n + 1;
	}
	return "";
}

static uint64_t number(const char *text, const char *name, int base)
{
	return strtoull(field(text, name), NULL, base);
}

/* NSpid and the like: the last number of the line is the innermost namespace's. */
static pid_t innermost(const char *text, const char *name, unsigned *levels)
{
	const char *p = field(text, name);
	unsigned n = 0;
	long v = 0;
	char *e;

	while (*p && *p != '\n') {
		long x = strtol(p, &e, 10);

		if (e == p)
			break;
		v = x;
		n++;
		for (p = e; *p == ' ' || *p == '\t'; p++)
			;
	}
	if (levels)
		*levels = n;
	return (pid_t)v;
}

int ckpt_status_read(pid_t tid, struct ckpt_status *ret)
{
	om_autofree char *t = NULL;
	char path[40];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	r = om_file_read(path, 65536, &t, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	*ret = (struct ckpt_status){
		.ppid = (pid_t)number(t, "PPid", 10), .tracer = (pid_t)number(t, "TracerPid", 10),
		.seccomp = (unsigned)number(t, "Seccomp", 10), .seccomp_filters = (unsigned)number(t, "Seccomp_filters", 10),
		.no_new_privs = (unsigned)number(t, "NoNewPrivs", 10), .umask = (unsigned)number(t, "Umask", 8),
		.cap_inh = number(t, "CapInh", 16), .cap_prm = number(t, "CapPrm", 16), .cap_eff = number(t, "CapEff", 16),
		.cap_bnd = number(t, "CapBnd", 16), .cap_amb = number(t, "CapAmb", 16),
		.sig_pnd = number(t, "SigPnd", 16), .shd_pnd = number(t, "ShdPnd", 16), .sig_blk = number(t, "SigBlk", 16),
		.locked_kb = number(t, "VmLck", 10),
	};
	(void)sscanf(field(t, "Name"), "\t%31[^\n]", ret->comm);	/* an empty name stays empty */
	(void)sscanf(field(t, "State"), " %c", &ret->state);
	(void)sscanf(field(t, "Uid"), "%u %u %u %u", &ret->uid[0], &ret->uid[1], &ret->uid[2], &ret->uid[3]);
	(void)sscanf(field(t, "Gid"), "%u %u %u %u", &ret->gid[0], &ret->gid[1], &ret->gid[2], &ret->gid[3]);
	ret->vpid = innermost(t, "NSpid", &ret->levels);
	ret->vpgid = innermost(t, "NSpgid", NULL);
	ret->vsid = innermost(t, "NSsid", NULL);
	return ret->state ? 0 : -ESRCH;
}

int ckpt_stat_read(pid_t pid, uint64_t ret[CKPT_STAT_FIELDS])
{
	om_autofree char *t = NULL;
	char path[40], *p;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = om_file_read(path, 65536, &t, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	memset(ret, 0, CKPT_STAT_FIELDS * sizeof(*ret));
	p = strrchr(t, ')');
	if (!p || strlen(p) < 5)
		return -EBADMSG;
	p += 4;					/* ") S ": field 4 follows */
	for (int i = 4; i < CKPT_STAT_FIELDS && *p; i++)
		ret[i] = strtoull(p, &p, 10);
	return 0;
}

uint64_t ckpt_anon_pages(pid_t pid)
{
	om_autofree char *t = NULL;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return om_file_read(path, 65536, &t, NULL) < 0 ? 0 : (number(t, "RssAnon", 10) + number(t, "VmSwap", 10)) / 4;
}

static int add(pid_t **list, unsigned *n, unsigned *room, long v)
{
	if (*n == *room) {
		unsigned more = *room ? *room * 2 : 16;
		pid_t *p = reallocarray(*list, more, sizeof(**list));

		if (!p)
			return -ENOMEM;
		*list = p;
		*room = more;
	}
	(*list)[(*n)++] = (pid_t)v;
	return 0;
}

int ckpt_children_read(pid_t pid, pid_t tid, pid_t **ret, unsigned *ret_n)
{
	om_autofree char *t = NULL;
	pid_t *list = NULL;
	unsigned n = 0, room = 0;
	char path[64], *p, *e;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
	r = om_file_read(path, 16 << 20, &t, NULL);
	for (p = t; r == 0 && *p; p = e) {
		long v = strtol(p, &e, 10);

		if (e == p)
			break;
		r = add(&list, &n, &room, v);
		while (*e == ' ')
			e++;
	}
	if (r < 0) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int ckpt_tasks_read(pid_t pid, pid_t **ret, unsigned *ret_n)
{
	pid_t *list = NULL;
	unsigned n = 0, room = 0;
	struct dirent *d;
	char path[40];
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (r == 0 && (d = readdir(dir)))
		if (d->d_name[0] >= '0' && d->d_name[0] <= '9')
			r = add(&list, &n, &room, strtol(d->d_name, NULL, 10));
	closedir(dir);
	if (r < 0) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int ckpt_link_read(pid_t pid, const char *what, char **ret)
{
	char path[64], buf[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	n = readlink(path, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	if ((size_t)n == sizeof(buf))
		return -ENAMETOOLONG;
	*ret = strndup(buf, (size_t)n);
	return *ret ? 0 : -ENOMEM;
}
