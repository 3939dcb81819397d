/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may come back over the daemon's socket: any bytes. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "omsub/client.h"
#include "omsub/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct omc_call call = { .method = "GET", .path = "/v1/status", .timeout_s = 10 };
	omc_autoanswer a = { 0 };
	struct om_err err = { 0 };
	int sv[2];

	/* all of it fits into the socket's buffer, so one process can play both sides */
	if (size > 100000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return 0;
	if (send(sv[1], data, size, MSG_NOSIGNAL) == (ssize_t)size && shutdown(sv[1], SHUT_WR) == 0) {
		if (omc_http_ask(sv[0], &call, &a, &err) < 0 ? !err.text[0] : omc_answer_error(&a, &err) >= 0)
			abort();
	}
	close(sv[0]);
	close(sv[1]);
	return 0;
}
