/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/err.h"
#include "spool/spec.h"

#define BASE "\"chdir\":\"/tmp\",\"env\":{}"

static json_t *load(const char *text)
{
	json_error_t e;
	json_t *json = json_loads(text, JSON_ALLOW_NUL | JSON_DECODE_ANY, &e);

	if (!json)
		fail_msg("test's own JSON: %s in %s", e.text, text);
	return json;
}

/* The text is refused with @code, and the message begins with @field. */
static void refused(const char *text, int code, const char *field)
{
	json_t *json = load(text);
	struct om_err e = { 0 };
	struct spool_spec *s = (void *)&e;

	if (spool_spec_parse(json, &s, &e) != code || strncmp(e.text, field, strlen(field)) != 0)
		fail_msg("%s: got %d '%s', expected %d '%s'", text, e.code, e.text, code, field);
	assert_ptr_equal(s, &e);
	json_decref(json);
}

static struct spool_spec *accepted(const char *text)
{
	json_t *json = load(text);
	struct om_err e = { 0 };
	struct spool_spec *s = NULL;

	if (spool_spec_parse(json, &s, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	json_decref(json);
	return s;
}

static void defaults(void **state)
{
	struct spool_spec *s = accepted("{\"argv\":[\"/bin/sleep\",\"5\"]," BASE "}");

	(void)state;
	assert_string_equal(s->argv[1], "5");
	assert_null(s->argv[2]);
	assert_string_equal(s->name, "sleep");
	assert_string_equal(s->in, "/dev/null");
	assert_string_equal(s->out, "om-%j.out");
	assert_null(s->err);
	assert_null(s->env[0]);
	assert_int_equal(s->umask, -1);
	assert_int_equal(s->cpus, 1);
	assert_int_equal(s->keep, 2);
	assert_int_equal(s->checkpoint, SPOOL_PERIOD_AUTO);
	assert_false(s->array || s->hold || s->notify || s->time_limit_s || s->begin_ns);
	spool_spec_destroy(s);
	s = accepted("{\"script\":\"#!/bin/sh\\n\"," BASE "}");
	assert_string_equal(s->name, "script");
	assert_null(s->args[0]);
	spool_spec_destroy(s);
	s = accepted("{\"argv\":[\"/bin/\"]," BASE "}");
	assert_string_equal(s->name, "job");
	spool_spec_destroy(s);
}

static const char everything[] =
	"{\"script\":\"#!/bin/sh\\necho\\n\",\"args\":[\"a\",\"\"],\"name\":\"n\303\244me\",\"chdir\":\"/\",\"env\":{\"A\":\"1=2\",\"B\":\"\"},"
	"\"umask\":18,\"rlimits\":{\"nofile\":[10,-1],\"core\":[0,0]},\"stdin\":\"in\",\"stdout\":\"%j.%a.%n.%x.%%.%A\",\"stderr\":\"e\","
	"\"open_mode\":\"append\",\"priority\":-5,\"array\":{\"indices\":\"0-9:3,5\",\"cap\":2},"
	"\"depends\":[{\"type\":\"afterok\",\"job\":\"17\"},{\"type\":\"afternotok\",\"job\":\"17_3\"}],\"hold\":true,\"begin\":1700000000.123456,"
	"\"cpus\":3,\"memory\":1048576,\"time_limit\":60.5,\"checkpoint\":2.5,\"keep\":3,\"restart\":\"never\",\"net\":\"reset\",\"files\":\"open\","
	"\"notify\":\"https://example.org/x\"}";

static void all_fields_and_back(void **state)
{
	struct spool_spec *s = accepted(everything), *again = NULL;
	json_t *a = spool_spec_to_json(s), *b;

	(void)state;
	assert_int_equal(s->nrlimits, 2);
	assert_int_equal(s->indices.count, 5);
	assert_int_equal(s->cap, 2);
	assert_int_equal(s->ndepends, 2);
	assert_true(s->depends[1].job.id == 17 && s->depends[1].job.elem == 3 && s->depends[1].type == SPOOL_DEP_AFTERNOTOK);
	assert_int_equal(s->begin_ns, UINT64_C(1700000000123456000));
	assert_int_equal(s->time_limit_s, 61);
	assert_int_equal(s->checkpoint, SPOOL_PERIOD_FIXED);
	assert_float_equal(s->period_s, 2.5, 0);
	assert_int_equal(s->restart, SPOOL_RESTART_NEVER);
	assert_int_equal(s->net, SPOOL_NET_RESET);
	assert_int_equal(s->files, SPOOL_FILES_OPEN);
	assert_int_equal(s->open_mode, SPOOL_OPEN_APPEND);
	assert_string_equal(s->env[0], "A=1=2");
	assert_int_equal(spool_spec_parse(a, &again, NULL), 0);
	b = spool_spec_to_json(again);
	assert_true(json_equal(a, b));
	assert_string_equal(json_string_value(json_object_get(json_object_get(a, "array"), "indices")), "0,3,5-6,9");
	json_decref(a);
	json_decref(b);
	spool_spec_destroy(s);
	spool_spec_destroy(again);
}

static void wrong_ones_are_named(void **state)
{
	static const struct { const char *member, *field; } t[] = {
		{ "\"nosuch\":1", "unknown field 'nosuch'" }, { "\"id\":\"17\"", "unknown field 'id'" },
		{ "\"a\\nb\\u00e4\":1", "unknown field 'a?b?" },
		{ "\"argv\":\"x\"", "argv: must be an array" }, { "\"argv\":[]", "argv: must name a program" },
		{ "\"argv\":[\"\"]", "argv: must name a program" }, { "\"argv\":[\"a\",1]", "word 1: argv: must be a string" },
		{ "\"argv\":[\"a\\u0000b\"]", "word 0: argv: has a zero byte" }, { "\"argv\":null", "argv: " },
		{ "\"script\":\"x\"", "argv: missing (one of" }, { "\"args\":[]", "args: only with script" },
		{ "\"name\":\"\"", "name: must not be empty" }, { "\"name\":\"a\\nb\"", "name: has control" }, { "\"name\":7", "name: must be a string" },
		{ "\"chdir\":\"tmp\"", "chdir: must be an absolute path" }, { "\"chdir\":{}", "chdir: " },
		{ "\"env\":[]", "env: must be an object" }, { "\"env\":{\"\":\"1\"}", "env: '' is no name" }, { "\"env\":{\"a=b\":\"1\"}", "env: 'a=b'" },
		{ "\"env\":{\"a\":1}", "variable 'a': env: must be a string" }, { "\"env\":{\"a\":\"\\u0000\"}", "variable 'a': env: has a zero" },
		{ "\"umask\":512", "umask: must be an integer from 0 to 511" }, { "\"umask\":-1", "umask" }, { "\"umask\":1.0", "umask" },
		{ "\"rlimits\":[]", "rlimits: must be" }, { "\"rlimits\":{\"x\":[1,1]}", "rlimits: there is no limit 'x'" },
		{ "\"rlimits\":{\"cpu\":[1]}", "rlimits: cpu must be a pair" }, { "\"rlimits\":{\"cpu\":3}", "rlimits: cpu must be a pair" },
		{ "\"rlimits\":{\"cpu\":[\"a\",1]}", "rlimits: must be an integer" }, { "\"rlimits\":{\"cpu\":[1,-2]}", "rlimits: must be an integer" },
		{ "\"rlimits\":{\"cpu\":[-1,5]}", "rlimits: cpu: the soft limit" }, { "\"rlimits\":{\"cpu\":[6,5]}", "rlimits: cpu: the soft limit" },
		{ "\"stdin\":\"\"", "stdin: must not be empty" }, { "\"stdout\":\"%q\"", "stdout: unknown pattern '%q' (known: %j" },
		{ "\"stderr\":\"x%\"", "stderr: unknown pattern '%'" }, { "\"open_mode\":\"x\"", "open_mode: must be one of \"truncate\", \"append\"" },
		{ "\"open_mode\":1", "open_mode" }, { "\"priority\":1001", "priority: must be an integer from -1000 to 1000" }, { "\"priority\":\"1\"", "priority" },
		{ "\"array\":\"0-3\"", "array: must be an object" }, { "\"array\":{}", "array: \"indices\" is missing" },
		{ "\"array\":{\"indices\":7}", "array: must be a string" }, { "\"array\":{\"indices\":\"\"}", "array indices: not" },
		{ "\"array\":{\"indices\":\"1\",\"x\":1}", "array: unknown field 'x'" }, { "\"array\":{\"indices\":\"1\",\"cap\":0}", "array: must be an integer from 1" },
		{ "\"depends\":{}", "depends: must be an array" }, { "\"depends\":[1]", "depends: must be an object" },
		{ "\"depends\":[{\"type\":\"after\",\"job\":\"1\"}]", "depends: must be one of \"afterok\"" },
		{ "\"depends\":[{\"type\":\"afterok\"}]", "depends: \"job\" is missing" }, { "\"depends\":[{\"job\":\"1\"}]", "depends: \"type\" is missing" },
		{ "\"depends\":[{\"type\":\"afterok\",\"job\":1}]", "depends: must be a string" },
		{ "\"depends\":[{\"type\":\"afterok\",\"job\":\"0\"}]", "depends: \"job\" must be the id" },
		{ "\"hold\":1", "hold: must be true or false" }, { "\"begin\":-1", "begin: must be a number" }, { "\"begin\":1e300", "begin" }, { "\"begin\":\"x\"", "begin" },
		{ "\"cpus\":0", "cpus: must be an integer from 1 to 65536" }, { "\"memory\":-1", "memory" }, { "\"time_limit\":0", "time_limit" },
		{ "\"checkpoint\":\"10s\"", "checkpoint: must be \"off\", \"auto\" or a number" }, { "\"checkpoint\":0", "checkpoint: must be a number of seconds from 1" },
		{ "\"checkpoint\":true", "checkpoint" }, { "\"keep\":0", "keep" }, { "\"keep\":101", "keep" }, { "\"restart\":\"always\"", "restart: must be one of" },
		{ "\"net\":\"x\"", "net: must" }, { "\"files\":\"x\"", "files: must" }, { "\"notify\":\"ftp://x\"", "notify: must be an http" },
		{ "\"notify\":\"http://\"", "notify" }, { "\"notify\":\"http:///x\"", "notify" }, { "\"notify\":\"http://a b\"", "notify" },
		{ "\"notify\":\"http://a\\r\\nX: y\"", "notify" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[512];

		/* a later member of the same name wins in JSON, so the wrong one is last */
		snprintf(text, sizeof(text), "{\"argv\":[\"a\"]," BASE ",%s}", t[i].member);
		refused(text, -EINVAL, t[i].field);
	}
	refused("[]", -EINVAL, "the job description must be an object");
	refused("3", -EINVAL, "the job description must be an object");
	refused("{}", -EINVAL, "argv: missing");
	refused("{\"argv\":[\"a\"],\"env\":{}}", -EINVAL, "chdir: missing");
	refused("{\"argv\":[\"a\"],\"chdir\":\"/\"}", -EINVAL, "env: missing");
}

/* "@" in @form becomes @n letters. */
static char *with_letters(const char *form, size_t n)
{
	const char *at = strchr(form, '@');
	char *s = malloc(strlen(form) + n + 1), *p;

	memcpy(s, form, (size_t)(at - form));
	p = s + (at - form);
	memset(p, 'x', n);
	memcpy(p + n, at + 1, strlen(at + 1) + 1);
	return s;
}

static void limits(void **state)
{
	static const struct { const char *form, *field; size_t most; } t[] = {
		{ "{" BASE ",\"argv\":[\"a\",\"@\"]}", "argv: more than", SPOOL_ARGV_MAX - 3 },
		{ "{" BASE ",\"script\":\"@\"}", "script: more than", SPOOL_SCRIPT_MAX },
		{ "{" BASE ",\"argv\":[\"a\"],\"name\":\"@\"}", "name: more than 255", SPOOL_NAME_MAX },
		{ "{\"env\":{},\"argv\":[\"a\"],\"chdir\":\"/@\"}", "chdir: more than", SPOOL_PATH_MAX - 2 },
		{ "{\"chdir\":\"/\",\"argv\":[\"a\"],\"env\":{\"B\":\"@\"}}", "env: more than", SPOOL_ENV_MAX - 3 },
		{ "{\"chdir\":\"/\",\"argv\":[\"a\"],\"env\":{\"@\":\"\"}}", "env: more than", SPOOL_ENV_MAX - 2 },
		{ "{" BASE ",\"argv\":[\"a\"],\"stdout\":\"@\"}", "stdout: more than", SPOOL_PATH_MAX - 1 },
		{ "{" BASE ",\"argv\":[\"a\"],\"notify\":\"http://@\"}", "notify: more than", SPOOL_URL_MAX - 7 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *ok = with_letters(t[i].form, t[i].most), *more = with_letters(t[i].form, t[i].most + 1);

		spool_spec_destroy(accepted(ok));
		refused(more, -E2BIG, t[i].field);
		free(ok);
		free(more);
	}
}

static void long_lists(void **state)
{
	json_t *json = load("{\"argv\":[\"a\"]," BASE "}"), *a = json_array(), *w = json_array();
	struct spool_spec *s;
	struct om_err e = { 0 };

	(void)state;
	for (int i = 0; i <= SPOOL_DEPENDS_MAX; i++)
		json_array_append_new(a, json_pack("{s:s,s:s}", "type", "afterany", "job", "1"));
	json_object_set_new(json, "depends", a);
	assert_int_equal(spool_spec_parse(json, &s, &e), -E2BIG);
	json_array_remove(a, 0);
	assert_int_equal(spool_spec_parse(json, &s, &e), 0);
	spool_spec_destroy(s);
	for (int i = 0; i <= SPOOL_WORDS_MAX; i++)
		json_array_append_new(w, json_string("a"));
	json_object_set_new(json, "argv", w);
	assert_int_equal(spool_spec_parse(json, &s, &e), -E2BIG);
	assert_string_equal(e.text, "argv: more than 131072 words");
	json_decref(json);
}

static void run_file(void **state)
{
	struct spool_spec *s = accepted(everything), *again = NULL;
	gid_t groups[] = { 5, 100 };
	char node[] = "n1";
	struct spool_run run = { .id = { 17, 3 }, .uid = 1000, .gid = 100, .groups = groups, .ngroups = 2, .leg = 4, .restore = 9, .node = node }, back;
	json_t *json = spool_run_to_json(s, &run), *copy;
	struct om_err e = { 0 };

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(json, "array_index")), 3);
	assert_int_equal(spool_run_parse(json, &again, &back, &e), 0);
	assert_true(back.id.id == 17 && back.id.elem == 3 && back.uid == 1000 && back.gid == 100 && back.leg == 4 && back.restore == 9);
	assert_true(back.ngroups == 2 && back.groups[1] == 100);
	assert_string_equal(back.node, "n1");
	spool_run_done(&(struct spool_run){ .groups = NULL });
	spool_spec_destroy(again);
	spool_run_done(&back);
	for (int i = 0; i < 6; i++) {
		static const char *const key[] = { "uid", "gid", "id", "groups", "leg", "id" };
		static const char *const value[] = { "4294967295", "\"root\"", "17", "[-1]", "null", "\"0\"" };

		copy = json_deep_copy(json);
		json_object_set_new(copy, key[i], load(value[i]));
		assert_int_equal(spool_run_parse(copy, &again, &back, &e), -EINVAL);
		assert_int_equal(strncmp(e.text, key[i], strlen(key[i])), 0);
		json_object_del(copy, key[i]);
		if (i < 3)
			assert_int_equal(spool_run_parse(copy, &again, &back, &e), -EINVAL);
		json_decref(copy);
	}
	run.id.elem = OM_ELEM_NONE;
	run.restore = 0;
	json_decref(json);
	json = spool_run_to_json(s, &run);
	assert_int_equal(spool_run_parse(json, &again, &back, &e), 0);
	assert_int_equal(back.restore, 0);
	spool_spec_destroy(again);
	spool_run_done(&back);
	json_decref(json);
	spool_spec_destroy(s);
}

static void patterns(void **state)
{
	const struct spool_names elem = { { 17, 3 }, "a/b", "n1" }, job = { { 17, OM_ELEM_NONE }, "x", "n1" };
	char dst[32] = "old";

	(void)state;
	assert_int_equal(spool_spec_expand("%j-%A-%a-%n-%x-%%", &elem, dst, sizeof(dst), NULL), 0);
	assert_string_equal(dst, "17_3-17-3-a_b-n1-%");
	assert_int_equal(spool_spec_expand("om-%j%a.out", &job, dst, sizeof(dst), NULL), 0);
	assert_string_equal(dst, "om-17.out");
	assert_int_equal(spool_spec_expand("%a", &job, dst, sizeof(dst), NULL), 0);
	assert_string_equal(dst, "");
	assert_int_equal(spool_spec_expand("%z", &job, dst, sizeof(dst), NULL), -EINVAL);
	assert_int_equal(spool_spec_expand("0123456789012345678901234567890", &job, dst, sizeof(dst), NULL), 0);
	assert_int_equal(spool_spec_expand("01234567890123456789012345678901", &job, dst, sizeof(dst), NULL), -ENAMETOOLONG);
	assert_int_equal(strlen(dst), 31);
}

static void index_texts(void **state)
{
	static const struct { const char *in, *out; uint32_t n; } t[] = {
		{ "0", "0", 1 }, { "0-3", "0-3", 4 }, { "0-99:2,7", "0-6:2,7-8,10-98:2", 51 }, { "5,4,3,3-5", "3-5", 3 }, { "0,7", "0,7", 2 },
		{ "9-9", "9", 1 }, { "1-10:100", "1", 1 }, { "0-999999", "0-999999", 1000000 }, { "1999999", "1999999", 1 }, { "1,2", "1-2", 2 },
	};
	static const struct { const char *in; int r; } bad[] = {
		{ "", -EINVAL }, { ",", -EINVAL }, { "1,", -EINVAL }, { "a", -EINVAL }, { "3-1", -EINVAL }, { "1-3:0", -EINVAL }, { "1:2", -EINVAL },
		{ "1 ,2", -EINVAL }, { "-1", -EINVAL }, { "1-", -EINVAL }, { "1-3:", -EINVAL }, { "2000000", -ERANGE }, { "0-99999999999", -ERANGE },
		{ "1-3:99999999", -ERANGE }, { "0-1000000", -E2BIG }, { "0-1999999,0-1999999,0-1999999", -E2BIG },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct spool_indices s;
		char *text;

		assert_int_equal(spool_indices_parse(t[i].in, &s, NULL), 0);
		text = spool_indices_text(&s);
		assert_int_equal(s.count, t[i].n);
		assert_string_equal(text, t[i].out);
		free(text);
		spool_indices_done(&s);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct spool_indices s = { .count = 77 };

		assert_int_equal(spool_indices_parse(bad[i].in, &s, NULL), bad[i].r);
		assert_int_equal(s.count, 77);
	}
}

/* Random sets against an array of flags; elements taken out in random order. */
static void index_sets(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		char in[256] = "";
		bool has[100] = { 0 };
		size_t n = 0;
		uint32_t count = 0, first;
		struct spool_indices s;

		for (int k = 0; k < 1 + rand_r(&seed) % 6; k++) {
			int a = rand_r(&seed) % 100, b = a + rand_r(&seed) % (100 - a), step = 1 + rand_r(&seed) % 5;

			n += (size_t)snprintf(in + n, sizeof(in) - n, "%s%d-%d:%d", k ? "," : "", a, b, step);
			for (int i = a; i <= b; i += step)
				has[i] = true;
		}
		assert_int_equal(spool_indices_parse(in, &s, NULL), 0);
		for (int i = 0; i < 100; i++)
			count += has[i];
		while (count) {
			char *text;
			uint32_t i = (uint32_t)rand_r(&seed) % 100;
			struct spool_indices copy;

			assert_int_equal(s.count, count);
			assert_int_equal(spool_indices_remove(&s, i), has[i] ? 0 : -ENOENT);
			count -= has[i];
			has[i] = false;
			for (uint32_t k = 0; k < 100; k++)
				assert_int_equal(spool_indices_has(&s, k), has[k]);
			if (!count)
				break;
			for (i = 0; !has[i]; i++)
				;
			assert_int_equal(spool_indices_first(&s, &first), 0);
			assert_int_equal(first, i);
			text = spool_indices_text(&s);
			assert_int_equal(spool_indices_parse(text, &copy, NULL), 0);
			assert_int_equal(copy.count, count);
			free(text);
			spool_indices_done(&copy);
		}
		assert_int_equal(spool_indices_first(&s, &first), -ENOENT);
		spool_indices_done(&s);
	}
}

static void too_many_pieces(void **state)
{
	struct spool_indices s;
	uint32_t i, r = 0;

	(void)state;
	assert_int_equal(spool_indices_parse("0-999999", &s, NULL), 0);
	for (i = 1; i < 999999; i += 2)
		if (spool_indices_remove(&s, i) < 0)
			break;
	r = s.count;
	assert_int_equal(s.n, SPOOL_RANGES_MAX);
	assert_int_equal(spool_indices_remove(&s, i), -E2BIG);
	assert_int_equal(s.count, r);
	assert_int_equal(spool_indices_remove(&s, 0), 0);
	assert_int_equal(spool_indices_remove(&s, i), 0);
	spool_indices_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(all_fields_and_back), cmocka_unit_test(wrong_ones_are_named),
		cmocka_unit_test(limits), cmocka_unit_test(long_lists), cmocka_unit_test(run_file), cmocka_unit_test(patterns),
		cmocka_unit_test(index_texts), cmocka_unit_test(index_sets), cmocka_unit_test(too_many_pieces),
	};

	return cmocka_run_group_tests_name("spool-spec", tests, NULL, NULL);
}
