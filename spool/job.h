/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/job.h - durable job records and their event log, one SQLite database (omd.db).
 * Promise: after spool_jobs_commit() returns 0 everything of the batch survives power loss; after it fails nothing of the batch is there.
 * A damaged database is never emptied or replaced: opening it fails with a text that says what to do.
 * Callers: omd only (one process: the database is locked exclusively).  Threads: loop thread only.
 *
 * All writes go into one open batch, begun by the first of them; spool_jobs_commit() ends it with one fsync.  So omd handles all requests of one turn of its
 * loop, commits, and only then answers.  One request of several writes that fails in the middle: spool_jobs_mark() before, spool_jobs_revert() after.
 * Reads see the open batch.
 *
 * An array is one record (id.elem OM_ELEM_NONE, array true) with the set of the elements that have no record of their own; an element gets one when it is
 * started, held or cancelled by itself (spool_jobs_insert_elem). The record of an array as a whole is ended by omd when all have ended. */
#ifndef OM_SPOOL_JOB_H
#define OM_SPOOL_JOB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/job.h"
#include "base/mem.h"
#include "spool/spec.h"
struct om_err;
struct spool_jobs;			/* the open database */

enum {
	SPOOL_USER_MAX = 63,		/* bytes of a user's name (useradd allows 32) */
	SPOOL_REASON_MAX = 255,		/* longer ones are cut */
	SPOOL_PAGE_MAX = 10000		/* records of one query */
};

enum spool_end {			/* how the processes ended; numbers are in the database */
	SPOOL_END_NONE = 0, SPOOL_END_EXIT = 1, SPOOL_END_CANCELLED = 2, SPOOL_END_TIMEOUT = 3
};

/* One record.  Plain data: copy it freely.  Times are CLOCK_REALTIME, 0 = not (yet). */
struct spool_job {
	struct om_job_id id;
	uint32_t uid, gid;
	char user[SPOOL_USER_MAX + 1];
	char name[SPOOL_NAME_MAX + 1];
	enum om_job_state state;
	char reason[SPOOL_REASON_MAX + 1];	/* why failed, lost, held (`imported`) ...; "" */
	int32_t priority;
	uint64_t submitted_ns, started_ns, ended_ns;	/* started: for the first time */
	uint64_t leg_started_ns;	/* this leg */
	uint64_t cpu_ns, wall_ns, maxrss;	/* over all legs that have ended */
	uint32_t legs;			/* how often it was started */
	uint32_t restarts;		/* of these, how often because it was lost or requeued */
	uint32_t losses;		/* in a row without progress (policy/restart.h) */
	enum spool_end end;
	int32_t status;			/* wait status of the root with SPOOL_END_ */
	/* what the queue needs, so that loading does not read the description */
	uint32_t cpus;
	uint64_t memory, begin_ns, time_limit_s;
	/* newest checkpoint, as far as omd knows; n 0: none */
	uint32_t ckpt_n;
	uint64_t ckpt_time_ns, ckpt_stop_ns, ckpt_bytes;
	uint32_t restore;		/* checkpoint the next leg starts from; 0: the beginning */
	/* array as a whole (also cap of an element) */
	bool array;
	uint32_t cap, left, elements, elements_ended, elements_bad;	/* left: in the rest; elements: have a record; bad: ended other than done */
};

struct spool_event {
	uint64_t time_ns;
	int what;			/* enum pol_event; 0: a note without an event */
	enum om_job_state state;	/* after it */
	char text[SPOOL_REASON_MAX + 1];
};

/* @folder: the spool; @folder/omd.db is made if it is not there and no folder of a job is in @folder/jobs either.  0; -EUCLEAN: damaged or not ours or gone,
 * -EPROTO: made by a newer version, -EBUSY: in use by another process, -ENOSPC, -EROFS, -EACCES, -EIO; the text says what to do. */
int spool_jobs_open(const char *folder, struct spool_jobs **ret, struct om_err *err);
void spool_jobs_close(struct spool_jobs *db);	/* an open batch is dropped */
OM_DEFINE_AUTOPTR(spool_jobs, spool_jobs_close);

/* ---- batches ---- */
bool spool_jobs_pending(const struct spool_jobs *db);	/* something was written since the last commit */
/* 0 (at once when nothing is pending); -ENOSPC, -EROFS, -EIO, -EUCLEAN: nothing of the batch is in the database. */
int spool_jobs_commit(struct spool_jobs *db, struct om_err *err);
void spool_jobs_rollback(struct spool_jobs *db);
int spool_jobs_mark(struct spool_jobs *db, struct om_err *err);	/* one mark at a time */
int spool_jobs_revert(struct spool_jobs *db, struct om_err *err);	/* what was written since the mark is undone */

/* ---- writing ---- */
/* A new job.  The record's id is set here (never one that was given before), array fields, cpus ... come from @spec; the caller has set uid, gid, user, state,
 * submitted_ns, reason.  Also writes event @ev. */
int spool_jobs_insert(struct spool_jobs *db, const struct spool_spec *spec, struct spool_job *job, const struct spool_event *ev, struct om_err *err);
/* Element @elem leaves the rest of array @whole and becomes record @ret, which is made here from @whole with @state; @whole and @rest are changed in memory
 * and in the database.  -ENOENT: not in the rest; -E2BIG: the rest would be in too many pieces.  On failure @whole and @rest are as before; when the batch is lost
 * later (spool_jobs_commit failed), the caller puts the element back: spool_indices_add(). */
int spool_jobs_insert_elem(struct spool_jobs *db, struct spool_job *whole, struct spool_indices *rest, uint32_t elem, enum om_job_state state,
			   const struct spool_event *ev, struct spool_job *ret, struct om_err *err);
/* Replace the record and append @ev (may be NULL: no event).  An array whose left is 0 now has no rest any more.  -ENOENT. */
int spool_jobs_update(struct spool_jobs *db, const struct spool_job *job, const struct spool_event *ev, struct om_err *err);
/* Delete ended jobs (an array only as a whole): those ended before @before_ns, and the oldest above @most.  At most @batch records in this call, @gone is told
 * each (it removes the job's folder after the commit); those that a waiting job depends on stay.  Number deleted, or an error. */
int spool_jobs_prune(struct spool_jobs *db, uint64_t before_ns, uint64_t most, unsigned batch,
		     void (*gone)(void *arg, struct om_job_id id), void *arg, struct om_err *err);

/* ---- reading ---- */
int spool_jobs_get(struct spool_jobs *db, struct om_job_id id, struct spool_job *ret, struct om_err *err);	/* -ENOENT */
/* The description of @id (an element has that of its array).  -EUCLEAN when its checksum is wrong. */
int spool_jobs_get_spec(struct spool_jobs *db, struct om_job_id id, struct spool_spec **ret, struct om_err *err);
int spool_jobs_get_rest(struct spool_jobs *db, uint64_t id, struct spool_indices *ret, struct om_err *err);
/* The log of one job, oldest first; caller frees. */
int spool_jobs_get_events(struct spool_jobs *db, struct om_job_id id, struct spool_event **ret, size_t *ret_n, struct om_err *err);
/* All that have not ended, by id: each is given to @each with its dependencies (borrowed; none once it was started).  Not 0 from @each ends it and is returned.
 * An array whose rest is empty comes too, as long as it has not ended, before its elements. */
int spool_jobs_each_active(struct spool_jobs *db, int (*each)(void *arg, const struct spool_job *job, const struct spool_dep *deps, size_t ndeps),
			   void *arg, struct om_err *err);

struct spool_query {
	const char *user;		/* NULL: all */
	const char *name;
	unsigned states;		/* bits 1 << enum om_job_state; 0: those that have not ended, with @all every one */
	bool all;
	const struct om_job_id *ids;	/* only these; an array's id means it and all its elements */
	size_t nids;
	struct om_job_id after;		/* id 0: from the start */
	unsigned limit;			/* 0: SPOOL_PAGE_MAX */
};
/* One page by id.  Arrays as a whole come while they have a rest, or have no element at all, or are asked for by `ids`. Caller frees @ret; @ret_more: there are more behind. */
int spool_jobs_query(struct spool_jobs *db, const struct spool_query *query, struct spool_job **ret, size_t *ret_n, bool *ret_more, struct om_err *err);
/* Jobs and elements (also those in a rest) per state, not ended ones. */
int spool_jobs_count(struct spool_jobs *db, uint64_t count[OM_JOB_STATES], struct om_err *err);
#endif
