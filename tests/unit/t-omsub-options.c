/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "omsub/options.h"
#include "omsub/values.h"

enum { NOW = 1795681800 };	/* Thu 2026-11-26 08:30:00 UTC */

/* What one option makes of the job, as compact JSON; "!" and the reason when it is refused. */
static const char *one(const char *name, const char *value)
{
	static char text[600];
	struct opt_job job;
	struct om_err err = { 0 };

	assert_int_equal(opt_job_init(&job), 0);
	if (opt_set_by_name(&job, name, value, &err) < 0) {
		snprintf(text, sizeof(text), "!%s", err.text);
	} else {
		char *spec = json_dumps(job.spec, JSON_COMPACT | JSON_SORT_KEYS), *env = json_dumps(job.env, JSON_COMPACT);

		snprintf(text, sizeof(text), "%s%s%s", spec, env[1] == '}' ? "" : env, job.inherit == 0 ? "-" : "");
		free(spec);
		free(env);
	}
	opt_job_done(&job);
	return text;
}

static void test_good(void **state)
{
	static const struct { const char *name, *value, *want; } t[] = {
		{ "name", "a b", "{\"name\":\"a b\"}" },
		{ "priority", "-1000", "{\"priority\":-1000}" },
		{ "array", "0-99:2,7%8", "{\"array\":{\"cap\":8,\"indices\":\"0-99:2,7\"}}" },
		{ "array", "5", "{\"array\":{\"indices\":\"5\"}}" },
		{ "depend", "afterok:17,afterany:18:19_2", "{\"depends\":[{\"job\":\"17\",\"type\":\"afterok\"},"
			"{\"job\":\"18\",\"type\":\"afterany\"},{\"job\":\"19_2\",\"type\":\"afterany\"}]}" },
		{ "hold", NULL, "{\"hold\":true}" },
		{ "cpus", "4", "{\"cpus\":4}" },
		{ "memory", "2G", "{\"memory\":2147483648}" },
		{ "memory", "100", "{\"memory\":104857600}" },
		{ "time", "1:30:00", "{\"time_limit\":5400}" },
		{ "time", "90", "{\"time_limit\":90}" },
		{ "stdout", "%j.out", "{\"stdout\":\"%j.out\"}" },
		{ "append", NULL, "{\"open_mode\":\"append\"}" },
		{ "env", "A=b=c", "{}{\"A\":\"b=c\"}" },
		{ "env", "A", "{}{\"A\":null}" },
		{ "no-env", NULL, "{}-" },
		{ "checkpoint", "off", "{\"checkpoint\":\"off\"}" },
		{ "checkpoint", "30s", "{\"checkpoint\":30}" },
		{ "restart", "only-checkpoint", "{\"restart\":\"only-checkpoint\"}" },
		{ "requeue", NULL, "{\"restart\":\"checkpoint\"}" },
		{ "no-requeue", NULL, "{\"restart\":\"never\"}" },
		{ "net", "reset", "{\"net\":\"reset\"}" },
		{ "files", "open", "{\"files\":\"open\"}" },
		{ "notify", "https://x/y", "{\"notify\":\"https://x/y\"}" },
		{ "keep", "3", "{\"keep\":3}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(one(t[i].name, t[i].value), t[i].want);
}

static void test_bad(void **state)
{
	static const struct { const char *name, *value; } t[] = {
		{ "name", "" }, { "name", "a\x1b[2J" }, { "name", "a\xff" },
		{ "priority", "1001" }, { "priority", "x" }, { "priority", "" }, { "priority", "1 " },
		{ "array", "" }, { "array", "a" }, { "array", "5-1" }, { "array", "1-5:0" }, { "array", "1," }, { "array", ",1" }, { "array", "1%0" },
		{ "array", "1%" }, { "array", "1%2%3" }, { "array", "99999999999" }, { "array", "1-2000000" }, { "array", "1 2" },
		{ "depend", "" }, { "depend", "afterok" }, { "depend", "afterok:" }, { "depend", "before:1" }, { "depend", "afterok:x" },
		{ "depend", "afterok:1," }, { "depend", "afterok:1;afterok:2" },
		{ "cpus", "0" }, { "cpus", "-1" }, { "memory", "2X" }, { "memory", "99999999T" }, { "time", "0" }, { "time", "soon" },
		{ "env", "=x" }, { "env", "" }, { "env", "A=\xff" },
		{ "checkpoint", "sometimes" }, { "restart", "" }, { "restart", "check" }, { "restart", "checkpoint|never" },
		{ "net", "on" }, { "notify", "ftp://x" }, { "keep", "0" }, { "keep", "101" }, { "name", NULL },
		{ "begin", "25:00" }, { "begin", "2026-02-30" }, { "begin", "+" }, { "begin", "yesterday" },
		{ "wait", NULL }, { "nonsense", "1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (one(t[i].name, t[i].value)[0] != '!')
			fail_msg("accepted: --%s '%s'", t[i].name, t[i].value);
}

static time_t begin(const char *s)
{
	time_t t;

	return val_begin(s, NOW, &t, NULL) < 0 ? -1 : t;
}

static time_t begin_pbs(const char *s)
{
	time_t t;

	return val_begin_pbs(s, NOW, &t, NULL) < 0 ? -1 : t;
}

static void test_begin(void **state)
{
	(void)state;
	assert_int_equal(begin("08:31"), NOW + 60);
	assert_int_equal(begin("08:30"), NOW + 86400);	/* just gone: tomorrow */
	assert_int_equal(begin("7:00"), NOW - 90 * 60 + 86400);
	assert_int_equal(begin("+90"), NOW + 90);
	assert_int_equal(begin("+2h"), NOW + 7200);
	assert_int_equal(begin("now+1hour"), NOW + 3600);
	assert_int_equal(begin("now+3 days"), NOW + 3 * 86400);
	assert_int_equal(begin("now"), NOW);
	assert_int_equal(begin("2026-11-26T08:31"), NOW + 60);
	assert_int_equal(begin("2026-11-26 08:30:05"), NOW + 5);
	assert_int_equal(begin("2026-11-27"), NOW - 510 * 60 + 86400);
	assert_int_equal(begin("tomorrow"), NOW - 510 * 60 + 86400);
	assert_int_equal(begin("noon"), NOW + 210 * 60);
	assert_int_equal(begin("2026-04-31"), -1);
	assert_int_equal(begin("8"), -1);
	assert_int_equal(begin("08:3"), -1);
	assert_int_equal(begin(""), -1);
	assert_int_equal(begin_pbs("0831"), NOW + 60);
	assert_int_equal(begin_pbs("0829"), NOW - 60 + 86400);
	assert_int_equal(begin_pbs("260831.05"), NOW + 65);
	assert_int_equal(begin_pbs("202611260831"), NOW + 60);
	assert_int_equal(begin_pbs("2611260831"), NOW + 60);
	assert_int_equal(begin_pbs("2561"), -1);
	assert_int_equal(begin_pbs("08311"), -1);
	assert_int_equal(begin_pbs(""), -1);
}

struct cli {
	struct opt_job job;
	struct opt_client cl;
	int first;
	bool command;
	struct om_err err;
	int r;
};

static void run_cli(struct cli *c, int argc, const char *const *args)
{
	char *argv[16];

	memset(c, 0, sizeof(*c));
	assert_int_equal(opt_job_init(&c->job), 0);
	for (int i = 0; i < argc; i++)
		argv[i] = strdup(args[i]);
	argv[argc] = NULL;
	c->r = opt_parse_cli(&c->job, &c->cl, argc, argv, &c->first, &c->command, &c->err);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
}
#define CLI(c, ...) do { \
	const char *const args_[] = { "omsub", __VA_ARGS__ }; \
	run_cli(c, (int)(sizeof(args_) / sizeof(args_[0])), args_); \
} while (0)

static void test_cli(void **state)
{
	struct cli c;

	(void)state;
	CLI(&c, "-J", "x", "--wait", "job.sh", "--name", "y");
	assert_int_equal(c.r, 0);
	assert_int_equal(c.first, 4);
	assert_false(c.command);
	assert_true(c.cl.wait);
	assert_string_equal(json_string_value(json_object_get(c.job.spec, "name")), "x");
	opt_job_done(&c.job);
	CLI(&c, "-Hq", "--", "sleep", "1");
	assert_int_equal(c.r, 0);
	assert_int_equal(c.first, 3);
	assert_true(c.command);
	assert_true(c.cl.quiet);
	opt_job_done(&c.job);
	CLI(&c, "--name", "--", "job.sh");	/* the dashes are the name here */
	assert_int_equal(c.r, 0);
	assert_int_equal(c.first, 3);
	assert_false(c.command);
	opt_job_done(&c.job);
	CLI(&c, "-d", "afterok:1", "-d", "afterany:2", "x");
	assert_int_equal(json_array_size(json_object_get(c.job.spec, "depends")), 2);
	opt_job_done(&c.job);
	CLI(&c, "--name");
	assert_int_equal(c.r, -EINVAL);
	assert_string_equal(c.err.text, "--name: needs a value");
	opt_job_done(&c.job);
	CLI(&c, "-Z", "x");
	assert_string_equal(c.err.text, "-Z: unknown option");
	opt_job_done(&c.job);
	CLI(&c, "--hold=1", "x");
	assert_string_equal(c.err.text, "--hold=1: takes no value");
	opt_job_done(&c.job);
	CLI(&c, "--st", "x");
	assert_string_equal(c.err.text, "--st: may mean several options");
	opt_job_done(&c.job);
	CLI(&c, "-j", "0", "x");
	assert_int_equal(c.r, -EINVAL);
	opt_job_done(&c.job);
	CLI(&c, "--priority", "9999", "x");
	assert_string_equal(c.err.text, "--priority: '9999' is no number from -1000 to 1000");
	opt_job_done(&c.job);
}

static void test_merge(void **state)
{
	struct opt_job a, b;

	(void)state;
	assert_int_equal(opt_job_init(&a), 0);
	assert_int_equal(opt_job_init(&b), 0);
	assert_int_equal(opt_set_by_name(&a, "name", "low", NULL), 0);
	assert_int_equal(opt_set_by_name(&a, "cpus", "2", NULL), 0);
	assert_int_equal(opt_set_by_name(&a, "env", "A=1", NULL), 0);
	assert_int_equal(opt_set_by_name(&a, "no-env", NULL, NULL), 0);
	assert_int_equal(opt_set_by_name(&b, "name", "high", NULL), 0);
	assert_int_equal(opt_set_by_name(&b, "env", "B=2", NULL), 0);
	assert_int_equal(opt_job_merge(&a, &b), 0);
	assert_string_equal(json_string_value(json_object_get(a.spec, "name")), "high");
	assert_int_equal(json_integer_value(json_object_get(a.spec, "cpus")), 2);
	assert_int_equal(json_object_size(a.env), 2);
	assert_int_equal(a.inherit, 0);
	opt_job_done(&a);
	opt_job_done(&b);
}

/* letters and names are unambiguous, and every option has a help text */
static void test_table(void **state)
{
	(void)state;
	for (const struct opt *o = opt_table(); o->name; o++) {
		assert_non_null(o->help);
		assert_true((o->kind == OPT_VALUE) == (o->arg != NULL));
		assert_true(o->set || o->client);
		for (const struct opt *p = o + 1; p->name; p++) {
			assert_string_not_equal(o->name, p->name);
			assert_false(o->letter && o->letter == p->letter);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_begin),
		cmocka_unit_test(test_cli), cmocka_unit_test(test_merge), cmocka_unit_test(test_table),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
