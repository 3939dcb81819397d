/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libmicrohttpd runs without threads: its epoll descriptor is one source of our loop.  A handler that cannot answer yet leaves the
 * connection suspended (MHD looks at it no more); the answer resumes it.  Limits: MHD drops connections without traffic; a
 * client that drips bytes is found by our own sweep, which shuts the socket down. */
#include "omd/http.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "omd/omd.h"

struct omd_http {
	struct omd *omd;
	sd_event *ev;
	struct MHD_Daemon *mhd;
	const struct omd_route *routes;
	sd_event_source *io, *timer, *sweep, *again;
	struct omd_conn *conns;
	unsigned int n_conns;
	size_t bodies;			/* bytes of bodies that are held */
	uint64_t last_ns, swept_ns;
};

static const uint64_t SWEEP_US = 1000000;
static const uint64_t SWEEP_BUSY_NS = 20 * 1000000ULL;	/* so often when there are many connections */
enum { MANY = 64 };

static const char *status_word(unsigned int status)
{
	switch (status) {
	case 400: return "invalid";
	case 403: return "denied";
	case 404: return "not_found";
	case 405: return "invalid";
	case 409: return "conflict";
	case 413: return "too_large";
	case 503: return "unavailable";
	case 507: return "full";
	default: return "internal";
	}
}

/* ---- answers ---- */

static void answer(struct omd_req *req, unsigned int status, struct MHD_Response *resp)
{
	if (req->answered) {
		if (resp)
			MHD_destroy_response(resp);
		return;
	}
	req->answered = true;
	req->status = status;
	req->resp = resp;
	if (!req->suspended)
		return;			/* the access callback queues it */
	if (resp) {
		MHD_queue_response(req->mhd, status, resp);
		MHD_destroy_response(resp);
		req->resp = NULL;
	}
	omd_req_more(req);
}

void omd_reply_text(struct omd_req *req, unsigned int status, const char *type, const char *text, size_t len)
{
	struct MHD_Response *resp;

	resp = MHD_create_response_from_buffer(len, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	if (resp)
		MHD_add_response_header(resp, "Content-Type", type);
	answer(req, status, resp);
}

void omd_reply_buf(struct omd_req *req, unsigned int status, struct om_buf *b)
{
	size_t len = b->len;
	char *text = om_buf_steal(b);
	struct MHD_Response *resp = text ? MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE) : NULL;

	if (resp)
		MHD_add_response_header(resp, "Content-Type", "application/json");
	else
		free(text);
	answer(req, status, resp);
}

void omd_reply_json(struct omd_req *req, unsigned int status, json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	struct MHD_Response *resp;

	json_decref(o);
	if (!text) {
		static const char oom[] = "{\"error\":{\"code\":\"internal\",\"text\":\"out of memory\"}}";

		omd_reply_text(req, 500, "application/json", oom, sizeof(oom) - 1);
		return;
	}
	resp = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (resp)
		MHD_add_response_header(resp, "Content-Type", "application/json");
	else
		free(text);
	answer(req, status, resp);
}

void omd_reply_error(struct omd_req *req, unsigned int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	json_t *t;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	t = json_string(text);
	if (!t)				/* the text quoted bytes of the caller that are not UTF-8, or were cut inside a character */
		for (char *p = text; *p; p++)
			if ((unsigned char)*p >= 0x80)
				*p = '?';
	omd_reply_json(req, status, json_pack("{s{ss so}}", "error", "code", status_word(status), "text",
					      t ? t : json_string(text)));
}

void omd_reply_err(struct omd_req *req, int code, const struct om_err *err)
{
	unsigned int status = 500;

	switch (-code) {
	case EINVAL: case ERANGE: case EBADMSG: case ENAMETOOLONG: case ELOOP: status = 400; break;
	case EPERM: case EACCES: status = 403; break;
	case ENOENT: case ESRCH: status = 404; break;
	case EBUSY: case EALREADY: case EEXIST: case ENOTSUP: status = 409; break;
	case E2BIG: case EFBIG: case EMSGSIZE: status = 413; break;
	case ENOSPC: case EDQUOT: case EROFS: status = 507; break;
	case EAGAIN: case ENOBUFS: case EMFILE: case ENFILE: case ESHUTDOWN: status = 503; break;
	default: break;
	}
	omd_reply_error(req, status, "%s", om_err_text(err, code));
}

void omd_reply_stream(struct omd_req *req, const char *type, MHD_ContentReaderCallback reader, void *arg,
		      MHD_ContentReaderFreeCallback done)
{
	struct MHD_Response *resp = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 64 * 1024, reader, arg, done);

	if (resp)
		MHD_add_response_header(resp, "Content-Type", type);
	else
		done(arg);
	answer(req, 200, resp);
}

/* ---- suspending ---- */

static int on_hup(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct omd_req *req = arg;

	(void)s; (void)fd; (void)revents;
	req->hup = sd_event_source_disable_unref(req->hup);
	if (req->gone)
		req->gone(req);
	req->gone = NULL;
	if (!req->answered)		/* MHD must see the connection once more to close it */
		omd_reply_error(req, 503, "the client has left");
	else
		omd_req_more(req);
	return 0;
}

void omd_req_pause(struct omd_req *req)
{
	if (req->suspended)
		return;
	req->suspended = true;
	req->conn->busy = true;
	MHD_suspend_connection(req->mhd);
	/* MHD does not look at a suspended connection, so see ourselves that the client leaves (not for what ends within a turn) */
	if (req->gone && !req->hup)
		(void)sd_event_add_io(req->conn->http->ev, &req->hup, req->conn->fd, EPOLLHUP | EPOLLERR, on_hup, req);
}

void omd_req_more(struct omd_req *req)
{
	if (!req->suspended)
		return;
	req->suspended = false;
	req->hup = sd_event_source_disable_unref(req->hup);
	MHD_resume_connection(req->mhd);
	sd_event_source_set_enabled(req->conn->http->again, SD_EVENT_ONESHOT);
}

/* ---- requests ---- */

static bool match(const char *pattern, struct omd_req *req)
{
	const char *p = pattern;
	char *s = req->path;
	unsigned int n = 0;

	while (*p && *s) {
		if (*p == '?') {
			char *end = strchrnul(s, '/');

			if (end == s || n == OMD_HTTP_SEGMENTS)
				return false;
			req->seg[n++] = s;
			s = end;
			p++;
		} else if (*p++ != *s++) {
			return false;
		}
	}
	return !*p && !*s;
}

/* cut the path at the ends of the segments that a matching pattern has found */
static void cut(struct omd_req *req)
{
	for (unsigned int i = 0; i < OMD_HTTP_SEGMENTS && req->seg[i]; i++) {
		char *end = strchrnul(req->path + (req->seg[i] - req->path), '/');

		if (*end)
			*end = 0;
	}
}

static void route(struct omd_req *req, const char *method)
{
	const struct omd_route *r;
	bool other = false;

	for (r = req->conn->http->routes; r->method; r++) {
		memset(req->seg, 0, sizeof(req->seg));
		if (!match(r->pattern, req))
			continue;
		if (strcmp(r->method, method) == 0) {
			req->route = r;
			cut(req);
			return;
		}
		other = true;
	}
	if (other)
		omd_reply_error(req, 405, "%s is not defined for %s (see doc/api.md)", method, req->path);
	else
		omd_reply_error(req, 404, "no such resource: %s %s (see doc/api.md)", method, req->path);
}

static struct omd_req *req_create(struct omd_http *h, struct MHD_Connection *mhd, const char *url, const char *method)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct omd_req *req;
	const char *len;
	uint64_t n = 0;

	if (!ci || !ci->socket_context)
		return NULL;
	req = calloc(1, sizeof(*req));
	if (!req)
		return NULL;
	req->omd = h->omd;
	req->mhd = mhd;
	req->conn = ci->socket_context;
	req->conn->req = req;
	req->path = strdup(url);
	if (!req->path) {
		req->conn->req = NULL;
		free(req);
		return NULL;
	}
	h->last_ns = om_clock_mono_ns();
	req->conn->since_ns = h->last_ns;
	route(req, method);
	if (!req->route || req->route->stream)
		return req;
	len = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Length");
	if (len && (om_str_u64(len, &n) < 0 || n > OMD_HTTP_BODY_MAX))
		omd_reply_error(req, 413, "a request may have %d MiB; send the jobs in several requests", OMD_HTTP_BODY_MAX >> 20);
	else if (h->bodies + n > OMD_HTTP_BODIES_MAX)
		omd_reply_error(req, 503, "too many large requests at once; try again later");
	return req;
}

static void req_destroy(struct omd_req *req)
{
	struct omd_http *h = req->conn->http;

	if (req->gone)
		req->gone(req);
	sd_event_source_disable_unref(req->hup);
	if (req->resp)
		MHD_destroy_response(req->resp);
	h->bodies -= req->body.len;
	om_buf_done(&req->body);
	req->conn->busy = false;
	req->conn->req = NULL;
	req->conn->since_ns = om_clock_mono_ns();
	free(req->path);
	free(req);
}

/* one piece of the body; *@n becomes what was left over */
static void take(struct omd_req *req, const char *p, size_t *n)
{
	struct omd_http *h = req->conn->http;

	if (req->answered || req->too_large || req->unwanted) {	/* MHD takes the answer only at the end of the body */
		req->swallowed += *n;
		*n = 0;
	} else if (req->data) {
		size_t done = req->data(req, p, *n);

		*n -= done;
		if (*n && !req->answered)
			omd_req_pause(req);
		else if (req->answered)
			*n = 0;
	} else {
		if (req->body.len + *n > OMD_HTTP_BODY_MAX || h->bodies + *n > OMD_HTTP_BODIES_MAX ||
		    om_buf_add(&req->body, p, *n) < 0) {
			req->too_large = true;
		} else {
			h->bodies += *n;
		}
		*n = 0;
	}
}

static void dispatch(struct omd_req *req)
{
	if (req->answered)
		return;
	if (req->too_large)
		omd_reply_error(req, 413, "the request is too large (%d MiB are allowed)", OMD_HTTP_BODY_MAX >> 20);
	else if (req->route->stream && req->end)
		req->end(req);
	else
		req->route->handle(req);
}

static enum MHD_Result give(struct omd_req *req)
{
	enum MHD_Result r;

	if (!req->resp)			/* out of memory: close */
		return MHD_NO;
	r = MHD_queue_response(req->mhd, req->status, req->resp);
	MHD_destroy_response(req->resp);
	req->resp = NULL;
	return r;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
				 const char *data, size_t *n, void **con)
{
	struct omd_http *h = cls;
	struct omd_req *req = *con;

	(void)version;
	if (!req) {
		req = *con = req_create(h, mhd, url, method);
		if (!req)
			return MHD_NO;
		if (!req->answered && req->route->stream) {
			req->conn->busy = true;		/* a long upload is no slow client */
			req->route->handle(req);
		}
		if (req->answered)
			return give(req);
		return MHD_YES;
	}
	if (*n) {
		take(req, data, n);
		return req->swallowed > OMD_HTTP_UNWANTED_MAX ? MHD_NO : MHD_YES;
	}
	if (!req->answered)
		dispatch(req);
	if (req->answered)
		return req->resp ? give(req) : MHD_NO;
	omd_req_pause(req);
	return MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con, enum MHD_RequestTerminationCode why)
{
	(void)cls; (void)mhd; (void)why;
	if (*con)
		req_destroy(*con);
	*con = NULL;
}

/* ---- connections ---- */

/* End those that drip, and those whose client has left in the middle of a request: MHD's edge-triggered epoll does not see an end that came
 * together with data (0.9.75). */
static void sweep(struct omd_http *h)
{
	struct pollfd p[OMD_HTTP_CONNECTIONS + 8];
	uint64_t now = om_clock_mono_ns();
	nfds_t n = 0;

	h->swept_ns = now;
	for (struct omd_conn *c = h->conns; c; c = c->next) {
		if (c->busy)
			continue;
		if (now - c->since_ns > OMD_HTTP_REQUEST_S * 1000000000ULL)
			shutdown(c->fd, SHUT_RDWR);
		else if (n < OM_ARRAY_SIZE(p))
			p[n++] = (struct pollfd){ .fd = c->fd, .events = POLLRDHUP };
	}
	if (poll(p, n, 0) <= 0)
		return;
	for (nfds_t i = 0; i < n; i++)
		if (p[i].revents)
			shutdown(p[i].fd, SHUT_RDWR);
}

static void conn_open(struct omd_http *h, struct MHD_Connection *mhd, void **ctx)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct omd_conn *c = calloc(1, sizeof(*c));
	struct ucred cr;
	socklen_t len = sizeof(cr);
	unsigned int same = 0;

	*ctx = NULL;
	if (!c || !ci || getsockopt(ci->connect_fd, SOL_SOCKET, SO_PEERCRED, &cr, &len) < 0) {
		if (ci)
			shutdown(ci->connect_fd, SHUT_RDWR);
		free(c);
		return;
	}
	*c = (struct omd_conn){ .http = h, .fd = ci->connect_fd, .uid = cr.uid, .gid = cr.gid, .pid = cr.pid,
				.since_ns = om_clock_mono_ns(), .next = h->conns };
	for (struct omd_conn *o = cr.uid ? h->conns : NULL; o; o = o->next)
		same += o->uid == cr.uid;
	if (h->conns)
		h->conns->prev = c;
	h->conns = c;
	h->n_conns++;
	*ctx = c;
	if (same >= OMD_HTTP_PER_USER)
		shutdown(c->fd, SHUT_RDWR);
	if (h->n_conns > MANY && om_clock_mono_ns() - h->swept_ns > SWEEP_BUSY_NS)
		sweep(h);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **ctx, enum MHD_ConnectionNotificationCode what)
{
	struct omd_http *h = cls;
	struct omd_conn *c = *ctx;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		conn_open(h, mhd, ctx);
		return;
	}
	if (!c)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		h->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	h->n_conns--;
	*ctx = NULL;
	free(c);
}

/* ---- loop ---- */

void omd_http_run(struct omd_http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(h->mhd);
	if (MHD_get_timeout(h->mhd, &ms) == MHD_YES) {
		if (ms == 0) {
			sd_event_source_set_enabled(h->again, SD_EVENT_ONESHOT);
		} else {
			sd_event_source_set_time_relative(h->timer, ms * 1000);
			sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
		}
	}
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	(void)s; (void)fd; (void)revents;
	omd_http_run(arg);
	return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	(void)s; (void)usec;
	omd_http_run(arg);
	return 0;
}

static int on_again(sd_event_source *s, void *arg)
{
	(void)s;
	omd_http_run(arg);
	return 0;
}

static int on_sweep(sd_event_source *s, uint64_t usec, void *arg)
{
	(void)usec;
	sweep(arg);
	sd_event_source_set_time_relative(s, SWEEP_US);
	return 0;
}

static int add_sources(struct omd_http *h)
{
	const union MHD_DaemonInfo *di = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	int r;

	if (!di)
		return -ENOTSUP;
	r = sd_event_add_io(h->ev, &h->io, di->epoll_fd, EPOLLIN, on_io, h);
	if (r >= 0)
		r = sd_event_add_time_relative(h->ev, &h->timer, CLOCK_MONOTONIC, 1000000, 0, on_timer, h);
	if (r >= 0)
		r = sd_event_add_time_relative(h->ev, &h->sweep, CLOCK_MONOTONIC, SWEEP_US, 0, on_sweep, h);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->sweep, SD_EVENT_ON);
	if (r >= 0)
		r = sd_event_add_defer(h->ev, &h->again, on_again, h);
	return r;
}

int omd_http_create(struct omd *omd, sd_event *ev, int listen_fd, const struct omd_route *routes, struct omd_http **ret,
		    struct om_err *err)
{
	struct omd_http *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return om_err_set(err, -ENOMEM, "out of memory");
	*h = (struct omd_http){ .omd = omd, .ev = ev, .routes = routes, .last_ns = om_clock_mono_ns() };
	h->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, h,
				  MHD_OPTION_LISTEN_SOCKET, listen_fd,
				  MHD_OPTION_CONNECTION_LIMIT, (unsigned int)OMD_HTTP_CONNECTIONS,
				  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)OMD_HTTP_IDLE_S,
				  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)64 * 1024,
				  MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
				  MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
				  MHD_OPTION_END);
	if (!h->mhd) {
		free(h);
		return om_err_set(err, -EIO, "libmicrohttpd does not start on the socket");
	}
	r = add_sources(h);
	if (r < 0) {
		omd_http_destroy(h);
		return om_err_sys(err, r, "event loop for HTTP");
	}
	*ret = h;
	return 0;
}

void omd_http_destroy(struct omd_http *h)
{
	if (!h)
		return;
	for (int i = 0; h->mhd && i < 3; i++)	/* answers that are ready go out */
		MHD_run(h->mhd);
	sd_event_source_disable_unref(h->io);
	sd_event_source_disable_unref(h->timer);
	sd_event_source_disable_unref(h->sweep);
	if (h->mhd) {
		for (struct omd_conn *c = h->conns; c; c = c->next) {
			if (c->req && c->req->gone)
				c->req->gone(c->req);
			if (c->req && c->req->suspended) {
				c->req->gone = NULL;
				omd_reply_error(c->req, 503, "omd is ending");
			}
		}
		MHD_run(h->mhd);
		for (struct omd_conn *c = h->conns; c; c = c->next)
			shutdown(c->fd, SHUT_RDWR);
		MHD_stop_daemon(h->mhd);
	}
	sd_event_source_disable_unref(h->again);
	free(h);
}

unsigned int omd_http_connections(const struct omd_http *h)
{
	return h->n_conns;
}

uint64_t omd_http_last_ns(const struct omd_http *h)
{
	return h->last_ns;
}

const char *omd_req_arg(struct omd_req *req, const char *name)
{
	return MHD_lookup_connection_value(req->mhd, MHD_GET_ARGUMENT_KIND, name);
}

json_t *omd_req_json(struct omd_req *req)
{
	json_error_t je;
	json_t *o;

	if (!req->body.len)
		return json_object();
	o = json_loadb(req->body.data, req->body.len, JSON_REJECT_DUPLICATES, &je);
	if (!o) {
		omd_reply_error(req, 400, "the body is not JSON: line %d, column %d: %s", je.line, je.column, je.text);
		return NULL;
	}
	if (!json_is_object(o)) {
		json_decref(o);
		omd_reply_error(req, 400, "the body must be a JSON object");
		return NULL;
	}
	return o;
}
