/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/err.h"
#include "omd/kmsg.h"

static int parse(const char *text, struct omd_kmsg *m)
{
	struct om_err err = { 0 };
	json_t *o = json_loads(text, 0, NULL);
	int r;

	assert_non_null(o);
	r = omd_kmsg_parse(o, m, &err);
	assert_true(r == 0 || err.text[0]);
	json_decref(o);
	return r;
}

static void test_good(void **state)
{
	struct omd_kmsg m;

	(void)state;
	assert_int_equal(parse("{\"ev\":\"exited\",\"status\":768,\"why\":\"exit\",\"cpu_ns\":7,\"maxrss\":8,\"wall_ns\":9,\"leg\":2}", &m), 0);
	assert_int_equal(m.kind, OMD_K_EXITED);
	assert_int_equal(m.status, 768);
	assert_int_equal(m.why, OMD_KW_EXIT);
	assert_int_equal(m.cpu_ns, 7);
	assert_int_equal(m.wall_ns, 9);
	assert_int_equal(m.leg, 2);
	assert_int_equal(parse("{\"ev\":\"hello\",\"job\":\"17_3\",\"state\":\"running\",\"leg\":1,\"pid\":5,\"checkpoints\":[{\"n\":4,\"time_ns\":2000000000},"
			       "{\"n\":5}]}", &m), 0);
	assert_string_equal(m.job, "17_3");
	assert_int_equal(m.state, OMD_KS_RUNNING);
	assert_int_equal(m.n_ckpts, 2);
	assert_int_equal(m.ckpts[0].n, 4);
	assert_true(m.ckpts[0].time > 1.99 && m.ckpts[0].time < 2.01);
	assert_int_equal(parse("{\"ev\":\"hello\",\"job\":\"1\",\"state\":\"ended\",\"n\":3}", &m), 0);
	assert_true(m.suspended && m.n == 3 && !m.lost);
	assert_int_equal(parse("{\"ev\":\"hello\",\"job\":\"1\",\"state\":\"ended\",\"reason\":\"x\",\"temporary\":true}", &m), 0);
	assert_true(m.lost && m.temporary && !m.suspended);
	assert_int_equal(parse("{\"ev\":\"checkpoint\",\"ok\":false,\"reason\":\"r\",\"process\":12,\"object\":\"o\",\"ref\":\"x\"}", &m), 0);
	assert_string_equal(m.process, "12");
	assert_string_equal(m.ref, "x");
	assert_true(m.given && !m.ok);
	assert_int_equal(parse("{\"ev\":\"pruned\",\"dropped\":[1,2,3]}", &m), 0);
	assert_int_equal(m.n_ckpts, 3);
	assert_int_equal(parse("{\"ev\":\"cannot\",\"process\":null,\"reason\":null}", &m), 0);
	assert_false(m.given);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"{}", "{\"ev\":1}", "{\"ev\":\"nonsense\"}", "{\"ev\":\"exited\"}", "{\"ev\":\"exited\",\"status\":-1,\"why\":\"exit\"}",
		"{\"ev\":\"exited\",\"status\":65536,\"why\":\"exit\"}", "{\"ev\":\"exited\",\"status\":127,\"why\":\"exit\"}" /* stopped */,
		"{\"ev\":\"exited\",\"status\":0,\"why\":\"because\"}", "{\"ev\":\"exited\",\"status\":0,\"why\":\"exit\",\"cpu_ns\":-1}",
		"{\"ev\":\"exited\",\"status\":0,\"why\":\"exit\",\"cpu_ns\":1e300}", "{\"ev\":\"exited\",\"status\":0,\"why\":\"exit\",\"cpu_ns\":\"x\"}",
		"{\"ev\":\"hello\",\"job\":\"1\"}", "{\"ev\":\"hello\",\"job\":\"1\",\"state\":\"x\"}", "{\"ev\":\"hello\",\"job\":1.5,\"state\":\"running\"}",
		"{\"ev\":\"hello\",\"job\":\"1\",\"state\":\"running\",\"checkpoints\":[{\"n\":0}]}",
		"{\"ev\":\"hello\",\"job\":\"1\",\"state\":\"running\",\"checkpoints\":[{\"n\":1000000001}]}",
		"{\"ev\":\"hello\",\"job\":\"1\",\"state\":\"running\",\"checkpoints\":{}}", "{\"ev\":\"hello\",\"job\":\"1\",\"state\":\"ended\",\"n\":0}",
		"{\"ev\":\"checkpoint\"}", "{\"ev\":\"checkpoint\",\"ok\":true}", "{\"ev\":\"checkpoint\",\"ok\":1,\"n\":1}", "{\"ev\":\"suspended\"}",
		"{\"ev\":\"suspended\",\"n\":-3}", "{\"ev\":\"started\",\"restored\":-1}", "{\"ev\":\"pruned\",\"dropped\":[\"x\"]}",
		"{\"ev\":\"lost\",\"reason\":[]}", "{\"ev\":\"usage\",\"processes\":4294967296}",
	};
	struct omd_kmsg m;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&m, 0x5a, sizeof(m));
		assert_int_not_equal(parse(bad[i], &m), 0);
		assert_int_equal(((unsigned char *)&m)[0], 0x5a);	/* untouched */
	}
}

static void test_texts(void **state)
{
	char text[2048] = "{\"ev\":\"lost\",\"reason\":\"";
	struct omd_kmsg m;

	(void)state;
	assert_int_equal(parse("{\"ev\":\"lost\",\"reason\":\"a\\nb\\u0007c\"}", &m), 0);
	assert_string_equal(m.reason, "a?b?c");
	for (int i = 0; i < 400; i++)
		strncat(text, "\xc3\xa9", sizeof(text) - strlen(text) - 1);
	strncat(text, "\"}", sizeof(text) - strlen(text) - 1);
	assert_int_equal(parse(text, &m), 0);
	assert_int_equal(strlen(m.reason), 254);	/* cut between two characters */
}

static void test_many(void **state)
{
	json_t *a = json_array(), *o = json_pack("{ss}", "ev", "pruned");
	struct omd_kmsg m;

	(void)state;
	for (int i = 1; i <= OMD_KMSG_CKPTS; i++)
		json_array_append_new(a, json_integer(i));
	json_object_set(o, "dropped", a);
	assert_int_equal(omd_kmsg_parse(o, &m, NULL), 0);
	assert_int_equal(m.n_ckpts, OMD_KMSG_CKPTS);
	json_array_append_new(a, json_integer(1));
	assert_int_not_equal(omd_kmsg_parse(o, &m, NULL), 0);
	json_decref(a);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_texts), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
