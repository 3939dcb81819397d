/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arithmetic of extents against a page-by-page model; base64; vdso tables that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>

#include "base/err.h"
#include "checkpoint/json.h"
#include "checkpoint/pages.h"
#include "checkpoint/shot.h"
#include "checkpoint/vdso.h"

enum { PAGES = 200 };

/* per page: block * 64 + first + 1, 0 = none */
typedef uint32_t model[PAGES];

static void put(model m, const struct ckpt_known *k)
{
	for (size_t i = 0; i < k->n; i++)
		for (uint32_t p = 0; p < k->x[i].pages; p++)
			m[k->x[i].addr / CKPT_PAGE + p] = k->x[i].block * 64 + k->x[i].first + p + 1;
}

/* random extents, ascending and apart */
static struct ckpt_known some(uint32_t block)
{
	struct ckpt_known k = { .x = calloc(PAGES, sizeof(*k.x)) };

	for (uint64_t at = (uint64_t)(rand() % 4); at < PAGES - 10;) {
		uint32_t n = 1 + (uint32_t)(rand() % 8);

		k.x[k.n++] = (struct ckpt_extent){ at * CKPT_PAGE, n, block++, (uint32_t)(rand() % 50), 0 };
		at += n + (uint64_t)(rand() % 5);
	}
	return k;
}

static void ascending(const struct ckpt_known *k)
{
	for (size_t i = 1; i < k->n; i++)
		assert_true(k->x[i].addr >= k->x[i - 1].addr + k->x[i - 1].pages * (uint64_t)CKPT_PAGE);
}

static void overlay(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 500; round++) {
		struct ckpt_known a = some(1), b = some(1000);
		model want = { 0 }, got = { 0 };

		put(want, &a);
		put(want, &b);
		assert_int_equal(ckpt_known_overlay(&a, &b), 0);
		ascending(&a);
		put(got, &a);
		assert_memory_equal(want, got, sizeof(got));
		assert_null(b.x);
		ckpt_known_done(&a);
	}
}

static void cut(void **state)
{
	(void)state;
	srand(2);
	for (int round = 0; round < 500; round++) {
		struct ckpt_known a = some(1), mask = some(1);
		struct ckpt_ranges in = { 0 };
		model want = { 0 }, keep = { 0 }, got = { 0 };

		put(want, &a);
		put(keep, &mask);
		for (size_t i = 0; i < mask.n; i++)
			assert_int_equal(ckpt_ranges_add(&in, mask.x[i].addr, mask.x[i].addr + mask.x[i].pages * (uint64_t)CKPT_PAGE), 0);
		for (int i = 0; i < PAGES; i++)
			if (!keep[i])
				want[i] = 0;
		assert_int_equal(ckpt_known_cut(&a, &in), 0);
		ascending(&a);
		put(got, &a);
		assert_memory_equal(want, got, sizeof(got));
		ckpt_known_done(&a);
		ckpt_known_done(&mask);
		ckpt_ranges_done(&in);
	}
}

static void bytes(void **state)
{
	unsigned char buf[40] = { 0 };

	(void)state;
	for (size_t n = 0; n < sizeof(buf); n++) {
		json_t *o;
		void *p;
		size_t len;

		for (size_t i = 0; i < n; i++)
			buf[i] = (unsigned char)(i * 37 + n);
		o = json_pack("{so}", "b", ckpt_json_from_bytes(buf, n));
		assert_int_equal(ckpt_json_bytes(o, "b", 0, 40, &p, &len, NULL), 0);
		assert_int_equal(len, n);
		assert_memory_equal(p, buf, n);
		free(p);
		if (n)
			assert_int_equal(ckpt_json_bytes(o, "b", 0, n - 1, &p, &len, NULL), -EUCLEAN);
		json_decref(o);
	}
}

static void bytes_bad(void **state)
{
	static const char *const list[] = { "A", "AA", "AAA", "A===", "=AAA", "A=AA", "AA=A", "AAAA=", "AAA*", "AA==AAAA", "====" };

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		json_t *o = json_pack("{ss}", "b", list[i]);
		void *p;

		assert_int_equal(ckpt_json_bytes(o, "b", 0, 100, &p, NULL, NULL), -EUCLEAN);
		json_decref(o);
	}
}

static void names(void **state)
{
	static const char *const list[] = { "", "/a b", "/%", "/\xff\x01%41", "/caf\xc3\xa9" };

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		json_t *o = json_pack("{so}", "n", ckpt_json_from_name(list[i]));
		char *s;

		assert_int_equal(ckpt_json_name(o, "n", 100, &s, NULL), 0);
		assert_string_equal(s, list[i]);
		free(s);
		json_decref(o);
	}
}

/* Every byte of an image's vdso may be anything: nothing outside of it is touched (run with the sanitizer). */
static void vdso_hostile(void **state)
{
	char *own = malloc(8192), *old = malloc(8192);

	(void)state;
	assert_int_equal(ckpt_own_vdso(own, 8192), 0);
	memcpy(old, own, 8192);
	assert_int_equal(ckpt_vdso_patch(old, 8192, own, 8192, 0x10000, NULL), 0);
	srand(3);
	for (int round = 0; round < 3000; round++) {
		size_t len = round % 3 ? 8192 : (size_t)(rand() % 8192);
		char *bad = malloc(len + 1);

		memcpy(bad, own, len);
		for (int i = 0; i < 20 && len > 64; i++)
			bad[rand() % 2 ? (size_t)rand() % 64 : (size_t)rand() % len] = (char)rand();
		(void)ckpt_vdso_patch(bad, len, own, 8192, 0x10000, NULL);	/* either answer is right */
		free(bad);
	}
	free(own);
	free(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overlay), cmocka_unit_test(cut), cmocka_unit_test(bytes), cmocka_unit_test(bytes_bad),
		cmocka_unit_test(names), cmocka_unit_test(vdso_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
