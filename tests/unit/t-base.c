/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"

static void err_texts(void **state)
{
	struct om_err e = { 0 };

	(void)state;
	assert_int_equal(om_err_set(&e, -ENOSPC, "spool '%s'", "x"), -ENOSPC);
	assert_int_equal(om_err_wrap(&e, -ENOSPC, "job %d", 7), -ENOSPC);
	assert_string_equal(e.text, "job 7: spool 'x'");
	assert_int_equal(om_err_set(NULL, -EIO, "nobody listens"), -EIO);
	assert_string_equal(om_err_text(NULL, -EIO), strerror(EIO));
}

static void durations(void **state)
{
	static const struct { const char *text; int r; uint64_t s; } t[] = {
		{ "90", 0, 5400 }, { "90s", 0, 90 }, { "15m", 0, 900 }, { "2h", 0, 7200 }, { "1d", 0, 86400 },
		{ "1:30", 0, 90 }, { "1:30:00", 0, 5400 }, { "2-12", 0, 216000 }, { "2-12:30", 0, 217800 },
		{ "", -EINVAL, 0 }, { "s", -EINVAL, 0 }, { "1x", -EINVAL, 0 }, { "-1", -EINVAL, 0 }, { "1:2:3:4", -EINVAL, 0 },
		{ "99999999999999999999", -ERANGE, 0 }, { "18446744073709551615d", -ERANGE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t s = 42;

		assert_int_equal(om_str_duration(t[i].text, 60, &s), t[i].r);
		assert_int_equal(s, t[i].r ? 42 : t[i].s);
	}
}

static void sizes(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_int_equal(om_str_size("64", 1 << 20, &v), 0);
	assert_int_equal(v, 64u << 20);
	assert_int_equal(om_str_size("2GiB", 1, &v), 0);
	assert_int_equal(v, 2ull << 30);
	assert_int_equal(om_str_size("5kb", 1, &v), 0);
	assert_int_equal(v, 5120);
	assert_int_equal(om_str_size("5x", 1, &v), -EINVAL);
	assert_int_equal(om_str_size("99999999999999T", 1, &v), -ERANGE);
	assert_int_equal(v, 5120);
}

static void texts(void **state)
{
	(void)state;
	assert_true(om_str_is_text("Größe 日本", false));
	assert_false(om_str_is_text("a\x1b[2J", false));
	assert_false(om_str_is_text("a\nb", false));
	assert_true(om_str_is_text("a\nb", true));
	assert_false(om_str_is_text("\xc0\xaf", false));
	assert_false(om_str_is_text("\xed\xa0\x80", false));
}

static void buffers(void **state)
{
	om_autobuf b = { 0 };
	unsigned char le[8];

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(om_buf_addf(&b, "%d,", i), 0);
	om_buf_shift(&b, 2);
	assert_memory_equal(b.data, "1,2,", 4);
	le64_put(le, 0x0102030405060708ull);
	assert_int_equal(le[0], 8);
	assert_int_equal(le64_get(le), 0x0102030405060708ull);
}

static void messages(void **state)
{
	json_t *o = NULL;
	int s[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(om_msg_send(s[0], json_pack("{s:i}", "a", 1)), 0);
	assert_int_equal(om_msg_recv(s[1], &o), 0);
	assert_int_equal(json_integer_value(json_object_get(o, "a")), 1);
	json_decref(o);
	assert_int_equal(om_fd_send(s[0], "[1]", 3, NULL, 0), 0);
	assert_int_equal(om_msg_recv(s[1], &o), -EBADMSG);
	close(s[0]);
	assert_int_equal(om_msg_recv(s[1], &o), -ENODATA);
	close(s[1]);
}

static void pidfds(void **state)
{
	int status = 0, fd;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(7);
	fd = om_pidfd_open(pid);
	assert_true(fd >= 0);
	assert_int_equal(om_pidfd_wait(fd, -1, &status), 0);
	assert_int_equal(WEXITSTATUS(status), 7);
	close(fd);
}

/* What a peer sent last is read, although he has closed without reading all of ours. */
static void last_words(void **state)
{
	char b[8];
	int s[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(om_fd_send(s[0], "unread", 6, NULL, 0), 0);
	assert_int_equal(om_fd_send(s[1], "last", 4, NULL, 0), 0);
	close(s[1]);
	assert_int_equal(om_fd_recv(s[0], b, sizeof(b), NULL, NULL), 4);
	assert_int_equal(om_fd_recv(s[0], b, sizeof(b), NULL, NULL), 0);
	close(s[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_texts), cmocka_unit_test(durations), cmocka_unit_test(sizes),
		cmocka_unit_test(texts), cmocka_unit_test(buffers), cmocka_unit_test(messages), cmocka_unit_test(last_words), cmocka_unit_test(pidfds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
