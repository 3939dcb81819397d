/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/json.h - fields of the description.  Promise: what is read is of the right type and in the given range, else -EUCLEAN
 * with the field's name in the text.  64-bit masks and raw registers are hexadecimal text and base64: JSON's integers are signed. */
#ifndef OM_CHECKPOINT_JSON_H
#define OM_CHECKPOINT_JSON_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct om_err;

int ckpt_json_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct om_err *err);
/* The same, but a missing field leaves @ret alone. */
int ckpt_json_int_opt(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *ret, struct om_err *err);
/* Hexadecimal text of up to 16 digits. */
int ckpt_json_hex(const json_t *obj, const char *key, uint64_t *ret, struct om_err *err);
json_t *ckpt_json_from_hex(uint64_t v);
/* Base64 of exactly min..max bytes into a heap buffer. */
int ckpt_json_bytes(const json_t *obj, const char *key, size_t min, size_t max, void **ret, size_t *ret_len, struct om_err *err);
json_t *ckpt_json_from_bytes(const void *p, size_t n);
/* Text of at most @max bytes, borrowed; a missing field is NULL when @opt. */
int ckpt_json_text(const json_t *obj, const char *key, size_t max, bool opt, const char **ret, struct om_err *err);
/* File names need not be UTF-8: text with %XX for what is not, and for % itself. */
json_t *ckpt_json_from_name(const char *s);
int ckpt_json_name(const json_t *obj, const char *key, size_t max, char **ret, struct om_err *err);
/* An array (borrowed) of at most @max elements. */
int ckpt_json_list(const json_t *obj, const char *key, size_t max, const json_t **ret, struct om_err *err);
#endif
