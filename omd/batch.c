/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that one turn of the loop writes goes out by one commit.  The source that commits has the lowest priority, so it runs when every
 * event that is there has been handled: ten clients that submit at once cost one fsync. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "omd/omd.h"

struct entry {
	omd_after_fn *fn;
	void *arg;
};

struct omd_batch {
	struct entry *list;
	size_t n, room;
	sd_event_source *src, *lazy;
	int failed;			/* a write failed: roll back instead of committing */
	struct om_err why;
};

enum { PRIORITY_COMMIT = SD_EVENT_PRIORITY_IDLE };
static const uint64_t RETRY_US = 1000000;
static const uint64_t LAZY_US = 20000;	/* what nobody waits for goes with the next commit, at most so much later */

static void succeeded(struct omd *omd)
{
	omd->stats.commits++;
	if (!omd->spool_bad)
		return;
	om_log_notice("spool works again");
	omd->spool_bad = false;
	omd_queue_kick(omd);
}

static void failed(struct omd *omd, int r, const struct om_err *err)
{
	omd->stats.commits_failed++;
	if (!omd->spool_bad)
		om_log_err("spool failed: %s; nothing is accepted or started until it works again", om_err_text(err, r));
	omd->spool_bad = true;
	snprintf(omd->spool_error, sizeof(omd->spool_error), "%s", om_err_text(err, r));
	sd_event_source_set_time_relative(omd->retry, RETRY_US);
	sd_event_source_set_enabled(omd->retry, SD_EVENT_ONESHOT);
}

static void commit(struct omd *omd)
{
	struct omd_batch *b = omd->batch;
	struct entry *list = b->list;
	size_t n = b->n;
	struct om_err err = { 0 };
	int r = b->failed;

	if (r < 0) {
		err = b->why;
		spool_jobs_rollback(omd->db);
	} else {
		r = spool_jobs_commit(omd->db, &err);
	}
	/* what the callbacks write is the next batch */
	b->list = NULL;
	b->n = b->room = 0;
	b->failed = 0;
	if (r < 0)
		failed(omd, r, &err);
	else
		succeeded(omd);
	for (size_t i = 0; i < n; i++)
		list[i].fn(omd, list[i].arg, r, &err);
	free(list);
}

static int on_lazy(sd_event_source *s, uint64_t usec, void *arg)
{
	struct omd *omd = arg;

	(void)s; (void)usec;
	if (omd->batch->n)
		sd_event_source_set_enabled(omd->batch->src, SD_EVENT_ONESHOT);
	return 0;
}

static int on_commit(sd_event_source *s, void *arg)
{
	(void)s;
	commit(arg);
	omd_stop_check(arg);
	return 0;
}

/* The spool did not work: try it with what is to be found out again about the jobs. */
static int on_retry(sd_event_source *s, uint64_t usec, void *arg)
{
	struct omd *omd = arg;
	unsigned int again = 0;

	(void)s; (void)usec;
	for (unsigned int i = 0; i < OMD_HASH; i++)
		for (struct omd_job *j = omd->jobs[i], *next; j; j = next) {
			next = j->next;
			if (!j->resync)
				continue;
			j->resync = false;
			again++;
			omd_recover_job(j);
		}
	if (!again && omd->spool_bad) {	/* nothing waits for it: look whether jobs may start again */
		omd->spool_bad = false;
		omd_queue_kick(omd);
	}
	return 0;
}

int omd_batch_create(struct omd *omd, struct om_err *err)
{
	struct omd_batch *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return om_err_set(err, -ENOMEM, "out of memory");
	omd->batch = b;
	r = sd_event_add_defer(omd->ev, &b->src, on_commit, omd);
	if (r >= 0)
		r = sd_event_source_set_enabled(b->src, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_priority(b->src, PRIORITY_COMMIT);
	if (r >= 0)
		r = sd_event_add_time_relative(omd->ev, &b->lazy, CLOCK_MONOTONIC, LAZY_US, 1000, on_lazy, omd);
	if (r >= 0)
		r = sd_event_source_set_enabled(b->lazy, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time_relative(omd->ev, &omd->retry, CLOCK_MONOTONIC, RETRY_US, 0, on_retry, omd);
	if (r >= 0)
		r = sd_event_source_set_enabled(omd->retry, SD_EVENT_OFF);
	return r < 0 ? om_err_sys(err, r, "event loop") : 0;
}

void omd_batch_destroy(struct omd *omd)
{
	if (!omd->batch)
		return;
	omd_batch_flush(omd);
	sd_event_source_disable_unref(omd->batch->src);
	sd_event_source_disable_unref(omd->batch->lazy);
	omd->retry = sd_event_source_disable_unref(omd->retry);
	free(omd->batch->list);
	free(omd->batch);
	omd->batch = NULL;
}

int omd_batch_add(struct omd *omd, omd_after_fn *fn, void *arg, bool lazy)
{
	struct omd_batch *b = omd->batch;

	if (b->n == b->room) {
		size_t room = b->room ? b->room * 2 : 64;
		struct entry *l = reallocarray(b->list, room, sizeof(*l));

		if (!l)
			return -ENOMEM;
		b->list = l;
		b->room = room;
	}
	b->list[b->n++] = (struct entry){ fn, arg };
	if (!lazy) {
		sd_event_source_set_enabled(b->src, SD_EVENT_ONESHOT);
	} else if (b->n == 1) {
		sd_event_source_set_time_relative(b->lazy, LAZY_US);
		sd_event_source_set_enabled(b->lazy, SD_EVENT_ONESHOT);
	}
	return 0;
}

void omd_batch_fail(struct omd *omd, int code, const struct om_err *why)
{
	struct omd_batch *b = omd->batch;

	if (!b->failed) {
		b->failed = code;
		b->why = *why;
	}
	sd_event_source_set_enabled(b->src, SD_EVENT_ONESHOT);
}

void omd_batch_flush(struct omd *omd)
{
	for (int i = 0; i < 4 && (omd->batch->n || spool_jobs_pending(omd->db)); i++)
		commit(omd);
}
