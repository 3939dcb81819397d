/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/job-db.h - what job-db.c (open, batches), job.c (records) and job-query.c (lists) share.  Not for other rooms. */
#ifndef OM_SPOOL_JOB_DB_H
#define OM_SPOOL_JOB_DB_H
#include <sqlite3.h>
#include "spool/job.h"

/* A record's row: key = id << KEY_BITS | index + 1 (0: not an element). */
enum { KEY_BITS = 21 };
#define KEY_MASK ((INT64_C(1) << KEY_BITS) - 1)
_Static_assert(OM_ELEM_MAX + 1 <= KEY_MASK, "an array index must fit the key");

static inline int64_t key_of(struct om_job_id id)
{
	return (int64_t)(id.id << KEY_BITS) | (id.elem + 1);
}
static inline struct om_job_id id_of(int64_t key)
{
	return (struct om_job_id){ (uint64_t)key >> KEY_BITS, (int32_t)(key & KEY_MASK) - 1 };
}

/* Columns that are plain numbers: name of the column, member. */
#define JOB_NUMBERS(X) \
	X(uid, uid) X(gid, gid) X(state, state) X(priority, priority) \
	X(submitted, submitted_ns) X(started, started_ns) X(ended_at, ended_ns) X(leg_started, leg_started_ns) \
	X(cpu, cpu_ns) X(wall, wall_ns) X(maxrss, maxrss) X(legs, legs) X(restarts, restarts) X(losses, losses) \
	X(end_how, end) X(status, status) X(cpus, cpus) X(memory, memory) X(begin_at, begin_ns) X(time_limit, time_limit_s) \
	X(ckpt_n, ckpt_n) X(ckpt_time, ckpt_time_ns) X(ckpt_stop, ckpt_stop_ns) X(ckpt_bytes, ckpt_bytes) X(restore_n, restore) \
	X(array, array) X(cap, cap) X(rest_left, left) X(elements, elements) X(elements_ended, elements_ended) X(elements_bad, elements_bad)
#define COMMA_COLUMN(column, member) "," #column
/* what job_read() expects, in its order */
#define JOB_COLUMNS "key,user,name,reason" JOB_NUMBERS(COMMA_COLUMN)

enum statement {
	ST_INSERT, ST_UPDATE, ST_SET_REST, ST_SPEC, ST_EVENT, ST_COUNT_EVENT, ST_DEP, ST_DEP_GONE, ST_GET, ST_GET_SPEC, ST_GET_REST, ST_GET_EVENTS,
	ST_GET_DEPENDS, ST_ACTIVE, ST_COUNT, ST_MARK, ST_REVERT, ST_RELEASE, ST_NEXT_ID, ST_BEGIN, ST_COMMIT, ST_OVER_COUNT, ST_OVER,
	ST_ELEMENTS, ST_DELETE, ST_DELETE_EVENTS, ST_DELETE_SPEC, STATEMENTS
};

struct spool_jobs {
	sqlite3 *sql;
	char *path;
	sqlite3_stmt *st[STATEMENTS];	/* prepared at their first use */
	bool open;			/* a batch is */
	bool marked;
	int broken;			/* SQLite has dropped the open batch by itself: nothing can be added to it */
	uint64_t next_id;
};

/* The statement, reset and ready to bind; NULL with *@ret_code and @err. */
sqlite3_stmt *job_statement(struct spool_jobs *db, enum statement which, int *ret_code, struct om_err *err);
/* SQLite's last error (@rc) as negative errno with a text. */
int job_error(struct spool_jobs *db, int rc, const char *what, struct om_err *err);
/* Begin the batch if none is open. */
int job_begin(struct spool_jobs *db, struct om_err *err);
/* Before records are deleted. */
int job_save_next_id(struct spool_jobs *db, struct om_err *err);
/* Step a statement that gives no row. */
int job_step(struct spool_jobs *db, sqlite3_stmt *st, const char *what, struct om_err *err);
/* A row of JOB_COLUMNS; -EUCLEAN when a value cannot be right. */
int job_read(struct spool_jobs *db, sqlite3_stmt *st, struct spool_job *ret, struct om_err *err);
int job_damaged(const struct spool_jobs *db, const char *what, struct om_err *err);
#endif
