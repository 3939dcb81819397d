/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The records of all parts, oldest first, go through the rules of watch.c once more as if they had been one epoch; those that would not have been
 * written are left out.  The result replaces the newest part by a rename; it says in its head which epochs it stands for, so that older parts that
 * are still there (killed before they were removed) are known to be done. */
#include "omjob/merge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "omjob/journal.h"
#include "omjob/places.h"
#include "spool/file.h"

enum { PARTS_MAX = 4096 };	/* more wait for the next time */

struct merge {
	int dir;
	uint32_t target, first, flags;
	uint32_t next_save;
	struct omj_places places;
	struct om_buf out;
	struct om_buf used;		/* le32 each: saved files the result names */
	struct om_err *err;
};

/* ---- what is still needed ---- */

static bool keep_rename(struct omj_places *p, struct omj_rec *rec)
{
	bool made = omj_places_is_new(p, rec->path);

	if (made && !S_ISDIR(rec->mode)) {	/* what this epoch has made appears at path2 */
		if (omj_places_is_new(p, rec->path2))
			return false;
		rec->type = OMJ_REC_CREATE;
		rec->how = OMJ_HOW_NONE;
		rec->path = rec->path2;
		rec->path2 = "";
		omj_places_new(p, rec->path);
		return true;
	}
	omj_places_old(p, rec->path2);
	if (S_ISDIR(rec->mode)) {
		omj_places_old(p, rec->path);
		omj_places_move(p, rec->path, rec->path2);
		if (made)
			omj_places_new(p, rec->path2);
	}
	return true;
}

static bool keep_modify(struct omj_places *p, const struct omj_rec *rec)
{
	enum omj_kept had = omj_places_kept(p, &rec->id);
	bool grows = rec->how == OMJ_HOW_NONE && rec->size > 0;

	if (had == OMJ_KEPT_ALL || (had == OMJ_KEPT_GROWS && grows))
		return false;
	omj_places_keep(p, &rec->id, grows ? OMJ_KEPT_GROWS : OMJ_KEPT_ALL);
	return true;
}

static bool keep(struct omj_places *p, struct omj_rec *rec)
{
	if (rec->type == OMJ_REC_RENAME)
		return keep_rename(p, rec);
	if (rec->type == OMJ_REC_EXCHANGE) {
		omj_places_clear(p);
		return true;
	}
	if (rec->type == OMJ_REC_CREATE && rec->how == OMJ_HOW_LINK) {
		omj_places_old(p, rec->path);
		return true;
	}
	if (omj_places_is_new(p, rec->path))
		return false;
	if (rec->type == OMJ_REC_CREATE)
		omj_places_new(p, rec->path);
	return rec->type == OMJ_REC_MODIFY ? keep_modify(p, rec) : true;
}

/* ---- parts ---- */

static int save_note(struct merge *m, uint32_t save)
{
	char le[4];

	le32_put(le, save);
	return om_buf_add(&m->used, le, sizeof(le)) < 0 ? om_err_set(m->err, -ENOMEM, "undo: no memory") : 0;
}

static int save_take(struct merge *m, uint32_t epoch, struct omj_rec *rec)
{
	char from[32], to[32];

	if (!rec->save)
		return 0;
	if (epoch == m->target)
		return save_note(m, rec->save);
	omj_save_name(from, sizeof(from), epoch, rec->save);
	omj_save_name(to, sizeof(to), m->target, ++m->next_save);
	(void)unlinkat(m->dir, to, 0);	/* of a merge that was killed */
	if (linkat(m->dir, from, m->dir, to, 0) < 0)
		return om_err_sys(m->err, -errno, "undo/%s", from);
	rec->save = m->next_save;
	return save_note(m, rec->save);
}

static int by_le32(const void *a, const void *b)
{
	uint32_t x = le32_get(a), y = le32_get(b);

	return x < y ? -1 : x > y;
}

/* What the result does not name any more. */
static void saves_sweep(struct merge *m)
{
	int fd = openat(m->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (m->used.len)
		qsort(m->used.data, m->used.len / 4, 4, by_le32);
	while (d && (e = readdir(d))) {
		unsigned v, s;
		char key[4];

		if (sscanf(e->d_name, "%9u.s%9u", &v, &s) != 2 || v != m->target)
			continue;
		le32_put(key, s);
		if (!m->used.len || !bsearch(key, m->used.data, m->used.len / 4, 4, by_le32))
			(void)unlinkat(m->dir, e->d_name, 0);
	}
	if (d)
		closedir(d);
}

static int part_add(struct merge *m, uint32_t epoch)
{
	struct omj_log l;
	int r = omj_log_open(m->dir, epoch, &l, m->err);

	m->flags |= l.flags;
	for (size_t i = 0; i < l.n && r == 0; i++) {
		struct omj_rec rec;

		r = omj_log_get(&l, i, &rec);
		if (r < 0 || !keep(&m->places, &rec))
			continue;
		r = save_take(m, epoch, &rec);
		if (r == 0 && omj_rec_add(&m->out, &rec) < 0)
			r = om_err_set(m->err, -ENOMEM, "undo: no memory");
	}
	omj_log_close(&l);
	return r < 0 ? r : 0;
}

static int result_write(struct merge *m)
{
	char name[32], head[OMJ_LOG_HEAD];
	om_autofd int fd = -1;
	int r;

	snprintf(name, sizeof(name), "%u.log", m->target);
	omj_log_head_put(head, m->flags, m->first);
	r = spool_file_tmp_create(m->dir, name, &fd, m->err);
	if (r < 0)
		return r;
	r = om_fd_write_all(fd, head, sizeof(head));
	r = r ? r : om_fd_write_all(fd, m->out.data ? m->out.data : "", m->out.len);
	if (r == 0)
		return spool_file_tmp_commit(m->dir, name, fd, m->err);
	spool_file_tmp_remove(m->dir, name);
	return om_err_sys(m->err, r, "undo/%s", name);
}

/* ---- which ---- */

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The logs below @below, in order, and the highest number of a saved file of the newest. */
static size_t parts_find(int dir, uint32_t below, uint32_t *list, uint32_t *max_save)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	size_t n = 0;
	unsigned v, s;

	while (d && (e = readdir(d))) {
		int end = 0;	/* stays so when only the number fits */

		if (n < PARTS_MAX && sscanf(e->d_name, "%9u.log%n", &v, &end) == 1 && end && !e->d_name[end] && v < below)
			list[n++] = v;
	}
	qsort(list, n, sizeof(*list), by_number);
	*max_save = 0;
	if (d)
		rewinddir(d);
	while (d && n && (e = readdir(d)))
		if (sscanf(e->d_name, "%9u.s%9u", &v, &s) == 2 && v == list[n - 1] && s > *max_save)
			*max_save = s;
	if (d)
		closedir(d);
	return n;
}

/* Parts that a later one stands for are done: removed.  The number of those that are left. */
static size_t parts_done_remove(int dir, uint32_t *list, size_t n)
{
	uint32_t first = UINT32_MAX;
	size_t left = n;

	for (size_t i = n; i-- > 0;) {
		struct omj_log l;

		if (list[i] >= first) {
			omj_epoch_remove(dir, list[i]);
			memmove(list + i, list + i + 1, (--left - i) * sizeof(*list));
			continue;
		}
		if (omj_log_open(dir, list[i], &l, NULL) == 0 && l.first < list[i])
			first = l.first;
		omj_log_close(&l);
	}
	return left;
}

int omj_journal_merge(int jobdir, uint32_t below, struct om_err *err)
{
	om_autofree uint32_t *list = malloc(PARTS_MAX * sizeof(*list));
	om_autofd int dir = omj_undo_dir_open(jobdir);
	struct merge m = { .dir = dir, .err = err };
	size_t n;
	int r = 0;

	if (dir == -ENOENT)
		return 0;
	if (dir < 0 || !list)
		return om_err_sys(err, dir < 0 ? dir : -ENOMEM, "undo");
	n = parts_find(dir, below, list, &m.next_save);
	n = parts_done_remove(dir, list, n);
	if (n < 2)
		return 0;
	m.target = list[n - 1];
	m.first = list[0];
	for (size_t i = 0; i < n && r == 0; i++) {
		struct omj_log l;

		r = part_add(&m, list[i]);
		if (i == 0 && omj_log_open(dir, list[0], &l, NULL) >= 0)
			m.first = l.first;
		if (i == 0)
			omj_log_close(&l);
	}
	r = r ? r : result_write(&m);
	for (size_t i = 0; i + 1 < n && r == 0; i++)
		omj_epoch_remove(dir, list[i]);
	if (r == 0)
		saves_sweep(&m);
	omj_places_clear(&m.places);
	om_buf_done(&m.out);
	om_buf_done(&m.used);
	return r;
}
