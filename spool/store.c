/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's folder: open, list, drop.  Rules and order of the steps: doc/image.md, Folder. */
#include "spool/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "spool/file.h"
#include "spool/set.h"

/* Through "..": @dirfd may be AT_FDCWD.  Also for a folder that was there: whoever made it may have been killed before this. */
static int sync_parent(int dirfd, struct om_err *err)
{
	om_autofd int fd = openat(dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return om_err_sys(err, -errno, "open the folder above");
	return spool_file_sync_dir(fd, err);
}

int spool_store_open(int dirfd, const char *name, bool create, struct spool_store **ret, struct om_err *err)
{
	om_autofree struct spool_store *st = malloc(sizeof(*st));
	om_autofd int fd = -1;
	int r;

	if (!st)
		return om_err_set(err, -ENOMEM, "out of memory");
	if (create && mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return om_err_sys(err, -errno, "create folder %s", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return om_err_sys(err, -errno, "open folder %s", name);
	if (create) {
		r = sync_parent(fd, err);
		if (r < 0)
			return r;
	}
	st->dirfd = om_fd_steal(&fd);
	*ret = om_steal(st);
	return 0;
}

void spool_store_close(struct spool_store *st)
{
	if (!st)
		return;
	om_fd_close(st->dirfd);
	free(st);
}

/* ---- list ---- */

int spool_store_list(struct spool_store *st, struct spool_ckpt_info **ret, size_t *ret_n, struct om_err *err)
{
	om_autofree struct spool_ckpt_info *list = NULL;
	struct spool_names names;
	size_t n = 0;
	int r = spool_names_read(st->dirfd, &names, err);

	if (r < 0)
		return r;
	list = calloc(names.ckpts.n + 1, sizeof(*list));
	if (!list)
		r = om_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < names.ckpts.n; i++) {
		struct spool_image *im;

		r = spool_image_open(st, names.ckpts.v[i], &im, err);
		if (r == 0) {
			spool_image_info(im, &list[n++]);
			spool_image_close(im);
		} else if (r == -EUCLEAN || r == -ENOENT) {
			r = 0;		/* damaged, or dropped this very moment */
		}
	}
	spool_names_done(&names);
	if (r < 0)
		return r;
	*ret = om_steal(list);
	*ret_n = n;
	return 0;
}

/* ---- drop ---- */

static int may_drop(const struct spool_set *s, uint32_t n, struct om_err *err)
{
	const struct spool_man *m = spool_set_find(s, n);

	if (!spool_numbers_have(&s->names.ckpts, n))
		return om_err_set(err, -ENOENT, "there is no checkpoint %" PRIu32, n);
	if (!m || !m->usable)
		return 0;		/* damaged: nobody loses anything */
	for (size_t i = 0; i < s->man_n; i++)
		if (s->man[i].usable && &s->man[i] != m)
			return 0;
	return om_err_set(err, -EPERM, "checkpoint %" PRIu32 " is the only good one: it is kept", n);
}

/* An empty file whose name keeps the number from being given again. */
static int note_last(struct spool_set *s, uint32_t n, struct om_err *err)
{
	char name[SPOOL_LAST_NAME];
	om_autofd int fd = -1;
	int r;

	spool_last_name(name, n);
	fd = openat(s->dirfd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return om_err_sys(err, -errno, "create %s", name);
	r = spool_file_sync(fd, name, err);
	if (r == 0)
		r = spool_file_sync_dir(s->dirfd, err);
	return r;
}

static int prune_fault(struct om_err *err)
{
	int r = om_fault(OM_FI_STORE_PRUNE);

	return r < 0 ? om_err_sys(err, r, "remove a checkpoint") : 0;
}

static int unlink_man(struct spool_set *s, uint32_t n, struct om_err *err)
{
	char name[SPOOL_MAN_NAME];
	int r = prune_fault(err);

	if (r == 0 && n == spool_names_last(&s->names))
		r = note_last(s, n, err);
	if (r == 0)
		r = prune_fault(err);
	if (r < 0)
		return r;
	spool_man_name(name, n);
	r = spool_file_remove(s->dirfd, name, err);
	if (r == 0)
		r = spool_file_sync_dir(s->dirfd, err);
	return r;
}

static void forget(struct spool_set *s, uint32_t n)
{
	for (size_t i = 0; i < s->man_n; i++)
		if (s->man[i].info.n == n) {
			spool_man_done(&s->man[i]);
			memmove(&s->man[i], &s->man[i + 1], (s->man_n - i - 1) * sizeof(s->man[0]));
			s->man_n--;
			return;
		}
}

int spool_store_drop(struct spool_store *st, uint32_t n, struct om_err *err)
{
	struct spool_set s;
	int r = spool_set_lock(st, &s, err);

	if (r < 0)
		return r;
	r = may_drop(&s, n, err);
	if (r == 0)
		r = unlink_man(&s, n, err);
	if (r == 0) {
		forget(&s, n);
		/* The checkpoint is gone.  What cannot be tidied up now is done by the next drop or writer. */
		if (spool_set_sweep(&s, NULL) == 0)
			(void)spool_set_compact(&s, NULL);
	}
	spool_set_unlock(&s);
	return r;
}

int spool_store_clear(struct spool_store *st, struct om_err *err)
{
	struct spool_set s;
	int r = spool_set_lock(st, &s, err);

	if (r < 0)
		return r;
	/* oldest first: stopped half-way, the newest is still there */
	for (size_t i = 0; i < s.names.ckpts.n && r == 0; i++) {
		r = unlink_man(&s, s.names.ckpts.v[i], err);
		forget(&s, s.names.ckpts.v[i]);
	}
	if (r == 0)
		(void)spool_set_sweep(&s, NULL);	/* or the next writer does it */
	spool_set_unlock(&s);
	return r;
}
