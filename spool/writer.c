/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing a checkpoint.  After the first error the writer is done for: every later call says the same, destroy removes all. */
#include "spool/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "spool/file.h"
#include "spool/index.h"
#include "spool/set.h"

struct spool_writer {
	struct spool_set set;
	const struct spool_man *base;	/* in set, or NULL */
	struct spool_index index;
	struct spool_codec *codec;
	struct spool_packer *packer;	/* made with the first new block */
	struct spool_man man;		/* what is being written; info.blocks rows */
	uint32_t rows_room;
	int failed;
};

static int index_all(struct spool_writer *w, struct om_err *err)
{
	for (size_t i = 0; i < w->set.man_n; i++) {
		const struct spool_man *m = &w->set.man[i];

		/* what cannot be read must not be built upon */
		for (uint32_t k = 0; m->usable && k < m->info.blocks; k++)
			if (spool_index_put(&w->index, &m->rows[k]) < 0)
				return om_err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static int find_base(struct spool_writer *w, uint32_t base_n, struct om_err *err)
{
	if (base_n == 0)
		return 0;
	w->base = spool_set_find(&w->set, base_n);
	if (!w->base || !w->base->usable)
		return om_err_set(err, -ENOENT, "there is no good checkpoint %" PRIu32 " to build upon", base_n);
	return 0;
}

int spool_writer_create(struct spool_store *st, uint32_t base_n, struct spool_writer **ret, struct om_err *err)
{
	struct spool_writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return om_err_set(err, -ENOMEM, "out of memory");
	r = spool_set_lock(st, &w->set, err);
	if (r < 0) {
		free(w);
		return r;
	}
	r = spool_set_sweep(&w->set, err);
	if (r == 0)
		r = find_base(w, base_n, err);
	if (r == 0)
		r = index_all(w, err);
	if (r == 0 && spool_codec_create(&w->codec) < 0)
		r = om_err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		spool_writer_destroy(w);
		return r;
	}
	*ret = w;
	return 0;
}

static int fail(struct spool_writer *w, int r)
{
	w->failed = r;
	return r;
}

static int failed_before(const struct spool_writer *w, struct om_err *err)
{
	return w->failed ? om_err_sys(err, w->failed, "this checkpoint failed before") : 0;
}

static int list_row(struct spool_writer *w, const struct spool_row *row, uint32_t *ret_index, struct om_err *err)
{
	struct spool_man *m = &w->man;

	if (m->info.blocks == SPOOL_BLOCKS_MAX)
		return om_err_set(err, -EFBIG, "the checkpoint has more than %d blocks", SPOOL_BLOCKS_MAX);
	if (m->info.blocks == w->rows_room) {
		uint32_t room = w->rows_room ? w->rows_room * 2 : 1024;
		struct spool_row *rows = reallocarray(m->rows, room, sizeof(*rows));

		if (!rows)
			return om_err_set(err, -ENOMEM, "out of memory");
		m->rows = rows;
		w->rows_room = room;
	}
	m->rows[m->info.blocks] = *row;
	*ret_index = m->info.blocks++;
	return 0;
}

static int need_packer(struct spool_writer *w, struct om_err *err)
{
	return w->packer ? 0 : spool_packer_create(w->set.dirfd, w->set.next_pack, &w->packer, err);
}

/* A new block, packed: @head may be NULL. */
static int add_new(struct spool_writer *w, struct spool_row *row, const uint8_t *head, const void *stored, struct om_err *err)
{
	int r = need_packer(w, err);

	if (r < 0)
		return r;
	if (head)
		r = spool_packer_copy(w->packer, row, head, stored, err);
	else
		r = spool_packer_add(w->packer, row, stored, err);
	if (r == 0 && spool_index_put(&w->index, row) < 0)
		r = om_err_set(err, -ENOMEM, "out of memory");
	return r;
}

static int block_checks(struct spool_writer *w, size_t len, struct om_err *err)
{
	int r = failed_before(w, err);

	if (r < 0)
		return r;
	if (len < 1 || len > SPOOL_BLOCK_MAX)
		return om_err_set(err, -EINVAL, "a block of %zu bytes", len);
	r = om_fault(OM_FI_STORE_BLOCK);
	return r < 0 ? om_err_sys(err, r, "write a block") : 0;
}

int spool_writer_block(struct spool_writer *w, const void *data, size_t len, uint32_t *ret_index, struct om_err *err)
{
	struct spool_row row = { 0 };
	const struct spool_row *old;
	const void *stored;
	int r = block_checks(w, len, err);

	if (r < 0)
		return fail(w, r);
	row.hash = spool_hash_of(data, len);
	old = spool_index_get(&w->index, &row.hash, (uint32_t)len);
	if (old) {
		row = *old;
	} else {
		spool_block_pack(w->codec, data, len, &row, &stored);
		r = add_new(w, &row, NULL, stored, err);
	}
	if (r == 0)
		r = list_row(w, &row, ret_index, err);
	return r < 0 ? fail(w, r) : 0;
}

int spool_writer_stored(struct spool_writer *w, const struct spool_row *packed, const uint8_t head[SPOOL_BLOCK_HEAD], const void *stored,
			uint32_t *ret_index, struct om_err *err)
{
	struct spool_row row = *packed;
	int r = block_checks(w, row.raw_len, err);

	if (r == 0)
		r = add_new(w, &row, head, stored, err);
	if (r == 0)
		r = list_row(w, &row, ret_index, err);
	return r < 0 ? fail(w, r) : 0;
}

const struct spool_row *spool_writer_row(const struct spool_writer *w, uint32_t index)
{
	return &w->man.rows[index];
}

void spool_writer_relist(struct spool_writer *w, struct spool_row *rows, uint32_t n)
{
	free(w->man.rows);
	w->man.rows = rows;
	w->man.info.blocks = n;
	w->rows_room = n;
}

int spool_writer_keep(struct spool_writer *w, uint32_t base_index, uint32_t *ret_index, struct om_err *err)
{
	int r = failed_before(w, err);

	if (r < 0)
		return r;
	/* not fatal: the caller may go on with the block's bytes */
	if (!w->base || base_index >= w->base->info.blocks)
		return om_err_set(err, -ENOENT, "the checkpoint it builds upon has no block %" PRIu32, base_index);
	r = list_row(w, &w->base->rows[base_index], ret_index, err);
	return r < 0 ? fail(w, r) : 0;
}

/* ---- commit ---- */

static int finish_pack(struct spool_writer *w, struct om_err *err)
{
	int r;

	if (!w->packer)
		return 0;
	r = om_fault(OM_FI_STORE_FSYNC);
	if (r < 0)
		return om_err_sys(err, r, "sync the pack");
	r = spool_packer_finish(w->packer, err);
	/* Its name must be durable before a manifest that needs it. */
	return r < 0 ? r : spool_file_sync_dir(w->set.dirfd, err);
}

static int encode(struct spool_writer *w, struct om_buf *ret, struct om_err *err)
{
	om_autofree struct spool_pack_ref *packs = NULL;
	size_t packs_n;
	int r = spool_set_packs(&w->set, &packs, &packs_n, err);

	if (r < 0)
		return r;
	if (w->packer) {
		packs[packs_n].number = w->set.next_pack;	/* the highest: stays sorted */
		packs[packs_n++].id = spool_packer_id(w->packer);
		w->man.info.stored = spool_packer_size(w->packer);
	}
	return spool_man_encode(&w->man, packs, packs_n, true, ret, err);
}

static int write_man(struct spool_writer *w, const struct om_buf *b, struct om_err *err)
{
	char name[SPOOL_MAN_NAME];
	om_autofd int fd = -1;
	int r;

	spool_man_name(name, w->man.info.n);
	r = spool_file_tmp_create(w->set.dirfd, name, &fd, err);
	if (r < 0)
		return r;
	r = om_fd_write_all(fd, b->data, b->len);
	if (r < 0)
		om_err_sys(err, r, "write %s", name);
	if (r == 0)
		r = om_fault(OM_FI_STORE_COMMIT);
	if (r < 0) {
		spool_file_tmp_remove(w->set.dirfd, name);
		return r;
	}
	r = spool_file_tmp_commit(w->set.dirfd, name, fd, err);
	if (r < 0)		/* the last sync may have failed: it must not be there by half */
		(void)unlinkat(w->set.dirfd, name, 0);
	return r;
}

static int commit(struct spool_writer *w, const void *meta, size_t len, struct om_err *err)
{
	om_autobuf b = { 0 };
	int r = spool_meta_pack(meta, len, &w->man.meta, &w->man.meta_stored, err);

	if (r < 0)
		return r;
	if (spool_names_last(&w->set.names) == UINT32_MAX)
		return om_err_set(err, -EOVERFLOW, "the store has no number left for another checkpoint");
	w->man.meta_len = len;
	w->man.info.n = spool_names_last(&w->set.names) + 1;
	w->man.info.time_ns = om_clock_real_ns();
	r = finish_pack(w, err);
	if (r == 0)
		r = encode(w, &b, err);
	if (r == 0)
		r = om_fault(OM_FI_STORE_COMMIT);
	if (r == 0)
		r = write_man(w, &b, err);
	return r;
}

int spool_writer_commit(struct spool_writer *w, const void *meta, size_t len, struct spool_ckpt_info *ret, struct om_err *err)
{
	int r = failed_before(w, err);

	if (r < 0)
		return r;
	r = commit(w, meta, len, err);
	/* once only, whatever came of it */
	w->failed = r < 0 ? r : -EALREADY;
	if (r < 0)
		return om_err_wrap(err, r, "commit checkpoint %" PRIu32, w->man.info.n);
	if (w->packer)
		spool_packer_keep(w->packer);
	*ret = w->man.info;
	return 0;
}

void spool_writer_destroy(struct spool_writer *w)
{
	if (!w)
		return;
	spool_packer_destroy(w->packer);
	spool_man_done(&w->man);
	spool_index_done(&w->index);
	spool_codec_destroy(w->codec);
	spool_set_unlock(&w->set);	/* last: nobody else may sweep while we remove */
	free(w);
}
