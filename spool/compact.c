/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sparse packs are rewritten (doc/image.md, rule 4): copy what lives, fsync, point each manifest to the copy, unlink.  Manifests are replaced one by
 * one; until the last of them is, both places of a block are there.  Whoever is killed between leaves a store in which every
 * manifest is right; what is too much is swept by the next writer. */
#include "spool/set.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "spool/file.h"
#include "spool/store.h"

enum {
	PACKS_MANY = 64,		/* above: descriptors and seeks of a reader count */
	PACKS_FEW = 32,			/* down to this many, so that it is done seldom */
};

struct move {
	struct spool_row from, to;
};

struct compact {
	struct spool_set *s;
	struct spool_pack_ref *packs;	/* all that usable manifests name */
	size_t packs_n;
	struct move *moves;		/* sorted by place: live blocks of all these packs, later only those that move */
	size_t moves_n;
	struct spool_numbers victims;	/* sorted */
	struct spool_packer *packer;
};

static int place_cmp(const void *a, const void *b)
{
	const struct spool_row *x = &((const struct move *)a)->from, *y = &((const struct move *)b)->from;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Every live block once, by place. */
static int collect(struct compact *c, struct om_err *err)
{
	size_t all = 0, n = 0;

	for (size_t i = 0; i < c->s->man_n; i++)
		all += c->s->man[i].usable ? c->s->man[i].info.blocks : 0;
	c->moves = calloc(all + 1, sizeof(*c->moves));
	if (!c->moves)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->s->man_n; i++)
		for (uint32_t k = 0; c->s->man[i].usable && k < c->s->man[i].info.blocks; k++)
			c->moves[n++].from = c->s->man[i].rows[k];
	qsort(c->moves, n, sizeof(*c->moves), place_cmp);
	for (size_t i = 0; i < n; i++)
		if (c->moves_n == 0 || place_cmp(&c->moves[c->moves_n - 1], &c->moves[i]) != 0)
			c->moves[c->moves_n++] = c->moves[i];
	return 0;
}

struct fill {
	uint32_t number;
	uint64_t live, size;
};

static int fill_cmp(const void *a, const void *b)
{
	const struct fill *x = a, *y = b;

	return (x->live > y->live) - (x->live < y->live);
}

/* A manifest that cannot be read wholly cannot be rewritten: its packs stay where they are. */
static bool is_pinned(const struct compact *c, uint32_t number)
{
	for (size_t i = 0; i < c->s->man_n; i++)
		if (!c->s->man[i].usable && spool_man_pack(&c->s->man[i], number))
			return true;
	return false;
}

static int measure(struct compact *c, struct fill **ret, size_t *ret_n, struct om_err *err)
{
	struct fill *fill = calloc(c->packs_n + 1, sizeof(*fill));
	size_t n = 0, at = 0;

	if (!fill)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->packs_n; i++) {
		struct fill f = { .number = c->packs[i].number };
		struct spool_pack p;

		for (; at < c->moves_n && c->moves[at].from.pack == f.number; at++)
			f.live += SPOOL_BLOCK_HEAD + c->moves[at].from.stored_len;
		if (is_pinned(c, f.number) || spool_pack_open(c->s->dirfd, f.number, &p, NULL) < 0)
			continue;
		f.size = p.size;
		spool_pack_close(&p);
		fill[n++] = f;
	}
	*ret = fill;
	*ret_n = n;
	return 0;
}

static int number_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int choose(struct compact *c, struct om_err *err)
{
	om_autofree struct fill *fill = NULL;
	size_t n = 0, many;
	int r = measure(c, &fill, &n, err);

	if (r < 0)
		return r;
	qsort(fill, n, sizeof(*fill), fill_cmp);
	many = c->packs_n > PACKS_MANY ? c->packs_n - PACKS_FEW : 0;
	for (size_t i = 0; i < n; i++)
		if (i < many || fill[i].live < fill[i].size / 2)
			if (spool_numbers_add(&c->victims, fill[i].number) < 0)
				return om_err_set(err, -ENOMEM, "out of memory");
	if (c->victims.n)
		qsort(c->victims.v, c->victims.n, sizeof(*c->victims.v), number_cmp);
	return 0;
}

static int copy_block(struct compact *c, const struct spool_pack *p, struct move *m, struct spool_codec *codec, uint8_t *buf, struct om_err *err)
{
	uint8_t head[SPOOL_BLOCK_HEAD], *stored = buf, *raw = buf + SPOOL_BLOCK_MAX;
	int r = spool_pack_read(p, &m->from, head, stored, err);

	/* A damaged block stays where it is, with its pack: nobody shall think it was copied. */
	if (r == 0)
		r = spool_block_unpack(codec, &m->from, head, stored, raw, err);
	if (r < 0)
		return r;
	m->to = m->from;
	return spool_packer_copy(c->packer, &m->to, head, stored, err);
}

static int copy_pack(struct compact *c, size_t *at, uint32_t number, struct spool_codec *codec, uint8_t *buf, struct om_err *err)
{
	struct spool_pack p;
	int r = spool_pack_open(c->s->dirfd, number, &p, err);

	if (r < 0)
		return r;
	for (; r == 0 && *at < c->moves_n && c->moves[*at].from.pack == number; (*at)++)
		r = copy_block(c, &p, &c->moves[*at], codec, buf, err);
	spool_pack_close(&p);
	return r;
}

static int copy_all(struct compact *c, struct om_err *err)
{
	om_autofree uint8_t *buf = malloc(2 * SPOOL_BLOCK_MAX);
	struct spool_codec *codec;
	size_t at = 0;
	int r;

	if (!buf || spool_codec_create(&codec) < 0)
		return om_err_set(err, -ENOMEM, "out of memory");
	r = spool_packer_create(c->s->dirfd, c->s->next_pack, &c->packer, err);
	for (size_t i = 0; r == 0 && i < c->victims.n; i++)
		r = copy_pack(c, &at, c->victims.v[i], codec, buf, err);
	spool_codec_destroy(codec);
	if (r == 0)
		r = om_fault(OM_FI_STORE_PRUNE);
	if (r == 0)
		r = spool_packer_finish(c->packer, err);
	if (r == 0)
		r = spool_file_sync_dir(c->s->dirfd, err);
	return r;
}

static void keep_victims_only(struct compact *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->moves_n; i++)
		if (spool_numbers_have(&c->victims, c->moves[i].from.pack))
			c->moves[n++] = c->moves[i];
	c->moves_n = n;
}

/* True when a row was changed. */
static bool move_rows(const struct compact *c, struct spool_man *m)
{
	bool changed = false;

	for (uint32_t i = 0; i < m->info.blocks; i++) {
		struct move key = { .from = m->rows[i] };
		const struct move *to = bsearch(&key, c->moves, c->moves_n, sizeof(key), place_cmp);

		if (to) {
			m->rows[i] = to->to;
			changed = true;
		}
	}
	return changed;
}

static int replace_man(struct compact *c, struct spool_man *m, struct om_err *err)
{
	char name[SPOOL_MAN_NAME];
	om_autobuf b = { 0 };
	int r = om_fault(OM_FI_STORE_PRUNE);

	if (r < 0)
		return r;
	r = spool_man_encode(m, c->packs, c->packs_n, false, &b, err);
	if (r < 0)
		return r;
	spool_man_name(name, m->info.n);
	return spool_file_write_durable(c->s->dirfd, name, b.data, b.len, err);
}

static int replace_all(struct compact *c, struct om_err *err)
{
	int r = 0;

	c->packs[c->packs_n].number = c->s->next_pack;	/* the highest: stays sorted; room was made */
	c->packs[c->packs_n++].id = spool_packer_id(c->packer);
	for (size_t i = 0; r == 0 && i < c->s->man_n; i++)
		if (c->s->man[i].usable && move_rows(c, &c->s->man[i]))
			r = replace_man(c, &c->s->man[i], err);
	return r;
}

static int rewrite(struct compact *c, struct om_err *err)
{
	int r;

	keep_victims_only(c);
	r = copy_all(c, err);
	if (r < 0)
		return r;		/* no manifest names the new pack: it is removed */
	spool_packer_keep(c->packer);
	r = replace_all(c, err);
	if (r < 0)
		return r;		/* some name the new one, some the old: both stay */
	if (spool_numbers_add(&c->s->names.packs, c->s->next_pack) < 0)
		return -ENOMEM;
	return spool_set_sweep(c->s, err);
}

int spool_set_compact(struct spool_set *s, struct om_err *err)
{
	struct compact c = { .s = s };
	int r = spool_set_packs(s, &c.packs, &c.packs_n, err);

	if (r == 0)
		r = collect(&c, err);
	if (r == 0)
		r = choose(&c, err);
	if (r == 0 && c.victims.n)
		r = rewrite(&c, err);
	spool_packer_destroy(c.packer);
	free(c.packs);
	free(c.moves);
	free(c.victims.v);
	return r;
}
