/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/fjson.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "checkpoint/sink.h"

static int bad(struct om_err *err, const char *key, const char *what)
{
	om_err_set(err, -EBADMSG, "the image is damaged: field '%s' %s", key, what);
	return -EBADMSG;
}

static int in_range(const json_t *v, const char *key, int64_t min, int64_t max, int64_t *ret, struct om_err *err)
{
	int64_t n;

	if (!json_is_integer(v))
		return bad(err, key, "is no integer");
	n = json_integer_value(v);
	if (n < min || n > max)
		return bad(err, key, "is out of its range");
	*ret = n;
	return 0;
}

int fj_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct om_err *err)
{
	return in_range(json_object_get(obj, key), key, min, max, ret, err);
}

int fj_int_or(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t def, int64_t *ret, struct om_err *err)
{
	const json_t *v = json_object_get(obj, key);

	if (v)
		return in_range(v, key, min, max, ret, err);
	*ret = def;
	return 0;
}

int fj_u64(const json_t *obj, const char *key, uint64_t *ret, struct om_err *err)
{
	int64_t n = 0;
	int r = fj_int(obj, key, INT64_MIN, INT64_MAX, &n, err);

	if (r < 0)
		return r;
	*ret = (uint64_t)n;
	return 0;
}

bool fj_true(const json_t *obj, const char *key)
{
	return json_is_true(json_object_get(obj, key));
}

int fj_array(const json_t *obj, const char *key, size_t max, const json_t **ret, struct om_err *err)
{
	const json_t *v = json_object_get(obj, key);

	if (!json_is_array(v))
		return bad(err, key, "is no array");
	if (json_array_size(v) > max)
		return bad(err, key, "has too many elements");
	*ret = v;
	return 0;
}

int fj_object(const json_t *obj, const char *key, const json_t **ret, struct om_err *err)
{
	const json_t *v = json_object_get(obj, key);

	if (!json_is_object(v))
		return bad(err, key, "is no object");
	*ret = v;
	return 0;
}

int fj_at(const json_t *array, size_t i, int64_t min, int64_t max, int64_t *ret, struct om_err *err)
{
	return in_range(json_array_get(array, i), "element", min, max, ret, err);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_decode(const char *s, size_t n, char *dst)
{
	if (n % 2)
		return -EBADMSG;
	for (size_t i = 0; i < n / 2; i++) {
		int hi = hex_digit(s[2 * i]), lo = hex_digit(s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EBADMSG;
		dst[i] = (char)(hi << 4 | lo);
	}
	return 0;
}

int fj_bytes(const json_t *obj, const char *key, size_t max, char **ret, size_t *ret_len, struct om_err *err)
{
	const json_t *v = json_object_get(obj, key);
	const char *s = json_string_value(v);
	size_t n = s ? json_string_length(v) : 0;
	om_autofree char *copy = NULL;

	if (!s)
		return bad(err, key, "is no text");
	if (n > 2 * max + 4)
		return bad(err, key, "is too long");
	copy = calloc(1, n + 1);
	if (!copy)
		return om_err_sys(err, -ENOMEM, "image");
	if (om_str_starts(s, "hex:")) {
		n -= 4;
		if (hex_decode(s + 4, n, copy) < 0)
			return bad(err, key, "is no hexadecimal text");
		n /= 2;
	} else {
		memcpy(copy, s, n);
	}
	if (n > max)
		return bad(err, key, "is too long");
	*ret = om_steal(copy);
	*ret_len = n;
	return 0;
}

int fj_path(const json_t *obj, const char *key, char **ret, struct om_err *err)
{
	om_autofree char *p = NULL;
	size_t n = 0;
	int r = fj_bytes(obj, key, PATH_MAX - 1, &p, &n, err);

	if (r < 0)
		return r;
	if (p[0] != '/' || memchr(p, 0, n))
		return bad(err, key, "is no absolute path");
	*ret = om_steal(p);
	return 0;
}

int fj_put(json_t *obj, const char *key, json_t *v)
{
	return v && json_object_set_new(obj, key, v) == 0 ? 0 : -ENOMEM;
}

int fj_push(json_t *array, json_t *v)
{
	return v && json_array_append_new(array, v) == 0 ? 0 : -ENOMEM;
}

int fj_put_int(json_t *obj, const char *key, int64_t v)
{
	return fj_put(obj, key, json_integer(v));
}

int fj_put_bytes(json_t *obj, const char *key, const void *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	const uint8_t *b = p;
	om_autofree char *s = malloc(2 * n + 5);

	if (!s)
		return -ENOMEM;
	memcpy(s, p, n);
	s[n] = 0;
	if (!memchr(s, 0, n) && om_str_is_text(s, false) && !om_str_starts(s, "hex:"))
		return fj_put(obj, key, json_stringn(s, n));
	memcpy(s, "hex:", 4);
	for (size_t i = 0; i < n; i++) {
		s[4 + 2 * i] = digit[b[i] >> 4];
		s[5 + 2 * i] = digit[b[i] & 15];
	}
	return fj_put(obj, key, json_stringn(s, 2 * n + 4));
}

int fj_put_path(json_t *obj, const char *key, const char *path)
{
	return fj_put_bytes(obj, key, path, strlen(path));
}

int fj_blob_put(const struct ckpt_sink *sink, json_t *obj, const char *key, const void *p, size_t n, struct om_err *err)
{
	json_t *blob = json_object(), *blocks = json_array();
	int r = !blob || !blocks ? -ENOMEM : fj_put_int(blob, "len", (int64_t)n);

	for (size_t off = 0; off < n && r == 0; off += CKPT_BLOCK_MAX) {
		size_t k = n - off < CKPT_BLOCK_MAX ? n - off : CKPT_BLOCK_MAX;
		uint32_t index;

		r = sink->block(sink->ctx, (const char *)p + off, k, &index, err);
		if (r == 0)
			r = fj_push(blocks, json_integer(index));
	}
	if (r == 0)
		r = fj_put(blob, "blocks", json_incref(blocks));
	if (r == 0)
		r = fj_put(obj, key, json_incref(blob));
	json_decref(blocks);
	json_decref(blob);
	return r;
}

int fj_blob_get(const struct ckpt_source *src, const json_t *obj, const char *key, size_t max, char **ret, size_t *ret_len, struct om_err *err)
{
	const json_t *blob = NULL, *blocks = NULL;
	om_autofree char *buf = NULL, *piece = NULL;
	int64_t len = 0, index;
	int r = fj_object(obj, key, &blob, err);

	if (r == 0)
		r = fj_int(blob, "len", 0, (int64_t)max, &len, err);
	if (r == 0)
		r = fj_array(blob, "blocks", max / CKPT_BLOCK_MAX + 1, &blocks, err);
	if (r < 0)
		return r;
	if (json_array_size(blocks) != ((size_t)len + CKPT_BLOCK_MAX - 1) / CKPT_BLOCK_MAX)
		return bad(err, key, "has the wrong number of blocks");
	buf = malloc((size_t)len + 1);
	piece = malloc(CKPT_BLOCK_MAX);
	if (!buf || !piece)
		return om_err_sys(err, -ENOMEM, "image");
	for (size_t i = 0; i < json_array_size(blocks); i++) {
		size_t off = i * CKPT_BLOCK_MAX, want = (size_t)len - off, got;

		if (want > CKPT_BLOCK_MAX)
			want = CKPT_BLOCK_MAX;
		r = fj_at(blocks, i, 0, UINT32_MAX, &index, err);
		if (r == 0)
			r = src->block(src->ctx, (uint32_t)index, piece, &got, err);
		if (r < 0)
			return r;
		if (got != want)
			return bad(err, key, "names a block of another length");
		memcpy(buf + off, piece, got);
	}
	buf[len] = 0;
	*ret = om_steal(buf);
	*ret_len = (size_t)len;
	return 0;
}
