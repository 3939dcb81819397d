/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>

#include "base/err.h"
#include "omjob/spec.h"

#define REST ",\"chdir\":\"/tmp\",\"env\":{\"A\":\"1\",\"B\":\"\"}"

static int parse(const char *text, struct omj_spec **ret)
{
	struct om_err err = { 0 };
	int r = omj_spec_parse(text, strlen(text), ret, &err);

	if (r < 0)
		assert_true(err.text[0]);
	return r;
}

static void test_good(void **state)
{
	struct omj_spec *s = NULL;

	(void)state;
	assert_int_equal(parse("{\"id\":\"17_3\",\"argv\":[\"a\",\"b\"],\"array_index\":3,\"leg\":2,\"restore\":null,\"umask\":18,"
			       "\"rlimits\":{\"nofile\":[64,-1]},\"open_mode\":\"append\",\"net\":\"reset\",\"files\":\"open\","
			       "\"priority\":7" REST "}", &s), 0);
	assert_string_equal(s->id, "17_3");
	assert_string_equal(s->argv[1], "b");
	assert_null(s->argv[2]);
	assert_string_equal(s->env[0], "A=1");
	assert_int_equal(s->array_index, 3);
	assert_int_equal(s->leg, 2);
	assert_int_equal(s->restore, 0);
	assert_int_equal(s->umask, 18);
	assert_true(s->append && s->net_reset && !s->journal && !s->script);
	assert_true(s->rlimit[RLIMIT_NOFILE].set && s->rlimit[RLIMIT_NOFILE].lim.rlim_max == RLIM_INFINITY);
	assert_false(s->rlimit[RLIMIT_AS].set);
	omj_spec_destroy(s);
	assert_int_equal(parse("{\"id\":\"1\",\"script\":\"x\",\"args\":[\"y\"],\"restore\":4" REST "}", &s), 0);
	assert_true(s->script && s->journal && !s->append);
	assert_string_equal(s->argv[0], "y");
	assert_int_equal(s->restore, 4);
	assert_int_equal(s->umask, -1);
	assert_int_equal(s->array_index, -1);
	omj_spec_destroy(s);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"", "[]", "7", "{\"id\":", "{\"id\":1,\"argv\":[\"a\"]" REST "}", "{\"argv\":[\"a\"]" REST "}",
		"{\"id\":\"1\"" REST "}", "{\"id\":\"1\",\"argv\":[]" REST "}", "{\"id\":\"1\",\"argv\":[\"\"]" REST "}",
		"{\"id\":\"1\",\"argv\":[1]" REST "}", "{\"id\":\"1\",\"argv\":\"a\"" REST "}",
		"{\"id\":\"1\",\"argv\":[\"a\"],\"script\":\"x\"" REST "}", "{\"id\":\"1\",\"script\":7" REST "}",
		"{\"id\":\"1\",\"argv\":[\"a\\u0000b\"]" REST "}", "{\"id\":\"1\",\"argv\":[\"a\"],\"chdir\":\"x\",\"env\":{}}",
		"{\"id\":\"1\",\"argv\":[\"a\"],\"chdir\":\"/\",\"env\":[]}", "{\"id\":\"1\",\"argv\":[\"a\"],\"chdir\":\"/\",\"env\":{\"A\":1}}",
		"{\"id\":\"1\",\"argv\":[\"a\"],\"chdir\":\"/\",\"env\":{\"A=B\":\"\"}}", "{\"id\":\"1\",\"argv\":[\"a\"],\"chdir\":\"/\",\"env\":{\"\":\"\"}}",
		"{\"id\":\"1\",\"argv\":[\"a\"],\"umask\":512" REST "}", "{\"id\":\"1\",\"argv\":[\"a\"],\"umask\":-1" REST "}",
		"{\"id\":\"1\",\"argv\":[\"a\"],\"restore\":0" REST "}", "{\"id\":\"1\",\"argv\":[\"a\"],\"restore\":1.5" REST "}",
		"{\"id\":\"1\",\"argv\":[\"a\"],\"leg\":\"1\"" REST "}", "{\"id\":\"1\",\"argv\":[\"a\"],\"open_mode\":\"x\"" REST "}",
		"{\"id\":\"1\",\"argv\":[\"a\"],\"net\":true" REST "}", "{\"id\":\"1\",\"argv\":[\"a\"],\"rlimits\":[]" REST "}",
		"{\"id\":\"1\",\"argv\":[\"a\"],\"rlimits\":{\"x\":[1,2]}" REST "}", "{\"id\":\"1\",\"argv\":[\"a\"],\"rlimits\":{\"as\":[1]}" REST "}",
		"{\"id\":\"1\",\"argv\":[\"a\"],\"stdin\":{}" REST "}", "{\"id\":\"1\",\"id\":\"2\",\"argv\":[\"a\"]" REST "}",
	};

	(void)state;
	for (size_t i = 0; i < OM_ARRAY_SIZE(bad); i++) {
		struct omj_spec *s = NULL;

		if (parse(bad[i], &s) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_null(s);
	}
}

static void expect(struct omj_spec *s, const char *pattern, const char *want)
{
	char *got = NULL;

	assert_int_equal(omj_pattern_expand(pattern, s, &got, NULL), 0);
	assert_string_equal(got, want);
	free(got);
}

static void test_pattern(void **state)
{
	struct omj_spec *s = NULL;
	char *got = NULL;

	(void)state;
	assert_int_equal(parse("{\"id\":\"17_3\",\"argv\":[\"a\"],\"array_index\":3,\"name\":\"a/b%j\",\"node\":\"n1\"" REST "}", &s), 0);
	expect(s, "", "");
	expect(s, "x", "x");
	expect(s, "o-%j.%A.%a.%n.%x.%%", "o-17_3.17.3.a_b%j.n1.%");
	assert_int_equal(omj_pattern_expand("%", s, &got, NULL), -EINVAL);
	assert_int_equal(omj_pattern_expand("a%q", s, &got, NULL), -EINVAL);
	omj_spec_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_pattern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
