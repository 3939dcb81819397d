/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One block: hash, compression, header.
 *
 * Compression is only worth its time when it saves writing: memory of a job is often incompressible (random numbers, compressed
 * data), often very compressible (text, pointers), seldom between.  So three pieces of a large block are tried first, at a
 * cost of about 1 % of the block's; the whole is compressed only when they shrink to less than two fifths: what shrinks less compresses at
 * 200 MB/s, a fifth of what a disk writes, and would be as slow to restore. */
#include "spool/pack.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/err.h"
#include "spool/check.h"
#include "spool/store.h"
#include "spool/xxh.h"

static const char block_magic[4] = { 'o', 'm', 'B', 'k' };

enum {
	LEVEL = -1,			/* measured on a heap of Python: 555 MB/s to 1/5.5; 1: 394 MB/s to 1/5.7; -5: 568 MB/s to 1/3.6 */
	SAMPLE = 4096,			/* a page */
	SAMPLES = 3,
	HEAD_SUMMED = 32,		/* bytes of the header below its checksum */
};

struct spool_codec {
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	size_t room;
	uint8_t buf[];
};

int spool_codec_create(struct spool_codec **ret)
{
	size_t room = ZSTD_compressBound(SPOOL_BLOCK_MAX);
	struct spool_codec *c = malloc(sizeof(*c) + room);

	if (!c)
		return -ENOMEM;
	c->room = room;
	c->cctx = ZSTD_createCCtx();
	c->dctx = ZSTD_createDCtx();
	if (!c->cctx || !c->dctx) {
		spool_codec_destroy(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

void spool_codec_destroy(struct spool_codec *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->cctx);
	ZSTD_freeDCtx(c->dctx);
	free(c);
}

struct spool_hash spool_hash_of(const void *data, size_t len)
{
	XXH128_hash_t h = XXH3_128bits(data, len);

	return (struct spool_hash){ .lo = h.low64, .hi = h.high64 };
}

/* Less is not worth the reader's decompression. */
static bool shrunk(size_t from, size_t to)
{
	return !ZSTD_isError(to) && to < from - from / 8;
}

static bool pays(struct spool_codec *c, const uint8_t *data, size_t len)
{
	size_t sum = 0;

	if (len <= SAMPLES * SAMPLE)
		return true;
	for (size_t i = 0; i < SAMPLES; i++) {
		size_t off = (len - SAMPLE) / (SAMPLES - 1) * i;
		size_t n = ZSTD_compressCCtx(c->cctx, c->buf, c->room, data + off, SAMPLE, LEVEL);

		if (ZSTD_isError(n))
			return false;
		sum += n;
	}
	return sum < SAMPLES * SAMPLE * 2 / 5;
}

void spool_block_pack(struct spool_codec *c, const void *data, size_t len, struct spool_row *row, const void **ret_stored)
{
	row->raw_len = (uint32_t)len;
	if (pays(c, data, len)) {
		size_t n = ZSTD_compressCCtx(c->cctx, c->buf, c->room, data, len, LEVEL);

		if (shrunk(len, n)) {
			row->codec = SPOOL_CODEC_ZSTD;
			row->stored_len = (uint32_t)n;
			*ret_stored = c->buf;
			return;
		}
	}
	row->codec = SPOOL_CODEC_RAW;
	row->stored_len = row->raw_len;
	*ret_stored = data;
}

static uint64_t head_check(const uint8_t *head, const struct spool_row *row, const void *stored)
{
	uint64_t sum = XXH3_64bits(head, HEAD_SUMMED);

	/* Raw bytes have their hash.  For compressed ones it is not enough: other bits can decompress to the same bytes. */
	return row->codec == SPOOL_CODEC_RAW ? sum : XXH3_64bits_withSeed(stored, row->stored_len, sum);
}

void spool_block_head(uint8_t head[SPOOL_BLOCK_HEAD], const struct spool_row *row, const void *stored)
{
	memcpy(head, block_magic, 4);
	le32_put(head + 4, row->codec);
	le32_put(head + 8, row->raw_len);
	le32_put(head + 12, row->stored_len);
	le64_put(head + 16, row->hash.lo);
	le64_put(head + 24, row->hash.hi);
	le64_put(head + HEAD_SUMMED, head_check(head, row, stored));
}

int spool_block_sane(const struct spool_row *row, struct om_err *err)
{
	bool ok = row->raw_len >= 1 && row->raw_len <= SPOOL_BLOCK_MAX;

	if (row->codec == SPOOL_CODEC_RAW)
		ok = ok && row->stored_len == row->raw_len;
	else if (row->codec == SPOOL_CODEC_ZSTD)
		ok = ok && row->stored_len >= 1 && row->stored_len < row->raw_len;
	else
		ok = false;
	if (!ok)
		return om_err_set(err, -EUCLEAN, "impossible lengths (codec %" PRIu32 ", raw %" PRIu32 ", stored %" PRIu32 ")",
				  row->codec, row->raw_len, row->stored_len);
	return 0;
}

int spool_block_parse(const uint8_t head[SPOOL_BLOCK_HEAD], struct spool_row *row, struct om_err *err)
{
	if (memcmp(head, block_magic, 4) != 0)
		return om_err_set(err, -EUCLEAN, "no block begins here");
	row->codec = le32_get(head + 4);
	row->raw_len = le32_get(head + 8);
	row->stored_len = le32_get(head + 12);
	row->hash.lo = le64_get(head + 16);
	row->hash.hi = le64_get(head + 24);
	return spool_block_sane(row, err);
}

int spool_block_unpack(struct spool_codec *c, const struct spool_row *row, const uint8_t head[SPOOL_BLOCK_HEAD],
		       const void *stored, void *raw, struct om_err *err)
{
	uint8_t want[SPOOL_BLOCK_HEAD];
	struct spool_hash h;

	spool_block_head(want, row, stored);
	if (memcmp(want, head, HEAD_SUMMED) != 0)
		return om_err_set(err, -EUCLEAN, "its header is not the one the manifest names");
	if (!spool_check_equal(want + HEAD_SUMMED, head + HEAD_SUMMED, 8))
		return om_err_set(err, -EUCLEAN, "its checksum does not match");
	if (row->codec == SPOOL_CODEC_ZSTD) {
		size_t n = ZSTD_decompressDCtx(c->dctx, raw, row->raw_len, stored, row->stored_len);

		if (ZSTD_isError(n) || n != row->raw_len)
			return om_err_set(err, -EUCLEAN, "it cannot be decompressed");
	} else if (raw != stored) {
		memcpy(raw, stored, row->raw_len);
	}
	h = spool_hash_of(raw, row->raw_len);
	if (!spool_check_equal(&h, &row->hash, sizeof(h)))
		return om_err_set(err, -EUCLEAN, "its bytes do not have its hash");
	return 0;
}
