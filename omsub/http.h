/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/http.h - one HTTP/1.1 request over a unix socket.  Promise: what comes back is bounded and well-formed, or an error.
 * libcurl would do this too, but loading it and what it needs (30 libraries) costs 7 ms, more than all the rest of omsub. */
#ifndef OM_OMSUB_HTTP_H
#define OM_OMSUB_HTTP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct om_err;

enum {
	OMC_HEAD_MAX = 32 * 1024,		/* status line and headers of an answer */
	OMC_BODY_MAX = 256 * 1024 * 1024,	/* an answer that is collected in memory */
};

/* A part of an answer's body.  0, or a negative errno that ends the transfer. */
typedef int omc_data_cb(void *arg, const char *p, size_t n);
/* @done of @total bytes of a request's body are sent (@total 0: not known). */
typedef void omc_sent_cb(void *arg, uint64_t done, uint64_t total);

struct omc_call {
	const char *method, *path;
	const char *body;	/* JSON text, or NULL */
	size_t body_len;
	int body_fd;		/* used instead of @body when > 0: sent to its end */
	omc_sent_cb *sent;
	omc_data_cb *data;	/* gets the body of a 2xx answer; others are collected */
	void *arg;
	int timeout_s;		/* longest silence of the daemon; 0: for ever */
};

struct omc_answer {
	int status;
	struct om_buf body;
};

void omc_answer_done(struct omc_answer *a);
#define omc_autoanswer __attribute__((cleanup(omc_answer_done))) struct omc_answer

/* Connect to the socket at @path: a descriptor or -errno (-ENOENT, -ECONNREFUSED: nobody there; -EACCES). */
int omc_http_connect(const char *path, struct om_err *err);
/* Ask over @fd (one request per connection).  0 with @ret set (also for 4xx and 5xx), or a negative errno:
 * -ECONNRESET the daemon went away, -ETIMEDOUT, -EBADMSG not HTTP, -EFBIG, or what @data returned. */
int omc_http_ask(int fd, const struct omc_call *call, struct omc_answer *ret, struct om_err *err);
#endif
