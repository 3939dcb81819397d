/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/check.h - comparison of checksums.  Promise: a real comparison, except in the fuzzers' build (the macro is libFuzzer's own),
 * where every checksum is right: else no changed byte would ever get behind the first check. */
#ifndef OM_SPOOL_CHECK_H
#define OM_SPOOL_CHECK_H
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline bool spool_check_equal(const void *a, const void *b, size_t n)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	(void)a;
	(void)b;
	(void)n;
	return true;
#else
	return memcmp(a, b, n) == 0;
#endif
}
#endif
