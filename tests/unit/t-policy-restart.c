/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/restart.h"

enum { NOW = 1000 };
static const uint64_t second = UINT64_C(1000000000);
static const struct pol_ckpt three[] = { { 1, 0, 0 }, { 2, 0, 0 }, { 3, 1, 0 } };

static struct pol_after_loss decide(struct pol_loss loss)
{
	struct pol_after_loss a;

	pol_restart_decide(&loss, NOW * second, &a);
	return a;
}

static void from_newest_good(void **state)
{
	struct pol_after_loss a = decide((struct pol_loss){ .started = true, .ckpts = three, .nckpts = 3, .reason = "its keeper was killed" });

	(void)state;
	assert_int_equal(a.event, POL_EV_LOST_AGAIN);
	assert_int_equal(a.restore, 2);
	assert_int_equal(a.bad, 0);
	assert_int_equal(a.losses, 1);
	assert_int_equal(a.begin_ns, 0);
	assert_string_equal(a.reason, "its keeper was killed; starts again from checkpoint 2");
	assert_int_equal(pol_restart_newest_good(three, 3), 2);
	assert_int_equal(pol_restart_newest_good(NULL, 0), 0);
}

static void from_the_beginning(void **state)
{
	struct pol_after_loss a = decide((struct pol_loss){ .started = true });

	(void)state;
	assert_int_equal(a.event, POL_EV_LOST_AGAIN);
	assert_int_equal(a.restore, 0);
	assert_string_equal(a.reason, "lost; starts again from the beginning");
}

static void modes(void **state)
{
	struct pol_after_loss a = decide((struct pol_loss){ .mode = POL_RESTART_ONLY_CHECKPOINT, .started = true, .reason = "x" });

	(void)state;
	assert_int_equal(a.event, POL_EV_LOST_FINAL);
	assert_string_equal(a.reason, "x; not restarted: there is no good checkpoint (restart: only-checkpoint)");
	a = decide((struct pol_loss){ .mode = POL_RESTART_ONLY_CHECKPOINT, .started = true, .ckpts = three, .nckpts = 3 });
	assert_int_equal(a.event, POL_EV_LOST_AGAIN);
	a = decide((struct pol_loss){ .mode = POL_RESTART_NEVER, .started = true, .ckpts = three, .nckpts = 3 });
	assert_int_equal(a.event, POL_EV_LOST_FINAL);
	assert_int_equal(a.restore, 0);
	/* a restore that the user asked for */
	a = decide((struct pol_loss){ .mode = POL_RESTART_NEVER, .temporary = true, .restored = 2, .ckpts = three, .nckpts = 3 });
	assert_int_equal(a.event, POL_EV_LOST_FINAL);
	/* nothing of it was run yet */
	a = decide((struct pol_loss){ .mode = POL_RESTART_NEVER, .temporary = true });
	assert_int_equal(a.event, POL_EV_START_AGAIN);
}

static void bad_checkpoint(void **state)
{
	struct pol_after_loss a = decide((struct pol_loss){ .restored = 2, .ckpts = three, .nckpts = 3, .reason = "block 7 is damaged" });
	const struct pol_ckpt one[] = { { 2, 0, 0 } };

	(void)state;
	assert_int_equal(a.event, POL_EV_START_AGAIN);
	assert_int_equal(a.bad, 2);
	assert_int_equal(a.restore, 1);
	a = decide((struct pol_loss){ .restored = 2, .ckpts = one, .nckpts = 1 });
	assert_int_equal(a.event, POL_EV_START_AGAIN);
	assert_int_equal(a.restore, 0);
	a = decide((struct pol_loss){ .mode = POL_RESTART_ONLY_CHECKPOINT, .restored = 2, .ckpts = one, .nckpts = 1 });
	assert_int_equal(a.event, POL_EV_LOST_FINAL);
	a = decide((struct pol_loss){ .restored = 2, .temporary = true, .ckpts = three, .nckpts = 3 });
	assert_int_equal(a.bad, 0);
	assert_int_equal(a.restore, 2);
}

static void cannot_start(void **state)
{
	struct pol_after_loss a = decide((struct pol_loss){ .reason = "/nonexistent: No such file or directory" });

	(void)state;
	assert_int_equal(a.event, POL_EV_START_FAILED);
	assert_string_equal(a.reason, "/nonexistent: No such file or directory; it cannot be started");
}

static void pauses_grow_and_end(void **state)
{
	struct pol_loss l = { .started = true, .ran_ns = 5 * second };
	uint64_t before = 0;

	(void)state;
	for (uint32_t i = 1; i < POL_LOSSES_MAX; i++) {
		struct pol_after_loss a = decide(l);

		assert_int_equal(a.event, POL_EV_LOST_AGAIN);
		assert_int_equal(a.losses, i);
		assert_true(i == 1 ? a.begin_ns == 0 : a.begin_ns >= (NOW + POL_PAUSE_FIRST_S) * second);
		assert_true(a.begin_ns >= before && a.begin_ns <= (NOW + POL_PAUSE_MAX_S) * second);
		before = a.begin_ns;
		l.losses = a.losses;
	}
	assert_int_equal(decide(l).event, POL_EV_LOST_FINAL);
	assert_non_null(strstr(decide(l).reason, "lost 10 times in a row without progress"));
	l.losses = UINT32_MAX;
	assert_int_equal(decide(l).losses, UINT32_MAX);
}

static void progress_counts_anew(void **state)
{
	struct pol_loss l = { .started = true, .losses = POL_LOSSES_MAX - 1, .made_checkpoint = true };
	struct pol_after_loss a = decide(l);

	(void)state;
	assert_int_equal(a.event, POL_EV_LOST_AGAIN);
	assert_int_equal(a.losses, 1);
	l.made_checkpoint = false;
	l.ran_ns = POL_PROGRESS_S * second;
	assert_int_equal(decide(l).event, POL_EV_LOST_AGAIN);
	l.ran_ns--;
	assert_int_equal(decide(l).event, POL_EV_LOST_FINAL);
	l.ran_ns = POL_PROGRESS_S * second;
	l.started = false;		/* ran_ns has no meaning then */
	l.temporary = true;
	assert_int_equal(decide(l).event, POL_EV_START_FAILED);
}

static void long_reasons_are_cut(void **state)
{
	char text[1000];
	struct pol_after_loss a;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	a = decide((struct pol_loss){ .mode = POL_RESTART_NEVER, .started = true, .reason = text });
	assert_non_null(strstr(a.reason, "(restart: never)"));
	a = decide((struct pol_loss){ .started = true, .losses = 3, .reason = text, .ckpts = three, .nckpts = 3 });
	assert_non_null(strstr(a.reason, "from checkpoint 2 in 8 s"));
	a = decide((struct pol_loss){ .mode = POL_RESTART_NEVER, .started = true });
	assert_int_equal(strncmp(a.reason, "lost; ", 6), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_newest_good), cmocka_unit_test(from_the_beginning), cmocka_unit_test(modes),
		cmocka_unit_test(bad_checkpoint), cmocka_unit_test(cannot_start), cmocka_unit_test(pauses_grow_and_end),
		cmocka_unit_test(progress_counts_anew), cmocka_unit_test(long_reasons_are_cut),
	};

	return cmocka_run_group_tests_name("policy-restart", tests, NULL, NULL);
}
