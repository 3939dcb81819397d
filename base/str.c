/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int om_str_u64(const char *s, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	if (!isdigit((unsigned char)s[0]))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno == ERANGE)
		return -ERANGE;
	if (*end)
		return -EINVAL;
	*ret = v;
	return 0;
}

int om_str_i64(const char *s, int64_t *ret)
{
	char *end;
	long long v;

	if (!isdigit((unsigned char)s[0]) && !(s[0] == '-' && isdigit((unsigned char)s[1])))
		return -EINVAL;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno == ERANGE)
		return -ERANGE;
	if (*end)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* digits up to a character that is none; moves *s */
static int take_number(const char **s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!isdigit((unsigned char)**s))
		return -EINVAL;
	for (; isdigit((unsigned char)**s); (*s)++)
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
			return -ERANGE;
	*ret = v;
	return 0;
}

static int scaled(uint64_t v, uint64_t unit, uint64_t *ret)
{
	uint64_t product;

	if (__builtin_mul_overflow(v, unit, &product))
		return -ERANGE;
	*ret = product;
	return 0;
}

/* [d-]h:m:s, [d-]h:m when days are given, else m:s */
static int clock_duration(const char *s, uint64_t first, bool days, uint64_t *ret)
{
	uint64_t part[3] = { first, 0, 0 }, total;
	int n = 1, r;

	while (*s == ':') {
		if (n == 3)
			return -EINVAL;
		s++;
		r = take_number(&s, &part[n++]);
		if (r < 0)
			return r;
	}
	if (*s)
		return -EINVAL;
	if (!days && n == 2) {		/* m:s */
		part[2] = part[1];
		part[1] = part[0];
		part[0] = 0;
	}
	if (__builtin_mul_overflow(part[0], 3600u, &total) ||
	    part[1] > 1000000 || part[2] > 100000000 ||
	    __builtin_add_overflow(total, part[1] * 60 + part[2], &total))
		return -ERANGE;
	*ret = total;
	return 0;
}

int om_str_duration(const char *s, uint64_t plain_unit_s, uint64_t *ret_s)
{
	uint64_t v, rest;
	int r = take_number(&s, &v);

	if (r < 0)
		return r;
	if (*s == '-') {
		if (v > 1000000)
			return -ERANGE;
		s++;
		r = take_number(&s, &rest);
		if (r == 0)
			r = clock_duration(s, rest, true, &rest);
		if (r == 0)
			*ret_s = v * 86400 + rest;
		return r;
	}
	if (*s == ':')
		return clock_duration(s, v, false, ret_s);
	if (*s == 0)
		return scaled(v, plain_unit_s, ret_s);
	if (s[1])
		return -EINVAL;
	switch (*s) {
	case 's': return scaled(v, 1, ret_s);
	case 'm': return scaled(v, 60, ret_s);
	case 'h': return scaled(v, 3600, ret_s);
	case 'd': return scaled(v, 86400, ret_s);
	default: return -EINVAL;
	}
}

int om_str_size(const char *s, uint64_t plain_unit, uint64_t *ret)
{
	static const char units[] = "KMGT";
	uint64_t v, unit;
	const char *u;
	int r = take_number(&s, &v);

	if (r < 0)
		return r;
	if (!*s)
		return scaled(v, plain_unit, ret);
	u = strchr(units, toupper((unsigned char)*s));
	if (!u && (*s == 'B' || *s == 'b') && !s[1])
		return scaled(v, 1, ret);
	if (!u)
		return -EINVAL;
	s++;
	if (*s == 'i')
		s++;
	if (*s == 'B' || *s == 'b')
		s++;
	if (*s)
		return -EINVAL;
	unit = 1024ull << (10 * (u - units));
	return scaled(v, unit, ret);
}

bool om_str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

int om_str_copy(char *dst, size_t n, const char *src)
{
	int r = snprintf(dst, n, "%s", src);

	return r < 0 || (size_t)r >= n ? -ENAMETOOLONG : 0;
}

const char *om_str_human_size(char *dst, size_t n, uint64_t bytes)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1024 && u < 5) {
		v /= 1024;
		u++;
	}
	if (u == 0)
		snprintf(dst, n, "%" PRIu64 " B", bytes);
	else
		snprintf(dst, n, "%.1f %s", v, unit[u]);
	return dst;
}

const char *om_str_human_duration(char *dst, size_t n, uint64_t s)
{
	if (s < 60)
		snprintf(dst, n, "%us", (unsigned)s);
	else if (s < 3600)
		snprintf(dst, n, "%um%02us", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		snprintf(dst, n, "%uh%02um", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
	else
		snprintf(dst, n, "%" PRIu64 "d%02uh", s / 86400, (unsigned)(s / 3600 % 24));
	return dst;
}

/* length of the UTF-8 sequence at @p, 0 when it is none (RFC 3629: no surrogates, no overlong forms) */
static size_t utf8_len(const unsigned char *p)
{
	uint32_t c;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2;
		c = p[0] & 0x1fu;
	} else if ((p[0] & 0xf0) == 0xe0) {
		n = 3;
		c = p[0] & 0x0fu;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4;
		c = p[0] & 0x07u;
	} else {
		return 0;
	}
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if ((n == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff))) ||
	    (n == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	return n;
}

bool om_str_is_text(const char *s, bool lines)
{
	const unsigned char *p = (const unsigned char *)s;

	while (*p) {
		size_t n = utf8_len(p);

		if (!n)
			return false;
		if ((*p < 0x20 || *p == 0x7f) && !(lines && (*p == '\n' || *p == '\t')))
			return false;
		p += n;
	}
	return true;
}
