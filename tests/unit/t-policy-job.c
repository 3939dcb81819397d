/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "policy/job.h"

/* Every pair is a rule or a refusal. */
static void matrix_is_full(void **state)
{
	(void)state;
	for (int s = 0; s < OM_JOB_STATES; s++)
		for (int e = 1; e < POL_EVENTS; e++) {
			const struct pol_rule *rule = pol_job_rule((enum om_job_state)s, (enum pol_event)e);

			if (!rule)
				fail_msg("no rule for %s, %s", om_job_state_name((enum om_job_state)s), pol_event_name((enum pol_event)e));
			assert_int_equal(rule->event, e);
			assert_true(rule->refusal == NULL || (rule->next == POL_SAME_STATE && rule->actions == 0));
			assert_true(rule->next == POL_SAME_STATE || (rule->next > OM_JOB_NONE && rule->next < OM_JOB_STATES));
		}
	assert_null(pol_job_rule((enum om_job_state)OM_JOB_STATES, POL_EV_HOLD));
	assert_null(pol_job_rule(OM_JOB_HELD, (enum pol_event)POL_EVENTS));
	assert_null(pol_job_rule(OM_JOB_HELD, (enum pol_event)0));
}

/* A pair in two rows: the second would never be reached. */
static void rows_do_not_overlap(void **state)
{
	const struct pol_rule *rows;
	size_t n = pol_job_rules(&rows);

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (rows[i].event == rows[k].event)
				assert_int_equal(rows[i].states & rows[k].states, 0);
}

/* What must hold of every rule, whatever the table says. */
static void rules_make_sense(void **state)
{
	const unsigned process = 1u << OM_JOB_STARTING | 1u << OM_JOB_RUNNING | 1u << OM_JOB_ENDING;

	(void)state;
	for (int s = 0; s < OM_JOB_STATES; s++)
		for (int e = 1; e < POL_EVENTS; e++) {
			enum om_job_state next;
			unsigned acts;
			bool had = process >> s & 1, has, ends;

			if (pol_job_step((enum om_job_state)s, (enum pol_event)e, &next, &acts, NULL) < 0)
				continue;
			has = process >> next & 1;
			ends = om_job_state_ended(next) && (int)next != s;
			assert_int_equal(ends, (acts & POL_ACT_ENDED) != 0);
			if (e == POL_EV_ELEMENTS_ENDED)	/* an array as a whole has no processes of its own */
				continue;
			/* the share of the machine is given back exactly when the processes are gone */
			assert_int_equal(had && !has, (acts & POL_ACT_FREE) != 0);
			assert_int_equal(!had && has, (acts & POL_ACT_START_KEEPER) != 0);
			/* an ended job comes back by restore only */
			if (om_job_state_ended((enum om_job_state)s))
				assert_int_equal(e, POL_EV_RESTORE);
			/* into the queue exactly when it begins to wait */
			if (next == OM_JOB_WAITING && s != OM_JOB_WAITING)
				assert_true(acts & (POL_ACT_QUEUE | POL_ACT_RELEASE));
			/* a queued one that ends, leaves it */
			if (s == OM_JOB_WAITING && ends)
				assert_true(acts & POL_ACT_UNQUEUE);
			if (ends)
				assert_true(acts & POL_ACT_NOTIFY);
		}
}

static void life(void **state)
{
	static const struct { enum om_job_state from; enum pol_event ev; enum om_job_state to; } t[] = {
		{ OM_JOB_NONE, POL_EV_SUBMIT, OM_JOB_WAITING }, { OM_JOB_WAITING, POL_EV_HOLD, OM_JOB_HELD },
		{ OM_JOB_HELD, POL_EV_RELEASE, OM_JOB_WAITING }, { OM_JOB_WAITING, POL_EV_START, OM_JOB_STARTING },
		{ OM_JOB_STARTING, POL_EV_STARTED, OM_JOB_RUNNING }, { OM_JOB_RUNNING, POL_EV_LOST_AGAIN, OM_JOB_WAITING },
		{ OM_JOB_RUNNING, POL_EV_HOLD, OM_JOB_RUNNING }, { OM_JOB_RUNNING, POL_EV_SUSPENDED_HELD, OM_JOB_SUSPENDED },
		{ OM_JOB_SUSPENDED, POL_EV_RELEASE, OM_JOB_WAITING }, { OM_JOB_RUNNING, POL_EV_CANCEL, OM_JOB_ENDING },
		{ OM_JOB_ENDING, POL_EV_STARTED, OM_JOB_ENDING }, { OM_JOB_ENDING, POL_EV_EXITED_CANCELLED, OM_JOB_CANCELLED },
		{ OM_JOB_CANCELLED, POL_EV_RESTORE, OM_JOB_WAITING }, { OM_JOB_RUNNING, POL_EV_TIME_UP, OM_JOB_ENDING },
		{ OM_JOB_ENDING, POL_EV_EXITED_TIMEOUT, OM_JOB_TIMEOUT }, { OM_JOB_ENDING, POL_EV_EXITED_OK, OM_JOB_DONE },
		{ OM_JOB_STARTING, POL_EV_START_FAILED, OM_JOB_FAILED }, { OM_JOB_STARTING, POL_EV_START_AGAIN, OM_JOB_WAITING },
		{ OM_JOB_RUNNING, POL_EV_LOST_FINAL, OM_JOB_LOST }, { OM_JOB_WAITING, POL_EV_DEP_NEVER, OM_JOB_CANCELLED },
		{ OM_JOB_RUNNING, POL_EV_SUSPENDED, OM_JOB_WAITING }, { OM_JOB_RUNNING, POL_EV_EXITED_BAD, OM_JOB_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		enum om_job_state next = OM_JOB_NONE;
		unsigned acts = 0;

		assert_int_equal(pol_job_step(t[i].from, t[i].ev, &next, &acts, NULL), 0);
		assert_int_equal(next, t[i].to);
	}
}

static void refusals(void **state)
{
	enum om_job_state next = OM_JOB_LOST;
	unsigned acts = 77;
	struct om_err e = { 0 };

	(void)state;
	assert_int_equal(pol_job_step(OM_JOB_DONE, POL_EV_CANCEL, &next, &acts, &e), -EINVAL);
	assert_string_equal(e.text, "done: the job has ended");
	assert_int_equal(pol_job_step(OM_JOB_STARTING, POL_EV_HOLD, &next, &acts, &e), -EBUSY);
	assert_int_equal(pol_job_step((enum om_job_state)99, POL_EV_HOLD, &next, &acts, &e), -EINVAL);
	assert_int_equal(next, OM_JOB_LOST);
	assert_int_equal(acts, 77);
}

static void exits_and_names(void **state)
{
	(void)state;
	assert_int_equal(pol_event_of_exit("exit", 0), POL_EV_EXITED_OK);
	assert_int_equal(pol_event_of_exit("exit", 1 << 8), POL_EV_EXITED_BAD);
	assert_int_equal(pol_event_of_exit("exit", 9), POL_EV_EXITED_BAD);
	assert_int_equal(pol_event_of_exit("cancelled", 15), POL_EV_EXITED_CANCELLED);
	assert_int_equal(pol_event_of_exit("timeout", 15), POL_EV_EXITED_TIMEOUT);
	for (int e = 1; e < POL_EVENTS; e++)
		assert_non_null(pol_event_name((enum pol_event)e));
	assert_string_equal(pol_event_name((enum pol_event)0), "note");
	assert_string_equal(pol_event_name((enum pol_event)POL_EVENTS), "note");
}

static void arrays(void **state)
{
	(void)state;
	assert_int_equal(pol_array_state(3, false, 1, 0, 0, false), OM_JOB_WAITING);
	assert_int_equal(pol_array_state(3, true, 1, 1, 0, false), OM_JOB_HELD);
	assert_int_equal(pol_array_state(0, false, 4, 3, 3, true), OM_JOB_RUNNING);
	assert_int_equal(pol_array_state(0, false, 4, 4, 0, false), OM_JOB_DONE);
	assert_int_equal(pol_array_state(0, false, 4, 4, 1, false), OM_JOB_FAILED);
	assert_int_equal(pol_array_state(0, false, 4, 4, 2, true), OM_JOB_CANCELLED);
}

static void ids(void **state)
{
	static const char *const bad[] = { "", "0", "x", "1x", "_1", "1_", "1_x", "01", "1_01", "-1", " 1", "1 ", "1_2_3" };
	struct om_job_id id = { 5, 5 };
	char text[OM_JOB_ID_TEXT];
	enum om_job_state s = OM_JOB_NONE;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(om_job_id_parse(bad[i], &id), -EINVAL);
	assert_int_equal(om_job_id_parse("4398046511104", &id), -ERANGE);
	assert_int_equal(om_job_id_parse("1_2000000", &id), -ERANGE);
	assert_int_equal(om_job_id_parse("99999999999999999999999", &id), -ERANGE);
	assert_true(id.id == 5 && id.elem == 5);
	assert_int_equal(om_job_id_parse("4398046511103_1999999", &id), 0);
	assert_string_equal(om_job_id_text(id, text, sizeof(text)), "4398046511103_1999999");
	assert_int_equal(om_job_id_parse("17", &id), 0);
	assert_string_equal(om_job_id_text(id, text, sizeof(text)), "17");
	assert_int_equal(om_job_id_parse("17_0", &id), 0);
	assert_true(id.id == 17 && id.elem == 0);
	for (int i = OM_JOB_HELD; i < OM_JOB_STATES; i++) {
		assert_int_equal(om_job_state_parse(om_job_state_name((enum om_job_state)i), &s), 0);
		assert_int_equal(s, i);
	}
	assert_int_equal(om_job_state_parse("none", &s), -EINVAL);
	assert_string_equal(om_job_state_name((enum om_job_state)77), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matrix_is_full), cmocka_unit_test(rows_do_not_overlap), cmocka_unit_test(rules_make_sense),
		cmocka_unit_test(life), cmocka_unit_test(refusals), cmocka_unit_test(exits_and_names), cmocka_unit_test(arrays),
		cmocka_unit_test(ids),
	};

	return cmocka_run_group_tests_name("policy-job", tests, NULL, NULL);
}
