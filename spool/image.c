/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a checkpoint.  All packs are opened with the image: a drop by somebody else takes nothing from an open one. */
#include "spool/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "spool/set.h"

enum { REOPEN_MAX = 10, PROGRESS_BYTES = 4 << 20 };

static bool same_packs(const struct spool_man *a, const struct spool_man *b)
{
	if (a->packs_n != b->packs_n)
		return false;
	for (uint32_t i = 0; i < a->packs_n; i++)
		if (a->packs[i].id != b->packs[i].id || a->packs[i].end != b->packs[i].end)
			return false;
	return true;
}

/* Load the manifest and open its packs; again when a drop has moved blocks to another pack between the two. */
static int open_all(int dirfd, uint32_t n, struct spool_image *im, struct om_err *err)
{
	int r = spool_man_load(dirfd, n, &im->man, err);

	if (r < 0)
		return r;
	for (int i = 0; i < REOPEN_MAX; i++) {
		struct spool_man again;

		r = spool_man_packs_open(dirfd, &im->man, &im->packs, err);
		if (r == 0)
			return 0;
		if (spool_man_load(dirfd, n, &again, NULL) < 0)
			break;
		if (same_packs(&im->man, &again)) {
			spool_man_done(&again);
			break;
		}
		spool_man_done(&im->man);
		im->man = again;
	}
	spool_man_done(&im->man);
	return r;
}

static int image_open(int dirfd, uint32_t n, struct spool_image **ret, struct om_err *err)
{
	struct spool_image *im = calloc(1, sizeof(*im));
	int r;

	if (!im)
		return om_err_set(err, -ENOMEM, "out of memory");
	r = open_all(dirfd, n, im, err);
	if (r == 0)
		r = spool_meta_unpack(im->man.meta, im->man.meta_stored, im->man.meta_len, &im->meta, err);
	if (r == 0 && spool_codec_create(&im->codec) < 0)
		r = om_err_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		*ret = im;
	else
		spool_image_close(im);
	return r;
}

static int open_newest(int dirfd, struct spool_image **ret, struct om_err *err)
{
	struct spool_names names;
	struct om_err first = { 0 };
	int r = spool_names_read(dirfd, &names, err), first_r = 0;

	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t i = names.ckpts.n; r < 0 && i > 0; i--) {
		struct om_err e = { 0 };

		r = image_open(dirfd, names.ckpts.v[i - 1], ret, &e);
		if (r < 0 && first_r == 0) {
			first_r = r;
			first = e;
		}
	}
	spool_names_done(&names);
	if (r < 0 && first_r == 0)
		return om_err_set(err, -ENOENT, "there is no checkpoint");
	return r < 0 ? om_err_set(err, first_r, "%s", om_err_text(&first, first_r)) : 0;
}

int spool_image_open(struct spool_store *st, uint32_t n, struct spool_image **ret, struct om_err *err)
{
	int r = n ? image_open(st->dirfd, n, ret, err) : open_newest(st->dirfd, ret, err);

	if (n && r == -ENOENT)
		return om_err_set(err, r, "there is no checkpoint %" PRIu32, n);
	return n && r < 0 ? om_err_wrap(err, r, "checkpoint %" PRIu32, n) : r;
}

void spool_image_close(struct spool_image *im)
{
	if (!im)
		return;
	for (uint32_t i = 0; im->packs && i < im->man.packs_n; i++)
		spool_pack_close(&im->packs[i]);
	free(im->packs);
	spool_man_done(&im->man);
	free(im->meta);
	spool_codec_destroy(im->codec);
	free(im);
}

void spool_image_info(const struct spool_image *im, struct spool_ckpt_info *ret)
{
	*ret = im->man.info;
}

void spool_image_meta(const struct spool_image *im, const void **ret, size_t *ret_len)
{
	*ret = im->meta ? im->meta : "";
	*ret_len = im->man.meta_len;
}

static int bad_block(struct om_err *err, int r, uint32_t index, const struct spool_row *row)
{
	return om_err_wrap(err, r, "block %" PRIu32 " (pack-%08" PRIx32 " at byte %" PRIu64 ")", index, row->pack, row->offset);
}

int spool_image_stored(struct spool_image *im, uint32_t index, uint8_t head[SPOOL_BLOCK_HEAD], const void **ret_stored,
		       void *raw, struct om_err *err)
{
	const struct spool_row *row = &im->man.rows[index];
	const struct spool_pack_ref *ref = spool_man_pack(&im->man, row->pack);
	void *stored = row->codec == SPOOL_CODEC_RAW ? raw : im->scratch;
	int r = spool_pack_read(&im->packs[ref - im->man.packs], row, head, stored, err);

	if (r == 0)
		r = spool_block_unpack(im->codec, row, head, stored, raw, err);
	if (r < 0)
		return bad_block(err, r, index, row);
	if (ret_stored)
		*ret_stored = stored;
	return 0;
}

int spool_image_block(struct spool_image *im, uint32_t index, void *buf, size_t *ret_len, struct om_err *err)
{
	uint8_t head[SPOOL_BLOCK_HEAD];
	int r;

	if (index >= im->man.info.blocks)
		return om_err_set(err, -EUCLEAN, "block %" PRIu32 " is named, the checkpoint has %" PRIu32, index, im->man.info.blocks);
	r = spool_image_stored(im, index, head, NULL, buf, err);
	if (r == 0)
		*ret_len = im->man.rows[index].raw_len;
	return r;
}

void spool_image_readahead(struct spool_image *im)
{
	for (uint32_t i = 0; i < im->man.packs_n; i++)
		(void)posix_fadvise(im->packs[i].fd, 0, 0, POSIX_FADV_SEQUENTIAL);	/* a hint */
}

int spool_progress_step(struct spool_progress *p, uint64_t bytes)
{
	int r;

	p->done += bytes;
	if (!p->fn || (p->done - p->told < PROGRESS_BYTES && p->done != p->all))
		return 0;
	p->told = p->done;
	r = p->fn(p->arg, p->done, p->all);
	return r > 0 ? -ECANCELED : r;
}

int spool_image_verify(struct spool_image *im, int (*progress)(void *arg, uint64_t done, uint64_t all), void *arg, struct om_err *err)
{
	struct spool_progress p = { .fn = progress, .arg = arg, .all = im->man.info.bytes };
	om_autofree void *buf = malloc(SPOOL_BLOCK_MAX);
	size_t len;
	int r = 0;

	if (!buf)
		return om_err_set(err, -ENOMEM, "out of memory");
	spool_image_readahead(im);
	for (uint32_t i = 0; r == 0 && i < im->man.info.blocks; i++) {
		r = spool_image_block(im, i, buf, &len, err);
		if (r == 0) {
			r = spool_progress_step(&p, len);
			if (r < 0)
				om_err_set(err, r, "stopped");
		}
	}
	return r;
}
