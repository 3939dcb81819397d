/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/str.h - text from outside becomes a value or an error; nothing is guessed. */
#ifndef OM_BASE_STR_H
#define OM_BASE_STR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The whole of @s is a decimal number.  0, -EINVAL, -ERANGE; @ret untouched on failure. */
int om_str_u64(const char *s, uint64_t *ret);
int om_str_i64(const char *s, int64_t *ret);
/* "90", "90s", "15m", "2h", "1d", "1:30:00", "2-12:00:00" (Slurm's forms) to seconds.  @plain_unit_s: what a bare number counts. */
int om_str_duration(const char *s, uint64_t plain_unit_s, uint64_t *ret_s);
/* "64", "64K", "64M", "2G", "1T" (powers of 1024; an optional B or iB behind) to bytes; a bare number counts @plain_unit. */
int om_str_size(const char *s, uint64_t plain_unit, uint64_t *ret);
bool om_str_starts(const char *s, const char *prefix);
/* Copy to @dst of @n bytes, always terminated.  0, or -ENAMETOOLONG (then cut). */
int om_str_copy(char *dst, size_t n, const char *src);
/* "1.5 GiB", "3h04m" for people; @dst of at least 16 bytes; returns @dst. */
const char *om_str_human_size(char *dst, size_t n, uint64_t bytes);
const char *om_str_human_duration(char *dst, size_t n, uint64_t seconds);
/* Valid UTF-8 without control characters (tab and newline allowed if @lines). */
bool om_str_is_text(const char *s, bool lines);
#endif
