/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/image.h - what export needs of an open checkpoint besides spool/store.h.  Promise: as there. */
#ifndef OM_SPOOL_IMAGE_H
#define OM_SPOOL_IMAGE_H
#include "spool/manifest.h"

struct spool_image {
	struct spool_man man;
	struct spool_pack *packs;	/* as man.packs */
	void *meta;			/* unpacked */
	struct spool_codec *codec;
	uint8_t scratch[SPOOL_BLOCK_MAX];	/* a compressed block */
};

/* Header and stored bytes of a block, verified; @raw is a buffer of SPOOL_BLOCK_MAX.  @ret_stored is valid until the next call. */
int spool_image_stored(struct spool_image *im, uint32_t index, uint8_t head[SPOOL_BLOCK_HEAD], const void **ret_stored,
		       void *raw, struct om_err *err);
void spool_image_readahead(struct spool_image *im);

struct spool_progress {
	int (*fn)(void *arg, uint64_t done, uint64_t all);
	void *arg;
	uint64_t done, told, all;
};
/* @bytes more are done.  Not 0: stop with this error. */
int spool_progress_step(struct spool_progress *p, uint64_t bytes);
#endif
