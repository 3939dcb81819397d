/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls are answered in batches: all that wait are looked at, their records written with one sync, then all go on.
 *
 * What need not be noted: a change of what this epoch itself has made (omjob/places.h).  So a loop of `echo >tmp; mv tmp out` notes its first round
 * only.  A file that was there before and is renamed keeps its record of the renaming, and folders always do, since records below them name paths.
 *
 * A thread of the job may change the path in memory between our look and the kernel's: then the job races with itself; nothing here decides about
 * rights, the kernel looks at the call as if we were not there. */
#include "omjob/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "omjob/resolve.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

enum { BATCH = 32, NOTIF_MAX = 256 /* the kernel's structure may grow */ };

union notif {
	struct seccomp_notif n;
	char room[NOTIF_MAX];
};

struct call {
	pid_t pid;
	const uint64_t *arg;
};

/* ---- records ---- */

/* What is on a file system of memory is lost together with the power: nothing to be ordered. */
static bool survives(const struct omj_place *p)
{
	enum { TMPFS = 0x01021994, RAMFS = 0x858458f6 };
	struct statfs fs;

	return fstatfs(p->parent, &fs) < 0 || ((uint32_t)fs.f_type != TMPFS && (uint32_t)fs.f_type != (uint32_t)RAMFS);
}

static int add(struct omj_watch *w, const struct omj_place *p, struct omj_rec *rec)
{
	rec->path = p->path;
	rec->id = p->id;
	if (p->exists) {
		rec->mode = p->st.stx_mode;
		rec->uid = p->st.stx_uid;
		rec->gid = p->st.stx_gid;
		rec->size = p->st.stx_size;
		rec->mtime_ns = p->st.stx_mtime.tv_sec * 1000000000 + p->st.stx_mtime.tv_nsec;
	}
	return omj_journal_add(&w->journal, rec, survives(p));
}

static int add_cannot(struct omj_watch *w, const struct omj_place *p, const char *why)
{
	struct omj_rec rec = { .type = OMJ_REC_CANNOT, .path2 = why };

	om_log_notice("file=%s cannot be brought back to the last checkpoint: %s", p->path, why);
	return add(w, p, &rec);
}

static int note_create(struct omj_watch *w, const struct omj_place *p)
{
	struct omj_rec rec = { .type = OMJ_REC_CREATE };
	int r;

	if (omj_places_is_new(&w->places, p->path))
		return 0;
	r = add(w, p, &rec);
	if (r == 0)
		omj_places_new(&w->places, p->path);
	return r;
}

static int too_large(struct omj_watch *w, const struct omj_place *p)
{
	char why[128], size[16];

	snprintf(why, sizeof(why), "it has %s, too much to be copied before it is written", om_str_human_size(size, sizeof(size), p->st.stx_size));
	return add_cannot(w, p, why);
}

static int open_for_reading(const struct omj_place *p)
{
	char link[48];
	om_autofd int fd = openat(p->parent, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	r = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return r < 0 ? -errno : r;
}

/* A regular file is about to be written.  @grows: only at its end. */
static int note_write(struct omj_watch *w, const struct omj_place *p, bool grows)
{
	struct omj_rec rec = { .type = OMJ_REC_MODIFY };
	enum omj_kept kept = omj_places_kept(&w->places, &p->id);
	om_autofd int fd = -1;
	int r;

	if (p->gone || !S_ISREG(p->st.stx_mode) || kept == OMJ_KEPT_ALL || (kept == OMJ_KEPT_GROWS && grows))
		return 0;
	if (omj_places_is_new(&w->places, p->path) || faccessat(p->parent, p->name, W_OK, AT_EACCESS) < 0)
		return 0;
	if (!grows && p->st.stx_size) {
		fd = open_for_reading(p);
		r = fd < 0 ? fd : omj_save_copy(&w->journal, fd, p->st.stx_size, &rec.save);
		if (r == -EFBIG || r == -ENOSPC)
			r = too_large(w, p);
		else if (r < 0)
			r = add_cannot(w, p, "its content could not be saved");
		else
			rec.how = OMJ_HOW_COPY;
		if (rec.how != OMJ_HOW_COPY) {
			if (r == 0)
				omj_places_keep(&w->places, &p->id, OMJ_KEPT_ALL);	/* said once */
			return r;
		}
	}
	r = add(w, p, &rec);
	if (r == 0)
		omj_places_keep(&w->places, &p->id, grows && p->st.stx_size ? OMJ_KEPT_GROWS : OMJ_KEPT_ALL);
	return r;
}

/* A symbolic link that cannot get a second name: its text is its content. */
static int save_target(const struct omj_place *p, struct omj_rec *rec, char *text, size_t n)
{
	ssize_t k = readlinkat(p->parent, p->name, text, n - 1);

	if (k < 0)
		return -errno;
	text[k] = 0;
	rec->how = OMJ_HOW_TARGET;
	rec->path2 = text;
	return 0;
}

/* What is there is about to go: it gets a name with us, or is copied (another file system). */
static int note_remove(struct omj_watch *w, const struct omj_place *p)
{
	struct omj_rec rec = { .type = OMJ_REC_REMOVE };
	char target[PATH_MAX];
	om_autofd int fd = -1;
	int r;

	if (omj_places_is_new(&w->places, p->path))
		return 0;
	if (S_ISDIR(p->st.stx_mode))
		return add(w, p, &rec);
	if (faccessat(p->parent, ".", W_OK, AT_EACCESS) < 0)
		return 0;	/* the call will fail */
	r = omj_save_link(&w->journal, p->path, &p->id, &rec.save);
	if (r == 0) {
		rec.how = OMJ_HOW_LINK;
	} else if (S_ISLNK(p->st.stx_mode)) {
		r = save_target(p, &rec, target, sizeof(target));
	} else if (S_ISREG(p->st.stx_mode)) {
		fd = open_for_reading(p);
		r = fd < 0 ? fd : omj_save_copy(&w->journal, fd, p->st.stx_size, &rec.save);
		rec.how = OMJ_HOW_COPY;
	} else {
		r = 0;		/* fifo, socket: the mode is all of it */
	}
	if (r == -EFBIG || r == -ENOSPC)
		return too_large(w, p);
	return r < 0 ? add_cannot(w, p, "it could not be saved before its removal") : add(w, p, &rec);
}

static int note_meta(struct omj_watch *w, const struct omj_place *p)
{
	struct omj_rec rec = { .type = OMJ_REC_META };

	if (p->gone || !p->exists || omj_places_is_new(&w->places, p->path))
		return 0;
	return add(w, p, &rec);
}

/* ---- renaming ---- */

static int note_rename_new(struct omj_watch *w, const struct omj_place *to)
{
	int r = 0;

	if (omj_places_is_new(&w->places, to->path))
		return 0;
	if (to->exists) {
		r = note_remove(w, to);
		if (r == 0) {	/* it is as if nothing had been there */
			struct omj_rec rec = { .type = OMJ_REC_CREATE };

			r = add(w, to, &rec);
			if (r == 0)
				omj_places_new(&w->places, to->path);
		}
		return r;
	}
	return note_create(w, to);
}

static int note_rename_old(struct omj_watch *w, const struct omj_place *from, const struct omj_place *to)
{
	struct omj_rec rec = { .type = OMJ_REC_RENAME, .path2 = to->path };
	bool new_from = omj_places_is_new(&w->places, from->path), dir = S_ISDIR(from->st.stx_mode);
	int r = to->exists ? note_remove(w, to) : 0;

	r = r ? r : add(w, from, &rec);
	if (r < 0)
		return r;
	omj_places_old(&w->places, to->path);
	if (dir) {
		omj_places_old(&w->places, from->path);
		omj_places_move(&w->places, from->path, to->path);
		if (new_from)
			omj_places_new(&w->places, to->path);
	}
	return 0;
}

static int note_exchange(struct omj_watch *w, const struct omj_place *from, const struct omj_place *to)
{
	struct omj_rec rec = { .type = OMJ_REC_EXCHANGE, .path2 = to->path };
	int r = to->exists ? add(w, from, &rec) : 0;

	if (r == 0 && to->exists)
		omj_places_clear(&w->places);	/* rare: everything is noted anew */
	return r;
}

/* ---- arguments ---- */

/* A string of the process: page by page, since what follows its end may not be mapped. */
static int text_read(pid_t pid, uint64_t addr, char *dst, size_t n)
{
	size_t got = 0;

	while (got < n) {
		size_t piece = 4096 - (size_t)((addr + got) & 4095);
		struct iovec to, from = { (void *)(uintptr_t)(addr + got), 0 };
		ssize_t r;

		if (piece > n - got)
			piece = n - got;
		to = (struct iovec){ dst + got, piece };
		from.iov_len = piece;
		r = process_vm_readv(pid, &to, 1, &from, 1, 0);
		if (r <= 0)
			return r < 0 ? -errno : -EFAULT;
		if (memchr(dst + got, 0, (size_t)r))
			return 0;
		got += (size_t)r;
	}
	return -ENAMETOOLONG;
}

static int place_get(const struct call *c, int dirfd, uint64_t addr, bool follow, struct omj_place *ret)
{
	char path[PATH_MAX];
	int r;

	ret->parent = -1;
	r = text_read(c->pid, addr, path, sizeof(path));
	if (r < 0)
		return r == -EPERM || r == -ESRCH ? r : 1;	/* the call will fail as well */
	if (strcmp(path, "/dev/null") == 0)
		return 1;
	return omj_resolve(c->pid, dirfd, path, follow, ret);
}

#define om_autoplace __attribute__((cleanup(omj_place_done))) struct omj_place

static int on_open_at(struct omj_watch *w, const struct call *c, int dirfd, uint64_t path, uint64_t flags)
{
	bool creat = flags & O_CREAT, excl = creat && (flags & O_EXCL);
	bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
	om_autoplace p;
	int r;

	p.parent = -1;
	if (flags & (O_PATH | (O_TMPFILE & ~O_DIRECTORY)) || (!creat && !writes))
		return 0;
	r = place_get(c, dirfd, path, !(flags & O_NOFOLLOW) && !excl, &p);
	if (r)
		return r;
	if (!p.exists)
		return creat ? note_create(w, &p) : 0;
	if (excl || !writes)
		return 0;
	return note_write(w, &p, (flags & O_APPEND) && !(flags & O_TRUNC));
}

static int on_open(struct omj_watch *w, const struct call *c)
{
	return on_open_at(w, c, AT_FDCWD, c->arg[0], c->arg[1]);
}

static int on_creat(struct omj_watch *w, const struct call *c)
{
	return on_open_at(w, c, AT_FDCWD, c->arg[0], O_CREAT | O_WRONLY | O_TRUNC);
}

static int on_openat(struct omj_watch *w, const struct call *c)
{
	return on_open_at(w, c, (int)c->arg[0], c->arg[1], c->arg[2]);
}

static int on_openat2(struct omj_watch *w, const struct call *c)
{
	struct open_how how = { 0 };
	struct iovec to = { &how, sizeof(how) }, from = { (void *)(uintptr_t)c->arg[2], sizeof(how) };

	if (c->arg[3] < sizeof(how) || process_vm_readv(c->pid, &to, 1, &from, 1, 0) != sizeof(how))
		return 0;
	return on_open_at(w, c, (int)c->arg[0], c->arg[1], how.flags);
}

static int on_make_at(struct omj_watch *w, const struct call *c, int dirfd, uint64_t path)
{
	om_autoplace p;
	int r = place_get(c, dirfd, path, false, &p);

	return r ? r : p.exists ? 0 : note_create(w, &p);
}

static int on_make(struct omj_watch *w, const struct call *c)
{
	return on_make_at(w, c, AT_FDCWD, c->arg[0]);
}

static int on_makeat(struct omj_watch *w, const struct call *c)
{
	return on_make_at(w, c, (int)c->arg[0], c->arg[1]);
}

static int on_symlink(struct omj_watch *w, const struct call *c)
{
	return on_make_at(w, c, AT_FDCWD, c->arg[1]);
}

static int on_symlinkat(struct omj_watch *w, const struct call *c)
{
	return on_make_at(w, c, (int)c->arg[1], c->arg[2]);
}

static int on_bind(struct omj_watch *w, const struct call *c)
{
	struct sockaddr_un sa = { 0 };
	size_t n = c->arg[2] < sizeof(sa) ? c->arg[2] : sizeof(sa);
	struct iovec to = { &sa, n }, from = { (void *)(uintptr_t)c->arg[1], n };

	if (process_vm_readv(c->pid, &to, 1, &from, 1, 0) != (ssize_t)n || sa.sun_family != AF_UNIX ||
	    n <= offsetof(struct sockaddr_un, sun_path) || !sa.sun_path[0])
		return 0;
	return on_make_at(w, c, AT_FDCWD, c->arg[1] + offsetof(struct sockaddr_un, sun_path));
}

static int on_remove_at(struct omj_watch *w, const struct call *c, int dirfd, uint64_t path, bool dir)
{
	om_autoplace p;
	int r = place_get(c, dirfd, path, false, &p);

	if (r || !p.exists || dir != S_ISDIR(p.st.stx_mode))
		return r;
	return note_remove(w, &p);
}

static int on_unlink(struct omj_watch *w, const struct call *c)
{
	return on_remove_at(w, c, AT_FDCWD, c->arg[0], false);
}

static int on_rmdir(struct omj_watch *w, const struct call *c)
{
	return on_remove_at(w, c, AT_FDCWD, c->arg[0], true);
}

static int on_unlinkat(struct omj_watch *w, const struct call *c)
{
	return on_remove_at(w, c, (int)c->arg[0], c->arg[1], c->arg[2] & AT_REMOVEDIR);
}

static int on_rename_at(struct omj_watch *w, const struct call *c, int d1, uint64_t p1, int d2, uint64_t p2, unsigned flags)
{
	om_autoplace from, to;
	int r;

	to.parent = -1;
	r = place_get(c, d1, p1, false, &from);
	r = r ? r : place_get(c, d2, p2, false, &to);
	if (r || !from.exists || strcmp(from.path, to.path) == 0 || ((flags & RENAME_NOREPLACE) && to.exists))
		return r;
	if (to.exists && memcmp(&from.id, &to.id, sizeof(to.id)) == 0)
		return 0;	/* two names of one file: the call does nothing */
	if (flags & RENAME_EXCHANGE)
		return note_exchange(w, &from, &to);
	if (!S_ISDIR(from.st.stx_mode) && omj_places_is_new(&w->places, from.path))
		return note_rename_new(w, &to);
	return note_rename_old(w, &from, &to);
}

static int on_rename(struct omj_watch *w, const struct call *c)
{
	return on_rename_at(w, c, AT_FDCWD, c->arg[0], AT_FDCWD, c->arg[1], 0);
}

static int on_renameat(struct omj_watch *w, const struct call *c)
{
	return on_rename_at(w, c, (int)c->arg[0], c->arg[1], (int)c->arg[2], c->arg[3], 0);
}

static int on_renameat2(struct omj_watch *w, const struct call *c)
{
	return on_rename_at(w, c, (int)c->arg[0], c->arg[1], (int)c->arg[2], c->arg[3], (unsigned)c->arg[4]);
}

static int on_link_at(struct omj_watch *w, const struct call *c, int d1, uint64_t p1, int d2, uint64_t p2, unsigned flags)
{
	om_autoplace from, to;
	bool made_now;
	int r;

	to.parent = from.parent = -1;
	r = place_get(c, d2, p2, false, &to);
	if (r || to.exists)
		return r;
	if (flags & AT_EMPTY_PATH)
		r = omj_resolve_fd(c->pid, d1, &from);
	else
		r = place_get(c, d1, p1, flags & AT_SYMLINK_FOLLOW, &from);
	if (r < 0)
		return r;
	made_now = r == 0 && (from.gone || omj_places_is_new(&w->places, from.path));
	if (made_now)
		return note_create(w, &to);
	/* a second name of a file that was there before: its changes count */
	omj_places_old(&w->places, to.path);
	return add(w, &to, &(struct omj_rec){ .type = OMJ_REC_CREATE, .how = OMJ_HOW_LINK });
}

static int on_link(struct omj_watch *w, const struct call *c)
{
	return on_link_at(w, c, AT_FDCWD, c->arg[0], AT_FDCWD, c->arg[1], 0);
}

static int on_linkat(struct omj_watch *w, const struct call *c)
{
	return on_link_at(w, c, (int)c->arg[0], c->arg[1], (int)c->arg[2], c->arg[3], (unsigned)c->arg[4]);
}

static int on_truncate(struct omj_watch *w, const struct call *c)
{
	om_autoplace p;
	int r = place_get(c, AT_FDCWD, c->arg[0], true, &p);

	return r || !p.exists ? r : note_write(w, &p, c->arg[1] >= p.st.stx_size);
}

static int on_ftruncate(struct omj_watch *w, const struct call *c)
{
	om_autoplace p;
	int r = omj_resolve_fd(c->pid, (int)c->arg[0], &p);

	return r ? r : note_write(w, &p, c->arg[1] >= p.st.stx_size);
}

/* F_SETFL without O_APPEND: a file that was only appended to may be written anywhere from now on. */
static int on_fcntl(struct omj_watch *w, const struct call *c)
{
	om_autofree char *text = NULL;
	unsigned flags = 0;
	om_autoplace p;
	char path[64];
	FILE *f;
	int r;

	p.parent = -1;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)c->pid, (int)c->arg[0]);
	f = fopen(path, "re");
	if (!f)
		return 0;
	r = fscanf(f, "pos:%*d flags: %o", &flags);
	fclose(f);
	if (r != 1 || !(flags & O_APPEND) || (flags & O_ACCMODE) == O_RDONLY)
		return 0;
	r = omj_resolve_fd(c->pid, (int)c->arg[0], &p);
	return r ? r : note_write(w, &p, false);
}

static int on_meta_at(struct omj_watch *w, const struct call *c, int dirfd, uint64_t path, bool follow)
{
	om_autoplace p;
	int r = place_get(c, dirfd, path, follow, &p);

	return r ? r : note_meta(w, &p);
}

static int on_meta(struct omj_watch *w, const struct call *c)
{
	return on_meta_at(w, c, AT_FDCWD, c->arg[0], true);
}

static int on_lchown(struct omj_watch *w, const struct call *c)
{
	return on_meta_at(w, c, AT_FDCWD, c->arg[0], false);
}

static int on_fmeta(struct omj_watch *w, const struct call *c)
{
	om_autoplace p;
	int r = omj_resolve_fd(c->pid, (int)c->arg[0], &p);

	return r ? r : note_meta(w, &p);
}

static int on_fchmodat(struct omj_watch *w, const struct call *c)
{
	return on_meta_at(w, c, (int)c->arg[0], c->arg[1], true);
}

static int on_fchownat(struct omj_watch *w, const struct call *c)
{
	unsigned flags = (unsigned)c->arg[4];

	if (flags & AT_EMPTY_PATH)
		return on_fmeta(w, c);
	return on_meta_at(w, c, (int)c->arg[0], c->arg[1], !(flags & AT_SYMLINK_NOFOLLOW));
}

static const struct {
	int nr;
	int (*on)(struct omj_watch *w, const struct call *c);
} calls[] = {
	{ SYS_openat, on_openat }, { SYS_open, on_open }, { SYS_openat2, on_openat2 }, { SYS_creat, on_creat },
	{ SYS_unlink, on_unlink }, { SYS_unlinkat, on_unlinkat }, { SYS_rmdir, on_rmdir },
	{ SYS_rename, on_rename }, { SYS_renameat, on_renameat }, { SYS_renameat2, on_renameat2 },
	{ SYS_mkdir, on_make }, { SYS_mkdirat, on_makeat }, { SYS_mknod, on_make }, { SYS_mknodat, on_makeat },
	{ SYS_link, on_link }, { SYS_linkat, on_linkat }, { SYS_symlink, on_symlink }, { SYS_symlinkat, on_symlinkat },
	{ SYS_truncate, on_truncate }, { SYS_ftruncate, on_ftruncate }, { SYS_fcntl, on_fcntl }, { SYS_bind, on_bind },
	{ SYS_chmod, on_meta }, { SYS_fchmod, on_fmeta }, { SYS_fchmodat, on_fchmodat }, { SYS_fchmodat2, on_fchmodat },
	{ SYS_chown, on_meta }, { SYS_lchown, on_lchown }, { SYS_fchown, on_fmeta }, { SYS_fchownat, on_fchownat },
};

/* ---- the listener ---- */

void omj_watch_init(struct omj_watch *w, int jobdir, uint32_t epoch)
{
	*w = (struct omj_watch){ .listener = -1 };
	omj_journal_init(&w->journal, jobdir, epoch);
}

void omj_watch_done(struct omj_watch *w)
{
	om_fd_close(om_fd_steal(&w->listener));
	omj_places_clear(&w->places);
	omj_journal_done(&w->journal);
}

void omj_watch_cut(struct omj_watch *w, uint32_t epoch)
{
	omj_places_clear(&w->places);
	omj_journal_cut(&w->journal, epoch);
}

/* The call is let go on although nobody knows what it changes: then this epoch cannot be gone back over. */
static int unseen(struct omj_watch *w, pid_t pid, int code)
{
	char path[64], why[128];
	struct omj_rec rec = { .type = OMJ_REC_CANNOT, .path = path, .path2 = why };

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	snprintf(why, sizeof(why), "a change of a file could not be looked at: %s", strerror(-code));
	om_log_warning("pid=%d %s", (int)pid, why);
	return omj_journal_add(&w->journal, &rec, true);
}

static int look(struct omj_watch *w, const struct seccomp_notif *n)
{
	const struct call c = { .pid = (pid_t)n->pid, .arg = (const uint64_t *)(const void *)n->data.args };
	int r;

	for (size_t i = 0; i < OM_ARRAY_SIZE(calls); i++) {
		if (calls[i].nr != n->data.nr)
			continue;
		r = calls[i].on(w, &c);
		if (r == -ESRCH || r == -ENOENT)
			return 0;	/* killed meanwhile */
		return r < 0 ? unseen(w, c.pid, r) : 0;
	}
	return 0;
}

static int ready(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r = poll(&p, 1, ms);

	if (r > 0 && !(p.revents & POLLIN))
		return -ENODATA;
	return r;
}

/* @code 0: the call goes on */
static void answer(struct omj_watch *w, uint64_t id, int code)
{
	struct seccomp_notif_resp resp = { .id = id, .error = code, .flags = code ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	(void)ioctl(w->listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);	/* ENOENT: that thread was killed */
}

int omj_watch_serve(struct omj_watch *w)
{
	uint64_t ids[BATCH];
	int codes[BATCH];
	size_t n = 0;
	int r = 0;

	while (n < BATCH && (r = ready(w->listener, 0)) > 0) {
		union notif u;

		memset(&u, 0, sizeof(u));
		if (ioctl(w->listener, SECCOMP_IOCTL_NOTIF_RECV, &u) < 0)
			continue;	/* its thread was killed just now */
		ids[n] = u.n.id;
		codes[n++] = w->on ? look(w, &u.n) : 0;
	}
	if (n) {
		int code = omj_journal_flush(&w->journal);

		if (code < 0)
			om_log_err("undo journal: %s; the job's change is refused", strerror(-code));
		for (size_t i = 0; i < n; i++)
			answer(w, ids[i], code ? code : codes[i]);
		return 0;
	}
	return r < 0 ? r : 0;
}
