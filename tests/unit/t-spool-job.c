/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database under normal use.  Damage and accidents: t-spool-damage.c. */
#include "tests/unit/spool-job.h"

#include <inttypes.h>

#include "base/clock.h"

static void set_state(struct spool_jobs *db, struct spool_job *job, enum om_job_state s)
{
	job->state = s;
	if (om_job_state_ended(s))
		job->ended_ns = job->id.id * 1000;
	assert_int_equal(spool_jobs_update(db, job, NULL, NULL), 0);
}

/* ---- use ---- */

static struct om_job_id gone[4096];
static int ngone;
static void note_gone(void *arg, struct om_job_id id)
{
	(void)arg;
	gone[ngone++] = id;
}

static void all_comes_back(void **state)
{
	struct spool_jobs *db = opened(dir);
	struct spool_job job = insert(db, "alice", ",\"name\":\"x\",\"priority\":7,\"cpus\":2,\"memory\":5,\"time_limit\":60,\"begin\":3"), back;
	struct spool_event ev = { .time_ns = 9, .what = 8, .state = OM_JOB_STARTING, .text = "go" }, *events;
	struct spool_spec *s = NULL;
	size_t n;

	(void)state;
	assert_true(spool_jobs_pending(db));
	assert_int_equal(job.id.id, 1);
	job.state = OM_JOB_STARTING;
	snprintf(job.reason, sizeof(job.reason), "because");
	job.cpu_ns = UINT64_C(5000000000);
	job.status = -1;
	job.maxrss = UINT64_C(1) << 40;
	job.end = SPOOL_END_TIMEOUT;
	job.restore = 4;
	job.legs = 2;
	assert_int_equal(spool_jobs_update(db, &job, &ev, NULL), 0);
	committed(db);
	spool_jobs_close(db);
	db = opened(dir);
	memset(&back, 0x55, sizeof(back));
	assert_int_equal(spool_jobs_get(db, job.id, &back, NULL), 0);
	assert_int_equal(back.priority, 7);
	assert_int_equal(back.cpus, 2);
	assert_int_equal(back.begin_ns, UINT64_C(3000000000));
	assert_string_equal(back.user, "alice");
	assert_string_equal(back.name, "x");
	assert_string_equal(back.reason, "because");
	assert_memory_equal(&back.state, &job.state, sizeof(back.state));
	assert_true(back.cpu_ns == job.cpu_ns && back.status == -1 && back.maxrss == job.maxrss && back.end == SPOOL_END_TIMEOUT);
	assert_true(back.restore == 4 && back.legs == 2 && back.time_limit_s == 60 && back.memory == 5 && back.uid == 1000 && back.gid == 100);
	assert_int_equal(spool_jobs_get_spec(db, job.id, &s, NULL), 0);
	assert_string_equal(s->argv[0], "true");
	spool_spec_destroy(s);
	assert_int_equal(spool_jobs_get_events(db, job.id, &events, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_string_equal(events[0].text, "submitted");
	assert_true(events[1].time_ns == 9 && events[1].what == 8 && events[1].state == OM_JOB_STARTING);
	free(events);
	has(db, 99, OM_ELEM_NONE, false);
	assert_int_equal(spool_jobs_get_spec(db, (struct om_job_id){ 99, -1 }, &s, NULL), -ENOENT);
	job.id.id = 99;
	assert_int_equal(spool_jobs_update(db, &job, NULL, NULL), -ENOENT);
	spool_jobs_close(db);
	spool_jobs_close(NULL);
}

static void ids_are_never_given_twice(void **state)
{
	struct spool_jobs *db = opened(dir);
	struct spool_job job = insert(db, "a", "");
	uint64_t last;

	(void)state;
	committed(db);
	insert(db, "a", "");
	spool_jobs_rollback(db);
	has(db, 2, OM_ELEM_NONE, false);
	job = insert(db, "a", "");
	assert_int_equal(job.id.id, 3);
	set_state(db, &job, OM_JOB_DONE);
	committed(db);
	assert_int_equal(spool_jobs_commit(db, NULL), 0);	/* nothing to do */
	/* its record is deleted: the id stays used */
	ngone = 0;
	assert_int_equal(spool_jobs_prune(db, UINT64_MAX, 0, 100, note_gone, NULL, NULL), 1);
	committed(db);
	last = job.id.id;
	has(db, last, OM_ELEM_NONE, false);
	spool_jobs_close(db);
	db = opened(dir);
	assert_int_equal(insert(db, "a", "").id.id, last + 1);
	spool_jobs_close(db);		/* an open batch is dropped */
	db = opened(dir);
	has(db, last + 1, OM_ELEM_NONE, false);
	spool_jobs_close(db);
}

static void one_request_is_undone(void **state)
{
	struct spool_jobs *db = opened(dir);
	uint64_t first, third;

	(void)state;
	assert_int_equal(spool_jobs_revert(db, NULL), -EINVAL);
	assert_int_equal(spool_jobs_mark(db, NULL), 0);
	first = insert(db, "a", "").id.id;
	assert_int_equal(spool_jobs_mark(db, NULL), 0);
	insert(db, "a", "");
	insert(db, "a", "");
	assert_int_equal(spool_jobs_revert(db, NULL), 0);
	assert_int_equal(spool_jobs_mark(db, NULL), 0);
	third = insert(db, "a", "").id.id;
	committed(db);
	has(db, first, OM_ELEM_NONE, true);
	has(db, first + 1, OM_ELEM_NONE, false);
	has(db, third, OM_ELEM_NONE, true);
	spool_jobs_close(db);
}

static void array_elements(void **state)
{
	struct spool_jobs *db = opened(dir);
	struct spool_job whole = insert(db, "a", ",\"array\":{\"indices\":\"0-9999\",\"cap\":3}"), elem;
	struct spool_indices rest;
	struct spool_spec *s;
	struct spool_job *list;
	size_t n;
	bool more;

	(void)state;
	assert_true(whole.array && whole.left == 10000 && whole.cap == 3);
	assert_int_equal(spool_jobs_get_rest(db, whole.id.id, &rest, NULL), 0);
	assert_int_equal(rest.count, 10000);
	assert_int_equal(spool_jobs_insert_elem(db, &whole, &rest, 0, OM_JOB_STARTING, &submitted, &elem, NULL), 0);
	assert_true(elem.id.id == whole.id.id && elem.id.elem == 0 && !elem.array && elem.cap == 3 && elem.state == OM_JOB_STARTING);
	assert_true(whole.left == 9999 && whole.elements == 1);
	assert_int_equal(spool_jobs_insert_elem(db, &whole, &rest, 500, OM_JOB_HELD, NULL, &elem, NULL), 0);
	assert_int_equal(spool_jobs_insert_elem(db, &whole, &rest, 500, OM_JOB_HELD, NULL, &elem, NULL), -ENOENT);
	spool_indices_done(&rest);
	committed(db);
	spool_jobs_close(db);
	db = opened(dir);
	assert_int_equal(spool_jobs_get_rest(db, whole.id.id, &rest, NULL), 0);
	assert_true(rest.count == 9998 && !spool_indices_has(&rest, 500) && spool_indices_has(&rest, 501));
	spool_indices_done(&rest);
	assert_int_equal(spool_jobs_get_spec(db, elem.id, &s, NULL), 0);
	spool_spec_destroy(s);
	assert_int_equal(spool_jobs_query(db, &(struct spool_query){ 0 }, &list, &n, &more, NULL), 0);
	assert_int_equal(n, 3);
	assert_true(list[0].array && list[1].id.elem == 0 && list[2].id.elem == 500);
	free(list);
	/* the rest is cancelled as a whole: not shown beside its elements any more */
	whole.left = 0;
	assert_int_equal(spool_jobs_update(db, &whole, NULL, NULL), 0);
	assert_int_equal(spool_jobs_get_rest(db, whole.id.id, &rest, NULL), 0);
	assert_int_equal(rest.count, 0);
	assert_int_equal(spool_jobs_get_rest(db, 77, &rest, NULL), -ENOENT);
	assert_int_equal(spool_jobs_query(db, &(struct spool_query){ 0 }, &list, &n, &more, NULL), 0);
	assert_int_equal(n, 2);
	free(list);
	assert_int_equal(spool_jobs_query(db, &(struct spool_query){ .ids = &whole.id, .nids = 1 }, &list, &n, &more, NULL), 0);
	assert_int_equal(n, 3);
	free(list);
	spool_jobs_close(db);
}

struct seen {
	uint64_t ids[16];
	size_t n, deps[16];
	struct spool_dep last;
	int stop;
};
static int see(void *arg, const struct spool_job *job, const struct spool_dep *deps, size_t ndeps)
{
	struct seen *s = arg;

	s->ids[s->n] = job->id.id;
	s->deps[s->n++] = ndeps;
	if (ndeps)
		s->last = deps[ndeps - 1];
	return s->stop;
}

static void active_ones(void **state)
{
	struct spool_jobs *db = opened(dir);
	struct spool_job done = insert(db, "a", ""), held = insert(db, "a", ",\"hold\":true"), dep, started;
	struct seen seen = { .stop = 0 };
	uint64_t count[OM_JOB_STATES];

	(void)state;
	dep = insert(db, "a", ",\"depends\":[{\"type\":\"afterany\",\"job\":\"1\"},{\"type\":\"afternotok\",\"job\":\"2_3\"}]");
	started = insert(db, "a", ",\"depends\":[{\"type\":\"afterok\",\"job\":\"1\"}]");
	insert(db, "a", ",\"array\":{\"indices\":\"1-50\"}");
	set_state(db, &done, OM_JOB_DONE);
	set_state(db, &held, OM_JOB_HELD);
	started.legs = 1;
	set_state(db, &started, OM_JOB_RUNNING);
	committed(db);
	assert_int_equal(spool_jobs_each_active(db, see, &seen, NULL), 0);
	assert_int_equal(seen.n, 4);
	assert_true(seen.ids[0] == held.id.id && seen.ids[1] == dep.id.id && seen.deps[1] == 2 && seen.deps[2] == 0);
	assert_true(seen.last.type == SPOOL_DEP_AFTERNOTOK && seen.last.job.id == 2 && seen.last.job.elem == 3);
	seen = (struct seen){ .stop = 7 };
	assert_int_equal(spool_jobs_each_active(db, see, &seen, NULL), 7);
	assert_int_equal(seen.n, 1);
	assert_int_equal(spool_jobs_count(db, count, NULL), 0);
	assert_true(count[OM_JOB_HELD] == 1 && count[OM_JOB_WAITING] == 51 && count[OM_JOB_RUNNING] == 1 && count[OM_JOB_DONE] == 0);
	spool_jobs_close(db);
}

/* ---- lists, against a plain reading of everything ---- */

static bool wanted(const struct spool_query *q, const struct spool_job *job)
{
	bool id = !q->nids;

	for (size_t i = 0; i < q->nids; i++)
		if (q->ids[i].id == job->id.id && (q->ids[i].elem == OM_ELEM_NONE || q->ids[i].elem == job->id.elem))
			id = true;
	if (q->after.id && (job->id.id < q->after.id || (job->id.id == q->after.id && job->id.elem <= q->after.elem)))
		return false;
	if (q->states ? !(q->states >> job->state & 1) : !q->all && om_job_state_ended(job->state))
		return false;
	if (!q->nids && job->array && !job->left && job->elements)
		return false;
	return id && (!q->user || strcmp(q->user, job->user) == 0) && (!q->name || strcmp(q->name, job->name) == 0);
}

static void check_query(struct spool_jobs *db, const struct spool_job *all, size_t nall, struct spool_query q)
{
	struct spool_job *list;
	size_t n, at = 0, k = 0;
	bool more;
	struct om_err e = { 0 };

	if (spool_jobs_query(db, &q, &list, &n, &more, &e) < 0)
		fail_msg("%s", e.text);
	for (; at < nall && k < n; at++)
		if (wanted(&q, &all[at])) {
			assert_true(om_job_id_same(all[at].id, list[k].id));
			k++;
		}
	assert_int_equal(k, n);
	for (; at < nall && !wanted(&q, &all[at]); at++)
		;
	assert_int_equal(more, at < nall);
	assert_true(!more || n == q.limit);
	free(list);
}

static void queries(void **state)
{
	struct spool_jobs *db = opened(dir);
	static const char *const users[] = { "alice", "bob", NULL }, *const names[] = { "true", "n1", NULL };
	struct spool_job *all;
	size_t nall;
	unsigned seed = 3;
	bool more;

	(void)state;
	for (int i = 0; i < 300; i++) {
		bool array = rand_r(&seed) % 6 == 0;
		struct spool_job job = insert(db, users[rand_r(&seed) % 2], array ? ",\"array\":{\"indices\":\"0-3\"}" : rand_r(&seed) % 2 ? "" : ",\"name\":\"n1\"");

		if (array) {
			struct spool_indices rest;
			struct spool_job elem;

			assert_int_equal(spool_jobs_get_rest(db, job.id.id, &rest, NULL), 0);
			for (uint32_t k = 0; k < (uint32_t)rand_r(&seed) % 5; k++)
				assert_int_equal(spool_jobs_insert_elem(db, &job, &rest, k, (enum om_job_state)(1 + rand_r(&seed) % 11), NULL, &elem, NULL), 0);
			spool_indices_done(&rest);
		} else {
			set_state(db, &job, (enum om_job_state)(1 + rand_r(&seed) % 11));
		}
	}
	committed(db);
	/* all rows, also those of used up arrays: by naming every id */
	{
		struct om_job_id ids[300];

		for (size_t i = 0; i < 300; i++)
			ids[i] = (struct om_job_id){ 300 - i, OM_ELEM_NONE };
		assert_int_equal(spool_jobs_query(db, &(struct spool_query){ .ids = ids, .nids = 300, .all = true }, &all, &nall, &more, NULL), 0);
		assert_true(!more && nall > 300);
	}
	for (int i = 0; i < 1500; i++) {
		struct om_job_id ids[3];
		struct spool_query q = { .user = users[rand_r(&seed) % 3], .name = names[rand_r(&seed) % 3], .all = rand_r(&seed) % 2,
					 .states = rand_r(&seed) % 3 ? 0 : (unsigned)rand_r(&seed) & 0xffe, .limit = 1 + (unsigned)rand_r(&seed) % 40, .ids = ids };

		if (rand_r(&seed) % 4 == 0)
			q.nids = 1 + (size_t)rand_r(&seed) % 3;
		for (size_t k = 0; k < q.nids; k++)
			ids[k] = (struct om_job_id){ 1 + (unsigned)rand_r(&seed) % 301, rand_r(&seed) % 3 ? OM_ELEM_NONE : rand_r(&seed) % 4 };
		if (rand_r(&seed) % 3 == 0)
			q.after = (struct om_job_id){ 1 + (unsigned)rand_r(&seed) % 300, rand_r(&seed) % 2 ? OM_ELEM_NONE : rand_r(&seed) % 4 };
		check_query(db, all, nall, q);
	}
	free(all);
	spool_jobs_close(db);
}

/* ---- history ---- */

static void history(void **state)
{
	struct spool_jobs *db = opened(dir);
	struct spool_job job, whole, elem;
	struct spool_indices rest;

	(void)state;
	for (int i = 1; i <= 10; i++) {	/* job i ends at i * 1000 ns */
		job = insert(db, "a", "");
		set_state(db, &job, OM_JOB_DONE);
	}
	job = insert(db, "a", ",\"depends\":[{\"type\":\"afterok\",\"job\":\"2\"}]");
	whole = insert(db, "a", ",\"array\":{\"indices\":\"0-2\"}");
	assert_int_equal(spool_jobs_get_rest(db, whole.id.id, &rest, NULL), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(spool_jobs_insert_elem(db, &whole, &rest, i, OM_JOB_DONE, &submitted, &elem, NULL), 0);
	spool_indices_done(&rest);
	committed(db);

	/* by age: 1 and 3; 2 is waited for, elements of a living array stay */
	ngone = 0;
	assert_int_equal(spool_jobs_prune(db, 4000, 1000, 100, note_gone, NULL, NULL), 2);
	assert_true(gone[0].id == 1 && gone[1].id == 3 && ngone == 2);
	committed(db);
	has(db, 1, OM_ELEM_NONE, false);
	has(db, 2, OM_ELEM_NONE, true);
	/* by number: 8 are left, 2 of them too many (2 is not among those that may go) */
	assert_int_equal(spool_jobs_prune(db, 0, 6, 100, note_gone, NULL, NULL), 2);
	has(db, 5, OM_ELEM_NONE, false);
	has(db, 6, OM_ELEM_NONE, true);
	/* the one that waited has ended */
	set_state(db, &job, OM_JOB_CANCELLED);
	assert_int_equal(spool_jobs_prune(db, 4000, 1000, 100, note_gone, NULL, NULL), 1);
	has(db, 2, OM_ELEM_NONE, false);
	/* an array in two pieces, itself last */
	whole.ended_ns = 100;
	whole.state = OM_JOB_DONE;
	assert_int_equal(spool_jobs_update(db, &whole, NULL, NULL), 0);
	ngone = 0;
	assert_int_equal(spool_jobs_prune(db, 101, 1000, 2, note_gone, NULL, NULL), 2);
	has(db, whole.id.id, OM_ELEM_NONE, true);
	assert_int_equal(spool_jobs_prune(db, 101, 1000, 100, note_gone, NULL, NULL), 2);
	assert_true(gone[3].elem == OM_ELEM_NONE && gone[3].id == whole.id.id);
	committed(db);
	assert_int_equal(spool_jobs_prune(db, 101, 1000, 100, note_gone, NULL, NULL), 0);
	assert_false(spool_jobs_pending(db));
	/* nothing of them is left */
	{
		struct spool_event *ev;
		struct spool_spec *s;
		size_t n;

		assert_int_equal(spool_jobs_get_events(db, elem.id, &ev, &n, NULL), 0);
		assert_int_equal(n, 0);
		free(ev);
		assert_int_equal(spool_jobs_get_spec(db, whole.id, &s, NULL), -ENOENT);
	}
	spool_jobs_close(db);
}

static int count_one(void *arg, const struct spool_job *job, const struct spool_dep *deps, size_t n)
{
	(void)job;
	(void)deps;
	*(size_t *)arg += 1 + n;
	return 0;
}

/* No times are asserted (the machine is shared); they are printed for whoever measures.  What is proved: work does not grow with the queue. */
static void many(void **state)
{
	enum { N = 100000 };
	struct spool_jobs *db = opened(dir);
	struct spool_job *list;
	struct spool_spec *s = make_spec("");
	uint64_t t[5];
	size_t n, active = 0;
	bool more;

	(void)state;
	t[0] = om_clock_mono_ns();
	for (int i = 0; i < N; i++) {
		struct spool_job job = record(i % 2 ? "alice" : "bob");

		assert_int_equal(spool_jobs_insert(db, s, &job, &submitted, NULL), 0);
	}
	committed(db);
	t[1] = om_clock_mono_ns();
	insert(db, "a", ",\"array\":{\"indices\":\"0-9999\"}");
	committed(db);
	t[2] = om_clock_mono_ns();
	assert_int_equal(spool_jobs_query(db, &(struct spool_query){ .user = "alice", .limit = 100 }, &list, &n, &more, NULL), 0);
	assert_true(n == 100 && more);
	free(list);
	assert_int_equal(spool_jobs_query(db, &(struct spool_query){ .limit = 1000 }, &list, &n, &more, NULL), 0);
	assert_true(n == 1000 && more);
	free(list);
	/* nothing to be found: the worst case */
	assert_int_equal(spool_jobs_query(db, &(struct spool_query){ .user = "carol", .name = "x" }, &list, &n, &more, NULL), 0);
	assert_true(n == 0 && !more);
	free(list);
	t[3] = om_clock_mono_ns();
	assert_int_equal(spool_jobs_each_active(db, count_one, &active, NULL), 0);
	assert_int_equal(active, N + 1);
	t[4] = om_clock_mono_ns();
	print_message("# %d inserts %" PRIu64 " us, array of 10000 %" PRIu64 " us, three pages %" PRIu64 " us, all active %" PRIu64 " us\n", N,
		      (t[1] - t[0]) / 1000, (t[2] - t[1]) / 1000, (t[3] - t[2]) / 1000, (t[4] - t[3]) / 1000);
	spool_spec_destroy(s);
	spool_jobs_close(db);
	t[0] = om_clock_mono_ns();
	db = opened(dir);
	print_message("# opened again %" PRIu64 " us\n", (om_clock_mono_ns() - t[0]) / 1000);
	spool_jobs_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_comes_back), TEST(ids_are_never_given_twice), TEST(one_request_is_undone), TEST(array_elements), TEST(active_ones),
		TEST(queries), TEST(history), TEST(many),
	};

	return cmocka_run_group_tests_name("spool-job", tests, NULL, NULL);
}
