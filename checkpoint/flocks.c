/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/flocks.c - locks on files, and who gets a description's signals.
 *
 * fdinfo has a "lock:" line for each lock that was taken through this description (flock, OFD) or by this process through it (POSIX).
 * The first two belong to the description, the last to the process. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/fimpl.h"

enum { LOCKS_MAX = 1 << 16 };

struct lock_line {
	char type[16];
	int kind;		/* F_RDLCK, F_WRLCK */
	int64_t start, len;	/* 0: to the end */
};

static int line_parse(const char *line, struct lock_line *l)
{
	char kind[16], end[32];
	long long start, last;

	/* "1: POSIX  ADVISORY  WRITE 4711 fe:00:123 0 EOF" */
	if (sscanf(line, "%*d: %15s %*s %15s %*s %*s %lld %31s", l->type, kind, &start, end) != 4)
		return -EBADMSG;
	l->kind = strcmp(kind, "WRITE") ? F_RDLCK : F_WRLCK;
	l->start = start;
	l->len = 0;
	if (strcmp(end, "EOF")) {
		int64_t v;

		if (om_str_i64(end, &v) < 0)
			return -EBADMSG;
		last = v;
		l->len = last - start + 1;
	}
	return 0;
}

/* Once per lock: another descriptor of the same description shows it again. */
static int range_add(json_t *obj, const char *key, const struct lock_line *l, int fd)
{
	json_t *list = json_object_get(obj, key), *one;
	size_t i;

	if (!list) {
		list = json_array();
		if (fj_put(obj, key, list) < 0)
			return -ENOMEM;
	}
	one = json_pack("{sisisIsI}", "fd", fd, "type", l->kind == F_WRLCK, "start", (json_int_t)l->start, "len", (json_int_t)l->len);
	json_t *old;
	json_array_foreach(list, i, old) {
		if (json_integer_value(json_object_get(old, "start")) == l->start && json_integer_value(json_object_get(old, "len")) == l->len &&
		    (fd < 0 || json_integer_value(json_object_get(old, "fd")) == fd)) {
			json_decref(one);
			return 0;
		}
	}
	return fj_push(list, one);
}

int flocks_dump(struct ckpt_files *f, struct fdesc *d, const struct ckpt_files_proc *p, int fd, const char *info, struct om_err *err)
{
	for (const char *line = strstr(info, "\nlock:"); line; line = strstr(line + 1, "\nlock:")) {
		struct lock_line l;
		int r = line_parse(line + 6, &l);

		if (r < 0)
			return om_err_sys(err, r, "a lock line of /proc/%d/fdinfo/%d", p->pid, fd);
		if (!strcmp(l.type, "FLOCK"))
			r = fj_put_int(d->json, "flock", l.kind == F_WRLCK);
		else if (!strcmp(l.type, "OFDLCK"))
			r = range_add(d->json, "ofd", &l, -1);
		else if (!strcmp(l.type, "POSIX"))
			r = range_add(p->desc, "locks", &l, fd);
		else
			return files_refuse(f, d, "it has a lease or another lock that cannot be carried (%s)", l.type);
		if (r < 0)
			return om_err_sys(err, r, "locks");
	}
	return 0;
}

static int range_set(int fd, int cmd, const json_t *j, struct om_err *err)
{
	struct flock fl = { .l_whence = SEEK_SET };
	int64_t type, start, len;
	int r = fj_int(j, "type", 0, 1, &type, err);

	if (r == 0)
		r = fj_int(j, "start", 0, INT64_MAX, &start, err);
	if (r == 0)
		r = fj_int(j, "len", 0, INT64_MAX, &len, err);
	if (r < 0)
		return r;
	fl.l_type = type ? F_WRLCK : F_RDLCK;
	fl.l_start = start;
	fl.l_len = len;
	if (fcntl(fd, cmd, &fl) < 0)
		return om_err_sys(err, -errno, "cannot lock a file again (does another program hold it now?)");
	return 0;
}

int flocks_open(struct ckpt_opened *o, size_t i, struct om_err *err)
{
	const json_t *j = o->f[i].json, *list = NULL;
	int64_t how;
	int r = 0;

	if (json_object_get(j, "flock")) {
		r = fj_int(j, "flock", 0, 1, &how, err);
		if (r == 0 && flock(o->f[i].fd, (how ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0)
			r = om_err_sys(err, -errno, "cannot lock a file again (does another program hold it now?)");
	}
	if (r == 0 && json_object_get(j, "ofd"))
		r = fj_array(j, "ofd", LOCKS_MAX, &list, err);
	for (size_t k = 0; r == 0 && list && k < json_array_size(list); k++)
		r = range_set(o->f[i].fd, F_OFD_SETLK, json_array_get(list, k), err);
	return r;
}

int flocks_arrange(const json_t *proc, struct om_err *err)
{
	const json_t *list;
	int64_t fd;
	int r;

	if (!json_object_get(proc, "locks"))
		return 0;
	r = fj_array(proc, "locks", LOCKS_MAX, &list, err);
	for (size_t k = 0; r == 0 && k < json_array_size(list); k++) {
		r = fj_int(json_array_get(list, k), "fd", 0, INT_MAX, &fd, err);
		if (r == 0)
			r = range_set((int)fd, F_SETLK, json_array_get(list, k), err);
	}
	return r;
}

/* ---- F_SETOWN, F_SETSIG ---- */
int fowner_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	struct f_owner_ex own = { 0 };
	int sig = fcntl(d->dup, F_GETSIG);
	pid_t id;

	if (fcntl(d->dup, F_GETOWN_EX, &own) < 0)
		return om_err_sys(err, -errno, "owner of descriptor %d", d->fd);
	if (sig > 0 && fj_put_int(d->json, "sig", sig) < 0)
		return -ENOMEM;
	if (!own.pid)
		return 0;
	id = own.type == F_OWNER_PGRP ? files_vpgid(f, own.pid) : files_vpid(f, own.pid);
	if (!id)
		return files_refuse(f, d, "its signals go to a process, thread or group (%d) that is not a process of the job", own.pid);
	return fj_put(d->json, "owner", json_pack("{sisi}", "type", own.type, "pid", id));
}

int fowner_arrange(const json_t *file, int fd, struct om_err *err)
{
	const json_t *j;
	int64_t sig = 0, type, pid, flags;
	int r = fj_int_or(file, "sig", 0, 64, 0, &sig, err);

	if (r == 0)
		r = fj_int(file, "flags", 0, INT_MAX, &flags, err);
	if (r == 0 && json_object_get(file, "owner")) {
		r = fj_object(file, "owner", &j, err);
		if (r == 0)
			r = fj_int(j, "type", F_OWNER_TID, F_OWNER_PGRP, &type, err);
		if (r == 0)
			r = fj_int(j, "pid", 1, INT_MAX, &pid, err);
		if (r < 0)
			return r;
		struct f_owner_ex own = { .type = (int)type, .pid = (pid_t)pid };

		if (fcntl(fd, F_SETOWN_EX, &own) < 0)
			r = om_err_sys(err, -errno, "cannot name process %d as a descriptor's owner", own.pid);
	}
	if (r < 0)
		return r;
	if (sig && fcntl(fd, F_SETSIG, (int)sig) < 0)
		return om_err_sys(err, -errno, "a descriptor's signal");
	if ((flags & O_ASYNC) && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) < 0)
		return om_err_sys(err, -errno, "a descriptor's signal");
	return 0;
}
