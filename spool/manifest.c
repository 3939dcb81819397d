/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "spool/check.h"
#include "spool/xxh.h"

static const char man_magic[8] = { 'O', 'M', 'C', 'K', 'P', 'T', 0, 1 };

enum { MAN_VERSION = 1, MAN_HEAD = 72, MAN_SUMMED = 64, MAN_PACK = 20, MAN_ROW = 40, MAN_TAIL = 16 };

void spool_man_done(struct spool_man *m)
{
	free(m->packs);
	free(m->rows);
	free(m->meta);
	*m = (struct spool_man){ 0 };
}

void spool_man_free(struct spool_man *m)
{
	if (m)
		spool_man_done(m);
	free(m);
}

void spool_man_name(char name[SPOOL_MAN_NAME], uint32_t n)
{
	snprintf(name, SPOOL_MAN_NAME, "ckpt-%08" PRIx32, n);
}

static int pack_cmp(const void *a, const void *b)
{
	const struct spool_pack_ref *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static struct spool_pack_ref *pack_find(struct spool_pack_ref *packs, size_t n, uint32_t number)
{
	struct spool_pack_ref key = { .number = number };

	return n ? bsearch(&key, packs, n, sizeof(key), pack_cmp) : NULL;
}

const struct spool_pack_ref *spool_man_pack(const struct spool_man *m, uint32_t number)
{
	return pack_find(m->packs, m->packs_n, number);
}

/* ---- decode ---- */

static int damaged(struct om_err *err, const char *what)
{
	return om_err_set(err, -EUCLEAN, "the manifest is damaged: %s", what);
}

static int decode_head(const uint8_t *d, size_t len, struct spool_man *m, struct om_err *err)
{
	uint8_t sum[8];

	if (len < MAN_HEAD + MAN_TAIL)
		return damaged(err, "it is cut");
	le64_put(sum, XXH3_64bits(d, MAN_SUMMED));
	if (memcmp(d, man_magic, 8) != 0 || !spool_check_equal(sum, d + MAN_SUMMED, 8))
		return damaged(err, "its header");
	if (le32_get(d + 8) != MAN_VERSION)
		return om_err_set(err, -EPROTONOSUPPORT, "the manifest has format %" PRIu32 ", this program knows %d: a newer program is needed",
				  le32_get(d + 8), MAN_VERSION);
	m->info.n = le32_get(d + 12);
	m->info.time_ns = le64_get(d + 16);
	m->info.bytes = le64_get(d + 24);
	m->info.stored = le64_get(d + 32);
	m->info.blocks = le32_get(d + 40);
	m->packs_n = le32_get(d + 44);
	m->meta_len = le64_get(d + 48);
	m->meta_stored = le64_get(d + 56);
	if (m->info.n == 0 || m->info.blocks > SPOOL_BLOCKS_MAX || m->packs_n > SPOOL_PACKS_MAX)
		return damaged(err, "impossible numbers in its header");
	return spool_meta_sane(m->meta_stored, m->meta_len, err);
}

static int decode_packs(const uint8_t *d, struct spool_man *m, struct om_err *err)
{
	m->packs = calloc(m->packs_n ? m->packs_n : 1, sizeof(*m->packs));
	if (!m->packs)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < m->packs_n; i++, d += MAN_PACK) {
		m->packs[i].number = le32_get(d);
		m->packs[i].id = le64_get(d + 4);
		m->packs[i].end = le64_get(d + 12);
		if (m->packs[i].end > INT64_MAX || (i && m->packs[i].number <= m->packs[i - 1].number))
			return damaged(err, "its pack table");
	}
	return 0;
}

static int decode_row(const uint8_t *d, const struct spool_man *m, uint64_t *ends, struct spool_row *row, struct om_err *err)
{
	uint32_t i = le32_get(d + 16);

	row->hash.lo = le64_get(d);
	row->hash.hi = le64_get(d + 8);
	row->codec = le32_get(d + 20);
	row->offset = le64_get(d + 24);
	row->raw_len = le32_get(d + 32);
	row->stored_len = le32_get(d + 36);
	if (i >= m->packs_n || row->offset < SPOOL_PACK_HEAD || row->offset >= m->packs[i].end)
		return damaged(err, "a block outside of its pack");
	if (spool_block_sane(row, err) < 0)
		return om_err_wrap(err, -EUCLEAN, "the manifest is damaged");
	row->pack = m->packs[i].number;
	if (spool_row_end(row) > m->packs[i].end)
		return damaged(err, "a block outside of its pack");
	if (ends[i] < spool_row_end(row))
		ends[i] = spool_row_end(row);
	return 0;
}

static int decode_rows(const uint8_t *d, struct spool_man *m, struct om_err *err)
{
	om_autofree uint64_t *ends = calloc(m->packs_n ? m->packs_n : 1, sizeof(*ends));
	uint64_t bytes = 0;

	m->rows = calloc(m->info.blocks ? m->info.blocks : 1, sizeof(*m->rows));
	if (!ends || !m->rows)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < m->info.blocks; i++, d += MAN_ROW) {
		int r = decode_row(d, m, ends, &m->rows[i], err);

		if (r < 0)
			return r;
		bytes += m->rows[i].raw_len;
	}
	if (bytes != m->info.bytes)
		return damaged(err, "its blocks have not the length it says");
	for (uint32_t i = 0; i < m->packs_n; i++)
		if (ends[i] != m->packs[i].end)
			return damaged(err, "its pack table does not fit its blocks");
	return 0;
}

static int decode_tail(const uint8_t *d, size_t len, struct om_err *err)
{
	struct spool_hash h = spool_hash_of(d, len - MAN_TAIL);
	uint8_t sum[MAN_TAIL];

	le64_put(sum, h.lo);
	le64_put(sum + 8, h.hi);
	return spool_check_equal(sum, d + len - MAN_TAIL, MAN_TAIL) ? 0 : damaged(err, "its checksum does not match");
}

static int decode(const uint8_t *d, size_t len, struct spool_man *m, struct om_err *err)
{
	uint64_t want;
	int r = decode_head(d, len, m, err);

	if (r < 0)
		return r;
	/* no overflow: each factor was limited above; and what is allocated below is no more than a few times @len */
	want = MAN_HEAD + (uint64_t)m->packs_n * MAN_PACK + (uint64_t)m->info.blocks * MAN_ROW + m->meta_stored + MAN_TAIL;
	if (want != len)
		return damaged(err, "it has not the length it says");
	r = decode_tail(d, len, err);
	if (r == 0)
		r = decode_packs(d + MAN_HEAD, m, err);
	if (r == 0)
		r = decode_rows(d + MAN_HEAD + m->packs_n * MAN_PACK, m, err);
	if (r == 0 && m->meta_stored) {
		m->meta = malloc(m->meta_stored);
		if (!m->meta)
			return om_err_set(err, -ENOMEM, "out of memory");
		memcpy(m->meta, d + len - MAN_TAIL - m->meta_stored, m->meta_stored);
	}
	return r;
}

int spool_man_decode(const void *data, size_t len, struct spool_man *ret, struct om_err *err)
{
	struct spool_man m = { 0 };
	int r = decode(data, len, &m, err);

	if (r < 0)
		spool_man_done(&m);
	else
		*ret = m;
	return r;
}

int spool_man_load(int dirfd, uint32_t n, struct spool_man *ret, struct om_err *err)
{
	const size_t max = MAN_HEAD + (size_t)SPOOL_PACKS_MAX * MAN_PACK + (size_t)SPOOL_BLOCKS_MAX * MAN_ROW +
			   ZSTD_compressBound(SPOOL_META_MAX) + MAN_TAIL;
	om_autofree char *data = NULL;
	char name[SPOOL_MAN_NAME];
	struct spool_man m;
	size_t len;
	int r;

	spool_man_name(name, n);
	r = om_file_read_at(dirfd, name, max, 1, &data, &len);
	if (r == -EFBIG || r == -ELOOP || r == -EISDIR)
		return om_err_sys(err, -EUCLEAN, "%s is no manifest", name);
	if (r < 0)
		return om_err_sys(err, r, "read %s", name);
	r = spool_man_decode(data, len, &m, err);
	if (r < 0)
		return om_err_wrap(err, r, "%s", name);
	if (m.info.n != n) {
		spool_man_done(&m);
		return om_err_set(err, -EUCLEAN, "%s is the manifest of another checkpoint", name);
	}
	*ret = m;
	return 0;
}

/* ---- encode ---- */

/* m->packs = those of @known that a row names, with their ends. */
static int collect_packs(struct spool_man *m, const struct spool_pack_ref *known, size_t known_n, struct om_err *err)
{
	om_autofree struct spool_pack_ref *packs = calloc(known_n ? known_n : 1, sizeof(*packs));
	uint32_t used = 0;

	if (!packs)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < known_n; i++)
		packs[i] = (struct spool_pack_ref){ .number = known[i].number, .id = known[i].id };
	for (uint32_t i = 0; i < m->info.blocks; i++) {
		struct spool_pack_ref *p = pack_find(packs, known_n, m->rows[i].pack);

		if (!p)
			return om_err_set(err, -EUCLEAN, "pack-%08" PRIx32 " is not known", m->rows[i].pack);
		if (p->end < spool_row_end(&m->rows[i]))
			p->end = spool_row_end(&m->rows[i]);
	}
	for (size_t i = 0; i < known_n; i++)
		if (packs[i].end)
			packs[used++] = packs[i];
	if (used > SPOOL_PACKS_MAX)
		return om_err_set(err, -EFBIG, "the checkpoint would need %" PRIu32 " packs, at most %d are possible", used, SPOOL_PACKS_MAX);
	free(m->packs);
	m->packs = om_steal(packs);
	m->packs_n = used;
	return 0;
}

static void encode_head(uint8_t *d, const struct spool_man *m)
{
	memcpy(d, man_magic, 8);
	le32_put(d + 8, MAN_VERSION);
	le32_put(d + 12, m->info.n);
	le64_put(d + 16, m->info.time_ns);
	le64_put(d + 24, m->info.bytes);
	le64_put(d + 32, m->info.stored);
	le32_put(d + 40, m->info.blocks);
	le32_put(d + 44, m->packs_n);
	le64_put(d + 48, m->meta_len);
	le64_put(d + 56, m->meta_stored);
	le64_put(d + MAN_SUMMED, XXH3_64bits(d, MAN_SUMMED));
}

static void encode_row(uint8_t *d, const struct spool_man *m, const struct spool_row *row)
{
	le64_put(d, row->hash.lo);
	le64_put(d + 8, row->hash.hi);
	le32_put(d + 16, (uint32_t)(spool_man_pack(m, row->pack) - m->packs));
	le32_put(d + 20, row->codec);
	le64_put(d + 24, row->offset);
	le32_put(d + 32, row->raw_len);
	le32_put(d + 36, row->stored_len);
}

int spool_man_encode(struct spool_man *m, const struct spool_pack_ref *known, size_t known_n, bool count, struct om_buf *ret, struct om_err *err)
{
	int r = collect_packs(m, known, known_n, err);
	size_t len;
	uint8_t *d;
	struct spool_hash h;

	if (r < 0)
		return r;
	len = MAN_HEAD + m->packs_n * (size_t)MAN_PACK + m->info.blocks * (size_t)MAN_ROW + m->meta_stored + MAN_TAIL;
	if (om_buf_reserve(ret, len) < 0)
		return om_err_set(err, -ENOMEM, "out of memory");
	if (count)
		m->info.stored += len;
	m->info.bytes = 0;
	for (uint32_t i = 0; i < m->info.blocks; i++)
		m->info.bytes += m->rows[i].raw_len;
	d = (uint8_t *)ret->data;
	encode_head(d, m);
	d += MAN_HEAD;
	for (uint32_t i = 0; i < m->packs_n; i++, d += MAN_PACK) {
		le32_put(d, m->packs[i].number);
		le64_put(d + 4, m->packs[i].id);
		le64_put(d + 12, m->packs[i].end);
	}
	for (uint32_t i = 0; i < m->info.blocks; i++, d += MAN_ROW)
		encode_row(d, m, &m->rows[i]);
	if (m->meta_stored)
		memcpy(d, m->meta, m->meta_stored);
	d += m->meta_stored;
	h = spool_hash_of(ret->data, len - MAN_TAIL);
	le64_put(d, h.lo);
	le64_put(d + 8, h.hi);
	ret->data[len] = 0;
	ret->len = len;
	return 0;
}
