/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/xxh.h - the xxHash library.  Promise: the same values everywhere; where the library can choose by the processor, it does (AVX2: 2.5 times
 * as fast as the SSE2 it is built for). */
#ifndef OM_SPOOL_XXH_H
#define OM_SPOOL_XXH_H
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif
#endif
