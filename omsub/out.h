/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/out.h - text for people.  Promise: what is printed through here has no control characters that came from elsewhere. */
#ifndef OM_OMSUB_OUT_H
#define OM_OMSUB_OUT_H
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* @src with what is no printable text as \xNN; @dst always terminated (cut when too small).  Returns @dst. */
const char *out_clean(char *dst, size_t n, const char *src);
/* The same as a heap string; NULL when out of memory. */
char *out_clean_dup(const char *src);

/* A line on standard error when it is a terminal and the work takes longer than a second; nothing otherwise. */
struct out_progress {
	const char *what;
	uint64_t started_ns, drawn_ns;
	int tty, drawn;
};
void out_progress_begin(struct out_progress *p, const char *what);
void out_progress_part(struct out_progress *p, double part);				/* 0..1 */
void out_progress_bytes(struct out_progress *p, uint64_t done, uint64_t total);	/* total 0: not known */
void out_progress_end(struct out_progress *p);

/* Seconds since 1970 as local time "2026-11-26 07:00:00"; "-" for none. */
const char *out_time(char *dst, size_t n, json_t *t);
/* A number of seconds as 1h02m; "-" for none. */
const char *out_seconds(char *dst, size_t n, json_t *s);
const char *out_size(char *dst, size_t n, json_t *bytes);
/* The text of a field, "" when it is none. */
const char *out_str(json_t *obj, const char *field);
#endif
