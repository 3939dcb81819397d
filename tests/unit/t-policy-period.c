/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "policy/period.h"

static const struct om_job_id job1 = { 1, OM_ELEM_NONE };

/* Daly 2006: C = 5 min; M = 24 h, 6 h, 15 min */
static void published_optima(void **state)
{
	static const struct { double m_min, t_min, tolerance; } t[] = {
		{ 24 * 60, 116.7, 0.05 }, { 6 * 60, 56.7, 0.05 }, { 15, 9.14, 0.005 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_float_equal(pol_period_daly(300, t[i].m_min * 60) / 60, t[i].t_min, t[i].tolerance);
}

static void costly_checkpoints(void **state)
{
	(void)state;
	assert_float_equal(pol_period_daly(200, 100), 100, 1e-9);	/* C = 2M */
	assert_float_equal(pol_period_daly(5000, 100), 100, 1e-9);
	assert_true(pol_period_daly(199, 100) > 0);
}

/* The optimum is one: Daly's total run time is not shorter with any other period (exact formula with restart time 0). */
static double efficiency(double t, double c, double m)
{
	return t / (m * (__builtin_exp((t + c) / m) - 1));
}

static void is_the_optimum(void **state)
{
	(void)state;
	for (double c = 0.01; c < 100; c *= 3)
		for (double m = 10 * c; m < 1e6; m *= 4) {
			double t = pol_period_daly(c, m), best = 0;

			for (double x = t / 4; x < t * 4; x *= 1.01)
				if (efficiency(x, c, m) > best)
					best = efficiency(x, c, m);
			assert_true(efficiency(t, c, m) > best * 0.9999);
		}
}

static void failures(void **state)
{
	struct pol_failures f = { 0, 0 };

	(void)state;
	assert_float_equal(pol_failures_mtbf(&f), 86400, 1e-9);
	f.seconds = -5;			/* a clock that stepped */
	assert_float_equal(pol_failures_mtbf(&f), 86400, 1e-9);
	f = (struct pol_failures){ 86400, 9 };
	assert_float_equal(pol_failures_mtbf(&f), 17280, 1e-9);
}

static void cost_follows(void **state)
{
	struct pol_period p = { 0 };

	(void)state;
	pol_period_measured(&p, 0.02, 1.0);
	assert_float_equal(p.cost_s, 0.12, 1e-9);
	for (int i = 0; i < 20; i++)
		pol_period_measured(&p, 0.5, 0);
	assert_float_equal(p.cost_s, 0.5, 0.001);
	pol_period_measured(&p, -1, -1);
	assert_true(p.cost_s >= 0.2);
	assert_int_equal(p.measured, 22);
	p.measured = UINT32_MAX;
	pol_period_measured(&p, 0.5, 0);
	assert_int_equal(p.measured, UINT32_MAX);
}

static void bounds_and_cap(void **state)
{
	struct pol_period p = { 0 };
	struct pol_failures often = { 100, 1000 }, never = { 1e9, 0 };
	double t;

	(void)state;
	p = (struct pol_period){ 1.0, 5 };
	t = pol_period_next_s(&p, &often, 0, job1);	/* MTBF 86 s: Daly says 13 s, the cap of 2 % 50 s */
	assert_true(t >= 50 && t <= 55.1);
	p.cost_s = 0.001;
	t = pol_period_next_s(&p, &often, 0, job1);
	assert_true(t >= 10 && t <= 11.1);
	p.cost_s = 0;
	t = pol_period_next_s(&p, &often, 0, job1);
	assert_true(t >= 10 && t <= 11.1);
	p.cost_s = 60;
	t = pol_period_next_s(&p, &never, 0, job1);
	assert_true(t >= 21600 && t <= 21600 * 1.1 + 1);
	p.cost_s = 3600;		/* the cap goes before the longest period */
	t = pol_period_next_s(&p, &never, 0, job1);
	assert_true(t >= 180000 && t <= 180000 * 1.1 + 1);
}

static void first_is_guessed_and_staggered(void **state)
{
	struct pol_period p = { 0 };
	struct pol_failures f = { 0, 0 };
	double least = 1e9, most = 0;

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++) {
		double t = pol_period_next_s(&p, &f, 1 << 30, (struct om_job_id){ i, OM_ELEM_NONE });

		least = t < least ? t : least;
		most = t > most ? t : most;
	}
	assert_true(least > 10 && most / least > 1.8 && most / least <= 2.0001);
	assert_true(pol_period_next_s(&p, &f, 0, (struct om_job_id){ 7, 1 }) != pol_period_next_s(&p, &f, 0, (struct om_job_id){ 7, 2 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_optima), cmocka_unit_test(costly_checkpoints), cmocka_unit_test(is_the_optimum),
		cmocka_unit_test(failures), cmocka_unit_test(cost_follows), cmocka_unit_test(bounds_and_cap),
		cmocka_unit_test(first_is_guessed_and_staggered),
	};

	return cmocka_run_group_tests_name("policy-period", tests, NULL, NULL);
}
