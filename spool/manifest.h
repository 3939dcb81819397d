/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/manifest.h - what a checkpoint consists of (doc/image.md, Manifest).  Promise: a manifest that was decoded or loaded without error is sound:
 * checksums right, every length and place possible, sums as they should be.
 * Callers: spool/. */
#ifndef OM_SPOOL_MANIFEST_H
#define OM_SPOOL_MANIFEST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"
#include "spool/pack.h"
#include "spool/store.h"
struct om_err;
struct om_buf;

enum { SPOOL_PACKS_MAX = 4096, SPOOL_MAN_NAME = 16 };

struct spool_pack_ref {
	uint32_t number;
	uint64_t id;
	uint64_t end;			/* the pack must be at least so long */
};

struct spool_man {
	struct spool_ckpt_info info;	/* info.blocks = number of rows */
	struct spool_pack_ref *packs;	/* in rising order of number */
	uint32_t packs_n;
	struct spool_row *rows;
	void *meta;			/* as stored: one zstd frame, or nothing */
	uint64_t meta_stored, meta_len;
	bool usable;			/* its packs are there and long enough (set by spool_set_lock) */
};

void spool_man_done(struct spool_man *m);
void spool_man_free(struct spool_man *m);
OM_DEFINE_AUTOPTR(spool_man, spool_man_free);
void spool_man_name(char name[SPOOL_MAN_NAME], uint32_t n);

/* Bytes of a file to a manifest.  -EUCLEAN; -EPROTONOSUPPORT: sound, of a newer version. */
int spool_man_decode(const void *data, size_t len, struct spool_man *ret, struct om_err *err);
/* And back; @ret is empty before.  Sets info.bytes, blocks' pack table from @known (sorted, all packs the rows name), and the
 * size of the file added to info.stored if @count. */
int spool_man_encode(struct spool_man *m, const struct spool_pack_ref *known, size_t known_n, bool count, struct om_buf *ret, struct om_err *err);
/* -ENOENT; -EUCLEAN */
int spool_man_load(int dirfd, uint32_t n, struct spool_man *ret, struct om_err *err);
const struct spool_pack_ref *spool_man_pack(const struct spool_man *m, uint32_t number);

/* The description, compressed and back (heap). */
int spool_meta_pack(const void *meta, size_t len, void **ret, uint64_t *ret_stored, struct om_err *err);
int spool_meta_unpack(const void *stored, uint64_t stored_len, uint64_t len, void **ret, struct om_err *err);
/* Lengths possible? -EUCLEAN. */
int spool_meta_sane(uint64_t stored_len, uint64_t len, struct om_err *err);
#endif
