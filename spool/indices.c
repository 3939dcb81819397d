/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text is expanded into a bitmap (250 kB for the largest index) and read back as ranges: so pieces that overlap, repeat or stand in any order need
 * no rules of their own.  Ranges made this way never interleave, which binary search and removal rely on. */
#include "spool/indices.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

enum {
	BITS = OM_ELEM_MAX + 1,
	WORDS = (BITS + 63) / 64,
	WORK_MAX = 4 * SPOOL_ELEMENTS_MAX	/* elements of all pieces, doubles included: bounds the time a request can take */
};

void spool_indices_done(struct spool_indices *s)
{
	free(s->range);
	memset(s, 0, sizeof(*s));
}

static int add_range(struct spool_indices *s, struct spool_range range)
{
	if (s->n == SPOOL_RANGES_MAX)
		return -E2BIG;
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 4;
		struct spool_range *p = reallocarray(s->range, room, sizeof(*p));

		if (!p)
			return -ENOMEM;
		s->range = p;
		s->room = room;
	}
	s->range[s->n++] = range;
	return 0;
}

static uint32_t next_bit(const uint64_t *map, uint32_t from)
{
	uint32_t w = from / 64;
	uint64_t bits;

	if (from >= BITS)
		return BITS;
	bits = map[w] & ~UINT64_C(0) << from % 64;
	while (!bits) {
		if (++w == WORDS)
			return BITS;
		bits = map[w];
	}
	return w * 64 + (uint32_t)__builtin_ctzll(bits);
}

/* The longest range from @first on that leaves no element out; two far elements are no range ("0,7", not "0-7:7"). */
static struct spool_range longest(const uint64_t *map, uint32_t first)
{
	uint32_t second = next_bit(map, first + 1), step = second - first, last = second, n = 2;

	if (second == BITS)
		return (struct spool_range){ first, first, 1 };
	for (uint32_t next; (next = next_bit(map, last + 1)) == last + step && next < BITS; n++)
		last = next;
	if (n == 2 && step > 1)
		return (struct spool_range){ first, first, 1 };
	return (struct spool_range){ first, last, step };
}

static int from_map(const uint64_t *map, struct spool_indices *s)
{
	for (uint32_t i = next_bit(map, 0); i < BITS;) {
		struct spool_range range = longest(map, i);
		int r = add_range(s, range);

		if (r < 0)
			return r;
		s->count += (range.last - range.first) / range.step + 1;
		i = next_bit(map, range.last + 1);
	}
	return 0;
}

static int number(const char **s, uint32_t *ret)
{
	uint32_t v = 0;

	if (!isdigit((unsigned char)**s))
		return -EINVAL;
	for (; isdigit((unsigned char)**s); (*s)++) {
		v = v * 10 + (uint32_t)(**s - '0');
		if (v > OM_ELEM_MAX)
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

/* "a", "a-b", "a-b:step" */
static int piece(const char **s, struct spool_range *p)
{
	int r = number(s, &p->first);

	if (r < 0)
		return r;
	p->last = p->first;
	p->step = 1;
	if (**s == '-') {
		(*s)++;
		r = number(s, &p->last);
		if (r == 0 && **s == ':') {
			(*s)++;
			r = number(s, &p->step);
		}
	}
	if (r < 0)
		return r;
	if ((**s && **s != ',') || p->last < p->first || p->step == 0)
		return -EINVAL;
	return 0;
}

static int fill_map(const char *text, uint64_t *map, struct om_err *err)
{
	const char *s = text;
	uint64_t work = 0;

	for (;;) {
		struct spool_range p;
		size_t at = (size_t)(s - text);
		int r = piece(&s, &p);

		if (r == -ERANGE)
			return om_err_set(err, r, "array indices: a number above %d at byte %zu", OM_ELEM_MAX, at);
		if (r < 0)
			return om_err_set(err, r, "array indices: not 'a', 'a-b' or 'a-b:step' at byte %zu", at);
		work += (p.last - p.first) / p.step + 1;
		if (work > WORK_MAX)
			return om_err_set(err, -E2BIG, "array indices: more than %d elements", SPOOL_ELEMENTS_MAX);
		for (uint32_t i = p.first; i <= p.last; i += p.step)
			map[i / 64] |= UINT64_C(1) << i % 64;
		if (!*s)
			return 0;
		s++;
	}
}

int spool_indices_parse(const char *text, struct spool_indices *ret, struct om_err *err)
{
	om_autofree uint64_t *map = calloc(WORDS, sizeof(*map));
	struct spool_indices s = { 0 };
	int r;

	if (!map)
		return om_err_set(err, -ENOMEM, "array indices: out of memory");
	r = fill_map(text, map, err);
	if (r < 0)
		return r;
	r = from_map(map, &s);
	if (r == 0 && s.count > SPOOL_ELEMENTS_MAX)
		r = -E2BIG;
	if (r < 0) {
		spool_indices_done(&s);
		if (r == -ENOMEM)
			return om_err_set(err, r, "array indices: out of memory");
		return om_err_set(err, r, "array indices: more than %d elements or %d pieces", SPOOL_ELEMENTS_MAX, SPOOL_RANGES_MAX);
	}
	*ret = s;
	return 0;
}

char *spool_indices_text(const struct spool_indices *s)
{
	om_autobuf b = { 0 };
	int r = om_buf_reserve(&b, 1);

	for (size_t i = 0; r == 0 && i < s->n; i++) {
		const struct spool_range *p = &s->range[i];

		r = om_buf_addf(&b, "%s%" PRIu32, i ? "," : "", p->first);
		if (r == 0 && p->last > p->first)
			r = om_buf_addf(&b, "-%" PRIu32, p->last);
		if (r == 0 && p->last > p->first && p->step > 1)
			r = om_buf_addf(&b, ":%" PRIu32, p->step);
	}
	if (r < 0)
		return NULL;
	return b.len ? om_buf_steal(&b) : strdup("");
}

/* The range that may have @index: the last that does not begin behind it. */
static size_t find(const struct spool_indices *s, uint32_t index)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->range[mid].first <= index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;			/* wraps when there is none */
}

static bool in_range(const struct spool_range *p, uint32_t index)
{
	return index >= p->first && index <= p->last && (index - p->first) % p->step == 0;
}

bool spool_indices_has(const struct spool_indices *s, uint32_t index)
{
	size_t i = find(s, index);

	return i < s->n && in_range(&s->range[i], index);
}

int spool_indices_first(const struct spool_indices *s, uint32_t *ret)
{
	if (!s->n)
		return -ENOENT;
	*ret = s->range[0].first;
	return 0;
}

static void normal(struct spool_range *p)
{
	if (p->first == p->last)
		p->step = 1;
}

int spool_indices_remove(struct spool_indices *s, uint32_t index)
{
	size_t i = find(s, index);
	struct spool_range *p;
	int r;

	if (i >= s->n || !in_range(&s->range[i], index))
		return -ENOENT;
	p = &s->range[i];
	if (p->first == p->last) {
		memmove(p, p + 1, (s->n - i - 1) * sizeof(*p));
		s->n--;
	} else if (index == p->first) {
		p->first += p->step;
		normal(p);
	} else if (index == p->last) {
		p->last -= p->step;
		normal(p);
	} else {
		struct spool_range behind = { index + p->step, p->last, p->step };

		r = add_range(s, behind);	/* only for the room: it is moved to its place */
		if (r < 0)
			return r;
		p = &s->range[i];
		memmove(p + 2, p + 1, (s->n - i - 2) * sizeof(*p));
		normal(&behind);
		p[1] = behind;
		p->last = index - p->step;
		normal(p);
	}
	s->count--;
	return 0;
}

/* Removal has left no range that reaches over @index, so it can stand by itself; mostly it is again the first of the range it came from. */
int spool_indices_add(struct spool_indices *s, uint32_t index)
{
	size_t at = find(s, index) + 1;	/* the first that begins behind it */
	struct spool_range *p;
	int r;

	if (spool_indices_has(s, index))
		return 0;
	if (at < s->n && s->range[at].first - index == s->range[at].step) {
		s->range[at].first = index;
	} else {
		r = add_range(s, (struct spool_range){ index, index, 1 });
		if (r < 0)
			return r;
		p = &s->range[at];
		memmove(p + 1, p, (s->n - 1 - at) * sizeof(*p));
		*p = (struct spool_range){ index, index, 1 };
	}
	s->count++;
	return 0;
}
