/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/files.c - capture: which descriptions the tree has, and who holds them.
 *
 * Two descriptors are the same description when kcmp(2) says so.  kcmp orders, so a tree keeps it at n log n; it is asked only
 * where inode, position and flags are equal.  One copy of each description is fetched by pidfd_getfd(2) and kept until the dump
 * of files ends: it is the job's own description, so nothing here may move its offset, change its flags or take from its queue. */
#include "checkpoint/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <search.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "checkpoint/fimpl.h"

enum { INFO_MAX = 4 << 20 };	/* fdinfo of an epoll set or inotify with tens of thousands of lines */

/* ---- saying no ---- */
static void why_process(struct ckpt_files *f, pid_t pid, pid_t vpid)
{
	char path[64];
	om_autofree char *comm = NULL;
	size_t n;

	f->why->pid = vpid;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (om_file_read(path, 256, &comm, &n) < 0)
		return;
	comm[strcspn(comm, "\n")] = 0;
	(void)om_str_copy(f->why->comm, sizeof(f->why->comm), comm);	/* cut is fine */
}

int files_refuse(struct ckpt_files *f, const struct fdesc *d, const char *fmt, ...)
{
	va_list ap;

	if (d->proc) {
		why_process(f, d->pid, d->proc->vpid);
		snprintf(f->why->object, sizeof(f->why->object), "descriptor %d (%.120s)", d->fd, d->link);
	} else {
		f->why->pid = 0;
		snprintf(f->why->object, sizeof(f->why->object), "a descriptor in a socket's queue (%.100s)", d->link);
	}
	va_start(ap, fmt);
	vsnprintf(f->why->reason, sizeof(f->why->reason), fmt, ap);
	va_end(ap);
	return -EOPNOTSUPP;
}

int files_refuse_proc(struct ckpt_files *f, const struct ckpt_files_proc *p, const char *object, const char *fmt, ...)
{
	va_list ap;

	why_process(f, p->pid, p->vpid);
	snprintf(f->why->object, sizeof(f->why->object), "%s", object);
	va_start(ap, fmt);
	vsnprintf(f->why->reason, sizeof(f->why->reason), fmt, ap);
	va_end(ap);
	return -EOPNOTSUPP;
}

/* ---- small readers ---- */
int finfo_get(const char *info, const char *key, int base, uint64_t *ret)
{
	size_t n = strlen(key);

	for (const char *p = info; p; p = strchr(p, '\n')) {
		char *end;
		uint64_t v;

		p += *p == '\n';
		if (strncmp(p, key, n) != 0 || p[n] != ':')
			continue;
		v = strtoull(p + n + 1, &end, base);
		if (end == p + n + 1)
			return -EBADMSG;
		*ret = v;
		return 0;
	}
	return -ENOENT;
}

static int link_read(const char *path, char **ret)
{
	char buf[PATH_MAX + 16];	/* + " (deleted)" */
	ssize_t n = readlink(path, buf, sizeof(buf) - 1);

	if (n < 0)
		return -errno;
	buf[n] = 0;
	*ret = strdup(buf);
	return *ret ? 0 : -ENOMEM;
}

int files_path_open(const struct ckpt_files *f, const char *path, int flags)
{
	int fd;

	if (path[0] != '/')
		return -EINVAL;
	while (path[0] == '/')
		path++;
	fd = openat(f->root, path[0] ? path : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);
	return fd < 0 ? -errno : fd;
}

bool files_path_is(const struct ckpt_files *f, const char *path, const struct stat *st)
{
	struct stat now;

	if (path[0] != '/')
		return false;
	while (path[0] == '/')
		path++;
	return fstatat(f->root, path[0] ? path : ".", &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

bool files_in_proc(struct ckpt_files *f, const struct fdesc *d)
{
	struct statfs fs;

	if (!f->fs_known || f->fs_dev != d->st.st_dev) {
		f->fs_known = fstatfs(d->dup, &fs) == 0;
		f->fs_dev = d->st.st_dev;
		f->fs_proc = f->fs_known && fs.f_type == PROC_SUPER_MAGIC;
	}
	return f->fs_proc;
}

pid_t files_vpid(const struct ckpt_files *f, pid_t pid)
{
	for (size_t i = 0; i < f->n_procs; i++)
		if (f->procs[i].pid == pid)
			return f->procs[i].vpid;
	return 0;
}

/* The last number of the list in /proc/PID/status: what the innermost namespace calls it. */
static pid_t status_last(pid_t pid, const char *key, pid_t *first)
{
	char path[64];
	om_autofree char *text = NULL;
	char *line, *save = NULL;
	size_t n;
	pid_t last = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (om_file_read(path, 65536, &text, &n) < 0)
		return 0;
	line = strstr(text, key);
	if (!line)
		return 0;
	line += strlen(key) + 1;
	line[strcspn(line, "\n")] = 0;
	*first = 0;
	for (char *w = strtok_r(line, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		int64_t v;

		if (om_str_i64(w, &v) < 0)
			return 0;
		if (!*first)
			*first = (pid_t)v;
		last = (pid_t)v;
	}
	return last;
}

pid_t files_vpgid(const struct ckpt_files *f, pid_t pgid)
{
	for (size_t i = 0; i < f->n_procs; i++) {
		pid_t ours, theirs = status_last(f->procs[i].pid, "\nNSpgid", &ours);

		if (theirs && ours == pgid)
			return theirs;
	}
	return 0;
}

/* ---- the tree of descriptions ---- */
static int order_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static struct ckpt_files *cmp_files;	/* tsearch() has no argument for its comparison */

static int desc_order(const void *va, const void *vb)
{
	const struct fdesc *a = va, *b = vb;
	int c = order_u64(a->st.st_ino, b->st.st_ino);
	long k;

	if (!c)
		c = order_u64(a->st.st_dev, b->st.st_dev);
	if (!c)
		c = order_u64((uint64_t)a->pos, (uint64_t)b->pos);
	if (!c)
		c = order_u64(a->flags, b->flags);
	if (c)
		return c;
	k = syscall(SYS_kcmp, cmp_files->self, cmp_files->self, KCMP_FILE, a->dup, b->dup);
	if (k < 0) {
		cmp_files->kcmp_err = -errno;
		return a < b ? -1 : 1;
	}
	return k == 0 ? 0 : k == 1 ? -1 : 1;
}

static void desc_destroy(struct fdesc *d)
{
	if (!d)
		return;
	om_fd_close(d->dup);
	free(d->link);
	free(d->info);
	free(d->priv);
	free(d);
}
OM_DEFINE_AUTOPTR(fdesc, desc_destroy);

/* Fetch descriptor @fd of @pid and read what identifies it.  @pidfd -1: it is our own. */
static int desc_read(pid_t pid, int pidfd, int fd, struct fdesc **ret, struct om_err *err)
{
	om_autoptr(fdesc) d = calloc(1, sizeof(*d));
	char path[64];
	uint64_t v;
	size_t n;
	int r;

	if (!d)
		return om_err_sys(err, -ENOMEM, "descriptor");
	d->dup = -1;
	d->pid = pid;
	d->fd = fd;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	r = om_file_read(path, INFO_MAX, &d->info, &n);
	if (r == 0)
		r = finfo_get(d->info, "pos", 10, &v);
	if (r < 0)
		return om_err_sys(err, r, "%s", path);
	d->pos = (int64_t)v;
	r = finfo_get(d->info, "flags", 8, &v);
	if (r < 0)
		return om_err_sys(err, r, "%s", path);
	d->flags = (unsigned)v;
	if (pidfd >= 0) {
		d->dup = om_pidfd_getfd(pidfd, fd);
		if (d->dup < 0)
			return om_err_sys(err, d->dup, "descriptor %d of process %d", fd, pid);
	}
	if (fstat(pidfd >= 0 ? d->dup : fd, &d->st) < 0)
		return om_err_sys(err, -errno, "descriptor %d of process %d", fd, pid);
	*ret = om_steal(d);
	return 0;
}

static int desc_add(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	json_t *j;

	if (f->n_descs == f->room_descs) {
		size_t room = f->room_descs ? 2 * f->room_descs : 64;
		void *p = reallocarray(f->descs, room, sizeof(*f->descs));

		if (!p)
			return om_err_sys(err, -ENOMEM, "descriptors");
		f->descs = p;
		f->room_descs = room;
	}
	if (f->n_descs >= FILES_OPEN_MAX)
		return om_err_set(err, -EMFILE, "the job has more than %d open files", FILES_OPEN_MAX);
	j = json_object();
	if (!j || fj_push(f->open, j) < 0)
		return om_err_sys(err, -ENOMEM, "descriptors");
	d->json = j;
	d->index = f->n_descs;
	f->descs[f->n_descs++] = d;
	return 0;
}

/* @d (taken over) is known already or becomes a new description. */
static int desc_place(struct ckpt_files *f, struct fdesc *d, struct fdesc **ret, struct om_err *err)
{
	struct fdesc **at;
	char path[64];
	int r;

	cmp_files = f;
	f->kcmp_err = 0;
	at = tsearch(d, &f->tree, desc_order);
	if (!at || f->kcmp_err) {
		r = at ? f->kcmp_err : -ENOMEM;
		if (at && *at == d)
			tdelete(d, &f->tree, desc_order);
		desc_destroy(d);
		return om_err_sys(err, r, "cannot compare descriptors (kcmp)");
	}
	if (*at != d) {
		*ret = *at;
		desc_destroy(d);
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", d->dup);
	r = link_read(path, &d->link);
	if (r == 0)
		r = desc_add(f, d, err);
	if (r < 0) {
		r = om_err_sys(err, r, "descriptor %d of process %d", d->fd, d->pid);
		tdelete(d, &f->tree, desc_order);
		desc_destroy(d);
		return r;
	}
	*ret = d;
	return 0;
}

int files_desc_of_fd(struct ckpt_files *f, int fd, size_t *ret_index, struct om_err *err)
{
	struct fdesc *d = NULL, *known = NULL;
	int r = desc_read(f->self, -1, fd, &d, err);

	if (r < 0) {
		om_fd_close(fd);
		return r;
	}
	d->dup = fd;
	d->flags &= ~(unsigned)O_CLOEXEC;
	r = desc_place(f, d, &known, err);
	if (r == 0)
		*ret_index = known->index;
	return r;
}

/* ---- which kind ---- */
static const struct fkind *kind_of_char(const struct stat *st)
{
	unsigned maj = major(st->st_rdev), min = minor(st->st_rdev);

	if (maj == 5 && min == 2)
		return &fkind_ptm;
	if (maj >= 136 && maj <= 143)	/* UNIX98_PTY_SLAVE_MAJOR, 8 of them */
		return &fkind_pts;
	return &fkind_dev;
}

static const struct fkind *kind_of_socket(int fd)
{
	int domain = -1;
	socklen_t n = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0)
		return NULL;
	switch (domain) {
	case AF_UNIX:
		return &fkind_unix;
	case AF_INET:
	case AF_INET6:
		return &fkind_inet;
	case AF_NETLINK:
		return &fkind_netlink;
	default:
		return NULL;
	}
}

static const struct fkind *kind_of_anon(const char *link)
{
	static const struct { const char *link; const struct fkind *kind; } table[] = {
		{ "anon_inode:[eventpoll]", &fkind_epoll }, { "anon_inode:[eventfd]", &fkind_eventfd },
		{ "anon_inode:[timerfd]", &fkind_timerfd }, { "anon_inode:[signalfd]", &fkind_signalfd },
		{ "anon_inode:inotify", &fkind_inotify }, { "anon_inode:[pidfd]", &fkind_pidfd }, { "pidfd:[", &fkind_pidfd },
	};

	for (size_t i = 0; i < OM_ARRAY_SIZE(table); i++)
		if (om_str_starts(link, table[i].link))
			return table[i].kind;
	return NULL;
}

static const struct fkind *kind_of(const struct fdesc *d)
{
	if (d->link[0] != '/' && !S_ISFIFO(d->st.st_mode) && !S_ISSOCK(d->st.st_mode))
		return kind_of_anon(d->link);
	if (d->flags & O_PATH)
		return &fkind_path;
	if (S_ISREG(d->st.st_mode))
		return om_str_starts(d->link, "/memfd:") && d->st.st_nlink == 0 && fcntl(d->dup, F_GET_SEALS) >= 0 ? &fkind_memfd : &fkind_reg;
	if (S_ISDIR(d->st.st_mode))
		return &fkind_dir;
	if (S_ISCHR(d->st.st_mode))
		return kind_of_char(&d->st);
	if (S_ISFIFO(d->st.st_mode))
		return &fkind_pipe;
	return S_ISSOCK(d->st.st_mode) ? kind_of_socket(d->dup) : NULL;
}

static int family_refuse(struct ckpt_files *f, const struct fdesc *d)
{
	static const struct { int family; const char *name; } known[] = {
		{ AF_PACKET, "packet" }, { AF_VSOCK, "vsock" }, { AF_ALG, "kernel cryptography" }, { AF_BLUETOOTH, "Bluetooth" }, { AF_CAN, "CAN" },
		{ AF_XDP, "XDP" }, { AF_TIPC, "TIPC" }, { AF_RDS, "RDS" }, { AF_SMC, "SMC" },
	};
	int domain = -1;
	socklen_t n = sizeof(domain);
	const char *name = "an unknown";

	if (getsockopt(d->dup, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0)
		for (size_t i = 0; i < OM_ARRAY_SIZE(known); i++)
			if (known[i].family == domain)
				name = known[i].name;
	return files_refuse(f, d, "a socket of the %s family (%d) cannot be carried", name, domain);
}

static int desc_dump(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	int r;

	d->kind = kind_of(d);
	if (!d->kind && S_ISSOCK(d->st.st_mode))
		return family_refuse(f, d);
	if (!d->kind)
		return files_refuse(f, d, "this kind of descriptor cannot be carried");
	r = fj_put(d->json, "kind", json_string(d->kind->name));
	if (r == 0)
		r = fj_put_int(d->json, "flags", d->flags);
	if (r == 0)
		r = d->kind->dump(f, d, err);
	if (r == 0 && !(d->flags & O_PATH))
		r = fowner_dump(f, d, err);
	return r == -ENOMEM ? om_err_sys(err, r, "descriptors") : r;
}

/* ---- one process ---- */
static int proc_fd_add(struct ckpt_files *f, const struct ckpt_files_proc *p, int fd, json_t *fds, struct om_err *err)
{
	struct fdesc *d = NULL, *known = NULL;
	om_autofree char *info = NULL;
	bool cloexec;
	int r = desc_read(p->pid, p->pidfd, fd, &d, err);

	if (r < 0)
		return r;
	cloexec = d->flags & O_CLOEXEC;
	d->flags &= ~(unsigned)O_CLOEXEC;
	d->proc = p;
	info = strstr(d->info, "\nlock:") ? strdup(d->info) : NULL;
	r = desc_place(f, d, &known, err);
	if (r < 0)
		return r;
	if (info)
		r = flocks_dump(f, known, p, fd, info, err);
	if (r == 0)
		r = fj_push(fds, json_pack("{sisIsb}", "fd", fd, "file", (json_int_t)known->index, "cloexec", cloexec));
	return r;
}

static int proc_fds(struct ckpt_files *f, const struct ckpt_files_proc *p, struct om_err *err)
{
	char path[64];
	json_t *fds = json_array();
	struct dirent *e;
	DIR *dir;
	int r = fds ? fj_put(p->desc, "fds", fds) : -ENOMEM;

	snprintf(path, sizeof(path), "/proc/%d/fd", p->pid);
	dir = r == 0 ? opendir(path) : NULL;
	if (!dir)
		return om_err_sys(err, r < 0 ? r : -errno, "%s", path);
	errno = 0;
	while (r == 0 && (e = readdir(dir))) {
		uint64_t fd;

		if (om_str_u64(e->d_name, &fd) < 0 || fd > INT_MAX)
			continue;
		r = proc_fd_add(f, p, (int)fd, fds, err);
		/* while only looking the process runs: what it has just closed is no matter */
		if (r < 0 && !f->o.sink && (r == -ENOENT || r == -EBADF))
			r = 0;
	}
	closedir(dir);
	return r;
}

/* A path that /proc/PID/cwd or root names; it must still lead there. */
static int proc_dir(struct ckpt_files *f, const struct ckpt_files_proc *p, const char *what, struct om_err *err)
{
	char path[64];
	om_autofree char *dir = NULL;
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", p->pid, what);
	r = link_read(path, &dir);
	if (r == 0 && stat(path, &st) < 0)
		r = -errno;
	if (r < 0)
		return om_err_sys(err, r, "%s", path);
	if (!files_path_is(f, dir, &st))
		return files_refuse_proc(f, p, dir, "its %s is a folder that was removed or cannot be reached", strcmp(what, "cwd") ? "root" : "working directory");
	r = fj_put_path(p->desc, what, dir);
	return r < 0 ? om_err_sys(err, r, "%s", path) : 0;
}

static int proc_umask(const struct ckpt_files_proc *p, struct om_err *err)
{
	char path[64];
	om_autofree char *text = NULL;
	uint64_t mask;
	size_t n;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", p->pid);
	r = om_file_read(path, 65536, &text, &n);
	if (r == 0)
		r = finfo_get(text, "Umask", 8, &mask);
	if (r == 0)
		r = fj_put_int(p->desc, "umask", (int64_t)(mask & 0777));
	return r < 0 ? om_err_sys(err, r, "%s", path) : 0;
}

/* All threads of @p have one table of descriptors and one folder. */
static int proc_threads(struct ckpt_files *f, const struct ckpt_files_proc *p, struct om_err *err)
{
	char path[64];
	struct dirent *e;
	DIR *dir;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", p->pid);
	dir = opendir(path);
	if (!dir)
		return om_err_sys(err, -errno, "%s", path);
	while (r == 0 && (e = readdir(dir))) {
		uint64_t tid;

		if (om_str_u64(e->d_name, &tid) < 0 || (pid_t)tid == p->pid)
			continue;
		if (syscall(SYS_kcmp, p->pid, (pid_t)tid, KCMP_FILES, 0, 0) > 0)
			r = files_refuse_proc(f, p, "a thread", "it has a table of descriptors of its own (unshare(CLONE_FILES))");
		else if (syscall(SYS_kcmp, p->pid, (pid_t)tid, KCMP_FS, 0, 0) > 0)
			r = files_refuse_proc(f, p, "a thread", "it has a working directory of its own (unshare(CLONE_FS))");
	}
	closedir(dir);
	return r;
}

static int table_order(const void *va, const void *vb)
{
	const struct ckpt_files_proc *a = va, *b = vb;
	long k = syscall(SYS_kcmp, a->pid, b->pid, KCMP_FILES, 0, 0);

	return k == 0 ? 0 : k == 1 ? -1 : 1;
}

static void node_keep(void *node)
{
	(void)node;	/* the tree only borrowed it */
}

/* No two processes share a table (clone(CLONE_FILES) without CLONE_THREAD). */
static int tables_check(struct ckpt_files *f, struct om_err *err)
{
	void *tree = NULL;
	int r = 0;

	for (size_t i = 0; i < f->n_procs && r == 0; i++) {
		const struct ckpt_files_proc *p = &f->procs[i];
		const struct ckpt_files_proc **at = tsearch(p, &tree, table_order);

		if (!at)
			r = om_err_sys(err, -ENOMEM, "descriptors");
		else if (*at != p)
			r = files_refuse_proc(f, p, "table of descriptors", "it is shared with process %d (clone(CLONE_FILES))", (*at)->vpid);
	}
	tdestroy(tree, node_keep);
	return r;
}

static int proc_dump(struct ckpt_files *f, const struct ckpt_files_proc *p, struct om_err *err)
{
	int r = proc_threads(f, p, err);

	if (r == 0)
		r = proc_fds(f, p, err);
	if (r == 0)
		r = proc_dir(f, p, "cwd", err);
	if (r == 0)
		r = proc_dir(f, p, "root", err);
	if (r == 0)
		r = proc_umask(p, err);
	return r;
}

/* ---- all ---- */
static void limit_raise(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);	/* then it is EMFILE, by name */
	}
}

int ckpt_files_create(const struct ckpt_files_opts *opts, struct ckpt_files **ret, struct om_err *err)
{
	struct ckpt_files *f = calloc(1, sizeof(*f));
	char path[64] = "/";

	if (!f)
		return om_err_sys(err, -ENOMEM, "descriptors");
	f->o = *opts;
	f->self = getpid();
	if (opts->init)
		snprintf(path, sizeof(path), "/proc/%d/root", opts->init);
	f->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (f->root < 0) {
		int r = om_err_sys(err, -errno, "%s", path);

		free(f);
		return r;
	}
	f->open = json_array();
	f->written = json_array();
	f->result = json_object();
	if (!f->open || !f->written || !f->result || json_object_set(f->result, "open", f->open) < 0 ||
	    json_object_set(f->result, "written", f->written) < 0) {
		ckpt_files_destroy(f);
		return om_err_sys(err, -ENOMEM, "descriptors");
	}
	*ret = f;
	return 0;
}

static void descs_drop(struct ckpt_files *f)
{
	tdestroy(f->tree, node_keep);
	f->tree = NULL;
	for (size_t i = 0; i < f->n_descs; i++)
		desc_destroy(f->descs[i]);
	free(f->descs);
	f->descs = NULL;
	f->n_descs = f->room_descs = 0;
	for (size_t i = 0; i < f->n_writ; i++) {
		free(f->writ[i].path);
		om_fd_close(f->writ[i].fd);
	}
	free(f->writ);
	f->writ = NULL;
	f->n_writ = f->room_writ = 0;
}

void ckpt_files_destroy(struct ckpt_files *f)
{
	if (!f)
		return;
	descs_drop(f);
	for (size_t i = 0; i < f->n_late; i++) {
		om_fd_close(f->late[i].fd);
		json_decref(f->late[i].target);
	}
	free(f->late);
	om_fd_close(f->root);
	json_decref(f->open);
	json_decref(f->written);
	json_decref(f->result);
	free(f);
}

static int dump_all(struct ckpt_files *f, struct om_err *err)
{
	int r = om_fault(OM_FI_DUMP_FILES);

	if (r < 0)
		return om_err_sys(err, r, "descriptors");
	limit_raise();
	r = tables_check(f, err);
	for (size_t i = 0; i < f->n_procs && r == 0; i++)
		r = proc_dump(f, &f->procs[i], err);
	/* the list grows while queues are read */
	for (size_t i = 0; i < f->n_descs && r == 0; i++)
		r = desc_dump(f, f->descs[i], err);
	for (size_t i = 0; i < f->n_descs && r == 0; i++)
		if (f->descs[i]->kind->check && !f->unseen)
			r = f->descs[i]->kind->check(f, f->descs[i], err);
	for (size_t i = 0; i < f->n_procs && r == 0; i++)
		r = f->unseen ? 0 : fpty_dump_proc(f, &f->procs[i], err);
	return r == 0 ? fwritten_dump(f, err) : r;
}

int ckpt_files_dump(struct ckpt_files *f, const struct ckpt_files_proc *procs, size_t n, json_t **ret_files,
		    struct ckpt_why *why, struct om_err *err)
{
	struct ckpt_why unused;
	int r;

	f->procs = procs;
	f->n_procs = n;
	f->why = why ? why : &unused;
	memset(f->why, 0, sizeof(*f->why));
	r = dump_all(f, err);
	/* our copies would keep pipes and sockets open beyond what the job closes next */
	descs_drop(f);
	if (r == -EOPNOTSUPP && f->why->reason[0])
		om_err_set(err, r, "process %d (%s): %s: %s", f->why->pid, f->why->comm, f->why->object, f->why->reason);
	if (r == -ENOMEM)
		om_err_sys(err, r, "descriptors");
	if (r < 0)
		return r;
	*ret_files = json_incref(f->result);
	return 0;
}
