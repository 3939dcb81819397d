/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "omsub/cmd.h"
#include "omsub/out.h"

static void test_clean(void **state)
{
	static const struct { const char *in, *want; } t[] = {
		{ "plain text", "plain text" }, { "", "" }, { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\x1b[2J", "\\x1b[2J" }, { "a\nb\tc\r", "a\\x0ab\\x09c\\x0d" }, { "\x7f", "\\x7f" },
		{ "\xff\xfe", "\\xff\\xfe" }, { "\xc3", "\\xc3" }, { "\xe2\x82", "\\xe2\\x82" }, { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" },			/* C1 control: CSI */
		{ "\xe2\x80\xae" "abc", "\\xe2\\x80\\xae" "abc" },	/* right-to-left override */
		{ "\xe2\x80\x9c" "q", "\xe2\x80\x9c" "q" },
	};
	char small[6], buf[100];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *dup = out_clean_dup(t[i].in);

		assert_string_equal(out_clean(buf, sizeof(buf), t[i].in), t[i].want);
		assert_non_null(dup);
		assert_string_equal(dup, t[i].want);
		free(dup);
	}
	assert_string_equal(out_clean(small, sizeof(small), "abcdefgh"), "abcde");
	assert_string_equal(out_clean(small, sizeof(small), "abc\xe2\x82\xac"), "abc");	/* not half a character */
}

static void test_numbers(void **state)
{
	json_t *n = json_real(3725.9), *bad = json_string("x"), *neg = json_integer(-1), *big = json_real(1e300);
	char buf[40];

	(void)state;
	assert_string_equal(out_seconds(buf, sizeof(buf), n), "1h02m");
	assert_string_equal(out_seconds(buf, sizeof(buf), bad), "-");
	assert_string_equal(out_seconds(buf, sizeof(buf), neg), "-");
	assert_string_equal(out_seconds(buf, sizeof(buf), big), "-");
	assert_string_equal(out_seconds(buf, sizeof(buf), NULL), "-");
	assert_string_equal(out_size(buf, sizeof(buf), n), "3.6 KiB");
	assert_string_equal(out_size(buf, sizeof(buf), big), "-");
	assert_string_equal(out_time(buf, sizeof(buf), n), "1970-01-01 01:02:05");
	assert_string_equal(out_time(buf, sizeof(buf), big), "-");
	json_decref(n);
	json_decref(bad);
	json_decref(neg);
	json_decref(big);
}

static int job_exit(const char *text)
{
	json_t *j = json_loads(text, 0, NULL);
	int r;

	assert_non_null(j);
	r = cmd_job_exit(j);
	json_decref(j);
	return r;
}

static void test_exit(void **state)
{
	(void)state;
	assert_int_equal(job_exit("{\"state\":\"done\",\"exit\":{\"code\":0}}"), 0);
	assert_int_equal(job_exit("{\"state\":\"failed\",\"exit\":{\"code\":7}}"), 7);
	assert_int_equal(job_exit("{\"state\":\"failed\",\"exit\":{\"signal\":9}}"), 137);
	assert_int_equal(job_exit("{\"state\":\"cancelled\",\"exit\":null}"), 1);
	assert_int_equal(job_exit("{\"state\":\"cancelled\",\"exit\":{\"code\":0}}"), 1);
	assert_int_equal(job_exit("{\"state\":\"lost\"}"), 1);
	assert_int_equal(job_exit("{\"state\":\"failed\",\"exit\":{\"code\":4096,\"signal\":-3}}"), 1);
	assert_int_equal(job_exit("{}"), 1);
}

static void test_ids(void **state)
{
	static const char *const bad[] = { "", "x", "1_", "_1", "1_2_3", "-1", "+1", " 1", "1 ", "1/..", "0x1", "99999999999999999999", "1_99999999" };

	(void)state;
	assert_true(cmd_is_id("1"));
	assert_true(cmd_is_id("17_0"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (cmd_is_id(bad[i]))
			fail_msg("an id: '%s'", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean), cmocka_unit_test(test_numbers), cmocka_unit_test(test_exit), cmocka_unit_test(test_ids),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
