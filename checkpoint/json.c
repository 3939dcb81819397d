/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/json.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

#include "base/err.h"
#include "base/mem.h"

static int bad(struct om_err *err, const char *key)
{
	return om_err_set(err, -EUCLEAN, "the image's description: field '%s' is missing or out of range", key);
}

int ckpt_json_int_opt(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct om_err *err)
{
	return json_object_get(obj, key) ? ckpt_json_int(obj, key, min, max, ret, err) : 0;
}

int ckpt_json_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct om_err *err)
{
	const json_t *v = json_object_get(obj, key);

	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return bad(err, key);
	*ret = json_integer_value(v);
	return 0;
}

json_t *ckpt_json_from_hex(uint64_t v)
{
	char s[20];

	snprintf(s, sizeof(s), "%" PRIx64, v);
	return json_string(s);
}

int ckpt_json_hex(const json_t *obj, const char *key, uint64_t *ret, struct om_err *err)
{
	const char *s = json_string_value(json_object_get(obj, key));
	size_t n = s ? strlen(s) : 0;

	if (n == 0 || n > 16 || strspn(s, "0123456789abcdef") != n)
		return bad(err, key);
	*ret = strtoull(s, NULL, 16);
	return 0;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

json_t *ckpt_json_from_bytes(const void *data, size_t n)
{
	const uint8_t *p = data;
	om_autofree char *s = malloc((n + 2) / 3 * 4 + 1);
	char *w = s;

	if (!s)
		return NULL;
	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);

		*w++ = digits[v >> 18];
		*w++ = digits[v >> 12 & 63];
		*w++ = left > 1 ? digits[v >> 6 & 63] : '=';
		*w++ = left > 2 ? digits[v & 63] : '=';
	}
	*w = 0;
	return json_string(s);
}

static int digit(char c)
{
	const char *d = c ? strchr(digits, c) : NULL;

	return d ? (int)(d - digits) : -1;
}

int ckpt_json_bytes(const json_t *obj, const char *key, size_t min, size_t max, void **ret, size_t *ret_len, struct om_err *err)
{
	const char *s = json_string_value(json_object_get(obj, key));
	size_t n = s ? strlen(s) : 0, len;
	om_autofree uint8_t *p = NULL;
	uint8_t *w;

	if (!s || n % 4)
		return bad(err, key);
	len = n / 4 * 3;
	if (n && s[n - 1] == '=')
		len -= s[n - 2] == '=' ? 2 : 1;
	if (len < min || len > max)
		return bad(err, key);
	w = p = malloc(n / 4 * 3 + 1);
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < n; i += 4) {
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			bool pad = s[i + k] == '=' && i + 4 == n && (k == 3 || (k == 2 && s[i + 3] == '='));
			int d = pad ? 0 : digit(s[i + k]);

			if (d < 0)
				return bad(err, key);
			v = v << 6 | (uint32_t)d;
		}
		*w++ = (uint8_t)(v >> 16);
		*w++ = (uint8_t)(v >> 8);
		*w++ = (uint8_t)v;
	}
	*ret = om_steal(p);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int ckpt_json_text(const json_t *obj, const char *key, size_t max, bool opt, const char **ret, struct om_err *err)
{
	const json_t *v = json_object_get(obj, key);

	if (!v && opt) {
		*ret = NULL;
		return 0;
	}
	if (!json_is_string(v) || json_string_length(v) > max || strlen(json_string_value(v)) != json_string_length(v))
		return bad(err, key);
	*ret = json_string_value(v);
	return 0;
}

json_t *ckpt_json_from_name(const char *s)
{
	om_autofree char *t = malloc(strlen(s) * 3 + 1);
	char *w = t;

	if (!t)
		return NULL;
	for (; *s; s++) {
		if (*s == '%' || *s < 32 || *s == 127) {	/* char is signed: bytes above 127 too */
			snprintf(w, 4, "%%%02X", (unsigned char)*s);
			w += 3;
		} else {
			*w++ = *s;
		}
	}
	*w = 0;
	return json_string(t);
}

static int hexval(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int ckpt_json_name(const json_t *obj, const char *key, size_t max, char **ret, struct om_err *err)
{
	const char *s;
	om_autofree char *t = NULL;
	char *w;
	int r = ckpt_json_text(obj, key, max * 3, false, &s, err);

	if (r < 0)
		return r;
	w = t = malloc(strlen(s) + 1);
	if (!t)
		return -ENOMEM;
	for (; *s; s++) {
		if (*s != '%') {
			*w++ = *s;
			continue;
		}
		if (hexval(s[1]) < 0 || hexval(s[2]) < 0 || (s[1] == '0' && s[2] == '0'))
			return bad(err, key);
		*w++ = (char)(hexval(s[1]) << 4 | hexval(s[2]));
		s += 2;
	}
	*w = 0;
	if ((size_t)(w - t) > max)
		return bad(err, key);
	*ret = om_steal(t);
	return 0;
}

int ckpt_json_list(const json_t *obj, const char *key, size_t max, const json_t **ret, struct om_err *err)
{
	const json_t *v = json_object_get(obj, key);

	if (!json_is_array(v) || json_array_size(v) > max)
		return bad(err, key);
	*ret = v;
	return 0;
}
