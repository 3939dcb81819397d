/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/retention.h"

static void expect(const struct pol_ckpt *list, size_t n, uint32_t keep, const uint32_t *want, size_t nwant)
{
	uint32_t drop[8];
	size_t k = pol_retention_drop(list, n, keep, drop);

	assert_int_equal(k, nwant);
	for (size_t i = 0; i < k; i++)
		assert_int_equal(drop[i], want[i]);
}
#define EXPECT(list, keep, ...) do { \
	const uint32_t want_[] = { 0, __VA_ARGS__ }; \
	expect(list, sizeof(list) / sizeof(list[0]), keep, want_ + 1, sizeof(want_) / sizeof(want_[0]) - 1); \
} while (0)

static void newest_stay(void **state)
{
	const struct pol_ckpt l[] = { { 4, 0, 0 }, { 1, 0, 0 }, { 3, 0, 0 }, { 2, 0, 0 } };

	(void)state;
	EXPECT(l, 2, 1, 2);
	EXPECT(l, 1, 1, 2, 3);
	EXPECT(l, 0, 1, 2, 3);
	EXPECT(l, 4);
	EXPECT(l, 100);
	assert_int_equal(pol_retention_drop(NULL, 0, 2, NULL), 0);
}

static void bad_ones_go(void **state)
{
	const struct pol_ckpt l[] = { { 1, 0, 0 }, { 2, 0, 0 }, { 3, 1, 0 }, { 4, 1, 0 } };
	const struct pol_ckpt only[] = { { 1, 0, 0 }, { 2, 1, 0 }, { 3, 1, 0 } };

	(void)state;
	EXPECT(l, 1, 1, 3, 4);
	EXPECT(l, 2, 3, 4);
	EXPECT(only, 1, 2, 3);
}

static void none_is_good(void **state)
{
	const struct pol_ckpt l[] = { { 1, 1, 0 }, { 2, 1, 0 }, { 3, 1, 0 } };

	(void)state;
	EXPECT(l, 2, 1);
	assert_int_equal(pol_retention_may_drop(l, 3, 3), 0);
}

static void in_use_stays(void **state)
{
	const struct pol_ckpt l[] = { { 1, 0, 1 }, { 2, 1, 1 }, { 3, 0, 0 }, { 4, 0, 0 } };

	(void)state;
	EXPECT(l, 1, 3);
	assert_int_equal(pol_retention_may_drop(l, 4, 1), -EBUSY);
	assert_int_equal(pol_retention_may_drop(l, 4, 3), 0);
	assert_int_equal(pol_retention_may_drop(l, 4, 9), -ENOENT);
}

static void only_good_one(void **state)
{
	const struct pol_ckpt l[] = { { 1, 0, 0 }, { 2, 1, 0 } };

	(void)state;
	assert_int_equal(pol_retention_may_drop(l, 2, 1), -EPERM);
	assert_int_equal(pol_retention_may_drop(l, 2, 2), 0);
}

/* all lists of five checkpoints: the newest good one is never among those that go, and enough good ones stay */
static void never_the_newest_good(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 1u << 10; bits++)
		for (uint32_t keep = 1; keep <= 5; keep++) {
			struct pol_ckpt l[5];
			uint32_t drop[5], newest = 0, good = 0, gone = 0;
			size_t k;

			for (uint32_t i = 0; i < 5; i++) {
				l[i] = (struct pol_ckpt){ i + 1, bits >> i & 1, bits >> (5 + i) & 1 };
				if (!l[i].bad) {
					newest = i + 1;
					good++;
				}
			}
			k = pol_retention_drop(l, 5, keep, drop);
			for (size_t i = 0; i < k; i++) {
				assert_int_not_equal(drop[i], newest);
				assert_false(l[drop[i] - 1].in_use);
				gone += !l[drop[i] - 1].bad;
			}
			assert_true(good - gone >= (good < keep ? good : keep));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(newest_stay), cmocka_unit_test(bad_ones_go), cmocka_unit_test(none_is_good),
		cmocka_unit_test(in_use_stays), cmocka_unit_test(only_good_one), cmocka_unit_test(never_the_newest_good),
	};

	return cmocka_run_group_tests_name("policy-retention", tests, NULL, NULL);
}
