/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy/period.h - how long a job runs between two checkpoints (`auto`).  Promise: pure; Daly's optimum for the measured cost and the observed
 * failures, never more overhead than the cap, between the bounds, and not all jobs at the same moment.
 * Source: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22 (2006). */
#ifndef OM_POLICY_PERIOD_H
#define OM_POLICY_PERIOD_H
#include <stdint.h>
#include "base/job.h"

/* Optimum run time between checkpoints for a checkpoint of @cost_s and a mean time between failures of @mtbf_s, both > 0. */
double pol_period_daly(double cost_s, double mtbf_s);

/* What was seen of failures: of this job's keepers, or of the node. */
struct pol_failures {
	double seconds;			/* observed running time */
	uint32_t failures;		/* losses in it */
};
/* Mean time between failures, with the prior of one failure in POL_PRIOR_MTBF_S. */
double pol_failures_mtbf(const struct pol_failures *f);

struct pol_period {			/* one per job; all 0 at its start */
	double cost_s;			/* EWMA of what one checkpoint costs the job */
	uint32_t measured;		/* checkpoints it was measured on */
};
/* A checkpoint was made: the job stood still for @stop_s, the whole took @wall_s (written in the background). */
void pol_period_measured(struct pol_period *p, double stop_s, double wall_s);
/* Seconds to run from the last checkpoint (or start, or failed attempt) until the next.  @rss: bytes, used as long as nothing was measured. */
double pol_period_next_s(const struct pol_period *p, const struct pol_failures *f, uint64_t rss, struct om_job_id id);
#endif
