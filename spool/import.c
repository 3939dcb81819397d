/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking in a stream that anybody may have written.  Memory grows with what has really arrived, never with what a header says; the
 * writer commits only after the last checksum, and destroying it removes everything. */
#include "spool/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "spool/check.h"
#include "spool/index.h"
#include "spool/manifest.h"
#include "spool/set.h"
#include "spool/writer.h"
#include "spool/xxh.h"

enum { PIECE = 1 << 20 };		/* allocated ahead of what arrives */

struct in {
	int fd;
	uint64_t at;
	XXH3_state_t *sum;
	struct om_err *err;
	struct spool_stream_head head;
	struct om_buf extra, meta;
	struct spool_index seen;
	struct spool_codec *codec;
	struct spool_writer *w;
};

static int get(struct in *in, void *buf, size_t len)
{
	int r = om_fd_read_all(in->fd, buf, len);

	if (r == -ENODATA)
		return om_err_set(in->err, -EUCLEAN, "the image is cut (behind byte %" PRIu64 ")", in->at);
	if (r < 0)
		return om_err_sys(in->err, r, "read the image");
	in->at += len;
	XXH3_128bits_update(in->sum, buf, len);
	return 0;
}

static int get_text(struct in *in, struct om_buf *b, uint64_t len)
{
	while (len > 0) {
		size_t n = len < PIECE ? (size_t)len : PIECE;
		int r;

		if (om_buf_reserve(b, n) < 0)
			return om_err_set(in->err, -ENOMEM, "out of memory");
		r = get(in, b->data + b->len, n);
		if (r < 0)
			return r;
		b->len += n;
		b->data[b->len] = 0;
		len -= n;
	}
	return 0;
}

static int get_head(struct in *in)
{
	uint8_t d[SPOOL_STREAM_HEAD];
	int r = get(in, d, sizeof(d));

	if (r == 0)
		r = spool_stream_head_get(d, &in->head, in->err);
	if (r == 0)
		r = get_text(in, &in->extra, in->head.extra_len);
	if (r == 0)
		r = get_text(in, &in->meta, in->head.meta_stored);
	if (r < 0)
		return r;
	if (in->extra.len && strlen(in->extra.data) != in->extra.len)
		return om_err_set(in->err, -EUCLEAN, "the text that goes with the image has a 0 byte in it");
	return 0;
}

/* One distinct block; @buf has room for a stored and a raw one. */
static int get_block(struct in *in, uint8_t *buf)
{
	uint8_t head[SPOOL_BLOCK_HEAD], *stored = buf, *raw = buf + SPOOL_BLOCK_MAX;
	struct spool_row row = { 0 };
	uint32_t index;
	int r = get(in, head, sizeof(head));

	if (r == 0)
		r = spool_block_parse(head, &row, in->err);
	if (r == 0)
		r = get(in, stored, row.stored_len);
	if (r == 0)
		r = spool_block_unpack(in->codec, &row, head, stored, raw, in->err);
	if (r < 0)
		return r;
	if (spool_index_get(&in->seen, &row.hash, row.raw_len))
		return om_err_set(in->err, -EUCLEAN, "it comes twice");
	if (spool_index_put(&in->seen, &row) < 0)
		return om_err_set(in->err, -ENOMEM, "out of memory");
	return spool_writer_stored(in->w, &row, head, stored, &index, in->err);
}

static int get_blocks(struct in *in)
{
	om_autofree uint8_t *buf = malloc(2 * SPOOL_BLOCK_MAX);
	int r = 0;

	if (!buf)
		return om_err_set(in->err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; r == 0 && i < in->head.distinct; i++) {
		uint64_t at = in->at;

		r = get_block(in, buf);
		if (r == -EUCLEAN)
			om_err_wrap(in->err, r, "distinct block %" PRIu32 " of the image (at byte %" PRIu64 ")", i, at);
	}
	return r;
}

static int list_blocks(struct in *in, const struct om_buf *list)
{
	om_autofree struct spool_row *rows = calloc(in->head.blocks + 1, sizeof(*rows));
	uint64_t bytes = 0;

	if (!rows)
		return om_err_set(in->err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < in->head.blocks; i++) {
		uint32_t which = le32_get(list->data + 4 * (size_t)i);

		if (which >= in->head.distinct)
			return om_err_set(in->err, -EUCLEAN, "block %" PRIu32 " of the image is one that is not there", i);
		rows[i] = *spool_writer_row(in->w, which);
		bytes += rows[i].raw_len;
	}
	if (bytes != in->head.bytes)
		return om_err_set(in->err, -EUCLEAN, "the blocks of the image have not the length it says");
	spool_writer_relist(in->w, om_steal(rows), in->head.blocks);
	return 0;
}

static int get_list(struct in *in)
{
	om_autobuf list = { 0 };
	int r = get_text(in, &list, 4 * (uint64_t)in->head.blocks);

	return r < 0 ? r : list_blocks(in, &list);
}

static int get_tail(struct in *in)
{
	XXH128_hash_t h = XXH3_128bits_digest(in->sum);
	uint8_t want[SPOOL_STREAM_TAIL], d[SPOOL_STREAM_TAIL], more;
	int r = get(in, d, sizeof(d));

	if (r < 0)
		return r;
	le64_put(want, h.low64);
	le64_put(want + 8, h.high64);
	if (!spool_check_equal(want, d, sizeof(d)))
		return om_err_set(in->err, -EUCLEAN, "the checksum of the image does not match");
	r = om_fd_read_all(in->fd, &more, 1);
	if (r == 0)
		return om_err_set(in->err, -EUCLEAN, "something follows the image (at byte %" PRIu64 ")", in->at);
	return r == -ENODATA ? 0 : om_err_sys(in->err, r, "read the image");
}

static int take(struct in *in, struct spool_ckpt_info *ret)
{
	om_autofree void *meta = NULL;
	int r = get_head(in);

	if (r == 0)
		r = spool_meta_unpack(in->meta.data, in->head.meta_stored, in->head.meta_len, &meta, in->err);
	if (r == 0)
		r = get_blocks(in);
	if (r == 0)
		r = get_list(in);
	if (r == 0)
		r = get_tail(in);
	if (r == 0)
		r = spool_writer_commit(in->w, meta, in->head.meta_len, ret, in->err);
	return r;
}

static int refuse_used(struct spool_store *st, struct om_err *err)
{
	struct spool_names names;
	int r = spool_names_read(st->dirfd, &names, err);

	if (r < 0)
		return r;
	if (names.ckpts.n)
		r = om_err_set(err, -ENOTEMPTY, "the store has checkpoints already: an image is imported as a job of its own");
	spool_names_done(&names);
	return r;
}

int spool_store_import(struct spool_store *st, int fd, struct spool_ckpt_info *ret, char **ret_extra, struct om_err *err)
{
	struct in in = { .fd = fd, .err = err, .sum = XXH3_createState() };
	int r = refuse_used(st, err);

	if (r == 0 && (!in.sum || spool_codec_create(&in.codec) < 0 || om_buf_add(&in.extra, "", 0) < 0))
		r = om_err_set(err, -ENOMEM, "out of memory");
	if (r == 0) {
		XXH3_128bits_reset(in.sum);
		r = spool_writer_create(st, 0, &in.w, err);
	}
	if (r == 0)
		r = take(&in, ret);
	if (r == 0)
		*ret_extra = om_buf_steal(&in.extra);
	spool_writer_destroy(in.w);
	om_buf_done(&in.extra);
	om_buf_done(&in.meta);
	spool_index_done(&in.seen);
	spool_codec_destroy(in.codec);
	XXH3_freeState(in.sum);
	return r;
}
