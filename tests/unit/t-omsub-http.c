/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a daemon (or whatever sits at its socket) may answer: a socket pair holds the answer before it is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "omsub/client.h"
#include "omsub/http.h"

static char request[4096];

static int take(void *arg, const char *p, size_t n)
{
	return om_buf_add(arg, p, n);
}

static int refuse(void *arg, const char *p, size_t n)
{
	(void)arg;
	(void)p;
	(void)n;
	return -ENOSPC;
}

static int ask(const struct omc_call *call, const char *answer, size_t n, struct omc_answer *a, struct om_err *err)
{
	int sv[2], r;
	ssize_t len;

	*a = (struct omc_answer){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(om_fd_write_all(sv[1], answer, n), 0);
	assert_int_equal(shutdown(sv[1], SHUT_WR), 0);
	r = omc_http_ask(sv[0], call, a, err);
	len = recv(sv[1], request, sizeof(request) - 1, MSG_DONTWAIT);
	request[len > 0 ? len : 0] = 0;
	close(sv[0]);
	close(sv[1]);
	return r;
}

/* The body of the answer to a GET, or "!text". */
static const char *get(const char *answer)
{
	struct omc_call call = { .method = "GET", .path = "/x", .timeout_s = 10 };
	static char text[400];
	struct om_err err = { 0 };
	struct omc_answer a;
	int r = ask(&call, answer, strlen(answer), &a, &err);

	if (r < 0)
		snprintf(text, sizeof(text), "!%s", err.text);
	else
		snprintf(text, sizeof(text), "%d %s", a.status, a.body.data ? a.body.data : "");
	omc_answer_done(&a);
	return text;
}

static void test_good(void **state)
{
	(void)state;
	assert_string_equal(get("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), "200 hi");
	assert_string_equal(request, "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	assert_string_equal(get("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more"), "200 hi");
	assert_string_equal(get("HTTP/1.0 404\nX: y\n\nto the end"), "404 to the end");
	assert_string_equal(get("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length:0\r\n\r\n"), "201 ");
	assert_string_equal(get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"), "200 abc0123456789");
	assert_string_equal(get("HTTP/1.1 204 No Content\r\n\r\n"), "204 ");
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"", "x", "\n\n", "HTTP/1.1 200", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/2 200 OK\r\n\r\n", "SSH-2.0-x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhi",
		"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nhi", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (get(bad[i])[0] != '!')
			fail_msg("accepted: %s", bad[i]);
}

static void test_limits(void **state)
{
	struct omc_call call = { .method = "GET", .path = "/x", .timeout_s = 10 };
	struct om_err err = { 0 };
	struct omc_answer a;
	om_autobuf b = { 0 };

	(void)state;
	/* a head without end, in one line and in many */
	assert_int_equal(om_buf_addf(&b, "HTTP/1.1 200 "), 0);
	for (int i = 0; i < 40000; i++)
		assert_int_equal(om_buf_add(&b, "x", 1), 0);
	assert_int_equal(ask(&call, b.data, b.len, &a, &err), -EBADMSG);
	om_buf_done(&b);
	assert_int_equal(om_buf_addf(&b, "HTTP/1.1 200 OK\r\n"), 0);
	for (int i = 0; i < 6000; i++)
		assert_int_equal(om_buf_addf(&b, "X-Y: abcdef\r\n"), 0);
	assert_int_equal(ask(&call, b.data, b.len, &a, &err), -EBADMSG);
}

static void test_stream(void **state)
{
	static const char good[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
	static const char error[] = "HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\n\r\nerror";
	om_autobuf got = { 0 };
	struct omc_call call = { .method = "POST", .path = "/x", .data = take, .arg = &got, .body = "{}", .body_len = 2, .timeout_s = 10 };
	struct om_err err = { 0 };
	struct omc_answer a;

	(void)state;
	assert_int_equal(ask(&call, good, sizeof(good) - 1, &a, &err), 0);
	assert_string_equal(got.data, "abc");
	assert_null(a.body.data);
	assert_non_null(strstr(request, "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"));
	got.len = 0;
	assert_int_equal(ask(&call, error, sizeof(error) - 1, &a, &err), 0);	/* an error is for the caller, not for the file */
	assert_int_equal(got.len, 0);
	assert_string_equal(a.body.data, "error");
	omc_answer_done(&a);
	call.data = refuse;
	assert_int_equal(ask(&call, good, sizeof(good) - 1, &a, &err), -ENOSPC);
}

static int api_error(const char *body, struct om_err *err)
{
	struct omc_answer a = { .status = 500 };
	int r;

	*err = (struct om_err){ 0 };
	assert_int_equal(om_buf_add(&a.body, body, strlen(body)), 0);
	r = omc_answer_error(&a, err);
	omc_answer_done(&a);
	return r;
}

static void test_api_error(void **state)
{
	struct om_err err;

	(void)state;
	assert_int_equal(api_error("{\"error\":{\"code\":\"denied\",\"text\":\"not yours\"}}", &err), -EACCES);
	assert_string_equal(err.text, "not yours");
	assert_int_equal(api_error("{\"error\":{\"code\":\"not_found\",\"text\":\"x\",\"more\":1}}", &err), -ENOENT);
	assert_int_equal(api_error("{\"error\":{\"code\":\"unheard\",\"text\":\"x\"}}", &err), -EIO);
	assert_int_equal(api_error("{\"error\":{\"code\":\"full\",\"text\":\"a\\u001bb\"}}", &err), -ENOSPC);
	assert_null(strchr(err.text, '\x1b'));
	assert_int_equal(api_error("{\"error\":[]}", &err), -EIO);
	assert_int_equal(api_error("<html>", &err), -EIO);
	assert_string_equal(err.text, "the daemon answered with status 500 and no readable reason");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_stream), cmocka_unit_test(test_api_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
