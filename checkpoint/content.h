/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/content.h - bytes of a file to blocks and back.  Promise: holes stay holes; what was all zero may come back as a hole; equal
 * content on the same place gives equal blocks, so that unchanged files cost nothing in the next checkpoint.
 *
 * In the image: "runs": [[offset, length, [block..]]..], in order, without overlap, below "size"; all else is zero. */
#ifndef OM_CHECKPOINT_CONTENT_H
#define OM_CHECKPOINT_CONTENT_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
struct om_err;
struct ckpt_sink;
struct ckpt_source;

/* Store @fd up to @size into @target's "runs".  @seek: SEEK_DATA may be used (moves the offset of @fd). */
int content_store(const struct ckpt_sink *sink, int fd, int64_t size, bool seek, json_t *target, struct om_err *err);
/* Make @fd (open for writing) exactly what @target's "runs" say, @size long. */
int content_load(const struct ckpt_source *src, const json_t *target, int64_t size, int fd, struct om_err *err);
/* Hash of @n bytes at @off. */
int content_hash(int fd, int64_t off, size_t n, uint64_t *ret);
#endif
