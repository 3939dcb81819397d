/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/period.h"

#include <math.h>
#include <stdint.h>

/* Prior: one failure of a node a day.  Pessimistic for good machines, and cheap: with C = 20 ms it costs 0.07 % of the time. */
#define PRIOR_MTBF_S 86400.0
/* Background writing competes with the job for the processors: the part of its time that is taken as cost. */
#define WALL_SHARE 0.1
/* Newest measurement's weight: three checkpoints after a change of the job the cost has followed. */
#define NEW_WEIGHT 0.5
/* Before anything was measured: a fixed part, and the memory at the speed of a moderate disk. */
#define GUESS_FIXED_S 0.05
#define GUESS_BYTES_PER_S 200e6
/* At most this part of the time may be cost, whatever the failures say. */
#define OVERHEAD_MAX 0.02
#define PERIOD_MIN_S 10.0
#define PERIOD_MAX_S (6 * 3600.0)
/* Each job's period differs by up to this part, so that jobs started together do not write together for ever. */
#define STAGGER 0.1

double pol_period_daly(double cost_s, double mtbf_s)
{
	double x = cost_s / (2 * mtbf_s);

	if (cost_s >= 2 * mtbf_s)
		return mtbf_s;
	return sqrt(2 * cost_s * mtbf_s) * (1 + sqrt(x) / 3 + x / 9) - cost_s;
}

double pol_failures_mtbf(const struct pol_failures *f)
{
	return (PRIOR_MTBF_S + fmax(f->seconds, 0)) / (1.0 + f->failures);
}

void pol_period_measured(struct pol_period *p, double stop_s, double wall_s)
{
	double cost = fmax(stop_s, 0) + WALL_SHARE * fmax(wall_s, 0);

	p->cost_s = p->measured ? (1 - NEW_WEIGHT) * p->cost_s + NEW_WEIGHT * cost : cost;
	if (p->measured < UINT32_MAX)
		p->measured++;
}

/* 0..1 from the id: neighbours are far apart (Knuth's multiplicative hash) */
static double spread(struct om_job_id id)
{
	uint64_t h = (id.id * UINT64_C(2000003) + (uint64_t)(id.elem + 1)) * UINT64_C(0x9e3779b97f4a7c15);

	return (double)(h >> 40) / (double)(1 << 24);
}

double pol_period_next_s(const struct pol_period *p, const struct pol_failures *f, uint64_t rss, struct om_job_id id)
{
	double cost = p->measured ? p->cost_s : GUESS_FIXED_S + WALL_SHARE * (double)rss / GUESS_BYTES_PER_S;
	double t, u = spread(id);

	if (cost <= 0)			/* too fast to measure */
		return PERIOD_MIN_S * (1 + STAGGER * u);
	t = fmax(pol_period_daly(cost, pol_failures_mtbf(f)), cost / OVERHEAD_MAX);
	/* The cap on overhead is worth more than the longest period. */
	t = fmax(fmin(t, PERIOD_MAX_S), fmax(cost / OVERHEAD_MAX, PERIOD_MIN_S));
	/* The first one anywhere in the second half of the period; later ones longer only: the cap stays. */
	return p->measured ? t * (1 + STAGGER * u) : fmax(t * (0.5 + 0.5 * u), PERIOD_MIN_S);
}
