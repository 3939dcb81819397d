/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The database: one file, write-ahead log, synchronous=FULL: a commit is one fdatasync of the log.  It is locked exclusively for as long as it is open: the
 * log's index then lives in memory, and two daemons cannot meet.
 *
 * A new database is built under another name and renamed when it is whole.  So an omd.db that is empty, or missing beside folders of jobs, was
 * damaged by somebody and is refused; SQLite by itself would take an empty file for a new database, and ids would be given again. */
#include "spool/job-db.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/mem.h"
#include "spool/file.h"

enum {
	APPLICATION_ID = 0x6f6d3031,	/* "om01" */
	SCHEMA_VERSION = 1,
	CACHE_KIB = 8192,		/* of omd's memory */
	LOG_PAGES = 2000,		/* 8 MB: then the log is copied into the database, some 10 ms of work */
	CHECK_ALL_MAX = 256 * 1024 * 1024	/* bytes; larger databases: only the tables of records, not the descriptions, are checked at the start */
};

#define DB_NAME "omd.db"
#define NEW_NAME "omd.db.new"
#define COLUMN_DEF(column, member) "," #column " INTEGER NOT NULL"

static const char schema[] =
	"PRAGMA application_id=1869426737;"
	"PRAGMA user_version=1;"
	"CREATE TABLE meta(next_id INTEGER NOT NULL);"
	"INSERT INTO meta VALUES(1);"
	"CREATE TABLE job(key INTEGER PRIMARY KEY, user TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL" JOB_NUMBERS(COLUMN_DEF)
	", events INTEGER NOT NULL DEFAULT 0, rest TEXT, depends TEXT);"
	/* one index for all lists: each one more is a page more to write for each job */
	"CREATE INDEX job_state ON job(state, key, user, name);"
	"CREATE INDEX job_over ON job(ended_at) WHERE state>=7 AND key&2097151=0;"
	"CREATE TABLE spec(id INTEGER PRIMARY KEY, sum INTEGER NOT NULL, text TEXT NOT NULL);"
	"CREATE TABLE event(key INTEGER NOT NULL, n INTEGER NOT NULL, time INTEGER NOT NULL, what INTEGER NOT NULL, state INTEGER NOT NULL,"
	" text TEXT NOT NULL, PRIMARY KEY(key, n)) WITHOUT ROWID;"
	"CREATE TABLE dep(key INTEGER NOT NULL, target INTEGER NOT NULL, PRIMARY KEY(key, target)) WITHOUT ROWID;"
	"CREATE INDEX dep_target ON dep(target);";
_Static_assert(APPLICATION_ID == 1869426737 && SCHEMA_VERSION == 1 && KEY_MASK == 2097151 && OM_JOB_DONE == 7, "the numbers in the schema's text");

#define PLACE(column, member) ",?"
#define SETTING(column, member) "," #column "=?"

static const char *const texts[STATEMENTS] = {
	[ST_INSERT] = "INSERT INTO job(" JOB_COLUMNS ",rest,depends) VALUES(?,?,?,?" JOB_NUMBERS(PLACE) ",?,?)",
	/* a rest that was dropped as a whole (cancelled) is dropped here too */
	[ST_UPDATE] = "UPDATE job SET key=?,user=?,name=?,reason=?" JOB_NUMBERS(SETTING) ",rest=CASE ? WHEN 0 THEN NULL ELSE rest END WHERE key=?",
	[ST_SET_REST] = "UPDATE job SET rest=? WHERE key=?",
	[ST_SPEC] = "INSERT INTO spec VALUES(?,?,?)",
	[ST_EVENT] = "INSERT INTO event SELECT key,events,?,?,?,? FROM job WHERE key=?",
	[ST_COUNT_EVENT] = "UPDATE job SET events=events+1 WHERE key=?",
	[ST_DEP] = "INSERT OR IGNORE INTO dep VALUES(?,?)",
	[ST_DEP_GONE] = "DELETE FROM dep WHERE key=?",
	[ST_GET] = "SELECT " JOB_COLUMNS " FROM job WHERE key=?",
	[ST_GET_SPEC] = "SELECT sum,text FROM spec WHERE id=?",
	[ST_GET_REST] = "SELECT rest FROM job WHERE key=?",
	[ST_GET_EVENTS] = "SELECT time,what,state,text FROM event WHERE key=? ORDER BY n",
	[ST_GET_DEPENDS] = "SELECT depends FROM job WHERE key=?",
	[ST_ACTIVE] = "SELECT key FROM job INDEXED BY job_state WHERE state BETWEEN 1 AND 6 ORDER BY key",
	[ST_COUNT] = "SELECT state,sum(CASE array WHEN 1 THEN rest_left ELSE 1 END) FROM job INDEXED BY job_state WHERE state BETWEEN 1 AND 6 GROUP BY state",
	[ST_MARK] = "SAVEPOINT request",
	[ST_REVERT] = "ROLLBACK TO request",
	[ST_RELEASE] = "RELEASE request",
	[ST_NEXT_ID] = "UPDATE meta SET next_id=?",
	[ST_BEGIN] = "BEGIN",
	[ST_COMMIT] = "COMMIT",
	[ST_OVER_COUNT] = "SELECT count(*) FROM job INDEXED BY job_over WHERE state>=7 AND key&2097151=0",
	[ST_OVER] = "SELECT key,ended_at FROM job INDEXED BY job_over WHERE state>=7 AND key&2097151=0 AND"
		" NOT EXISTS(SELECT 1 FROM dep WHERE target BETWEEN job.key AND job.key+2097151) ORDER BY ended_at,key LIMIT ?",
	[ST_ELEMENTS] = "SELECT key FROM job WHERE key>? AND key<=? LIMIT ?",
	[ST_DELETE] = "DELETE FROM job WHERE key=?",
	[ST_DELETE_EVENTS] = "DELETE FROM event WHERE key=?",
	[ST_DELETE_SPEC] = "DELETE FROM spec WHERE id=?",
};

/* ---- errors ---- */

int job_damaged(const struct spool_jobs *db, const char *what, struct om_err *err)
{
	/* what to do is worth more than the beginning of a long path */
	size_t n = strlen(db->path), cut = n > 70 ? n - 70 : 0;

	return om_err_set(err, -EUCLEAN, "job database '%s%s' is damaged (%.70s); nothing was changed. Move " DB_NAME "* away and put a backup there, "
			  "or move jobs/ away too to begin anew", cut ? "..." : "", db->path + cut, what);
}

static int errno_of(struct spool_jobs *db, int rc)
{
	int e;

	switch (rc & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR:		/* a table or column is missing */
	case SQLITE_CONSTRAINT:
		return -EUCLEAN;
	default:			/* IOERR, CANTOPEN */
		e = db->sql ? sqlite3_system_errno(db->sql) : 0;
		return e > 0 ? -e : -EIO;
	}
}

int job_error(struct spool_jobs *db, int rc, const char *what, struct om_err *err)
{
	int code = errno_of(db, rc);

	/* some errors end the whole transaction: what was written before is gone too */
	if (db->open && db->sql && sqlite3_get_autocommit(db->sql))
		db->broken = code;
	if (code == -EUCLEAN)
		return job_damaged(db, db->sql ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc), err);
	if (code == -EBUSY)
		return om_err_set(err, code, "job database '%s' is in use by another process", db->path);
	return om_err_sys(err, code, "job database '%s': %s", db->path, what);
}

/* ---- statements ---- */

sqlite3_stmt *job_statement(struct spool_jobs *db, enum statement which, int *ret_code, struct om_err *err)
{
	if (!db->st[which]) {
		int rc = sqlite3_prepare_v3(db->sql, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &db->st[which], NULL);

		if (rc != SQLITE_OK) {
			*ret_code = job_error(db, rc, "prepare", err);
			return NULL;
		}
	}
	sqlite3_reset(db->st[which]);
	return db->st[which];
}

int job_step(struct spool_jobs *db, sqlite3_stmt *st, const char *what, struct om_err *err)
{
	int rc = sqlite3_step(st), r = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : job_error(db, rc, what, err);

	sqlite3_reset(st);
	return r;
}

static int run(struct spool_jobs *db, enum statement which, const char *what, struct om_err *err)
{
	int r = 0;
	sqlite3_stmt *st = job_statement(db, which, &r, err);

	return st ? job_step(db, st, what, err) : r;
}

/* ---- batches ---- */

int job_begin(struct spool_jobs *db, struct om_err *err)
{
	int r;

	if (db->broken)
		return om_err_sys(err, db->broken, "job database '%s': an earlier write of this batch failed", db->path);
	if (db->open)
		return 0;
	r = run(db, ST_BEGIN, "begin", err);
	db->open = r == 0;
	return r;
}

bool spool_jobs_pending(const struct spool_jobs *db)
{
	return db->open;
}

void spool_jobs_rollback(struct spool_jobs *db)
{
	for (int i = 0; i < STATEMENTS; i++)
		if (db->st[i])
			sqlite3_reset(db->st[i]);
	if (!sqlite3_get_autocommit(db->sql))
		sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);	/* cannot fail but for what has rolled back already */
	db->open = db->marked = false;
	db->broken = 0;
}

/* An id must never be given again, whatever becomes of its job.  As long as the records are there they say which were given; before some are deleted, it is
 * written down.  (Ids of a batch that was dropped were never told to anybody.) */
int job_save_next_id(struct spool_jobs *db, struct om_err *err)
{
	int r = 0;
	sqlite3_stmt *st;

	st = job_statement(db, ST_NEXT_ID, &r, err);
	if (!st)
		return r;
	sqlite3_bind_int64(st, 1, (int64_t)db->next_id);
	return job_step(db, st, "write", err);
}

static int commit(struct spool_jobs *db, struct om_err *err)
{
	int r;

	if (db->broken)
		return om_err_sys(err, db->broken, "job database '%s': write", db->path);
	r = om_fault(OM_FI_DB_COMMIT);
	if (r < 0)
		return om_err_sys(err, r, "job database '%s': commit", db->path);
	return run(db, ST_COMMIT, "commit", err);
}

int spool_jobs_commit(struct spool_jobs *db, struct om_err *err)
{
	int r;

	if (!db->open)
		return 0;
	r = commit(db, err);
	if (r < 0) {
		spool_jobs_rollback(db);
		return r;
	}
	db->open = db->marked = false;
	return 0;
}

int spool_jobs_mark(struct spool_jobs *db, struct om_err *err)
{
	int r = job_begin(db, err);

	if (r == 0 && db->marked)	/* the mark before goes */
		r = run(db, ST_RELEASE, "release", err);
	if (r == 0)
		r = run(db, ST_MARK, "mark", err);
	db->marked = r == 0;
	return r;
}

int spool_jobs_revert(struct spool_jobs *db, struct om_err *err)
{
	if (db->broken)
		return om_err_sys(err, db->broken, "job database '%s': write", db->path);
	if (!db->marked)
		return om_err_set(err, -EINVAL, "job database: nothing was marked");
	return run(db, ST_REVERT, "revert", err);
}

/* ---- open ---- */

static int exec(struct spool_jobs *db, const char *text, struct om_err *err)
{
	int rc = sqlite3_exec(db->sql, text, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : job_error(db, rc, "open", err);
}

static int open_file(struct spool_jobs *db, const char *path, struct om_err *err)
{
	int rc = sqlite3_open_v2(path, &db->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE, NULL);

	if (rc != SQLITE_OK)
		return job_error(db, rc, "open", err);
	if (sqlite3_db_readonly(db->sql, "main") == 1)
		return om_err_sys(err, -EROFS, "job database '%s': open for writing", path);
	return 0;
}

/* Leftovers of a creation that was cut short; none of it was ever in use. */
static void remove_new(int dirfd)
{
	unlinkat(dirfd, NEW_NAME, 0);
	unlinkat(dirfd, NEW_NAME "-journal", 0);
	unlinkat(dirfd, NEW_NAME "-wal", 0);
	unlinkat(dirfd, NEW_NAME "-shm", 0);
}

static int create(const char *folder, int dirfd, struct om_err *err)
{
	om_autofree char *path = NULL;
	struct spool_jobs db = { 0 };
	om_autofd int fd = -1;
	int r;

	if (asprintf(&path, "%s/" NEW_NAME, folder) < 0) {
		path = NULL;
		return om_err_set(err, -ENOMEM, "job database: out of memory");
	}
	remove_new(dirfd);
	fd = openat(dirfd, NEW_NAME, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return om_err_sys(err, -errno, "make job database '%s'", path);
	db.path = path;
	r = open_file(&db, path, err);
	if (r == 0)
		r = exec(&db, "PRAGMA synchronous=EXTRA; BEGIN;", err);
	if (r == 0)
		r = exec(&db, schema, err);
	/* The write-ahead log is switched on here, for good: the rollback journal of that step is one of a file nobody uses yet, so it does no harm when a loss
	 * of power brings it back. */
	if (r == 0)
		r = exec(&db, "COMMIT; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;", err);
	if (sqlite3_close(db.sql) != SQLITE_OK && r == 0)
		r = om_err_set(err, -EIO, "close job database '%s'", path);
	if (r == 0)
		r = spool_file_sync(fd, NEW_NAME, err);
	if (r == 0 && renameat(dirfd, NEW_NAME, dirfd, DB_NAME) < 0)
		r = om_err_sys(err, -errno, "rename '%s'", path);
	if (r < 0) {
		remove_new(dirfd);
		return r;
	}
	return spool_file_sync_dir(dirfd, err);
}

/* 1 when @dirfd/jobs has anything in it */
static int has_jobs(int dirfd)
{
	int fd = openat(dirfd, "jobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC), any = 0;
	struct dirent *e;
	DIR *d;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			any = 1;
	closedir(d);
	return any;
}

/* There is a database, or a new one may be made. */
static int find_or_create(struct spool_jobs *db, const char *folder, struct om_err *err)
{
	om_autofd int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (dirfd < 0)
		return om_err_sys(err, -errno, "open folder '%s'", folder);
	if (fstatat(dirfd, DB_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!S_ISREG(st.st_mode))
			return om_err_set(err, -EUCLEAN, "job database '%s' is no regular file", db->path);
		return st.st_size ? 0 : job_damaged(db, "it is empty", err);
	}
	if (errno != ENOENT)
		return om_err_sys(err, -errno, "job database '%s'", db->path);
	r = has_jobs(dirfd);
	if (r < 0)
		return om_err_sys(err, r, "look into '%s/jobs'", folder);
	if (r || faccessat(dirfd, DB_NAME "-wal", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return job_damaged(db, "it is missing, but jobs/ or " DB_NAME "-wal are there", err);
	return create(folder, dirfd, err);
}

static int number(struct spool_jobs *db, const char *text, int64_t *ret, struct om_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->sql, text, -1, &st, NULL), r = 0;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	else
		r = rc == SQLITE_DONE ? job_damaged(db, "a table is empty", err) : job_error(db, rc, "read", err);
	sqlite3_finalize(st);
	return r;
}

static int check_kind(struct spool_jobs *db, struct om_err *err)
{
	int64_t app = 0, version = 0;
	int r = number(db, "PRAGMA application_id", &app, err);

	if (r == 0)
		r = number(db, "PRAGMA user_version", &version, err);
	if (r < 0)
		return r;
	if (app != APPLICATION_ID)
		return om_err_set(err, -EUCLEAN, "'%s' is not a job database", db->path);
	if (version > SCHEMA_VERSION)
		return om_err_set(err, -EPROTO, "job database '%s' was made by a newer version (format %" PRId64 ", known: %d); install that version",
				  db->path, version, SCHEMA_VERSION);
	return version == SCHEMA_VERSION ? 0 : job_damaged(db, "unknown format", err);
}

static int quick_check(struct spool_jobs *db, const char *text, struct om_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->sql, text, -1, &st, NULL), r = 0;
	const char *answer;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		answer = (const char *)sqlite3_column_text(st, 0);
		if (!answer || strcmp(answer, "ok") != 0) {
			char shown[80];

			snprintf(shown, sizeof(shown), "%s", answer ? answer : "?");
			shown[strcspn(shown, "\n")] = 0;
			r = job_damaged(db, shown, err);
		}
	} else {
		r = job_error(db, rc, "check", err);
	}
	sqlite3_finalize(st);
	return r;
}

static int check_whole(struct spool_jobs *db, struct om_err *err)
{
	static const char *const tables[] = {
		"PRAGMA quick_check('meta')", "PRAGMA quick_check('job')", "PRAGMA quick_check('event')", "PRAGMA quick_check('dep')"
	};
	struct stat st;

	if (stat(db->path, &st) == 0 && st.st_size <= CHECK_ALL_MAX)
		return quick_check(db, "PRAGMA quick_check", err);
	for (size_t i = 0; i < OM_ARRAY_SIZE(tables); i++) {
		int r = quick_check(db, tables[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Somebody has switched the log off: a commit would be no longer what this file promises, and a log that lies about would be ignored. */
static int check_log(struct spool_jobs *db, struct om_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->sql, "PRAGMA journal_mode", -1, &st, NULL), r = 0;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		r = job_error(db, rc, "read", err);
	else if (strcmp((const char *)sqlite3_column_text(st, 0), "wal") != 0)
		r = job_damaged(db, "its write-ahead log is switched off", err);
	sqlite3_finalize(st);
	return r;
}

static int load_next_id(struct spool_jobs *db, struct om_err *err)
{
	int64_t next = 0, last = 0;
	int r = number(db, "SELECT next_id FROM meta", &next, err);

	if (r == 0)
		r = number(db, "SELECT max(key) FROM job", &last, err);
	if (r < 0)
		return r;
	if (next < 1 || (uint64_t)next > OM_JOB_ID_MAX + 1 || last < 0)
		return job_damaged(db, "an id is out of range", err);
	if (last >> KEY_BITS >= next)
		next = (last >> KEY_BITS) + 1;
	db->next_id = (uint64_t)next;
	return 0;
}

static int set_up(struct spool_jobs *db, struct om_err *err)
{
	char text[256];
	int r;

	snprintf(text, sizeof(text), "PRAGMA locking_mode=EXCLUSIVE; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY;"
		 "PRAGMA cache_size=-%d; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=%d;", CACHE_KIB, LOG_PAGES);
	r = exec(db, text, err);
	if (r == 0)
		r = check_kind(db, err);	/* before anything is written to it */
	if (r == 0)
		r = exec(db, "BEGIN IMMEDIATE; ROLLBACK;", err);	/* takes the lock */
	if (r == 0)
		r = check_log(db, err);
	if (r == 0)
		r = check_whole(db, err);
	return r < 0 ? r : load_next_id(db, err);
}

int spool_jobs_open(const char *folder, struct spool_jobs **ret, struct om_err *err)
{
	struct spool_jobs *db = calloc(1, sizeof(*db));
	int r;

	if (!db || asprintf(&db->path, "%s/" DB_NAME, folder) < 0) {
		free(db);
		return om_err_set(err, -ENOMEM, "job database: out of memory");
	}
	r = find_or_create(db, folder, err);
	if (r == 0)
		r = open_file(db, db->path, err);
	if (r == 0)
		r = set_up(db, err);
	if (r < 0) {
		spool_jobs_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

void spool_jobs_close(struct spool_jobs *db)
{
	if (!db)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->st[i]);
	sqlite3_close(db->sql);		/* rolls back what is open */
	free(db->path);
	free(db);
}
