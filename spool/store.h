/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/store.h - checkpoint store of one job (a folder; format: doc/image.md).  Promise: a checkpoint is either complete, checksummed and
 * durable or not there; every block is verified when read; the newest good one is never deleted.
 * Callers: omjob and its helpers, as the job's user.  One writer, drop or import at a time (flock on the folder; the others get -EBUSY at
 * once), any number of readers.  "Good" is a checkpoint whose manifest is sound and whose packs are there and long enough; blocks are
 * only looked at when they are read.  -EUCLEAN: damaged, the text says what; -EPROTONOSUPPORT: made by a newer program. */
#ifndef OM_SPOOL_STORE_H
#define OM_SPOOL_STORE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"
struct om_err;
enum {
	SPOOL_BLOCK_MAX = 256 * 1024,	/* as CKPT_BLOCK_MAX; facts: reading memory in such pieces is as fast as it gets */
	SPOOL_BLOCKS_MAX = 1 << 22,	/* of one checkpoint: 1 TiB in large blocks */
	SPOOL_META_MAX = 256 << 20,	/* description of one checkpoint: far above what 10,000 processes need */
	SPOOL_EXTRA_MAX = 16 << 20,	/* a job's script is much smaller */
};
struct spool_store;			/* an open folder */
struct spool_writer;			/* a checkpoint that is being written */
struct spool_image;			/* a complete checkpoint, open for reading */

struct spool_ckpt_info {
	uint32_t n;			/* number of the checkpoint, from 1, never given twice */
	uint64_t time_ns;		/* CLOCK_REALTIME of its commit */
	uint64_t bytes;			/* of all its blocks, as the job has them */
	uint64_t stored;		/* bytes on disk that were written for it */
	uint32_t blocks;
};

int spool_store_open(int dirfd, const char *name, bool create, struct spool_store **ret, struct om_err *err);
void spool_store_close(struct spool_store *st);
/* Good checkpoints, oldest first; caller frees @ret. */
int spool_store_list(struct spool_store *st, struct spool_ckpt_info **ret, size_t *ret_n, struct om_err *err);

/* Write a checkpoint.  @base_n: complete checkpoint whose blocks spool_writer_keep() may name (0: none).  Leftovers of a killed writer are removed first.
 * A block whose bytes any good checkpoint has already is not written again.  A large checkpoint gets a thread (spool/packer.c), so the errors of
 * a full disk may come a few MiB late; after the first one the writer can only be destroyed. */
int spool_writer_create(struct spool_store *st, uint32_t base_n, struct spool_writer **ret, struct om_err *err);
int spool_writer_block(struct spool_writer *w, const void *data, size_t len, uint32_t *ret_index, struct om_err *err);
int spool_writer_keep(struct spool_writer *w, uint32_t base_index, uint32_t *ret_index, struct om_err *err);
/* fsync all, write the manifest (tmp, fsync, rename, fsync folder).  0 with @ret filled: durable. */
int spool_writer_commit(struct spool_writer *w, const void *meta, size_t len, struct spool_ckpt_info *ret, struct om_err *err);
void spool_writer_destroy(struct spool_writer *w);	/* uncommitted: everything it wrote is removed */
OM_DEFINE_AUTOPTR(spool_writer, spool_writer_destroy);

/* @n 0: the newest good one.  -ENOENT.  The manifest is verified here, blocks when they are read. */
int spool_image_open(struct spool_store *st, uint32_t n, struct spool_image **ret, struct om_err *err);
void spool_image_close(struct spool_image *im);
void spool_image_info(const struct spool_image *im, struct spool_ckpt_info *ret);
void spool_image_meta(const struct spool_image *im, const void **ret, size_t *ret_len);
int spool_image_block(struct spool_image *im, uint32_t index, void *buf, size_t *ret_len, struct om_err *err);

/* Read everything; -EUCLEAN with the first bad block named (pack, offset, index). @progress may be NULL; returns not 0 to stop. */
int spool_image_verify(struct spool_image *im, int (*progress)(void *arg, uint64_t done, uint64_t all), void *arg, struct om_err *err);
/* Remove checkpoint @n and the packs nobody needs any more (rewriting sparse ones).  -EPERM when it is the only good one, -ENOENT.
 * 0: it is gone for good; what of its blocks could not be removed now is by the next drop or writer. */
int spool_store_drop(struct spool_store *st, uint32_t n, struct om_err *err);
/* Remove all checkpoints, also the only good one: the job begins anew, and its files are no more what they were.  Numbers go on. */
int spool_store_clear(struct spool_store *st, struct om_err *err);
/* One stream that import takes; checksummed as a whole and by block.  @extra: opaque text that travels along (the job's spec), or NULL.
 * Writing to a closed pipe is -EPIPE for who ignores SIGPIPE. */
int spool_image_export(struct spool_image *im, const char *extra, int fd, int (*progress)(void *, uint64_t, uint64_t), void *arg, struct om_err *err);
/* Into a store without checkpoints (-ENOTEMPTY); reads @fd to its end; @ret_extra is a heap string.  Every byte is hostile
 * until checked; a cut or flipped stream leaves nothing. */
int spool_store_import(struct spool_store *st, int fd, struct spool_ckpt_info *ret, char **ret_extra, struct om_err *err);
#endif
