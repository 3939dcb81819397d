/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Newest epoch first, newest record first.  A record is cut off its log after its undoing is on the disk; the one that was in work when we were
 * killed is done again, so each looks at what is there first: the change may never have happened (the call failed, or the job was killed
 * before it), or be undone already. */
#include "omjob/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "omjob/journal.h"
#include "spool/file.h"

struct undo {
	int dir;
	const struct omj_log *log;
	struct om_err *err;
	char *dirty;		/* folder that is to be synced before the log may forget */
};

enum { BATCH = 256 };		/* records of one sync: only what may be undone twice in any order, see log_apply() */

/* ---- helpers ---- */

static int id_get(const char *path, struct omj_file_id *id, mode_t *mode)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return -errno;
	id->dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	id->ino = st.stx_ino;
	id->btime_ns = st.stx_mask & STATX_BTIME ? st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec : 0;
	*mode = st.stx_mode;
	return 0;
}

static bool is_same(const char *path, const struct omj_file_id *id)
{
	struct omj_file_id now;
	mode_t mode;

	return id_get(path, &now, &mode) == 0 && memcmp(&now, id, sizeof(now)) == 0;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static int dirty_sync(struct undo *u)
{
	om_autofree char *dir = om_steal(u->dirty);
	om_autofd int fd = -1;

	if (!dir)
		return 0;
	fd = open(dir[0] ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == EACCES ? 0 : om_err_sys(u->err, -errno, "%s", dir);
	return spool_file_sync_dir(fd, u->err);
}

/* The folder @path is in has changed. */
static int touched(struct undo *u, const char *path)
{
	size_t n = (size_t)(strrchr(path, '/') - path);
	int r;

	if (u->dirty && strlen(u->dirty) == n && strncmp(u->dirty, path, n) == 0)
		return 0;
	r = dirty_sync(u);
	if (r < 0)
		return r;
	u->dirty = strndup(path, n);
	return u->dirty ? 0 : om_err_set(u->err, -ENOMEM, "undo: no memory");
}

static int fail(const struct undo *u, int code, const char *path)
{
	return om_err_sys(u->err, code, "cannot bring '%s' back", path);
}

static void times_put(int fd, const struct omj_rec *rec)
{
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT },
				  { .tv_sec = rec->mtime_ns / 1000000000, .tv_nsec = rec->mtime_ns % 1000000000 } };

	(void)futimens(fd, ts);	/* a file of another's that we may write: its time is not ours to set */
}

static int copy_back(const struct undo *u, const struct omj_rec *rec, int to)
{
	char save[32];
	om_autofd int from = -1;
	loff_t in = 0, out = 0;

	omj_save_name(save, sizeof(save), u->log->epoch, rec->save);
	from = openat(u->dir, save, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return om_err_sys(u->err, -errno, "cannot bring '%s' back: undo/%s", rec->path, save);
	for (;;) {
		ssize_t n = copy_file_range(from, &in, to, &out, 1 << 30, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(u, -errno, rec->path);
		if (n == 0)
			return 0;
	}
}

static void save_drop(const struct undo *u, const struct omj_rec *rec)
{
	char save[32];

	if (!rec->save)
		return;
	omj_save_name(save, sizeof(save), u->log->epoch, rec->save);
	(void)unlinkat(u->dir, save, 0);	/* what is left goes with the epoch */
}

/* ---- one function per kind of record ---- */

static int undo_create(struct undo *u, const struct omj_rec *rec)
{
	if (unlink(rec->path) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		if (errno != EISDIR && errno != EPERM)
			return fail(u, -errno, rec->path);
		if (rmdir(rec->path) < 0) {
			if (errno != ENOTEMPTY && errno != EEXIST)
				return fail(u, -errno, rec->path);
			om_log_warning("file=%s stays: there is something in it that this job has not made", rec->path);
			return 0;
		}
	}
	return touched(u, rec->path);
}

static int undo_modify(struct undo *u, const struct omj_rec *rec)
{
	om_autofd int fd = open(rec->path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int r = 0;

	if (fd < 0 && errno == EACCES && chmod(rec->path, 0600) == 0)
		fd = open(rec->path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		om_log_warning("file=%s is gone, though this job has not removed it", rec->path);
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(u, -errno, rec->path);
	if (!S_ISREG(st.st_mode))
		return om_err_set(u->err, -EEXIST, "cannot bring '%s' back: it is no regular file any more", rec->path);
	if (rec->how == OMJ_HOW_COPY)
		r = copy_back(u, rec, fd);
	else if ((uint64_t)st.st_size < rec->size)
		om_log_warning("file=%s has become shorter by another's hand", rec->path);
	if (r == 0 && (uint64_t)st.st_size != rec->size && ftruncate(fd, (off_t)rec->size) < 0)
		r = fail(u, -errno, rec->path);
	if (r == 0 && (st.st_mode & 07777) != (rec->mode & 07777) && fchmod(fd, rec->mode & 07777) < 0)
		r = fail(u, -errno, rec->path);
	times_put(fd, rec);
	return r ? r : spool_file_sync(fd, rec->path, u->err);
}

/* A new file with the content that was saved, under its name only when it is complete. */
static int remake_file(struct undo *u, const struct omj_rec *rec)
{
	om_autofree char *tmp = NULL;
	om_autofd int fd = -1;
	int r;

	if (asprintf(&tmp, "%s.om-undo", rec->path) < 0)
		return -ENOMEM;
	(void)unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(u, -errno, rec->path);
	r = copy_back(u, rec, fd);
	if (r == 0 && (fchown(fd, rec->uid, rec->gid) < 0 || fchmod(fd, rec->mode & 07777) < 0))
		r = fail(u, -errno, rec->path);
	times_put(fd, rec);
	r = r ? r : spool_file_sync(fd, tmp, u->err);
	if (r == 0 && rename(tmp, rec->path) < 0)
		r = fail(u, -errno, rec->path);
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

static int relink(struct undo *u, const struct omj_rec *rec)
{
	char save[32];

	omj_save_name(save, sizeof(save), u->log->epoch, rec->save);
	if (renameat(u->dir, save, AT_FDCWD, rec->path) < 0) {
		if (errno == ENOENT && exists(rec->path))
			return 0;	/* done before */
		return fail(u, -errno, rec->path);
	}
	return 0;
}

/* What we saved is still with us, and what is there now is something else. */
static bool is_foreign(const struct undo *u, const struct omj_rec *rec)
{
	struct stat ours, there;
	char save[32];

	omj_save_name(save, sizeof(save), u->log->epoch, rec->save);
	return fstatat(u->dir, save, &ours, AT_SYMLINK_NOFOLLOW) == 0 && lstat(rec->path, &there) == 0 &&
	       (ours.st_ino != there.st_ino || ours.st_dev != there.st_dev);
}

static int undo_remove(struct undo *u, const struct omj_rec *rec)
{
	int r = 0;

	if (exists(rec->path)) {	/* never removed, or put back before */
		if (rec->how == OMJ_HOW_LINK && is_foreign(u, rec))
			return om_err_set(u->err, -EEXIST, "cannot bring '%s' back: something else is there that this job has not made", rec->path);
		save_drop(u, rec);
		return 0;
	}
	if (S_ISDIR(rec->mode))
		r = mkdir(rec->path, 0700) < 0 || chmod(rec->path, rec->mode & 07777) < 0 ? -errno : 0;
	else if (rec->how == OMJ_HOW_LINK)
		return relink(u, rec) ?: touched(u, rec->path);
	else if (rec->how == OMJ_HOW_COPY)
		return remake_file(u, rec) ?: touched(u, rec->path);
	else if (rec->how == OMJ_HOW_TARGET)
		r = symlink(rec->path2, rec->path) < 0 ? -errno : 0;
	else if (S_ISFIFO(rec->mode) || S_ISSOCK(rec->mode))
		r = mknod(rec->path, rec->mode, 0) < 0 ? -errno : 0;
	if (r == 0 && (rec->uid != geteuid() || rec->gid != getegid()) && lchown(rec->path, rec->uid, rec->gid) < 0 &&
	    errno != EPERM)	/* EPERM: it was another's; what can be put back is */
		r = -errno;
	return r < 0 ? fail(u, r, rec->path) : touched(u, rec->path);
}

/* What is at path2 goes back to path, when path is free: only then has the call been carried out. */
static int undo_rename(struct undo *u, const struct omj_rec *rec)
{
	int r;

	if (!exists(rec->path2)) {
		if (!exists(rec->path))
			om_log_warning("file=%s is gone, though this job has not removed it", rec->path2);
		return 0;
	}
	if (exists(rec->path)) {
		if (is_same(rec->path2, &rec->id) && !is_same(rec->path, &rec->id))
			return om_err_set(u->err, -EEXIST, "cannot bring '%s' back: something else is there that this job has not made", rec->path);
		return 0;
	}
	if (rename(rec->path2, rec->path) < 0)
		return fail(u, -errno, rec->path);
	r = touched(u, rec->path);
	return r ? r : touched(u, rec->path2);
}

static int undo_exchange(struct undo *u, const struct omj_rec *rec)
{
	if (!is_same(rec->path2, &rec->id) || !exists(rec->path))
		return 0;
	if (renameat2(AT_FDCWD, rec->path, AT_FDCWD, rec->path2, RENAME_EXCHANGE) < 0)
		return fail(u, -errno, rec->path);
	return touched(u, rec->path);
}

static int undo_meta(struct undo *u, const struct omj_rec *rec)
{
	struct stat st;

	if (lstat(rec->path, &st) < 0)
		return 0;
	if ((st.st_uid != rec->uid || st.st_gid != rec->gid) && lchown(rec->path, rec->uid, rec->gid) < 0)
		return fail(u, -errno, rec->path);
	if (!S_ISLNK(st.st_mode) && chmod(rec->path, rec->mode & 07777) < 0)
		return fail(u, -errno, rec->path);
	return 0;
}

static int apply(struct undo *u, const struct omj_rec *rec)
{
	static int (*const kinds[])(struct undo *, const struct omj_rec *) = {
		[OMJ_REC_CREATE] = undo_create, [OMJ_REC_MODIFY] = undo_modify, [OMJ_REC_REMOVE] = undo_remove,
		[OMJ_REC_RENAME] = undo_rename, [OMJ_REC_EXCHANGE] = undo_exchange, [OMJ_REC_META] = undo_meta,
	};
	int r = om_fault(OM_FI_UNDO_APPLY);

	if (r < 0)
		return fail(u, r, rec->path);
	return rec->type == OMJ_REC_CANNOT ? 0 : kinds[rec->type](u, rec);
}

/* ---- logs ---- */

/* Can it be undone at all? */
static int log_check(const struct omj_log *l, struct om_err *err)
{
	struct omj_rec rec;

	if (l->flags & OMJ_LOG_BROKEN)
		return om_err_set(err, -EOPNOTSUPP, "files cannot be brought back: the journal could not be written (disk full?)");
	for (size_t i = 0; i < l->n; i++)
		if (omj_log_get(l, i, &rec) == 0 && rec.type == OMJ_REC_CANNOT)
			return om_err_set(err, -EOPNOTSUPP, "'%s' cannot be brought back: %s", rec.path, rec.path2);
	return 0;
}

/* Everything up to record @i is undone on the disk: forget it. */
static int progress(struct undo *u, size_t i)
{
	int r = dirty_sync(u);

	if (r < 0)
		return r;
	if (ftruncate(u->log->fd, (off_t)u->log->at[i]) < 0 || fdatasync(u->log->fd) < 0)
		return om_err_sys(u->err, -errno, "undo/%u.log", u->log->epoch);
	return 0;
}

/* Only removals of what was made may be done again after older ones: the others could take away what an older record has put back. */
static int log_apply(struct undo *u)
{
	const struct omj_log *l = u->log;
	struct omj_rec rec, next = { .type = 0 };
	unsigned batch = 0;
	int r;

	if (l->n && omj_log_get(l, l->n - 1, &next) < 0)
		next.type = 0;
	for (size_t i = l->n; i-- > 0;) {
		rec = next;
		next.type = 0;
		if (!rec.type || (i > 0 && omj_log_get(l, i - 1, &next) < 0))
			return om_err_set(u->err, -EUCLEAN, "undo/%u.log changes while it is read", l->epoch);
		r = apply(u, &rec);
		if (r < 0)
			return r;
		if (rec.type == OMJ_REC_CREATE && next.type == OMJ_REC_CREATE && ++batch < BATCH)
			continue;
		batch = 0;
		r = progress(u, i);
		if (r < 0)
			return r;
		if (rec.how == OMJ_HOW_COPY)
			save_drop(u, &rec);
	}
	return 0;
}

/* @first: the first epoch that this log stands for */
static int epoch_undo(int dir, uint32_t epoch, uint32_t *first, struct om_err *err)
{
	struct omj_log l;
	struct undo u = { .dir = dir, .log = &l, .err = err };
	int r = omj_log_open(dir, epoch, &l, err);

	*first = l.first;
	if (r == 0)
		r = log_apply(&u);
	free(u.dirty);
	omj_log_close(&l);
	if (r < 0)
		return r;
	for (uint32_t e = *first; e < epoch; e++)	/* parts of it that a killed merge has left */
		omj_epoch_remove(dir, e);
	omj_epoch_remove(dir, epoch);
	return 0;
}

static int epoch_check(int dir, uint32_t epoch, uint32_t *first, struct om_err *err)
{
	struct omj_log l;
	int r = omj_log_open(dir, epoch, &l, err);

	*first = l.first;
	if (r == 0)
		r = log_check(&l, err);
	omj_log_close(&l);
	return r < 0 ? r : 0;
}

int omj_undo(int jobdir, uint32_t epoch, struct om_err *err)
{
	om_autofd int dir = -1;
	uint32_t newest, first;
	int r = omj_journal_newest(jobdir, &newest, err);

	if (r < 0 || newest < epoch || !newest)
		return r;
	dir = omj_undo_dir_open(jobdir);
	if (dir < 0)
		return om_err_sys(err, dir, "undo");
	for (uint32_t e = newest; e >= epoch && e > 0; e = first - 1) {	/* look at all before anything is changed */
		r = epoch_check(dir, e, &first, err);
		if (r < 0)
			return r;
	}
	for (uint32_t e = newest; e >= epoch && e > 0; e = first - 1) {
		r = epoch_undo(dir, e, &first, err);
		if (r < 0)
			return r;
	}
	return spool_file_sync_dir(dir, err);
}
