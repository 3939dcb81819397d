/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/spool-job.h - a spool of its own for each test, and short calls that fail the test when they fail. */
#ifndef OM_TESTS_SPOOL_JOB_H
#define OM_TESTS_SPOOL_JOB_H
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "spool/job.h"

static char dir[64];			/* of this test */

static inline int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/t-spool-job.XXXXXX", getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 30 ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static inline void remove_folder(const char *path)
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

static inline int tear_down(void **state)
{
	char name[128];

	(void)state;
	snprintf(name, sizeof(name), "%s/jobs", dir);
	remove_folder(name);
	remove_folder(dir);
	return 0;
}

static inline struct spool_jobs *opened(const char *folder)
{
	struct spool_jobs *db = NULL;
	struct om_err e = { 0 };

	if (spool_jobs_open(folder, &db, &e) < 0)
		fail_msg("open: %s", e.text);
	return db;
}

static inline struct spool_spec *make_spec(const char *members)
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

static inline struct spool_job record(const char *user)
{
	struct spool_job job = { .uid = 1000, .gid = 100, .state = OM_JOB_WAITING, .submitted_ns = 5 };

	snprintf(job.user, sizeof(job.user), "%s", user);
	return job;
}

static const struct spool_event submitted = { .time_ns = 5, .what = 1, .state = OM_JOB_WAITING, .text = "submitted" };

static inline struct spool_job insert(struct spool_jobs *db, const char *user, const char *members)
{
	struct spool_spec *s = make_spec(members);
	struct spool_job job = record(user);
	struct om_err e = { 0 };

	if (spool_jobs_insert(db, s, &job, &submitted, &e) < 0)
		fail_msg("insert: %s", e.text);
	spool_spec_destroy(s);
	return job;
}

static inline void committed(struct spool_jobs *db)
{
	struct om_err e = { 0 };

	if (spool_jobs_commit(db, &e) < 0)
		fail_msg("commit: %s", e.text);
	assert_false(spool_jobs_pending(db));
}

static inline void has(struct spool_jobs *db, uint64_t id, int32_t elem, bool there)
{
	struct spool_job job;

	assert_int_equal(spool_jobs_get(db, (struct om_job_id){ id, elem }, &job, NULL), there ? 0 : -ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#endif
