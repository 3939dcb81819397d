/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists.  A page is merged from runs: one per state (and per id asked for), each a range of one index that is read no further than the page needs.  So the
 * first page of 100,000 jobs costs what a page of 100 jobs costs, whatever is asked for. */
#include "spool/job-db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "spool/spec-tables.h"

/* ---- a page ---- */

struct page {
	struct spool_jobs *db;
	const struct spool_query *query;
	struct spool_job *list;
	size_t n, room, want;		/* want: one more than the limit, so that `more` is known */
	struct om_err *err;
};

static int compare_jobs(const void *a, const void *b)
{
	int64_t x = key_of(((const struct spool_job *)a)->id), y = key_of(((const struct spool_job *)b)->id);

	return (x > y) - (x < y);
}

static int add_row(struct page *p, sqlite3_stmt *st)
{
	int r;

	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		struct spool_job *more = reallocarray(p->list, room, sizeof(*more));

		if (!more)
			return om_err_set(p->err, -ENOMEM, "job list: out of memory");
		p->list = more;
		p->room = room;
	}
	r = job_read(p->db, st, &p->list[p->n], p->err);
	if (r == 0)
		p->n++;
	return r;
}

/* Jobs with @lo < key <= @hi in @state (OM_JOB_NONE: any). */
static int run(struct page *p, int64_t lo, int64_t hi, enum om_job_state state)
{
	const struct spool_query *q = p->query;
	sqlite3_stmt *st = NULL;
	char text[1024];
	int rc, r = 0;

	/* an index by name: the planner must not choose by what it guesses of the data */
	snprintf(text, sizeof(text), "SELECT " JOB_COLUMNS " FROM job %s WHERE key>?1 AND key<=?2%s%s%s%s ORDER BY key LIMIT ?3",
		 q->nids || state == OM_JOB_NONE ? "NOT INDEXED" : "INDEXED BY job_state",
		 state == OM_JOB_NONE ? "" : " AND state=?4", q->user ? " AND user=?5" : "", q->name ? " AND name=?6" : "",
		 q->nids ? "" : " AND (array=0 OR rest_left>0 OR elements=0)");
	rc = sqlite3_prepare_v2(p->db->sql, text, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return job_error(p->db, rc, "query", p->err);
	sqlite3_bind_int64(st, 1, lo);
	sqlite3_bind_int64(st, 2, hi);
	sqlite3_bind_int64(st, 3, (int64_t)p->want);
	if (state != OM_JOB_NONE)
		sqlite3_bind_int(st, 4, (int)state);
	if (q->user)
		sqlite3_bind_text(st, 5, q->user, -1, SQLITE_STATIC);
	if (q->name)
		sqlite3_bind_text(st, 6, q->name, -1, SQLITE_STATIC);
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		r = add_row(p, st);
	if (r == 0 && rc != SQLITE_DONE)
		r = job_error(p->db, rc, "query", p->err);
	sqlite3_finalize(st);
	return r;
}

/* All states that are asked for, within one range of keys; sorted at the end. */
static int run_states(struct page *p, int64_t lo, int64_t hi, unsigned states)
{
	size_t before = p->n;
	int r = 0;

	if (!states)
		return run(p, lo, hi, OM_JOB_NONE);
	for (int s = OM_JOB_HELD; s < OM_JOB_STATES && r == 0; s++) {
		if (!(states >> s & 1))
			continue;
		r = run(p, lo, hi, (enum om_job_state)s);
		if (r < 0)
			break;
		if (p->n == before)
			continue;
		qsort(p->list + before, p->n - before, sizeof(*p->list), compare_jobs);
		/* what lies behind a full page is of no interest to the next state */
		if (p->n - before >= p->want) {
			p->n = before + p->want;
			hi = key_of(p->list[p->n - 1].id);
		}
	}
	return r;
}

static int compare_keys(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Ids in order; one that is in an array asked for as a whole gives nothing twice. */
static int run_ids(struct page *p, int64_t after, unsigned states)
{
	const struct spool_query *q = p->query;
	om_autofree int64_t *keys = reallocarray(NULL, q->nids, sizeof(*keys));
	int r = 0;

	if (!keys)
		return om_err_set(p->err, -ENOMEM, "job list: out of memory");
	for (size_t i = 0; i < q->nids; i++)
		keys[i] = key_of(q->ids[i]);
	qsort(keys, q->nids, sizeof(*keys), compare_keys);
	for (size_t i = 0; i < q->nids && r == 0 && p->n < p->want; i++) {
		int64_t lo = keys[i] - 1, hi = keys[i] & KEY_MASK ? keys[i] : keys[i] | KEY_MASK;

		if (lo < after)
			lo = after;
		if (lo >= hi)
			continue;
		r = run_states(p, lo, hi, states);
		after = hi;
	}
	return r;
}

int spool_jobs_query(struct spool_jobs *db, const struct spool_query *query, struct spool_job **ret, size_t *ret_n, bool *ret_more, struct om_err *err)
{
	size_t limit = query->limit && query->limit < SPOOL_PAGE_MAX ? query->limit : SPOOL_PAGE_MAX;
	struct page p = { .db = db, .query = query, .want = limit + 1, .err = err };
	int64_t after = query->after.id ? key_of(query->after) : 0;
	unsigned active = (1u << OM_JOB_DONE) - (1u << OM_JOB_HELD), every = (1u << OM_JOB_STATES) - (1u << OM_JOB_HELD);
	unsigned states = query->states ? query->states & every : query->all ? 0 : active;
	int r;

	/* every state of a user or name: by the index, which has these too */
	if (!states && !query->nids && (query->user || query->name))
		states = every;
	r = query->nids ? run_ids(&p, after, states) : run_states(&p, after, INT64_MAX, states);
	if (r < 0) {
		free(p.list);
		return r;
	}
	*ret_more = p.n > limit;
	*ret_n = p.n > limit ? limit : p.n;
	*ret = p.list;
	return 0;
}

int spool_jobs_count(struct spool_jobs *db, uint64_t count[OM_JOB_STATES], struct om_err *err)
{
	int r = 0, rc;
	sqlite3_stmt *st = job_statement(db, ST_COUNT, &r, err);

	if (!st)
		return r;
	memset(count, 0, OM_JOB_STATES * sizeof(*count));
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		count[sqlite3_column_int(st, 0)] = (uint64_t)sqlite3_column_int64(st, 1);
	if (rc != SQLITE_DONE)
		r = job_error(db, rc, "count", err);
	sqlite3_reset(st);
	return r;
}

/* ---- all that are active ---- */

struct keys {
	int64_t *key;
	size_t n, room;
};

static int add_key(struct keys *k, int64_t key)
{
	if (k->n == k->room) {
		size_t room = k->room ? 2 * k->room : 256;
		int64_t *more = reallocarray(k->key, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		k->key = more;
		k->room = room;
	}
	k->key[k->n++] = key;
	return 0;
}

/* The first column of all rows. */
static int read_keys(struct spool_jobs *db, sqlite3_stmt *st, struct keys *k, struct om_err *err)
{
	int r = 0, rc = SQLITE_DONE;

	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		r = add_key(k, sqlite3_column_int64(st, 0));
	if (r < 0)
		om_err_set(err, r, "job list: out of memory");
	else if (rc != SQLITE_DONE)
		r = job_error(db, rc, "read", err);
	sqlite3_reset(st);
	return r;
}

/* One "afterok:17"; moves *s behind it and its comma. */
static int parse_dep(const char **s, struct spool_dep *dep)
{
	char id[OM_JOB_ID_TEXT];
	size_t n;

	for (int t = 0; spool_dep_names[t]; t++) {
		n = strlen(spool_dep_names[t]);
		if (strncmp(*s, spool_dep_names[t], n) != 0 || (*s)[n] != ':')
			continue;
		*s += n + 1;
		n = strcspn(*s, ",");
		if (n >= sizeof(id))
			return -EINVAL;
		memcpy(id, *s, n);
		id[n] = 0;
		*s += n + ((*s)[n] == ',');
		dep->type = (enum spool_dep_type)t;
		return om_job_id_parse(id, &dep->job);
	}
	return -EINVAL;
}

static int read_deps(struct spool_jobs *db, int64_t key, struct spool_dep *deps, size_t *ret_n, struct om_err *err)
{
	int r = 0, rc;
	sqlite3_stmt *st = job_statement(db, ST_GET_DEPENDS, &r, err);
	const char *s;

	*ret_n = 0;
	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, key);
	rc = sqlite3_step(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		r = job_error(db, rc, "read", err);
	s = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
	while (s && *s && r == 0) {
		r = *ret_n < SPOOL_DEPENDS_MAX ? parse_dep(&s, &deps[*ret_n]) : -EINVAL;
		if (r == 0)
			++*ret_n;
		else
			r = job_damaged(db, "the dependencies of a job", err);
	}
	sqlite3_reset(st);
	return r;
}

static int each(struct spool_jobs *db, const struct keys *k, struct spool_dep *deps,
		int (*cb)(void *arg, const struct spool_job *job, const struct spool_dep *deps, size_t ndeps), void *arg, struct om_err *err)
{
	struct spool_job job;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < k->n && r == 0; i++) {
		r = spool_jobs_get(db, id_of(k->key[i]), &job, err);
		n = 0;
		if (r == 0 && !job.legs)
			r = read_deps(db, k->key[i], deps, &n, err);
		if (r == 0)
			r = cb(arg, &job, deps, n);
	}
	return r;
}

int spool_jobs_each_active(struct spool_jobs *db, int (*cb)(void *arg, const struct spool_job *job, const struct spool_dep *deps, size_t ndeps),
			   void *arg, struct om_err *err)
{
	om_autofree struct spool_dep *deps = reallocarray(NULL, SPOOL_DEPENDS_MAX, sizeof(*deps));
	struct keys k = { 0 };
	int r = 0;
	sqlite3_stmt *st;

	if (!deps)
		return om_err_set(err, -ENOMEM, "job list: out of memory");
	st = job_statement(db, ST_ACTIVE, &r, err);
	if (!st)
		return r;
	r = read_keys(db, st, &k, err);
	if (r == 0)
		r = each(db, &k, deps, cb, arg, err);
	free(k.key);
	return r;
}

/* ---- history ---- */

struct prune {
	struct spool_jobs *db;
	unsigned left;			/* records that may still go in this call */
	int gone;
	void (*cb)(void *arg, struct om_job_id id);
	void *arg;
	struct om_err *err;
};

static int delete_by(struct prune *p, enum statement which, int64_t value)
{
	int r = 0;
	sqlite3_stmt *st = job_statement(p->db, which, &r, p->err);

	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, value);
	return job_step(p->db, st, "delete", p->err);
}

static int delete_one(struct prune *p, int64_t key)
{
	int r = delete_by(p, ST_DELETE, key);

	if (r == 0)
		r = delete_by(p, ST_DELETE_EVENTS, key);
	if (r == 0 && !(key & KEY_MASK))
		r = delete_by(p, ST_DELETE_SPEC, key >> KEY_BITS);
	if (r < 0)
		return r;
	p->cb(p->arg, id_of(key));
	p->gone++;
	p->left--;
	return 0;
}

/* A job; of an array its elements first, the array itself when none of them is left. */
static int delete_job(struct prune *p, int64_t key)
{
	struct keys k = { 0 };
	int r = 0;
	sqlite3_stmt *st = job_statement(p->db, ST_ELEMENTS, &r, p->err);

	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, key);
	sqlite3_bind_int64(st, 2, key | KEY_MASK);
	sqlite3_bind_int64(st, 3, p->left);
	r = read_keys(p->db, st, &k, p->err);
	for (size_t i = 0; i < k.n && r == 0; i++)
		r = delete_one(p, k.key[i]);
	free(k.key);
	return r == 0 && p->left ? delete_one(p, key) : r;
}

static int count_over(struct spool_jobs *db, uint64_t *ret, struct om_err *err)
{
	int r = 0, rc;
	sqlite3_stmt *st = job_statement(db, ST_OVER_COUNT, &r, err);

	if (!st)
		return r;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(st, 0);
	else
		r = job_error(db, rc, "count", err);
	sqlite3_reset(st);
	return r;
}

/* Keys of those that may go, the oldest first. */
static int find_old(struct prune *p, uint64_t before_ns, uint64_t above, struct keys *k)
{
	int r = 0, rc = SQLITE_DONE;
	sqlite3_stmt *st = job_statement(p->db, ST_OVER, &r, p->err);

	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, p->left);
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		if ((uint64_t)sqlite3_column_int64(st, 1) >= before_ns && k->n >= above) {
			rc = SQLITE_DONE;
			break;
		}
		r = add_key(k, sqlite3_column_int64(st, 0));
	}
	if (r < 0)
		om_err_set(p->err, r, "history: out of memory");
	else if (rc != SQLITE_DONE)
		r = job_error(p->db, rc, "read", p->err);
	sqlite3_reset(st);
	return r;
}

int spool_jobs_prune(struct spool_jobs *db, uint64_t before_ns, uint64_t most, unsigned batch,
		     void (*gone)(void *arg, struct om_job_id id), void *arg, struct om_err *err)
{
	struct prune p = { .db = db, .left = batch, .cb = gone, .arg = arg, .err = err };
	struct keys k = { 0 };
	uint64_t over = 0;
	int r = count_over(db, &over, err);

	if (r == 0)
		r = find_old(&p, before_ns, over > most ? over - most : 0, &k);
	if (r == 0 && k.n)
		r = job_begin(db, err);
	if (r == 0 && k.n)
		r = job_save_next_id(db, err);
	for (size_t i = 0; i < k.n && r == 0 && p.left; i++)
		r = delete_job(&p, k.key[i]);
	free(k.key);
	return r < 0 ? r : p.gone;
}
