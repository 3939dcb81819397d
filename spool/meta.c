/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The description of a checkpoint: one zstd frame. */
#include "spool/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/err.h"

enum { META_LEVEL = 3 };		/* JSON: 300 MB/s, a tenth of its size */

int spool_meta_pack(const void *meta, size_t len, void **ret, uint64_t *ret_stored, struct om_err *err)
{
	size_t room = ZSTD_compressBound(len), n;
	om_autofree void *buf = NULL;

	if (len > SPOOL_META_MAX)
		return om_err_set(err, -EFBIG, "the description of the checkpoint is %zu bytes long, at most %d are possible", len, SPOOL_META_MAX);
	if (len == 0) {
		*ret = NULL;
		*ret_stored = 0;
		return 0;
	}
	buf = malloc(room);
	if (!buf)
		return om_err_set(err, -ENOMEM, "out of memory");
	n = ZSTD_compress(buf, room, meta, len, META_LEVEL);
	if (ZSTD_isError(n))
		return om_err_set(err, -ENOMEM, "compress the description: %s", ZSTD_getErrorName(n));
	*ret = om_steal(buf);
	*ret_stored = n;
	return 0;
}

int spool_meta_sane(uint64_t stored_len, uint64_t len, struct om_err *err)
{
	if (len > SPOOL_META_MAX || stored_len > ZSTD_compressBound(SPOOL_META_MAX) || !len != !stored_len)
		return om_err_set(err, -EUCLEAN, "impossible length of the description (%" PRIu64 ", stored %" PRIu64 ")", len, stored_len);
	return 0;
}

int spool_meta_unpack(const void *stored, uint64_t stored_len, uint64_t len, void **ret, struct om_err *err)
{
	om_autofree void *buf = NULL;
	int r = spool_meta_sane(stored_len, len, err);
	size_t n;

	if (r < 0)
		return r;
	if (len == 0) {
		*ret = NULL;
		return 0;
	}
	/* The frame says its length itself: looked at before anything is allocated. */
	if (ZSTD_getFrameContentSize(stored, stored_len) != len || ZSTD_findFrameCompressedSize(stored, stored_len) != stored_len)
		return om_err_set(err, -EUCLEAN, "the description has not the length it says");
	buf = malloc(len);
	if (!buf)
		return om_err_set(err, -ENOMEM, "out of memory");
	n = ZSTD_decompress(buf, len, stored, stored_len);
	if (ZSTD_isError(n) || n != len)
		return om_err_set(err, -EUCLEAN, "the description cannot be decompressed");
	*ret = om_steal(buf);
	return 0;
}
