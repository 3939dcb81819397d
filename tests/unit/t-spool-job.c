/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database under normal use, under errors of the disk, after kill -9 and after a loss of power (= of everything that was not fsynced). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/proc.h"
#include "spool/job.h"

static char dir[64];			/* of this test */

/* ---- the disk: SQLite's own calls come here first ---- */

static char durable[128];		/* "": not recorded.  Else a folder with what is surely on the disk */

/* Written, but not yet fsynced: a loss of power keeps any part of these. */
struct unsafe {
	char name[32];			/* file in dir */
	off_t off;
	size_t n;			/* 0: cut to off */
	void *data;
};
static struct unsafe *unsafe;
static size_t nunsafe;

/* The name below dir of the file behind @fd; NULL: it is elsewhere. */
static const char *name_of(int fd, char path[256])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, 255);
	assert_true(n > 0);
	path[n] = 0;
	return strncmp(path, dir, strlen(dir)) == 0 && path[strlen(dir)] == '/' ? path + strlen(dir) + 1 : NULL;
}

static void note_write(int fd, const void *buf, size_t n, off_t off)
{
	char path[256];
	const char *name = name_of(fd, path);
	struct unsafe *u;

	if (!durable[0] || !name)
		return;
	unsafe = realloc(unsafe, (nunsafe + 1) * sizeof(*unsafe));
	u = &unsafe[nunsafe++];
	snprintf(u->name, sizeof(u->name), "%s", name);
	u->off = off;
	u->n = n;
	u->data = malloc(n ? n : 1);
	memcpy(u->data, buf, n);
}

static void apply(const struct unsafe *u, const char *folder)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, u->name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	if (u->n)
		assert_int_equal(pwrite(fd, u->data, u->n, u->off), (ssize_t)u->n);
	else
		assert_int_equal(ftruncate(fd, u->off), 0);
	close(fd);
}

static void forget(void)
{
	while (nunsafe)
		free(unsafe[--nunsafe].data);
	free(unsafe);
	unsafe = NULL;
	durable[0] = 0;
}

int fdatasync(int fd)			/* instead of libc's, also for libsqlite3 */
{
	char path[256];
	const char *name = durable[0] ? name_of(fd, path) : NULL;
	size_t kept = 0;

	for (size_t i = 0; name && i < nunsafe; i++) {
		if (strcmp(unsafe[i].name, name) == 0) {
			apply(&unsafe[i], durable);
			free(unsafe[i].data);
		} else {
			unsafe[kept++] = unsafe[i];
		}
	}
	if (name)
		nunsafe = kept;
	return 0;
}
int fsync(int fd)
{
	return fdatasync(fd);
}

static int write_error, writes_until_error;
static ssize_t watched_pwrite(int fd, const void *buf, size_t n, off_t off)
{
	ssize_t r;

	if (write_error && writes_until_error-- <= 0) {
		errno = write_error;
		return -1;
	}
	r = pwrite(fd, buf, n, off);
	if (r > 0)
		note_write(fd, buf, (size_t)r, off);
	return r;
}
static int watched_ftruncate(int fd, off_t size)
{
	int r = ftruncate(fd, size);

	if (r == 0)
		note_write(fd, "", 0, size);
	return r;
}

static void fail_writes(int error, int after)
{
	write_error = error;
	writes_until_error = after;
}

/* ---- helpers ---- */

static int set_up(void **state)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	(void)state;
	snprintf(dir, sizeof(dir), "%s/t-spool-job.XXXXXX", getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 30 ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(dir));
	durable[0] = 0;
	fail_writes(0, 0);
	vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)watched_pwrite);
	vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)watched_pwrite);
	vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)watched_ftruncate);
	return 0;
}

static void remove_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char name[400];

	while (d && (e = readdir(d))) {
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.' && unlink(name) < 0)
			rmdir(name);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static int tear_down(void **state)
{
	char name[128];

	(void)state;
	snprintf(name, sizeof(name), "%s/jobs", dir);
	remove_folder(name);
	remove_folder(dir);
	return 0;
}

static struct spool_jobs *opened(const char *folder)
{
	struct spool_jobs *db = NULL;
	struct om_err e = { 0 };

	if (spool_jobs_open(folder, &db, &e) < 0)
		fail_msg("open: %s", e.text);
	return db;
}

static void not_opened(int code, const char *part)
{
	struct spool_jobs *db = (void *)&code;
	struct om_err e = { 0 };
	int r = spool_jobs_open(dir, &db, &e);

	if (r != code || !strstr(e.text, part))
		fail_msg("open: %d '%s', expected %d '%s'", r, e.text, code, part);
	assert_ptr_equal(db, &code);
}

static struct spool_spec *make_spec(const char *members)
{
	char text[1024];
	json_t *json;
	struct spool_spec *s = NULL;
	struct om_err e = { 0 };

	snprintf(text, sizeof(text), "{\"argv\":[\"true\"],\"chdir\":\"/\",\"env\":{\"HOME\":\"/root\"}%s}", members);
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	if (spool_spec_parse(json, &s, &e) < 0)
		fail_msg("%s", e.text);
	json_decref(json);
	return s;
}

static struct spool_job record(const char *user)
{
	struct spool_job job = { .uid = 1000, .gid = 100, .state = OM_JOB_WAITING, .submitted_ns = 5 };

	snprintf(job.user, sizeof(job.user), "%s", user);
	return job;
}

static const struct spool_event submitted = { .time_ns = 5, .what = 1, .state = OM_JOB_WAITING, .text = "submitted" };

static struct spool_job insert(struct spool_jobs *db, const char *user, const char *members)
{
	struct spool_spec *s = make_spec(members);
	struct spool_job job = record(user);
	struct om_err e = { 0 };

	if (spool_jobs_insert(db, s, &job, &submitted, &e) < 0)
		fail_msg("insert: %s", e.text);
	spool_spec_destroy(s);
	return job;
}

static void committed(struct spool_jobs *db)
{
	struct om_err e = { 0 };

	if (spool_jobs_commit(db, &e) < 0)
		fail_msg("commit: %s", e.text);
	assert_false(spool_jobs_pending(db));
}

static void set_state(struct spool_jobs *db, struct spool_job *job, enum om_job_state s)
{
	job->state = s;
	if (om_job_state_ended(s))
		job->ended_ns = job->id.id * 1000;
	assert_int_equal(spool_jobs_update(db, job, NULL, NULL), 0);
}

static void has(struct spool_jobs *db, uint64_t id, int32_t elem, bool there)
{
	struct spool_job job;

	assert_int_equal(spool_jobs_get(db, (struct om_job_id){ id, elem }, &job, NULL), there ? 0 : -ENOENT);
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

/* ---- what may not happen ---- */

static void two_daemons(void **state)
{
	struct spool_jobs *db = opened(dir);
	pid_t pid;
	int status;

	(void)state;
	pid = fork();			/* locks of the same process do not count */
	if (pid == 0) {
		struct spool_jobs *other;
		struct om_err e = { 0 };
		int r = spool_jobs_open(dir, &other, &e);

		_exit(r == -EBUSY && strstr(e.text, "in use by another process") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	insert(db, "a", "");
	committed(db);
	spool_jobs_close(db);
}

static void poke(const char *name, off_t at, const char *bytes, size_t n)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

static off_t db_size(void)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/omd.db", dir);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void cut(off_t size)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/omd.db", dir);
	assert_int_equal(truncate(path, size), 0);
}

static void sql(const char *text)
{
	char path[128];
	sqlite3 *s;

	snprintf(path, sizeof(path), "%s/omd.db", dir);
	assert_int_equal(sqlite3_open(path, &s), SQLITE_OK);
	assert_int_equal(sqlite3_exec(s, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(s);
}

static void fill_some(int n)
{
	struct spool_jobs *db = opened(dir);

	for (int i = 0; i < n; i++)
		insert(db, "alice", "");
	committed(db);
	spool_jobs_close(db);
}

static void damaged_is_refused_and_kept(void **state)
{
	char path[128];
	off_t size;

	(void)state;
	fill_some(200);
	size = db_size();
	cut(0);
	not_opened(-EUCLEAN, "it is empty");
	assert_int_equal(db_size(), 0);
	poke("omd.db", 0, "this is no database, whatever its name says it is supposed to be", 64);
	not_opened(-EUCLEAN, "is damaged");
	snprintf(path, sizeof(path), "%s/omd.db", dir);
	unlink(path);
	/* gone, but the folders of jobs are there */
	snprintf(path, sizeof(path), "%s/jobs", dir);
	assert_int_equal(mkdir(path, 0711), 0);
	snprintf(path, sizeof(path), "%s/jobs/17", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	not_opened(-EUCLEAN, "it is missing");
	rmdir(path);
	poke("omd.db-wal", 0, "x", 1);
	not_opened(-EUCLEAN, "it is missing");
	snprintf(path, sizeof(path), "%s/omd.db-wal", dir);
	unlink(path);
	fill_some(200);
	assert_int_equal(db_size(), size);
	cut(size / 2);
	not_opened(-EUCLEAN, "Put a backup in its place");
	assert_int_equal(db_size(), size / 2);
	snprintf(path, sizeof(path), "%s/omd.db", dir);
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	not_opened(-EUCLEAN, "no regular file");
	unlink(path);
}

static void wrong_kinds(void **state)
{
	(void)state;
	fill_some(3);
	sql("PRAGMA user_version=2");
	not_opened(-EPROTO, "newer version");
	sql("PRAGMA user_version=0");
	not_opened(-EUCLEAN, "unknown format");
	sql("PRAGMA user_version=1; PRAGMA application_id=5");
	not_opened(-EUCLEAN, "is not a job database");
	sql("PRAGMA application_id=1869426737; UPDATE meta SET next_id=-2; DELETE FROM job");
	not_opened(-EUCLEAN, "out of range");
	sql("DELETE FROM meta");
	not_opened(-EUCLEAN, "table is empty");
	sql("INSERT INTO meta VALUES(9); DROP TABLE meta");
	not_opened(-EUCLEAN, "no such table");
	sql("PRAGMA journal_mode=DELETE");
	not_opened(-EUCLEAN, "log is switched off");
}

static void wrong_values(void **state)
{
	struct spool_jobs *db;
	struct spool_job job;
	struct spool_spec *s;
	struct om_err e = { 0 };
	struct seen seen = { .stop = 0 };
	struct spool_indices rest;

	(void)state;
	fill_some(6);
	sql("UPDATE job SET state=77 WHERE key>>21=1; UPDATE spec SET text=replace(text,'true','rm') WHERE id=2; UPDATE spec SET sum=sum+1 WHERE id=3;"
	    "UPDATE job SET depends='afterok:x' WHERE key>>21=4; UPDATE job SET rest='7-' WHERE key>>21=5; UPDATE job SET key=5 WHERE key>>21=6");
	db = opened(dir);
	assert_int_equal(spool_jobs_get(db, (struct om_job_id){ 1, -1 }, &job, &e), -EUCLEAN);
	assert_int_equal(spool_jobs_get_spec(db, (struct om_job_id){ 2, -1 }, &s, &e), -EUCLEAN);
	assert_non_null(strstr(e.text, "description of job 2"));
	assert_int_equal(spool_jobs_get_spec(db, (struct om_job_id){ 3, -1 }, &s, NULL), -EUCLEAN);
	assert_int_equal(spool_jobs_get_rest(db, 5, &rest, NULL), -EUCLEAN);
	assert_int_equal(spool_jobs_each_active(db, see, &seen, NULL), -EUCLEAN);
	spool_jobs_close(db);
	sql("DELETE FROM job WHERE key=5");
	db = opened(dir);
	seen.n = 0;
	assert_int_equal(spool_jobs_each_active(db, see, &seen, NULL), -EUCLEAN);
	assert_int_equal(seen.n, 2);
	spool_jobs_close(db);
}

/* Flip bytes all over: opening and reading either works or fails; it never crashes, and the file is as it was. */
static void flipped_bytes(void **state)
{
	unsigned seed = 11;
	char path[128], copy[128], cmd[400];
	off_t size;

	(void)state;
	fill_some(60);
	snprintf(path, sizeof(path), "%s/omd.db", dir);
	snprintf(copy, sizeof(copy), "%s/copy", dir);
	snprintf(cmd, sizeof(cmd), "cp %s %s", path, copy);
	assert_int_equal(system(cmd), 0);
	size = db_size();
	snprintf(cmd, sizeof(cmd), "cp %s %s; rm -f %s-wal", copy, path, path);
	for (int i = 0; i < 60; i++) {
		struct spool_jobs *db = NULL;
		struct om_err e = { 0 };
		char junk[4];
		int r;

		assert_int_equal(system(cmd), 0);
		for (size_t k = 0; k < sizeof(junk); k++)
			junk[k] = (char)rand_r(&seed);
		poke("omd.db", rand_r(&seed) % (size - 4), junk, sizeof(junk));
		r = spool_jobs_open(dir, &db, &e);
		if (r < 0) {
			assert_true(e.text[0]);
			continue;
		}
		for (uint64_t id = 1; id <= 60; id++) {
			struct spool_job job;
			struct spool_spec *s = NULL;

			r = spool_jobs_get(db, (struct om_job_id){ id, -1 }, &job, &e);
			assert_true(r == 0 || r == -EUCLEAN || r == -ENOENT);
			r = spool_jobs_get_spec(db, (struct om_job_id){ id, -1 }, &s, &e);
			assert_true(r == 0 || r == -EUCLEAN || r == -ENOENT);
			if (r == 0)	/* the checksum: what comes is what was stored */
				assert_string_equal(s->argv[0], "true");
			spool_spec_destroy(s);
		}
		spool_jobs_close(db);
	}
}

static void disk_full(void **state)
{
	struct spool_jobs *db = opened(dir);
	struct om_err e = { 0 };
	uint64_t last;
	int errors = 0;

	(void)state;
	last = insert(db, "a", "").id.id;
	committed(db);
	for (int after = 0; after < 40; after++) {
		int error = after % 2 ? ENOSPC : EIO, r = 0, want = error == ENOSPC ? -ENOSPC : -EIO;
		struct spool_spec *s = make_spec("");
		uint64_t first = 0;

		fail_writes(error, after);
		for (int i = 0; i < 50 && r == 0; i++) {
			struct spool_job job = record("a");

			r = spool_jobs_insert(db, s, &job, &submitted, &e);
			if (!first)
				first = job.id.id;
		}
		if (r == 0)
			r = spool_jobs_commit(db, &e);
		fail_writes(0, 0);
		spool_spec_destroy(s);
		if (r == 0) {		/* more writes were allowed than it needs */
			last = first;
			continue;
		}
		errors++;
		assert_int_equal(r, want);
		assert_non_null(strstr(e.text, "omd.db"));
		spool_jobs_rollback(db);
		if (first)
			has(db, first, OM_ELEM_NONE, false);
		has(db, last, OM_ELEM_NONE, true);
		/* and it goes on */
		last = insert(db, "a", "").id.id;
		committed(db);
	}
	assert_true(errors > 5);
	spool_jobs_close(db);
	db = opened(dir);
	has(db, last, OM_ELEM_NONE, true);
	spool_jobs_close(db);
}

/* In a program of its own: base/fault.c reads its variable once.  See main(). */
static int failing_commit(void)
{
	struct spool_jobs *db = opened(dir);
	struct spool_job job;
	struct om_err e = { 0 };

	insert(db, "a", "");
	committed(db);
	job = insert(db, "a", "");
	if (spool_jobs_commit(db, &e) != -ENOSPC || spool_jobs_pending(db) || spool_jobs_get(db, job.id, &job, NULL) != -ENOENT)
		return 1;
	insert(db, "a", "");
	committed(db);
	spool_jobs_close(db);
	return 0;
}

static void commit_fault(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		setenv("OM_FAULT", "db_commit:2:ENOSPC", 1);
		execl("/proc/self/exe", "t-spool-job", "failing-commit", dir, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void read_only(void **state)
{
	char path[128];

	(void)state;
	if (geteuid() == 0) {		/* root writes everything: an immutable file system is for the system tests */
		skip();
		return;
	}
	fill_some(1);
	snprintf(path, sizeof(path), "%s/omd.db", dir);
	assert_int_equal(chmod(path, 0400), 0);
	not_opened(-EROFS, "open for writing");
}

/* ---- kill -9, loss of power ---- */

/* Insert in batches for ever; each number of a committed job goes to @out. */
static void insert_for_ever(int out)
{
	struct spool_jobs *db = opened(dir);

	for (unsigned round = 0;; round++) {
		uint64_t ids[8];
		size_t n = 1 + round % 8;

		for (size_t i = 0; i < n; i++)
			ids[i] = insert(db, "a", i % 3 ? "" : ",\"array\":{\"indices\":\"0-99\"}").id.id;
		committed(db);
		om_fd_write_all(out, ids, n * sizeof(*ids));
	}
}

static void killed_while_inserting(void **state)
{
	unsigned seed = 5;
	uint64_t most = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		uint64_t id, last = 0, all[100000];
		size_t n = 0, stop_at = (size_t)rand_r(&seed) % 300;
		struct spool_jobs *db;
		int p[2], pidfd, status;
		pid_t pid;

		assert_int_equal(pipe(p), 0);
		pid = fork();
		if (pid == 0) {
			close(p[0]);
			insert_for_ever(p[1]);
		}
		close(p[1]);
		pidfd = om_pidfd_open(pid);
		while (om_fd_read_all(p[0], &id, sizeof(id)) == 0) {
			if (n < 100000)
				all[n++] = id;
			if (n >= stop_at)
				om_pidfd_signal(pidfd, SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		close(pidfd);
		close(p[0]);
		db = opened(dir);
		for (size_t i = 0; i < n; i++) {
			struct spool_spec *s;

			assert_true(all[i] > most);	/* no id of a round before */
			has(db, all[i], OM_ELEM_NONE, true);
			assert_int_equal(spool_jobs_get_spec(db, (struct om_job_id){ all[i], -1 }, &s, NULL), 0);
			spool_spec_destroy(s);
			last = all[i];
		}
		if (last > most)
			most = last;
		/* those that were committed but not told */
		id = insert(db, "a", "").id.id;
		committed(db);
		assert_true(id > most);
		most = id;
		spool_jobs_close(db);
	}
}

/* The power goes now: @saved and any part of what was not fsynced, in @lost. */
static void lose_power(const char *lost, unsigned *seed)
{
	char cmd[400];

	snprintf(cmd, sizeof(cmd), "rm -rf %s && cp -r %s %s", lost, durable, lost);
	assert_int_equal(system(cmd), 0);
	for (size_t i = 0; i < nunsafe; i++)
		if (rand_r(seed) % 2)
			apply(&unsafe[i], lost);
}

/* All that were told to be there, up to @last, are. */
static void check_lost(const char *lost, uint64_t last)
{
	struct spool_jobs *db;
	char now[sizeof(durable)];

	memcpy(now, durable, sizeof(now));
	durable[0] = 0;			/* what happens now is not recorded */
	db = opened(lost);
	for (uint64_t id = 1; id <= last; id++)
		has(db, id, OM_ELEM_NONE, true);
	spool_jobs_close(db);
	memcpy(durable, now, sizeof(durable));
}

static void power_is_lost(void **state)
{
	struct spool_jobs *db;
	char saved[128], lost[128];
	struct spool_job job = { .id = { 0, 0 } };
	unsigned seed = 21;

	(void)state;
	fill_some(1);			/* its creation is another test: this one has no model of renames */
	snprintf(saved, sizeof(saved), "%s.saved", dir);
	snprintf(lost, sizeof(lost), "%s.lost", dir);
	{
		char cmd[400];

		snprintf(cmd, sizeof(cmd), "cp -r %s %s", dir, saved);
		assert_int_equal(system(cmd), 0);
	}
	snprintf(durable, sizeof(durable), "%s", saved);
	db = opened(dir);
	for (int i = 0; i < 800; i++) {
		bool middle = i % 100 == 50, end = i % 100 == 99;	/* of a batch */

		job = insert(db, "a", i % 7 ? "" : ",\"array\":{\"indices\":\"0-9\"}");
		if (middle)
			lose_power(lost, &seed);
		committed(db);
		if (end)
			lose_power(lost, &seed);
		if (middle || end)
			check_lost(lost, job.id.id - middle);
	}
	forget();
	spool_jobs_close(db);
	remove_folder(saved);
	remove_folder(lost);
}

/* A loss of power at each moment of making a new database: what is there then is no omd.db at all, or a whole one. */
static void power_is_lost_at_creation(void **state)
{
	char lost[128], name[160];
	unsigned seed = 4;
	struct stat st;

	(void)state;
	snprintf(lost, sizeof(lost), "%s.lost", dir);
	assert_int_equal(mkdir(lost, 0700), 0);
	snprintf(durable, sizeof(durable), "%s", lost);
	spool_jobs_close(opened(dir));
	for (size_t i = 0; i < nunsafe; i++)
		if (rand_r(&seed) % 2)
			apply(&unsafe[i], lost);
	forget();
	/* the rename was not fsynced */
	snprintf(name, sizeof(name), "%s/omd.db", lost);
	if (stat(name, &st) == 0)
		unlink(name);
	spool_jobs_close(opened(lost));
	remove_folder(lost);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(all_comes_back), TEST(ids_are_never_given_twice), TEST(one_request_is_undone), TEST(array_elements), TEST(active_ones),
		TEST(queries), TEST(history), TEST(two_daemons), TEST(damaged_is_refused_and_kept), TEST(wrong_kinds), TEST(wrong_values),
		TEST(flipped_bytes), TEST(disk_full), TEST(commit_fault), TEST(read_only), TEST(killed_while_inserting), TEST(power_is_lost),
		TEST(power_is_lost_at_creation),
		TEST(many),
	};

	if (argc == 3 && strcmp(argv[1], "failing-commit") == 0) {
		snprintf(dir, sizeof(dir), "%s", argv[2]);
		return failing_commit();
	}
	return cmocka_run_group_tests_name("spool-job", tests, NULL, NULL);
}
