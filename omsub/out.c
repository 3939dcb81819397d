/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omsub/out.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

enum { BAR_CELLS = 30, REDRAW_MS = 100, SILENT_MS = 1000 };

/* bytes of the printable UTF-8 character at @s, 0 when it is none (also C1 controls and the direction marks that reorder lines) */
static size_t char_len(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = u[0] < 0x80 ? 1 : u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
	char one[5] = { 0 };

	for (size_t i = 0; i < n && s[i]; i++)
		one[i] = s[i];
	if (strlen(one) != n || !om_str_is_text(one, false))
		return 0;
	if (u[0] == 0xc2 && u[1] < 0xa0)
		return 0;
	if (u[0] == 0xe2 && u[1] == 0x80 && (u[2] == 0x8e || u[2] == 0x8f || (u[2] >= 0xa8 && u[2] <= 0xae)))
		return 0;
	if (u[0] == 0xe2 && u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9)
		return 0;
	return n;
}

const char *out_clean(char *dst, size_t n, const char *src)
{
	size_t o = 0;

	while (*src) {
		size_t len = char_len(src);

		if (o + (len ? len : 4) >= n)
			break;
		if (len) {
			memcpy(dst + o, src, len);
			o += len;
			src += len;
		} else {
			snprintf(dst + o, n - o, "\\x%02x", (unsigned char)*src++);
			o += 4;
		}
	}
	dst[o] = 0;
	return dst;
}

char *out_clean_dup(const char *src)
{
	size_t n = strlen(src) * 4 + 1;
	char *p = malloc(n);

	if (p)
		out_clean(p, n, src);
	return p;
}

void out_progress_begin(struct out_progress *p, const char *what)
{
	*p = (struct out_progress){ .what = what, .started_ns = om_clock_mono_ns(), .tty = isatty(STDERR_FILENO) };
}

/* Is it time to draw? */
static bool due(struct out_progress *p)
{
	uint64_t now;

	if (!p->tty)
		return false;
	now = om_clock_mono_ns();
	if (now - p->started_ns < SILENT_MS * 1000000ull || now - p->drawn_ns < REDRAW_MS * 1000000ull)
		return false;
	p->drawn_ns = now;
	p->drawn = 1;
	return true;
}

static void draw_bar(const struct out_progress *p, double part)
{
	char bar[BAR_CELLS + 1];

	for (int i = 0; i < BAR_CELLS; i++)
		bar[i] = i < part * BAR_CELLS ? '#' : '.';
	bar[BAR_CELLS] = 0;
	fprintf(stderr, "\r%s [%s] %3.0f %%\033[K", p->what, bar, part * 100);
}

void out_progress_part(struct out_progress *p, double part)
{
	if (due(p))
		draw_bar(p, !(part > 0) ? 0 : part > 1 ? 1 : part);
}

void out_progress_bytes(struct out_progress *p, uint64_t done, uint64_t total)
{
	char size[24];

	if (!due(p))
		return;
	if (total)
		draw_bar(p, done > total ? 1 : (double)done / (double)total);
	else
		fprintf(stderr, "\r%s %s\033[K", p->what, om_str_human_size(size, sizeof(size), done));
}

void out_progress_end(struct out_progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = 0;
}

const char *out_time(char *dst, size_t n, json_t *t)
{
	double v = json_number_value(t);
	struct tm tm;
	time_t s;

	if (!json_is_number(t) || !(v > 0) || v > 1e12) {
		om_str_copy(dst, n, "-");
		return dst;
	}
	s = (time_t)v;
	if (!localtime_r(&s, &tm) || !strftime(dst, n, "%Y-%m-%d %H:%M:%S", &tm))
		om_str_copy(dst, n, "-");
	return dst;
}

const char *out_seconds(char *dst, size_t n, json_t *s)
{
	double v = json_number_value(s);

	if (!json_is_number(s) || !(v >= 0) || v > 1e12) {
		om_str_copy(dst, n, "-");
		return dst;
	}
	return om_str_human_duration(dst, n, (uint64_t)v);
}

const char *out_size(char *dst, size_t n, json_t *bytes)
{
	double v = json_number_value(bytes);

	if (!json_is_number(bytes) || !(v >= 0) || v > 1e18) {
		om_str_copy(dst, n, "-");
		return dst;
	}
	return om_str_human_size(dst, n, (uint64_t)v);
}

const char *out_str(json_t *obj, const char *field)
{
	const char *s = json_string_value(json_object_get(obj, field));

	return s ? s : "";
}
