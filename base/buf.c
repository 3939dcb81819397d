/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void om_buf_done(struct om_buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

int om_buf_reserve(struct om_buf *b, size_t more)
{
	size_t need, room = b->room ? b->room : 64;
	char *p;

	if (__builtin_add_overflow(b->len, more, &need) || need == SIZE_MAX)
		return -ENOMEM;
	if (b->data && need < b->room)
		return 0;
	while (room <= need)
		if (__builtin_mul_overflow(room, (size_t)2, &room))
			return -ENOMEM;
	p = realloc(b->data, room);
	if (!p)
		return -ENOMEM;
	if (!b->data)
		p[0] = 0;
	b->data = p;
	b->room = room;
	return 0;
}

int om_buf_add(struct om_buf *b, const void *p, size_t n)
{
	if (om_buf_reserve(b, n) < 0)
		return -ENOMEM;
	if (n)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = 0;
	return 0;
}

int om_buf_addf(struct om_buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	if (om_buf_reserve(b, (size_t)n) < 0)
		return -ENOMEM;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

void om_buf_shift(struct om_buf *b, size_t n)
{
	if (n > b->len)
		n = b->len;
	if (!n)
		return;
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}

char *om_buf_steal(struct om_buf *b)
{
	char *p;

	if (om_buf_reserve(b, 0) < 0)
		return NULL;
	p = b->data;
	memset(b, 0, sizeof(*b));
	return p;
}
