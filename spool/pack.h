/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/pack.h - blocks and the pack files that hold them (doc/image.md, Pack).  Promise: what a pack gives out has the hash it
 * was stored under; nothing of a block is believed before its lengths and checksum are.
 * Callers: spool/. */
#ifndef OM_SPOOL_PACK_H
#define OM_SPOOL_PACK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct om_err;

enum {
	SPOOL_PACK_HEAD = 32,
	SPOOL_BLOCK_HEAD = 40,
	SPOOL_PACK_NAME = 16,		/* room for "pack-%08x" */
};
enum { SPOOL_CODEC_RAW = 0, SPOOL_CODEC_ZSTD = 1 };

struct spool_hash {
	uint64_t lo, hi;		/* XXH3-128 of the raw bytes */
};

/* A block and where it is. */
struct spool_row {
	struct spool_hash hash;
	uint64_t offset;		/* of its header */
	uint32_t pack;			/* number of the pack */
	uint32_t codec, raw_len, stored_len;
};

static inline uint64_t spool_row_end(const struct spool_row *row)
{
	return row->offset + SPOOL_BLOCK_HEAD + row->stored_len;
}

/* ---- one block ---- */
struct spool_codec;			/* buffers and contexts of compression */
int spool_codec_create(struct spool_codec **ret);
void spool_codec_destroy(struct spool_codec *c);
struct spool_hash spool_hash_of(const void *data, size_t len);
/* Decide how to store a block.  Fills codec, raw_len, stored_len of @row; @ret_stored is @data or a buffer of @c. */
void spool_block_pack(struct spool_codec *c, const void *data, size_t len, struct spool_row *row, const void **ret_stored);
/* The header for @row (without offset and pack). */
void spool_block_head(uint8_t head[SPOOL_BLOCK_HEAD], const struct spool_row *row, const void *stored);
/* Lengths and codec possible?  -EUCLEAN if not. */
int spool_block_sane(const struct spool_row *row, struct om_err *err);
/* A header of unknown origin; hash, codec and lengths are filled in and sane.  The checksum is not looked at. */
int spool_block_parse(const uint8_t head[SPOOL_BLOCK_HEAD], struct spool_row *row, struct om_err *err);
/* Verify header, stored bytes and hash against @row; the raw bytes in @raw of SPOOL_BLOCK_MAX (may be @stored with codec raw). */
int spool_block_unpack(struct spool_codec *c, const struct spool_row *row, const uint8_t head[SPOOL_BLOCK_HEAD],
		       const void *stored, void *raw, struct om_err *err);

/* ---- a pack, reading ---- */
struct spool_pack {
	int fd;
	uint32_t number;
	uint64_t id, size;
};
void spool_pack_head(uint8_t head[SPOOL_PACK_HEAD], uint32_t number, uint64_t id);
void spool_pack_name(char name[SPOOL_PACK_NAME], uint32_t number);
/* Open and verify the header.  -ENOENT; -EUCLEAN: not a pack, or another one. */
int spool_pack_open(int dirfd, uint32_t number, struct spool_pack *ret, struct om_err *err);
void spool_pack_close(struct spool_pack *p);
/* Read header and stored bytes of @row. @stored has room for SPOOL_BLOCK_MAX. */
int spool_pack_read(const struct spool_pack *p, const struct spool_row *row, uint8_t head[SPOOL_BLOCK_HEAD], void *stored, struct om_err *err);

/* ---- a pack, writing ---- */
struct spool_packer;			/* has a thread that writes while its owner hashes and compresses */
int spool_packer_create(int dirfd, uint32_t number, struct spool_packer **ret, struct om_err *err);
/* Append a block; offset and pack of @row are filled in.  An error of the disk may be told by a later call. */
int spool_packer_add(struct spool_packer *p, struct spool_row *row, const void *stored, struct om_err *err);
/* The same with a header that exists already. */
int spool_packer_copy(struct spool_packer *p, struct spool_row *row, const uint8_t head[SPOOL_BLOCK_HEAD], const void *stored, struct om_err *err);
/* Write the rest and fsync. */
int spool_packer_finish(struct spool_packer *p, struct om_err *err);
/* The file stays when the packer is destroyed: a manifest names it. */
void spool_packer_keep(struct spool_packer *p);
uint64_t spool_packer_size(const struct spool_packer *p);
uint64_t spool_packer_id(const struct spool_packer *p);
void spool_packer_destroy(struct spool_packer *p);	/* not kept: the file is removed */
#endif
