/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd/http.h - HTTP over a unix socket, inside the loop.  Promise: a handler sees one whole, size-limited request with the caller's
 * identity from the kernel; it answers at once or keeps the request and answers later; a client that goes away or is slow costs
 * nobody else anything. */
#ifndef OMD_HTTP_H
#define OMD_HTTP_H
#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include "base/buf.h"
struct om_err;
struct omd;
struct omd_http;
struct omd_req;

enum {
	OMD_HTTP_CONNECTIONS = 1024,	/* of all users */
	OMD_HTTP_PER_USER = 256,	/* so one user cannot lock the others out; root is not counted */
	OMD_HTTP_IDLE_S = 60,		/* a connection without a byte */
	OMD_HTTP_REQUEST_S = 120,	/* from the first byte of a request to its last, streams excepted */
	OMD_HTTP_BODY_MAX = 64 << 20,	/* of one request: 10,000 jobs with their environments */
	OMD_HTTP_BODIES_MAX = 256 << 20,	/* of all requests that are being read: above it 503 */
	OMD_HTTP_UNWANTED_MAX = 16 << 20,	/* of a body whose answer is known already; then the connection is dropped */
	OMD_HTTP_SEGMENTS = 8,		/* of a path */
};

struct omd_route {
	const char *method;
	const char *pattern;		/* "/v1/jobs/?/hold": '?' stands for one segment */
	void (*handle)(struct omd_req *req);	/* the whole request is there; with @stream: its headers are */
	bool stream;
};

extern const struct omd_route omd_routes[];	/* api.c */

/* One connection: who is at the other end. */
struct omd_conn {
	struct omd_http *http;
	struct omd_conn *next, *prev;
	int fd;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	uint64_t since_ns;		/* connected, or answered last */
	struct omd_req *req;		/* the one under way */
	bool busy;			/* a handler has the request: no deadline of ours */
};

struct omd_req {
	struct omd *omd;
	struct omd_conn *conn;
	struct MHD_Connection *mhd;
	const struct omd_route *route;
	char *path;
	const char *seg[OMD_HTTP_SEGMENTS];	/* what the '?' stood for, in order */
	struct om_buf body;
	bool too_large, suspended, answered;
	bool unwanted;			/* handler of a stream: the rest of the body is not looked at; the answer follows at its end */
	size_t swallowed;
	struct MHD_Response *resp;	/* until MHD has it */
	unsigned int status;
	sd_event_source *hup;
	/* of the handler that keeps the request: */
	void *priv;
	void (*gone)(struct omd_req *req);	/* the client has left (before the answer) or the request is over: let go of it */
	/* streamed bodies; data() takes up to @n bytes and returns how many (0: wait for omd_req_more()), end() after the last */
	size_t (*data)(struct omd_req *req, const char *p, size_t n);
	void (*end)(struct omd_req *req);
};

int omd_http_create(struct omd *omd, sd_event *ev, int listen_fd, const struct omd_route *routes, struct omd_http **ret,
		    struct om_err *err);
void omd_http_destroy(struct omd_http *h);
/* Let MHD go on with connections that were answered or resumed since. */
void omd_http_run(struct omd_http *h);
unsigned int omd_http_connections(const struct omd_http *h);
/* CLOCK_MONOTONIC of the last request. */
uint64_t omd_http_last_ns(const struct omd_http *h);

/* The answer.  Takes the reference of @o; a NULL @o becomes 500. */
void omd_reply_json(struct omd_req *req, unsigned int status, json_t *o);
void omd_reply_text(struct omd_req *req, unsigned int status, const char *type, const char *text, size_t len);
/* Ready-made JSON text (heap, taken). */
void omd_reply_buf(struct omd_req *req, unsigned int status, struct om_buf *b);
/* {"error":{code,text}}; the word for @status is put in. */
void omd_reply_error(struct omd_req *req, unsigned int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same from a negative errno and an error text. */
void omd_reply_err(struct omd_req *req, int code, const struct om_err *err);
/* A stream; @reader as MHD_ContentReaderCallback, @done frees @arg. */
void omd_reply_stream(struct omd_req *req, const char *type, MHD_ContentReaderCallback reader, void *arg,
		      MHD_ContentReaderFreeCallback done);
/* For streams: let MHD ask again. */
void omd_req_more(struct omd_req *req);
void omd_req_pause(struct omd_req *req);

const char *omd_req_arg(struct omd_req *req, const char *name);
/* The body as a JSON object (an empty body is {}): new reference, or NULL with the request answered. */
json_t *omd_req_json(struct omd_req *req);
#endif
