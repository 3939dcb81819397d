/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/buf.h - a growing byte buffer.  Promise: after a failed append the buffer is as before; data[len] is always 0. */
#ifndef OM_BASE_BUF_H
#define OM_BASE_BUF_H
#include <stddef.h>
#include <stdint.h>

struct om_buf {
	char *data;	/* NULL while empty */
	size_t len, room;
};

void om_buf_done(struct om_buf *b);
#define om_autobuf __attribute__((cleanup(om_buf_done))) struct om_buf
/* Make room for @more bytes behind len.  0 or -ENOMEM. */
int om_buf_reserve(struct om_buf *b, size_t more);
int om_buf_add(struct om_buf *b, const void *p, size_t n);
int om_buf_addf(struct om_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drop the first @n bytes. */
void om_buf_shift(struct om_buf *b, size_t n);
/* The heap string (caller frees), buffer empty from now on; NULL when out of memory. */
char *om_buf_steal(struct om_buf *b);

/* little-endian fields of files and frames */
static inline uint16_t le16_get(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] | b[1] << 8);
}
static inline uint32_t le32_get(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}
static inline uint64_t le64_get(const void *p)
{
	return (uint64_t)le32_get(p) | (uint64_t)le32_get((const uint8_t *)p + 4) << 32;
}
static inline void le16_put(void *p, uint16_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}
static inline void le32_put(void *p, uint32_t v)
{
	uint8_t *b = p;

	for (int i = 0; i < 4; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}
static inline void le64_put(void *p, uint64_t v)
{
	le32_put(p, (uint32_t)v);
	le32_put((uint8_t *)p + 4, (uint32_t)(v >> 32));
}
#endif
