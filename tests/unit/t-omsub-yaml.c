/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "omsub/options.h"
#include "omsub/yaml.h"

static char result[2000];

/* The job as "spec env", or "!text". */
static const char *parse_n(const char *text, size_t n)
{
	struct om_err err = { 0 };
	struct opt_job job;

	assert_int_equal(opt_job_init(&job), 0);
	if (yaml_parse(text, n, &job, &err) < 0) {
		assert_true(err.text[0]);
		snprintf(result, sizeof(result), "!%s", err.text);
	} else {
		om_autofree char *spec = json_dumps(job.spec, JSON_COMPACT | JSON_SORT_KEYS);
		om_autofree char *env = json_dumps(job.env, JSON_COMPACT | JSON_SORT_KEYS);

		snprintf(result, sizeof(result), "%s %s%s", spec, env, job.inherit == 0 ? " -" : "");
	}
	opt_job_done(&job);
	return result;
}

static const char *parse(const char *text)
{
	return parse_n(text, strlen(text));
}

static void test_good(void **state)
{
	(void)state;
	assert_string_equal(parse("name: x\ncommand: [sleep, 10, '']\n"), "{\"argv\":[\"sleep\",\"10\",\"\"],\"name\":\"x\"} {}");
	assert_string_equal(parse("script: |\n  #!/bin/sh\n  echo hi\nargs: [a b]\nhold: true\nappend: no\nno-env: yes\n"),
			    "{\"args\":[\"a b\"],\"hold\":true,\"script\":\"#!/bin/sh\\necho hi\\n\"} {} -");
	assert_string_equal(parse("command: [x]\nenv:\n  A: b\n  N: 5\n  E:\n"), "{\"argv\":[\"x\"]} {\"A\":\"b\",\"E\":\"\",\"N\":\"5\"}");
	assert_string_equal(parse("command: [x]\nenv: [A=b, C]\n"), "{\"argv\":[\"x\"]} {\"A\":\"b\",\"C\":null}");
	assert_string_equal(parse("command: [x]\narray: 0-9%2\n"), "{\"argv\":[\"x\"],\"array\":{\"cap\":2,\"indices\":\"0-9\"}} {}");
	assert_string_equal(parse("command: [x]\narray: {indices: [1, 5-7], cap: 2}\n"),
			    "{\"argv\":[\"x\"],\"array\":{\"cap\":2,\"indices\":\"1,5-7\"}} {}");
	assert_string_equal(parse("command: [x]\narray: [1, 2]\n"), "{\"argv\":[\"x\"],\"array\":{\"indices\":\"1,2\"}} {}");
	assert_string_equal(parse("command: [x]\ndepend: {afterok: 1, afterany: [2, 3]}\n"),
			    "{\"argv\":[\"x\"],\"depends\":[{\"job\":\"1\",\"type\":\"afterok\"},{\"job\":\"2\",\"type\":\"afterany\"},"
			    "{\"job\":\"3\",\"type\":\"afterany\"}]} {}");
	assert_string_equal(parse("command: [x]\ndepend: [afterok:1]\ntime: 1:30:00\nmemory: 2G\n"),
			    "{\"argv\":[\"x\"],\"depends\":[{\"job\":\"1\",\"type\":\"afterok\"}],\"memory\":2147483648,\"time_limit\":5400} {}");
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"", "\n", "a", "- a\n", "name: x\n", "command: x\n", "command: []\n", "command: [[a]]\n", "command: [~]\n", "script: ''\n",
		"script: a\ncommand: [b]\n", "command: [a]\nargs: [b]\n", "command: [a]\nnonsense: 1\n", "command: [a]\nwait: true\n",
		"command: [a]\nhold: maybe\n", "command: [a]\nhold: [true]\n", "command: [a]\ncpus: {a: b}\n", "command: [a]\nname:\n",
		"command: [a]\nname: x\nname: y\n", "command: [a]\nenv: {A=: b}\n", "command: [a]\nenv: {A: [b]}\n", "command: [a]\nenv: [[a]]\n",
		"command: [a]\narray: {indices: 1, more: 2}\n", "command: [a]\narray: {cap: 2}\n", "command: [a]\ndepend: {afterok: {a: 1}}\n",
		"command: [a]\ndepend:\n", "command: [a]\n---\ncommand: [b]\n", "command: [a\n", "\tx: y\n", "? [a]\n: b\n",
		"command: &a [x]\n", "command: [*a]\n", "command: !!str x\n", "command: !x [y]\n", "command: [\"a\\0b\"]\n",
		"command: [a]\nname: \"\\e[2J\"\n", "command: [a]\ncpus: 0\n", "{command: [a], ? ~ : b}\n", "command: [\xff]\n",
		"command: [a]\narray: [[[[[[[[[1]]]]]]]]]\n", "script: &anchor a\n", "<<: *x\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i])[0] != '!')
			fail_msg("accepted: %s as %s", bad[i], result);
	assert_string_equal(parse("command: [a]\ncpus: many\n"), "!--cpus: 'many' is no number from 1 to 65536");
	assert_string_equal(parse("command: [a]\nx: &b c\n"), "!line 2: anchors (&name) are not allowed here");
}

/* the bombs end early, without eating memory */
static void test_bombs(void **state)
{
	om_autobuf b = { 0 };

	(void)state;
	parse("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n");
	assert_non_null(strstr(result, "anchors"));
	for (int i = 0; i < 200000; i++)
		assert_int_equal(om_buf_add(&b, "[", 1), 0);
	assert_int_equal(parse_n(b.data, b.len)[0], '!');
	om_buf_done(&b);
	assert_int_equal(om_buf_addf(&b, "command: "), 0);
	for (int i = 0; i < 200000; i++)
		assert_int_equal(om_buf_add(&b, "[", 1), 0);
	parse_n(b.data, b.len);
	assert_non_null(strstr(result, "nested too deeply"));
	om_buf_done(&b);
	assert_int_equal(om_buf_addf(&b, "command: ["), 0);
	for (int i = 0; i < 30000; i++)
		assert_int_equal(om_buf_add(&b, "a,", 2), 0);
	assert_int_equal(om_buf_addf(&b, "b]\n"), 0);
	parse_n(b.data, b.len);
	assert_non_null(strstr(result, "more than 20000 values"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_bombs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
