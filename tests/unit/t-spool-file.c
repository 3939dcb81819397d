/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "spool/file.h"

int __real_fsync(int fd);
int __real_renameat(int from, const char *a, int to, const char *b);
int __wrap_fsync(int fd);
int __wrap_renameat(int from, const char *a, int to, const char *b);

static int fsyncs, fail_fsync, fail_rename;	/* which passage fails, 0 = none */
static char order[64];				/* what was called: f(ile) fsync, r(ename), d(ir) fsync */

int __wrap_fsync(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	strncat(order, S_ISDIR(st.st_mode) ? "d" : "f", sizeof(order) - strlen(order) - 1);
	if (++fsyncs == fail_fsync) {
		errno = EIO;
		return -1;
	}
	return __real_fsync(fd);
}

int __wrap_renameat(int from, const char *a, int to, const char *b)
{
	strncat(order, "r", sizeof(order) - strlen(order) - 1);
	if (fail_rename) {
		errno = ENOSPC;
		return -1;
	}
	return __real_renameat(from, a, to, b);
}

struct place {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	static struct place p;

	snprintf(p.path, sizeof(p.path), "/tmp/om-spool-file.XXXXXX");
	if (!mkdtemp(p.path))
		return -1;
	p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fsyncs = fail_fsync = fail_rename = 0;
	order[0] = 0;
	*state = &p;
	return p.fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	(void)unlinkat(p->fd, "exit.json", 0);
	(void)unlinkat(p->fd, "other", 0);
	close(p->fd);
	return rmdir(p->path);		/* fails when a test left something: nothing but the file may be there */
}

static void holds(struct place *p, const char *text)
{
	char *s;
	size_t n;

	assert_int_equal(om_file_read_at(p->fd, "exit.json", 1000, 1, &s, &n), 0);
	assert_string_equal(s, text);
	free(s);
}

static void replaces_in_order(void **state)
{
	struct place *p = *state;
	struct stat st;

	assert_int_equal(spool_file_write_durable(p->fd, "exit.json", "old", 3, NULL), 0);
	holds(p, "old");
	assert_string_equal(order, "frd");
	assert_int_equal(spool_file_write_durable(p->fd, "exit.json", "newer", 5, NULL), 0);
	holds(p, "newer");
	assert_int_equal(fstatat(p->fd, "exit.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void keeps_the_old_on_failure(void **state)
{
	struct place *p = *state;
	struct om_err err = { 0 };

	assert_int_equal(spool_file_write_durable(p->fd, "exit.json", "old", 3, NULL), 0);
	fail_fsync = fsyncs + 1;
	assert_int_equal(spool_file_write_durable(p->fd, "exit.json", "new", 3, &err), -EIO);
	assert_non_null(strstr(err.text, "exit.json"));
	holds(p, "old");
	fail_fsync = 0;
	fail_rename = 1;
	assert_int_equal(spool_file_write_durable(p->fd, "exit.json", "new", 3, &err), -ENOSPC);
	holds(p, "old");
}

static void folder_fsync_failure_is_told(void **state)
{
	struct place *p = *state;

	fail_fsync = 2;
	assert_int_equal(spool_file_write_durable(p->fd, "exit.json", "new", 3, NULL), -EIO);
}

static void follows_no_link(void **state)
{
	struct place *p = *state;
	int fd = openat(p->fd, "other", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "mine", 4), 4);
	close(fd);
	assert_int_equal(symlinkat("other", p->fd, "exit.json.tmp"), 0);
	assert_int_equal(symlinkat("other", p->fd, "exit.json"), 0);
	assert_int_equal(spool_file_write_durable(p->fd, "exit.json", "new", 3, NULL), 0);
	holds(p, "new");
	char *s;
	assert_int_equal(om_file_read_at(p->fd, "other", 100, 1, &s, NULL), 0);
	assert_string_equal(s, "mine");
	free(s);
}

static void refuses_names(void **state)
{
	struct place *p = *state;
	char longname[300];

	memset(longname, 'x', sizeof(longname) - 1);
	longname[sizeof(longname) - 1] = 0;
	assert_int_equal(spool_file_write_durable(p->fd, "../x", "new", 3, NULL), -EINVAL);
	assert_int_equal(spool_file_write_durable(p->fd, "", "new", 3, NULL), -EINVAL);
	assert_int_equal(spool_file_write_durable(p->fd, longname, "new", 3, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(replaces_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_the_old_on_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(folder_fsync_failure_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(follows_no_link, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_names, setup, teardown),
	};

	return cmocka_run_group_tests_name("spool file", tests, NULL, NULL);
}
