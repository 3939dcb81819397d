/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database of jobs damaged, on a full or failing disk, after kill -9 and after a loss of power (= of any part of what was not fsynced). */
#include "tests/unit/spool-job.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/proc.h"

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

static int watch(void **state)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)watched_pwrite);
	vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)watched_pwrite);
	vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)watched_ftruncate);
	durable[0] = 0;
	fail_writes(0, 0);
	return set_up(state);
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
	not_opened(-EUCLEAN, "or move jobs/ away too to begin anew");
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

static int count_one(void *arg, const struct spool_job *job, const struct spool_dep *deps, size_t n)
{
	(void)job;
	(void)deps;
	(void)n;
	++*(int *)arg;
	return 0;
}

static void wrong_values(void **state)
{
	struct spool_jobs *db;
	struct spool_job job;
	struct spool_spec *s;
	struct om_err e = { 0 };
	int seen = 0;
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
	assert_int_equal(spool_jobs_each_active(db, count_one, &seen, NULL), -EUCLEAN);
	spool_jobs_close(db);
	sql("DELETE FROM job WHERE key=5");
	db = opened(dir);
	seen = 0;
	assert_int_equal(spool_jobs_each_active(db, count_one, &seen, NULL), -EUCLEAN);
	assert_int_equal(seen, 2);
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

/* ---- a real file system that is full, then one that is read-only ---- */

static void poke_proc(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(77);
	close(fd);
}

/* A tmpfs of 1 MiB on dir, seen by this process only; exits with 77 where that is not allowed. */
static void mount_small(void)
{
	char uids[32], gids[32];

	snprintf(uids, sizeof(uids), "0 %u 1", geteuid());
	snprintf(gids, sizeof(gids), "0 %u 1", getegid());
	if (geteuid()) {
		if (unshare(CLONE_NEWUSER) < 0)
			_exit(77);
		poke_proc("/proc/self/uid_map", uids);
		poke_proc("/proc/self/setgroups", "deny");
		poke_proc("/proc/self/gid_map", gids);
	}
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("small", dir, "tmpfs", 0, "size=1m,mode=700") < 0)
		_exit(77);
}

/* Jobs until the file system is full; the last of them that was committed. */
static uint64_t fill_disk(struct spool_jobs *db)
{
	struct spool_spec *s = make_spec("");
	uint64_t last = 0;
	struct om_err e = { 0 };
	int r;

	for (;;) {
		struct spool_job job = record("a");

		r = spool_jobs_insert(db, s, &job, &submitted, &e);
		if (r == 0)
			r = spool_jobs_commit(db, &e);
		if (r < 0)
			break;
		last = job.id.id;
	}
	spool_jobs_rollback(db);
	spool_spec_destroy(s);
	if (r != -ENOSPC || !strstr(e.text, "No space left"))
		fail_msg("%s", e.text);
	return last;
}

static void on_small_disk(void)
{
	char filler[128];
	struct spool_jobs *db;
	uint64_t last;
	int fd;
	struct om_err e = { 0 };

	mount_small();
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	fd = open(filler, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(posix_fallocate(fd, 0, 300 << 10), 0);
	close(fd);
	db = opened(dir);
	last = fill_disk(db);
	assert_true(last > 3);
	for (uint64_t id = 1; id <= last; id++)
		has(db, id, OM_ELEM_NONE, true);
	has(db, last + 1, OM_ELEM_NONE, false);
	assert_int_equal(unlink(filler), 0);
	assert_true(insert(db, "a", "").id.id > last);
	committed(db);
	spool_jobs_close(db);
	spool_jobs_close(opened(dir));
	assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	if (spool_jobs_open(dir, &db, &e) != -EROFS)
		fail_msg("read-only: %s", e.text);
}

static void full_and_read_only(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		on_small_disk();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();			/* no mounts for us here */
	assert_int_equal(status, 0);
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

#define WATCHED(f) cmocka_unit_test_setup_teardown(f, watch, tear_down)
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WATCHED(two_daemons), WATCHED(damaged_is_refused_and_kept), WATCHED(wrong_kinds), WATCHED(wrong_values), WATCHED(flipped_bytes),
		WATCHED(disk_full), WATCHED(commit_fault), WATCHED(full_and_read_only), WATCHED(killed_while_inserting), WATCHED(power_is_lost),
		WATCHED(power_is_lost_at_creation),
	};

	if (argc == 3 && strcmp(argv[1], "failing-commit") == 0) {
		snprintf(dir, sizeof(dir), "%s", argv[2]);
		return failing_commit();
	}
	return cmocka_run_group_tests_name("spool-damage", tests, NULL, NULL);
}
