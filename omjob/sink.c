/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omjob/sink.h"

#include <errno.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

static const char magic[8] = "omjob1\n";
enum { NOTE_HEAD = 16, NOTE_MAX = 4096 };

/* ---- the keeper's part ---- */

static int note_add(struct om_buf *b, const struct omj_note *n)
{
	json_t *o = json_pack("{s:I, s:I, s:o, s:I, s:I}", "epoch", (json_int_t)n->epoch, "leg", (json_int_t)n->leg,
			      "root", n->root_ended ? json_integer(n->root_status) : json_null(),
			      "cpu_ns", (json_int_t)n->cpu_ns, "maxrss", (json_int_t)n->maxrss);
	om_autofree char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0, pad = (8 - len % 8) % 8;
	char head[NOTE_HEAD] = "";
	int r;

	json_decref(o);
	if (!text)
		return -ENOMEM;
	memcpy(head, magic, sizeof(magic));
	le32_put(head + 8, (uint32_t)(len + pad));
	r = om_buf_add(b, head, sizeof(head));
	r = r ? r : om_buf_add(b, text, len);
	return r ? r : om_buf_add(b, "        ", pad);
}

static int u64_get(json_t *o, const char *name, uint64_t max, uint64_t *ret)
{
	json_t *v = json_object_get(o, name);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
		return -EUCLEAN;
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int note_fill(json_t *o, struct omj_note *note)
{
	json_t *root = json_object_get(o, "root");
	uint64_t epoch, leg;
	int r = u64_get(o, "epoch", UINT32_MAX, &epoch);

	r = r ? r : u64_get(o, "leg", UINT32_MAX, &leg);
	r = r ? r : u64_get(o, "cpu_ns", INT64_MAX, &note->cpu_ns);
	r = r ? r : u64_get(o, "maxrss", INT64_MAX, &note->maxrss);
	if (r < 0 || epoch == 0 || (!json_is_null(root) && !json_is_integer(root)))
		return -EUCLEAN;
	note->epoch = (uint32_t)epoch;
	note->leg = (uint32_t)leg;
	note->root_ended = json_is_integer(root);
	note->root_status = (int)json_integer_value(root) & 0xffff;
	return 0;
}

long omj_note_parse(const void *meta, size_t len, struct omj_note *note)
{
	const char *p = meta;
	size_t n;
	json_t *o;
	int r;

	if (len < NOTE_HEAD || memcmp(p, magic, sizeof(magic)) != 0)
		return -EUCLEAN;
	n = le32_get(p + 8);
	if (n > NOTE_MAX || n > len - NOTE_HEAD || n % 8)
		return -EUCLEAN;
	o = json_loadb(p + NOTE_HEAD, n, JSON_REJECT_DUPLICATES, NULL);
	r = json_is_object(o) ? note_fill(o, note) : -EUCLEAN;
	json_decref(o);
	return r < 0 ? r : (long)(NOTE_HEAD + n);
}

/* ---- sink ---- */

static int sink_block(void *ctx, const void *data, size_t len, uint32_t *ret_index, struct om_err *err)
{
	struct omj_sink *s = ctx;

	return spool_writer_block(s->writer, data, len, ret_index, err);
}

static int sink_keep(void *ctx, uint32_t base_index, uint32_t *ret_index, struct om_err *err)
{
	struct omj_sink *s = ctx;

	return spool_writer_keep(s->writer, base_index, ret_index, err);
}

static int sink_commit(void *ctx, const void *meta, size_t len, struct om_err *err)
{
	struct omj_sink *s = ctx;
	om_autobuf b = { 0 };
	int r = note_add(&b, &s->note);

	r = r ? r : om_buf_add(&b, meta, len);
	if (r < 0)
		return om_err_set(err, r, "no memory for the description");
	return spool_writer_commit(s->writer, b.data, b.len, &s->info, err);
}

int omj_sink_create(struct omj_sink *s, struct spool_store *st, uint32_t base_n, struct om_err *err)
{
	*s = (struct omj_sink){ .sink = { .ctx = s, .block = sink_block, .keep = sink_keep, .commit = sink_commit } };
	return spool_writer_create(st, base_n, &s->writer, err);
}

void omj_sink_done(struct omj_sink *s)
{
	if (s->writer)
		spool_writer_destroy(s->writer);
	s->writer = NULL;
}

/* ---- source ---- */

static int source_meta(void *ctx, const void **ret, size_t *ret_len, struct om_err *err)
{
	const struct omj_image *im = ctx;

	(void)err;
	*ret = im->meta;
	*ret_len = im->meta_len;
	return 0;
}

static int source_block(void *ctx, uint32_t index, void *buf, size_t *ret_len, struct om_err *err)
{
	struct omj_image *im = ctx;

	return spool_image_block(im->im, index, buf, ret_len, err);
}

int omj_image_open(struct omj_image *im, struct spool_store *st, uint32_t n, struct om_err *err)
{
	const void *meta;
	size_t len;
	long head;
	int r;

	*im = (struct omj_image){ .source = { .ctx = im, .meta = source_meta, .block = source_block } };
	r = spool_image_open(st, n, &im->im, err);
	if (r < 0)
		return r;
	spool_image_info(im->im, &im->info);
	spool_image_meta(im->im, &meta, &len);
	head = omj_note_parse(meta, len, &im->note);
	if (head < 0) {
		omj_image_done(im);
		return om_err_set(err, -EUCLEAN, "checkpoint %u: its description is not one of a job's keeper", n);
	}
	im->meta = (const char *)meta + head;
	im->meta_len = len - (size_t)head;
	return 0;
}

void omj_image_done(struct omj_image *im)
{
	if (im->im)
		spool_image_close(im->im);
	im->im = NULL;
}

json_t *omj_info_json(const struct spool_ckpt_info *i)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "n", (json_int_t)i->n, "time_ns", (json_int_t)i->time_ns,
			 "bytes", (json_int_t)i->bytes, "stored", (json_int_t)i->stored, "blocks", (json_int_t)i->blocks);
}

int omj_store_list(int jobdir, json_t **ret, struct om_err *err)
{
	om_autofree struct spool_ckpt_info *info = NULL;
	json_t *list = json_array();
	struct spool_store *st;
	size_t n = 0;
	int r = 0;

	if (faccessat(jobdir, OMJ_STORE, F_OK, 0) == 0) {
		r = spool_store_open(jobdir, OMJ_STORE, false, &st, err);
		if (r == 0) {
			r = spool_store_list(st, &info, &n, err);
			spool_store_close(st);
		}
	}
	for (size_t i = 0; i < n && r == 0; i++)
		if (json_array_append_new(list, omj_info_json(&info[i])) < 0)
			r = om_err_set(err, -ENOMEM, "list of checkpoints: no memory");
	if (r < 0 || !list) {
		json_decref(list);
		return r < 0 ? r : -ENOMEM;
	}
	*ret = list;
	return 0;
}
