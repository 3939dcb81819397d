/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fjson.h - fields of the image's JSON, and bytes kept in blocks.  Promise: a getter returns a value in its range or an error that
 * names the field (-EBADMSG); outputs are untouched on failure.
 *
 * JSON holds only text; bytes that are none (paths, socket names) are written as "hex:2f74..".  64-bit values are written as signed ones. */
#ifndef OM_CHECKPOINT_FJSON_H
#define OM_CHECKPOINT_FJSON_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct om_err;
struct ckpt_sink;
struct ckpt_source;

int fj_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct om_err *err);
/* The same for a field that may be missing: then @ret is @def. */
int fj_int_or(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t def, int64_t *ret, struct om_err *err);
int fj_u64(const json_t *obj, const char *key, uint64_t *ret, struct om_err *err);
bool fj_true(const json_t *obj, const char *key);
/* Array or object; borrowed. */
int fj_array(const json_t *obj, const char *key, size_t max, const json_t **ret, struct om_err *err);
int fj_object(const json_t *obj, const char *key, const json_t **ret, struct om_err *err);
/* Number in an array. */
int fj_at(const json_t *array, size_t i, int64_t min, int64_t max, int64_t *ret, struct om_err *err);
/* Bytes: heap copy with a 0 behind; at most @max. */
int fj_bytes(const json_t *obj, const char *key, size_t max, char **ret, size_t *ret_len, struct om_err *err);
/* An absolute path without a 0 in it. */
int fj_path(const json_t *obj, const char *key, char **ret, struct om_err *err);

/* Put a field; each returns 0 or -ENOMEM. */
int fj_put_int(json_t *obj, const char *key, int64_t v);
int fj_put_bytes(json_t *obj, const char *key, const void *p, size_t n);
int fj_put_path(json_t *obj, const char *key, const char *path);
/* The reference @v goes over, also on failure. */
int fj_put(json_t *obj, const char *key, json_t *v);
int fj_push(json_t *array, json_t *v);

/* Bytes in blocks: {"len","blocks":[..]}. */
int fj_blob_put(const struct ckpt_sink *sink, json_t *obj, const char *key, const void *p, size_t n, struct om_err *err);
int fj_blob_get(const struct ckpt_source *src, const json_t *obj, const char *key, size_t max, char **ret, size_t *ret_len, struct om_err *err);
#endif
