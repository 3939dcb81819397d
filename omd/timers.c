/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to a job by time: its limit, its checkpoints, and the end of its record. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "omd/omd.h"

enum { BACKOFF_MAX = 10, BACKOFF_MAX_S = 3600, PRUNE_BATCH = 500 };
static const uint64_t PRUNE_EVERY_US = 600 * 1000000ULL;
static const uint64_t PRUNE_MORE_US = 1000000;

/* ---- time limit ---- */

static int on_limit(sd_event_source *s, uint64_t usec, void *arg)
{
	struct omd_job *j = arg;
	struct om_err err = { 0 };

	(void)s; (void)usec;
	j->limit = sd_event_source_disable_unref(j->limit);
	j->rec.end = SPOOL_END_TIMEOUT;	/* so a later omd knows why it was told to end */
	j->pending++;
	if (omd_job_step(j, POL_EV_TIME_UP, "time limit", NULL, &err) < 0)
		om_log_warning("job=%s time limit: %s", omd_id(j->rec.id), om_err_text(&err, 0));
	j->pending--;
	return 0;
}

static void start_limit(struct omd_job *j)
{
	uint64_t limit = j->rec.time_limit_s * 1000000ULL, used, now = om_clock_real_ns();

	if (!limit || j->limit)
		return;
	used = j->rec.wall_ns / 1000;
	if (j->rec.leg_started_ns && now > j->rec.leg_started_ns)	/* an adopted job has run already */
		used += (now - j->rec.leg_started_ns) / 1000;
	if (sd_event_add_time_relative(j->omd->ev, &j->limit, CLOCK_BOOTTIME, limit > used ? limit - used : 0, 10000, on_limit, j) < 0)
		om_log_err("job=%s no timer for its time limit", omd_id(j->rec.id));
}

/* ---- checkpoints ---- */

static int on_ckpt(sd_event_source *s, uint64_t usec, void *arg)
{
	struct omd_job *j = arg;

	(void)s; (void)usec;
	j->ckpt_timer = sd_event_source_disable_unref(j->ckpt_timer);
	if (j->rec.state == OM_JOB_RUNNING && !j->ckpt_busy && j->suspend == OMD_SUSPEND_NO)
		omd_keeper_checkpoint(j, "timer");
	return 0;
}

void omd_timers_checkpoint(struct omd_job *j)
{
	double s;

	if (j->rec.state != OM_JOB_RUNNING || omd_job_need_spec(j, NULL) < 0 || j->spec->checkpoint == SPOOL_PERIOD_OFF)
		return;
	s = j->spec->checkpoint == SPOOL_PERIOD_FIXED ? j->spec->period_s :
	    pol_period_next_s(&j->period, &j->omd->failures, j->rss, j->rec.id);
	/* what stands in the way may go by itself: try again, but less and less often */
	for (unsigned int i = 0; i < j->ckpt_failures && i < BACKOFF_MAX && s < BACKOFF_MAX_S; i++)
		s *= 2;
	j->ckpt_timer = sd_event_source_disable_unref(j->ckpt_timer);
	if (sd_event_add_time_relative(j->omd->ev, &j->ckpt_timer, CLOCK_MONOTONIC, (uint64_t)(s * 1e6), 10000, on_ckpt, j) < 0)
		om_log_err("job=%s no timer for its checkpoints", omd_id(j->rec.id));
}

void omd_timers_running(struct omd_job *j)
{
	start_limit(j);
	omd_timers_checkpoint(j);
}

void omd_timers_stop(struct omd_job *j)
{
	j->limit = sd_event_source_disable_unref(j->limit);
	j->ckpt_timer = sd_event_source_disable_unref(j->ckpt_timer);
	j->start_timer = sd_event_source_disable_unref(j->start_timer);
}

/* ---- old records ---- */

static void forget(void *arg, struct om_job_id id)
{
	struct omd *omd = arg;

	/* before the commit: if that fails the record is there without a folder, and nothing can be restored from it; it was to go anyway */
	omd_folder_remove(omd, id);
}

static int on_history(sd_event_source *s, uint64_t usec, void *arg)
{
	struct omd *omd = arg;
	struct om_err err = { 0 };
	uint64_t now = om_clock_real_ns(), keep = OMD_HISTORY_S * 1000000000ULL;
	int n = 0;

	(void)usec;
	if (!omd->spool_bad)
		n = spool_jobs_prune(omd->db, now > keep ? now - keep : 0, OMD_HISTORY_MOST, PRUNE_BATCH, forget, omd, &err);
	if (n < 0) {
		om_log_warning("old jobs are not removed, continuing: %s", om_err_text(&err, n));
		omd_batch_fail(omd, n, &err);
	} else if (n > 0) {
		om_log_notice("history removed=%d", n);
	}
	sd_event_source_set_time_relative(s, n == PRUNE_BATCH ? PRUNE_MORE_US : PRUNE_EVERY_US);
	return 0;
}

int omd_history_create(struct omd *omd)
{
	int r = sd_event_add_time_relative(omd->ev, &omd->history, CLOCK_MONOTONIC, PRUNE_EVERY_US / 10, 0, on_history, omd);

	return r < 0 ? r : sd_event_source_set_enabled(omd->history, SD_EVENT_ON);
}
