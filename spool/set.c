/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/set.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/fault.h"
#include "spool/file.h"

/* ---- names ---- */

int spool_numbers_add(struct spool_numbers *s, uint32_t number)
{
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 16;
		uint32_t *v = reallocarray(s->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->room = room;
	}
	s->v[s->n++] = number;
	return 0;
}

static int number_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

bool spool_numbers_have(const struct spool_numbers *s, uint32_t number)
{
	return s->n && bsearch(&number, s->v, s->n, sizeof(number), number_cmp);
}

/* "KIND-0000001f" and nothing else. */
static bool name_is(const char *name, const char *kind, uint32_t *ret)
{
	size_t k = strlen(kind);
	uint32_t v = 0;

	if (strncmp(name, kind, k) != 0 || strlen(name) != k + 8)
		return false;
	for (const char *p = name + k; *p; p++) {
		const char *hex = "0123456789abcdef", *at = strchr(hex, *p);

		if (!at)
			return false;
		v = v << 4 | (uint32_t)(at - hex);
	}
	*ret = v;
	return v != 0;
}

static bool is_tmp(const char *name)
{
	size_t n = strlen(name), k = strlen(SPOOL_FILE_TMP);

	return n > k && strcmp(name + n - k, SPOOL_FILE_TMP) == 0;
}

static int open_dir(int dirfd, DIR **ret, struct om_err *err)
{
	/* a descriptor of its own: the position in the folder belongs to it */
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return om_err_sys(err, -errno, "open the folder");
	*ret = fdopendir(fd);
	if (!*ret) {
		om_fd_close(fd);
		return om_err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static int note_name(struct spool_names *s, const char *name)
{
	uint32_t v;

	if (name_is(name, "ckpt-", &v))
		return spool_numbers_add(&s->ckpts, v);
	if (name_is(name, "pack-", &v))
		return spool_numbers_add(&s->packs, v);
	if (name_is(name, "last-", &v))
		return spool_numbers_add(&s->lasts, v);
	return 0;
}

static void sort(struct spool_numbers *s)
{
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), number_cmp);
}

int spool_names_read(int dirfd, struct spool_names *ret, struct om_err *err)
{
	struct spool_names s = { 0 };
	struct dirent *e;
	DIR *d;
	int r = open_dir(dirfd, &d, err);

	if (r < 0)
		return r;
	while (r == 0 && (errno = 0, e = readdir(d)))
		r = note_name(&s, e->d_name);
	if (r == 0 && errno)
		r = -errno;
	closedir(d);
	if (r < 0) {
		spool_names_done(&s);
		return om_err_sys(err, r, "read the folder");
	}
	sort(&s.ckpts);
	sort(&s.packs);
	sort(&s.lasts);
	*ret = s;
	return 0;
}

void spool_names_done(struct spool_names *s)
{
	free(s->ckpts.v);
	free(s->packs.v);
	free(s->lasts.v);
	*s = (struct spool_names){ 0 };
}

uint32_t spool_names_last(const struct spool_names *s)
{
	uint32_t a = s->ckpts.n ? s->ckpts.v[s->ckpts.n - 1] : 0;
	uint32_t b = s->lasts.n ? s->lasts.v[s->lasts.n - 1] : 0;

	return a > b ? a : b;
}

void spool_last_name(char name[SPOOL_LAST_NAME], uint32_t n)
{
	snprintf(name, SPOOL_LAST_NAME, "last-%08" PRIx32, n);
}

/* ---- the set ---- */

static int load_all(struct spool_set *s, struct om_err *err)
{
	s->man = calloc(s->names.ckpts.n + 1, sizeof(*s->man));	/* one more: a writer's own */
	if (!s->man)
		return om_err_set(err, -ENOMEM, "out of memory");
	s->next_pack = s->names.packs.n ? s->names.packs.v[s->names.packs.n - 1] + 1 : 1;
	for (size_t i = 0; i < s->names.ckpts.n; i++) {
		struct spool_man *m = &s->man[s->man_n];
		int r = spool_man_load(s->dirfd, s->names.ckpts.v[i], m, err);

		if (r == -EUCLEAN)
			continue;	/* nobody can use it: not in the set, so its packs are leftovers */
		if (r < 0)
			return r;
		s->man_n++;
		r = spool_man_packs_open(s->dirfd, m, NULL, err);
		if (r < 0 && r != -EUCLEAN)
			return r;
		m->usable = r == 0;
		if (m->packs_n && m->packs[m->packs_n - 1].number >= s->next_pack)
			s->next_pack = m->packs[m->packs_n - 1].number + 1;
	}
	return 0;
}

int spool_set_lock(const struct spool_store *st, struct spool_set *ret, struct om_err *err)
{
	/* An open file description of its own: else a fork of the opener would share the lock with him. */
	struct spool_set s = { .dirfd = openat(st->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	int r;

	if (s.dirfd < 0)
		return om_err_sys(err, -errno, "open the folder");
	if (flock(s.dirfd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? om_err_set(err, -EBUSY, "another checkpoint is being written or removed just now, try again later")
					 : om_err_sys(err, -errno, "lock the folder");
		goto err_close;
	}
	r = spool_names_read(s.dirfd, &s.names, err);
	if (r == 0)
		r = load_all(&s, err);
	if (r < 0)
		goto err_close;
	*ret = s;
	return 0;

err_close:
	spool_set_unlock(&s);
	return r;
}

void spool_set_unlock(struct spool_set *s)
{
	for (size_t i = 0; i < s->man_n; i++)
		spool_man_done(&s->man[i]);
	free(s->man);
	spool_names_done(&s->names);
	if (s->dirfd >= 0) {
		/* said aloud: a child forked meanwhile may still hold the description */
		(void)flock(s->dirfd, LOCK_UN);
		om_fd_close(s->dirfd);
	}
	*s = (struct spool_set){ .dirfd = -1 };
}

const struct spool_man *spool_set_find(const struct spool_set *s, uint32_t n)
{
	for (size_t i = 0; i < s->man_n; i++)
		if (s->man[i].info.n == n)
			return &s->man[i];
	return NULL;
}

static bool pack_is_named(const struct spool_set *s, uint32_t number)
{
	for (size_t i = 0; i < s->man_n; i++)
		if (spool_man_pack(&s->man[i], number))
			return true;
	return false;
}

static int sweep_tmp(int dirfd, struct om_err *err)
{
	struct dirent *e;
	DIR *d;
	int r = open_dir(dirfd, &d, err);

	if (r < 0)
		return r;
	while (r == 0 && (e = readdir(d)))
		if (is_tmp(e->d_name))
			r = spool_file_remove(dirfd, e->d_name, err);
	closedir(d);
	return r;
}

/* A last- file below the highest number says nothing any more. */
static int sweep_lasts(struct spool_set *s, struct om_err *err)
{
	uint32_t last = spool_names_last(&s->names);
	bool have = spool_numbers_have(&s->names.ckpts, last);
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->names.lasts.n; i++) {
		char name[SPOOL_LAST_NAME];

		if (s->names.lasts.v[i] == last && !have)
			continue;
		spool_last_name(name, s->names.lasts.v[i]);
		r = spool_file_remove(s->dirfd, name, err);
	}
	return r;
}

int spool_set_sweep(struct spool_set *s, struct om_err *err)
{
	struct spool_numbers *packs = &s->names.packs;
	size_t kept = 0;
	int r = sweep_tmp(s->dirfd, err);

	if (r == 0)
		r = sweep_lasts(s, err);

	for (size_t i = 0; i < packs->n; i++) {
		char name[SPOOL_PACK_NAME];

		if (r < 0 || pack_is_named(s, packs->v[i])) {
			packs->v[kept++] = packs->v[i];
			continue;
		}
		spool_pack_name(name, packs->v[i]);
		r = om_fault(OM_FI_STORE_PRUNE);
		if (r < 0)
			om_err_sys(err, r, "remove %s", name);
		else
			r = spool_file_remove(s->dirfd, name, err);
	}
	packs->n = kept;
	return r;
}

static int ref_cmp(const void *a, const void *b)
{
	const struct spool_pack_ref *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

int spool_set_packs(const struct spool_set *s, struct spool_pack_ref **ret, size_t *ret_n, struct om_err *err)
{
	struct spool_pack_ref *v;
	size_t all = 1, n = 0, out = 0;

	for (size_t i = 0; i < s->man_n; i++)
		all += s->man[i].packs_n;
	v = calloc(all, sizeof(*v));
	if (!v)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < s->man_n; i++)
		for (uint32_t k = 0; s->man[i].usable && k < s->man[i].packs_n; k++)
			v[n++] = s->man[i].packs[k];
	qsort(v, n, sizeof(*v), ref_cmp);
	for (size_t i = 0; i < n; i++) {
		if (out && v[out - 1].number == v[i].number) {
			if (v[out - 1].end < v[i].end)
				v[out - 1].end = v[i].end;
		} else {
			v[out++] = v[i];
		}
	}
	*ret = v;
	*ret_n = out;
	return 0;
}

static int open_pack(int dirfd, const struct spool_pack_ref *ref, struct spool_pack *ret, struct om_err *err)
{
	int r = spool_pack_open(dirfd, ref->number, ret, err);

	if (r == -ENOENT || r == -ELOOP)
		return om_err_set(err, -EUCLEAN, "pack-%08" PRIx32 " is missing", ref->number);
	if (r < 0)
		return r;
	if (ret->id != ref->id)
		r = om_err_set(err, -EUCLEAN, "pack-%08" PRIx32 " is another pack than the manifest names", ref->number);
	else if (ret->size < ref->end)
		r = om_err_set(err, -EUCLEAN, "pack-%08" PRIx32 " is cut: %" PRIu64 " bytes, %" PRIu64 " are needed", ref->number, ret->size, ref->end);
	if (r < 0)
		spool_pack_close(ret);
	return r;
}

int spool_man_packs_open(int dirfd, const struct spool_man *m, struct spool_pack **ret_packs, struct om_err *err)
{
	struct spool_pack *packs = calloc(m->packs_n ? m->packs_n : 1, sizeof(*packs));
	uint32_t opened = 0;
	int r = 0;

	if (!packs)
		return om_err_set(err, -ENOMEM, "out of memory");
	while (r == 0 && opened < m->packs_n) {
		r = open_pack(dirfd, &m->packs[opened], &packs[opened], err);
		if (r == 0 && !ret_packs)
			spool_pack_close(&packs[opened]);
		if (r == 0)
			opened++;
	}
	if (r == 0 && ret_packs) {
		*ret_packs = packs;
		return 0;
	}
	while (opened > 0 && ret_packs)
		spool_pack_close(&packs[--opened]);
	free(packs);
	return r;
}
