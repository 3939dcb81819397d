/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records, one by one.  The description of a job is kept apart from its record: lists and the start of omd never read it; a checksum guards it, for SQLite
 * has none. */
#include "spool/job-db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "spool/spec-tables.h"

/* ---- binding and reading ---- */

static void bind_text(sqlite3_stmt *st, int at, const char *s)
{
	sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);	/* NULL becomes NULL */
}

/* All columns in the order of JOB_COLUMNS; the number of the next place. */
static int bind_job(sqlite3_stmt *st, const struct spool_job *job)
{
	int at = 1;

	sqlite3_bind_int64(st, at++, key_of(job->id));
	bind_text(st, at++, job->user);
	bind_text(st, at++, job->name);
	bind_text(st, at++, job->reason);
#define X(column, member) sqlite3_bind_int64(st, at++, (int64_t)job->member);
	JOB_NUMBERS(X)
#undef X
	return at;
}

static void column_text(sqlite3_stmt *st, int at, char *dst, size_t n)
{
	const char *s = (const char *)sqlite3_column_text(st, at);

	snprintf(dst, n, "%s", s ? s : "");
}

int job_read(struct spool_jobs *db, sqlite3_stmt *st, struct spool_job *ret, struct om_err *err)
{
	int64_t key = sqlite3_column_int64(st, 0);
	int at = 4;

	if (key < 1 << KEY_BITS || (key & KEY_MASK) > OM_ELEM_MAX + 1)
		return job_damaged(db, "a job has no right id", err);
	memset(ret, 0, sizeof(*ret));
	ret->id = id_of(key);
	column_text(st, 1, ret->user, sizeof(ret->user));
	column_text(st, 2, ret->name, sizeof(ret->name));
	column_text(st, 3, ret->reason, sizeof(ret->reason));
#define X(column, member) ret->member = (__typeof__(ret->member))sqlite3_column_int64(st, at++);
	JOB_NUMBERS(X)
#undef X
	if (ret->state <= OM_JOB_NONE || ret->state >= OM_JOB_STATES || (unsigned)ret->end > SPOOL_END_TIMEOUT)
		return job_damaged(db, "a job is in no known state", err);
	return 0;
}

/* ---- dependencies as text: "afterok:17,afterany:18_3" ---- */

static char *depends_text(const struct spool_dep *deps, size_t n)
{
	om_autobuf b = { 0 };
	char id[OM_JOB_ID_TEXT];

	for (size_t i = 0; i < n; i++)
		if (om_buf_addf(&b, "%s%s:%s", i ? "," : "", spool_dep_names[deps[i].type], om_job_id_text(deps[i].job, id, sizeof(id))) < 0)
			return NULL;
	return om_buf_steal(&b);
}

/* ---- writing ---- */

static int write_event(struct spool_jobs *db, int64_t key, const struct spool_event *ev, struct om_err *err)
{
	int r = 0;
	sqlite3_stmt *st;

	if (!ev)
		return 0;
	st = job_statement(db, ST_EVENT, &r, err);
	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, (int64_t)ev->time_ns);
	sqlite3_bind_int(st, 2, ev->what);
	sqlite3_bind_int(st, 3, (int)ev->state);
	bind_text(st, 4, ev->text);
	sqlite3_bind_int64(st, 5, key);
	return job_step(db, st, "write an event", err);
}

static int write_spec(struct spool_jobs *db, uint64_t id, const struct spool_spec *spec, struct om_err *err)
{
	json_t *json = spool_spec_to_json(spec);
	om_autofree char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	sqlite3_stmt *st;
	int r = 0;

	json_decref(json);
	if (!text)
		return om_err_set(err, -ENOMEM, "job description: out of memory");
	st = job_statement(db, ST_SPEC, &r, err);
	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, (int64_t)id);
	sqlite3_bind_int64(st, 2, (int64_t)XXH64(text, strlen(text), 0));
	bind_text(st, 3, text);
	r = job_step(db, st, "write a job description", err);
	sqlite3_clear_bindings(st);	/* text is freed here */
	return r;
}

static int write_deps(struct spool_jobs *db, int64_t key, const struct spool_spec *spec, struct om_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < spec->ndepends; i++) {
		sqlite3_stmt *st = job_statement(db, ST_DEP, &r, err);

		if (!st)
			return r;
		sqlite3_bind_int64(st, 1, key);
		sqlite3_bind_int64(st, 2, key_of(spec->depends[i].job));
		r = job_step(db, st, "write a dependency", err);
	}
	return r;
}

static int write_new(struct spool_jobs *db, const struct spool_job *job, const char *rest, const char *depends, struct om_err *err)
{
	int r = 0, at;
	sqlite3_stmt *st = job_statement(db, ST_INSERT, &r, err);

	if (!st)
		return r;
	at = bind_job(st, job);
	bind_text(st, at, rest);
	bind_text(st, at + 1, depends);
	r = job_step(db, st, "write a job", err);
	sqlite3_clear_bindings(st);
	return r;
}

/* What the record has from the description. */
static void fill(struct spool_job *job, const struct spool_spec *spec)
{
	snprintf(job->name, sizeof(job->name), "%s", spec->name);
	job->priority = spec->priority;
	job->cpus = spec->cpus;
	job->memory = spec->memory;
	job->begin_ns = spec->begin_ns;
	job->time_limit_s = spec->time_limit_s;
	job->array = spec->array;
	job->cap = spec->cap;
	job->left = spec->array ? spec->indices.count : 0;
	job->elements = job->elements_ended = job->elements_bad = 0;
}

int spool_jobs_insert(struct spool_jobs *db, const struct spool_spec *spec, struct spool_job *job, const struct spool_event *ev, struct om_err *err)
{
	om_autofree char *rest = NULL, *depends = NULL;
	struct spool_job new = *job;
	int r = job_begin(db, err);

	if (r < 0)
		return r;
	if (db->next_id > OM_JOB_ID_MAX)
		return om_err_set(err, -ENOSPC, "job database: all ids were given");
	if (spec->array)
		rest = spool_indices_text(&spec->indices);
	if (spec->ndepends)
		depends = depends_text(spec->depends, spec->ndepends);
	if ((spec->array && !rest) || (spec->ndepends && !depends))
		return om_err_set(err, -ENOMEM, "new job: out of memory");
	new.id = (struct om_job_id){ db->next_id++, OM_ELEM_NONE };
	fill(&new, spec);
	r = write_new(db, &new, rest, depends, err);
	if (r == 0)
		r = write_spec(db, new.id.id, spec, err);
	if (r == 0)
		r = write_deps(db, key_of(new.id), spec, err);
	if (r == 0)
		r = write_event(db, key_of(new.id), ev, err);
	if (r == 0)
		*job = new;
	return r;
}

static int write_rest(struct spool_jobs *db, int64_t key, const struct spool_indices *rest, struct om_err *err)
{
	om_autofree char *text = spool_indices_text(rest);
	sqlite3_stmt *st;
	int r = 0;

	if (!text)
		return om_err_set(err, -ENOMEM, "array: out of memory");
	st = job_statement(db, ST_SET_REST, &r, err);
	if (!st)
		return r;
	bind_text(st, 1, text);
	sqlite3_bind_int64(st, 2, key);
	r = job_step(db, st, "write an array's rest", err);
	sqlite3_clear_bindings(st);
	return r;
}

/* The row of @job anew; nothing else. */
static int write_job(struct spool_jobs *db, const struct spool_job *job, struct om_err *err)
{
	int r = 0, at;
	sqlite3_stmt *st = job_statement(db, ST_UPDATE, &r, err);

	if (!st)
		return r;
	at = bind_job(st, job);
	sqlite3_bind_int64(st, at, job->left);
	sqlite3_bind_int64(st, at + 1, key_of(job->id));
	r = job_step(db, st, "write a job", err);
	if (r == 0 && sqlite3_changes(db->sql) != 1) {
		char id[OM_JOB_ID_TEXT];

		return om_err_set(err, -ENOENT, "there is no job %s", om_job_id_text(job->id, id, sizeof(id)));
	}
	return r;
}

static int count_event(struct spool_jobs *db, int64_t key, const struct spool_event *ev, struct om_err *err)
{
	int r = 0;
	sqlite3_stmt *st;

	if (!ev)
		return 0;
	st = job_statement(db, ST_COUNT_EVENT, &r, err);
	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, key);
	return job_step(db, st, "write a job", err);
}

int spool_jobs_update(struct spool_jobs *db, const struct spool_job *job, const struct spool_event *ev, struct om_err *err)
{
	int64_t key = key_of(job->id);
	int r = job_begin(db, err);

	if (r == 0)
		r = write_job(db, job, err);
	if (r == 0)
		r = count_event(db, key, ev, err);
	if (r == 0)
		r = write_event(db, key, ev, err);
	if (r == 0 && om_job_state_ended(job->state)) {
		sqlite3_stmt *st = job_statement(db, ST_DEP_GONE, &r, err);

		if (!st)
			return r;
		sqlite3_bind_int64(st, 1, key);
		r = job_step(db, st, "write a dependency", err);
	}
	return r;
}

int spool_jobs_insert_elem(struct spool_jobs *db, struct spool_job *whole, struct spool_indices *rest, uint32_t elem, enum om_job_state state,
			   const struct spool_event *ev, struct spool_job *ret, struct om_err *err)
{
	struct spool_job new = *whole, less = *whole;
	int r = job_begin(db, err);

	if (r < 0)
		return r;
	r = spool_indices_remove(rest, elem);
	if (r == -E2BIG)
		return om_err_set(err, r, "array %" PRIu64 " is in too many pieces: take its elements in order, or the array as a whole", whole->id.id);
	if (r < 0)
		return om_err_sys(err, r, "element %" PRIu32 " of array %" PRIu64, elem, whole->id.id);
	new.id.elem = (int32_t)elem;
	new.state = state;
	new.array = false;
	new.left = new.elements = new.elements_ended = new.elements_bad = 0;
	less.left = rest->count;
	less.elements++;
	r = write_new(db, &new, NULL, NULL, err);
	if (r == 0)
		r = write_event(db, key_of(new.id), ev, err);
	if (r == 0)
		r = write_job(db, &less, err);
	if (r == 0)
		r = write_rest(db, key_of(less.id), rest, err);
	if (r < 0) {
		/* there was room for it a moment ago */
		(void)spool_indices_add(rest, elem);
		return r;
	}
	*whole = less;
	*ret = new;
	return 0;
}

/* ---- reading ---- */

int spool_jobs_get(struct spool_jobs *db, struct om_job_id id, struct spool_job *ret, struct om_err *err)
{
	char text[OM_JOB_ID_TEXT];
	struct spool_job job;
	int r = 0, rc;
	sqlite3_stmt *st = job_statement(db, ST_GET, &r, err);

	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, key_of(id));
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		r = job_read(db, st, &job, err);
	else if (rc == SQLITE_DONE)
		r = om_err_set(err, -ENOENT, "there is no job %s", om_job_id_text(id, text, sizeof(text)));
	else
		r = job_error(db, rc, "read", err);
	sqlite3_reset(st);
	if (r == 0)
		*ret = job;
	return r;
}

static int parse_spec(struct spool_jobs *db, uint64_t id, const char *text, size_t len, int64_t sum, struct spool_spec **ret, struct om_err *err)
{
	char what[64];
	json_t *json;
	int r;

	snprintf(what, sizeof(what), "description of job %" PRIu64, id);
	if ((int64_t)XXH64(text, len, 0) != sum)
		return job_damaged(db, what, err);
	json = json_loadb(text, len, 0, NULL);
	if (!json)
		return job_damaged(db, what, err);
	r = spool_spec_parse(json, ret, err);
	json_decref(json);
	return r < 0 ? om_err_wrap(err, r == -ENOMEM ? r : -EUCLEAN, "%s", what) : 0;
}

int spool_jobs_get_spec(struct spool_jobs *db, struct om_job_id id, struct spool_spec **ret, struct om_err *err)
{
	int r = 0, rc;
	sqlite3_stmt *st = job_statement(db, ST_GET_SPEC, &r, err);
	const char *text;

	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, (int64_t)id.id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(st, 1);
		r = text ? parse_spec(db, id.id, text, (size_t)sqlite3_column_bytes(st, 1), sqlite3_column_int64(st, 0), ret, err)
			 : job_damaged(db, "a job has no description", err);
	} else if (rc == SQLITE_DONE) {
		r = om_err_set(err, -ENOENT, "there is no job %" PRIu64, id.id);
	} else {
		r = job_error(db, rc, "read", err);
	}
	sqlite3_reset(st);
	return r;
}

int spool_jobs_get_rest(struct spool_jobs *db, uint64_t id, struct spool_indices *ret, struct om_err *err)
{
	int r = 0, rc;
	sqlite3_stmt *st = job_statement(db, ST_GET_REST, &r, err);
	const char *text;

	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, key_of((struct om_job_id){ id, OM_ELEM_NONE }));
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(st, 0);
		if (!text || !*text)
			memset(ret, 0, sizeof(*ret));
		else if (spool_indices_parse(text, ret, NULL) < 0)
			r = job_damaged(db, "the indices of an array", err);
	} else if (rc == SQLITE_DONE) {
		r = om_err_set(err, -ENOENT, "there is no job %" PRIu64, id);
	} else {
		r = job_error(db, rc, "read", err);
	}
	sqlite3_reset(st);
	return r;
}

int spool_jobs_get_events(struct spool_jobs *db, struct om_job_id id, struct spool_event **ret, size_t *ret_n, struct om_err *err)
{
	om_autofree struct spool_event *list = NULL;
	size_t n = 0, room = 0;
	int r = 0, rc;
	sqlite3_stmt *st = job_statement(db, ST_GET_EVENTS, &r, err);

	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, key_of(id));
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (n == room) {
			struct spool_event *more = reallocarray(list, room = room ? 2 * room : 8, sizeof(*list));

			if (!more) {
				sqlite3_reset(st);
				return om_err_set(err, -ENOMEM, "events: out of memory");
			}
			list = more;
		}
		list[n].time_ns = (uint64_t)sqlite3_column_int64(st, 0);
		list[n].what = sqlite3_column_int(st, 1);
		list[n].state = (enum om_job_state)sqlite3_column_int(st, 2);
		column_text(st, 3, list[n].text, sizeof(list[n].text));
		n++;
	}
	if (rc != SQLITE_DONE)
		r = job_error(db, rc, "read", err);
	sqlite3_reset(st);
	if (r < 0)
		return r;
	*ret = om_steal(list);
	*ret_n = n;
	return 0;
}
