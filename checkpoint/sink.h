/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/sink.h - where a checkpoint goes to and comes from.  Promise: checkpoint/ knows only these tables; omjob
 * fills them with the spool's store, a test with memory or a folder, later a peer.
 *
 * A checkpoint is a list of blocks, numbered from 0 in the order they were added, and one description ("meta", opaque to the
 * store) that names blocks by these numbers.  A block is 1..CKPT_BLOCK_MAX bytes. */
#ifndef OM_CHECKPOINT_SINK_H
#define OM_CHECKPOINT_SINK_H
#include <stddef.h>
#include <stdint.h>
struct om_err;

enum { CKPT_BLOCK_MAX = 256 * 1024 };	/* facts: reading memory in 256 KiB pieces is as fast as it gets */

struct ckpt_sink {
	void *ctx;
	/* Add a block; @ret_index is its number in this checkpoint.  The same bytes may be given twice (stored once). 0, -ENOSPC, -EIO, -ENOMEM. */
	int (*block)(void *ctx, const void *data, size_t len, uint32_t *ret_index, struct om_err *err);
	/* Add block number @base_index of the base checkpoint (the one this dump was told to build upon) without its bytes.
	 * -ENOENT when there is no base. */
	int (*keep)(void *ctx, uint32_t base_index, uint32_t *ret_index, struct om_err *err);
	/* The description; last.  0: the checkpoint is complete and durable. */
	int (*commit)(void *ctx, const void *meta, size_t len, struct om_err *err);
};

struct ckpt_source {
	void *ctx;
	/* The description, borrowed until the source is gone. */
	int (*meta)(void *ctx, const void **ret, size_t *ret_len, struct om_err *err);
	/* Read block @index into @buf of CKPT_BLOCK_MAX bytes; its length in @ret_len.  -EUCLEAN: damaged, the text names it. Safe after fork(2)
	 * (pread only), so that several restored processes read at once. */
	int (*block)(void *ctx, uint32_t index, void *buf, size_t *ret_len, struct om_err *err);
};
#endif
