/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One checkpoint as a stream. */
#include "spool/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "spool/check.h"
#include "spool/image.h"
#include "spool/index.h"
#include "spool/xxh.h"

static const char stream_magic[8] = { 'O', 'M', 'I', 'M', 'A', 'G', 'E', 1 };

enum { STREAM_VERSION = 1, HEAD_SUMMED = 52, LIST_PIECE = 16384 };

void spool_stream_head_put(uint8_t d[SPOOL_STREAM_HEAD], const struct spool_stream_head *h)
{
	memcpy(d, stream_magic, 8);
	le32_put(d + 8, STREAM_VERSION);
	le32_put(d + 12, h->blocks);
	le32_put(d + 16, h->distinct);
	le64_put(d + 20, h->bytes);
	le64_put(d + 28, h->extra_len);
	le64_put(d + 36, h->meta_len);
	le64_put(d + 44, h->meta_stored);
	le64_put(d + HEAD_SUMMED, XXH3_64bits(d, HEAD_SUMMED));
}

int spool_stream_head_get(const uint8_t d[SPOOL_STREAM_HEAD], struct spool_stream_head *h, struct om_err *err)
{
	uint8_t sum[8];

	if (memcmp(d, stream_magic, 8) != 0)
		return om_err_set(err, -EUCLEAN, "this is no exported checkpoint");
	le64_put(sum, XXH3_64bits(d, HEAD_SUMMED));
	if (!spool_check_equal(sum, d + HEAD_SUMMED, 8))
		return om_err_set(err, -EUCLEAN, "the header of the image is damaged");
	if (le32_get(d + 8) != STREAM_VERSION)
		return om_err_set(err, -EPROTONOSUPPORT, "the image has format %" PRIu32 ", this program knows %d: a newer program is needed",
				  le32_get(d + 8), STREAM_VERSION);
	h->blocks = le32_get(d + 12);
	h->distinct = le32_get(d + 16);
	h->bytes = le64_get(d + 20);
	h->extra_len = le64_get(d + 28);
	h->meta_len = le64_get(d + 36);
	h->meta_stored = le64_get(d + 44);
	if (h->blocks > SPOOL_BLOCKS_MAX || h->distinct > h->blocks || h->extra_len > SPOOL_EXTRA_MAX)
		return om_err_set(err, -EUCLEAN, "impossible lengths in the header of the image");
	return spool_meta_sane(h->meta_stored, h->meta_len, err);
}

struct out {
	int fd;
	XXH3_state_t *sum;
	struct om_err *err;
};

static int put(struct out *o, const void *data, size_t len)
{
	int r;

	XXH3_128bits_update(o->sum, data, len);
	r = om_fd_write_all(o->fd, data, len);
	return r < 0 ? om_err_sys(o->err, r, "write the image") : 0;
}

/* The distinct blocks in the order of their first use (rows of @ix), and for each block which of them it is. */
static int number_blocks(const struct spool_man *m, struct spool_index *ix, uint32_t *list)
{
	for (uint32_t i = 0; i < m->info.blocks; i++) {
		const struct spool_row *row = &m->rows[i], *at;

		if (spool_index_put(ix, row) < 0)
			return -ENOMEM;
		at = spool_index_get(ix, &row->hash, row->raw_len);
		list[i] = (uint32_t)(at - ix->rows);
	}
	return 0;
}

static int put_head(struct out *o, const struct spool_man *m, uint32_t distinct, const char *extra)
{
	struct spool_stream_head h = {
		.blocks = m->info.blocks, .distinct = distinct, .bytes = m->info.bytes,
		.extra_len = strlen(extra), .meta_len = m->meta_len, .meta_stored = m->meta_stored,
	};
	uint8_t d[SPOOL_STREAM_HEAD];
	int r;

	if (h.extra_len > SPOOL_EXTRA_MAX)
		return om_err_set(o->err, -EFBIG, "the text that goes with the image is longer than %d bytes", SPOOL_EXTRA_MAX);
	spool_stream_head_put(d, &h);
	r = put(o, d, sizeof(d));
	if (r == 0)
		r = put(o, extra, h.extra_len);
	return r < 0 ? r : put(o, m->meta, m->meta_stored);
}

static int put_blocks(struct out *o, struct spool_image *im, const uint32_t *list, struct spool_progress *p)
{
	om_autofree uint8_t *raw = malloc(SPOOL_BLOCK_MAX);
	uint32_t next = 0;
	int r = 0;

	if (!raw)
		return om_err_set(o->err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; r == 0 && i < im->man.info.blocks; i++) {
		uint8_t head[SPOOL_BLOCK_HEAD];
		const void *stored;

		if (list[i] == next) {
			r = spool_image_stored(im, i, head, &stored, raw, o->err);
			if (r == 0)
				r = put(o, head, sizeof(head));
			if (r == 0)
				r = put(o, stored, im->man.rows[i].stored_len);
			next++;
		}
		if (r == 0) {
			r = spool_progress_step(p, im->man.rows[i].raw_len);
			if (r < 0)
				om_err_set(o->err, r, "stopped");
		}
	}
	return r;
}

static int put_list(struct out *o, const uint32_t *list, uint32_t n)
{
	uint8_t d[LIST_PIECE];
	size_t len = 0;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < n; i++) {
		le32_put(d + len, list[i]);
		len += 4;
		if (len == sizeof(d) || i + 1 == n) {
			r = put(o, d, len);
			len = 0;
		}
	}
	return r;
}

static int put_tail(struct out *o)
{
	XXH128_hash_t h = XXH3_128bits_digest(o->sum);
	uint8_t d[SPOOL_STREAM_TAIL];

	le64_put(d, h.low64);
	le64_put(d + 8, h.high64);
	return put(o, d, sizeof(d));
}

int spool_image_export(struct spool_image *im, const char *extra, int fd, int (*progress)(void *, uint64_t, uint64_t), void *arg, struct om_err *err)
{
	struct spool_progress p = { .fn = progress, .arg = arg, .all = im->man.info.bytes };
	om_autofree uint32_t *list = calloc(im->man.info.blocks + 1, sizeof(*list));
	struct out o = { .fd = fd, .sum = XXH3_createState(), .err = err };
	struct spool_index ix = { 0 };
	int r = -ENOMEM;

	if (list && o.sum)
		r = number_blocks(&im->man, &ix, list);
	if (r < 0)
		om_err_set(err, r, "out of memory");
	if (r == 0) {
		XXH3_128bits_reset(o.sum);
		spool_image_readahead(im);
		r = put_head(&o, &im->man, ix.n, extra ? extra : "");
	}
	if (r == 0)
		r = put_blocks(&o, im, list, &p);
	if (r == 0)
		r = put_list(&o, list, im->man.info.blocks);
	if (r == 0)
		r = put_tail(&o);
	spool_index_done(&ix);
	XXH3_freeState(o.sum);
	return r;
}
