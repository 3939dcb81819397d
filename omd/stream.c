/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ways into one answer: JSON lines are collected in a buffer (small, the helper is paused above a limit); an image is read from
 * the pipe by MHD's own reader.  The object lives until the request has let go of it (gone), MHD has (done), and the helper has ended. */
#include "omd/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "omd/helper.h"
#include "omd/http.h"
#include "omd/omd.h"

enum { LINES_MAX = 1 << 20 };

struct stream {
	struct omd_req *req;		/* NULL: the client has left, or the answer is complete */
	struct omd_helper *helper;	/* NULL: has ended */
	bool raw, responding;		/* MHD holds us */
	bool failed, paused;
	int fd;				/* raw: our end of its standard output */
	sd_event_source *src;
	struct om_buf lines;
};

static void release(struct stream *s)
{
	if (s->req || s->responding || s->helper)
		return;
	sd_event_source_disable_unref(s->src);
	om_fd_close(s->fd);
	om_buf_done(&s->lines);
	free(s);
}

static void on_done(void *arg)
{
	struct stream *s = arg;

	s->responding = false;
	release(s);
}

static void on_gone(struct omd_req *req)
{
	struct stream *s = req->priv;

	s->req = NULL;
	if (s->helper)
		omd_helper_cancel(s->helper);
	s->helper = NULL;
	s->src = sd_event_source_disable_unref(s->src);
	release(s);
}

static void wake(struct stream *s)
{
	if (s->req && s->responding)
		omd_req_more(s->req);
}

/* ---- readers of MHD ---- */

static ssize_t wait_more(struct stream *s)
{
	omd_req_pause(s->req);
	return 0;
}

static ssize_t read_lines(void *arg, uint64_t pos, char *buf, size_t max)
{
	struct stream *s = arg;
	size_t n = s->lines.len < max ? s->lines.len : max;

	(void)pos;
	if (!s->req)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n) {
		memcpy(buf, s->lines.data, n);
		om_buf_shift(&s->lines, n);
		if (s->paused && s->helper) {
			s->paused = false;
			omd_helper_pause(s->helper, false);
		}
		return (ssize_t)n;
	}
	return s->helper ? wait_more(s) : MHD_CONTENT_READER_END_OF_STREAM;
}

static ssize_t read_raw(void *arg, uint64_t pos, char *buf, size_t max)
{
	struct stream *s = arg;
	ssize_t n;

	(void)pos;
	if (!s->req)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (s->fd >= 0) {
		n = read(s->fd, buf, max);
		if (n > 0)
			return n;
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			sd_event_source_set_enabled(s->src, SD_EVENT_ONESHOT);
			return wait_more(s);
		}
		s->src = sd_event_source_disable_unref(s->src);
		om_fd_close(om_fd_steal(&s->fd));
	}
	if (s->helper)			/* its status says whether this was all */
		return wait_more(s);
	return s->failed ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
}

static void respond(struct stream *s)
{
	s->responding = true;
	omd_reply_stream(s->req, s->raw ? "application/octet-stream" : "application/x-ndjson", s->raw ? read_raw : read_lines, s, on_done);
}

/* ---- the helper ---- */

static void on_line(void *arg, json_t *o)
{
	struct stream *s = arg;
	char *text;

	if (s->raw)
		return;
	text = json_dumps(o, JSON_COMPACT);
	if (text)
		om_buf_addf(&s->lines, "%s\n", text);
	free(text);
	if (s->lines.len > LINES_MAX && s->helper) {
		s->paused = true;
		omd_helper_pause(s->helper, true);
	}
	if (s->req && !s->responding)
		respond(s);
	else
		wake(s);
}

static void on_end(void *arg, int status, json_t *last)
{
	struct stream *s = arg;
	char why[256];

	s->helper = NULL;
	s->failed = status != 0 || !json_is_true(json_object_get(last, "ok"));
	if (s->req && !s->responding && s->failed) {
		struct omd_req *req = s->req;

		omd_helper_text(status, last, why, sizeof(why));
		s->req = NULL;
		req->gone = NULL;
		omd_reply_error(req, 409, "%s", why);
		release(s);
		return;
	}
	if (s->failed && !last && !s->raw)	/* it died: the reader of the lines must see an end */
		om_buf_addf(&s->lines, "{\"ok\":false,\"reason\":\"the helper was killed\"}\n");
	if (s->req && !s->responding)
		respond(s);
	else
		wake(s);
	release(s);
}

static int on_readable(sd_event_source *src, int fd, uint32_t revents, void *arg)
{
	struct stream *s = arg;

	(void)src; (void)fd;
	if (!s->req)
		return 0;
	if (s->responding)
		wake(s);
	else if (revents & EPOLLIN)	/* the first bytes: it will be an image */
		respond(s);
	return 0;			/* closed without a byte: on_end() answers */
}

int omd_stream_omjob(struct omd_req *req, const struct spool_job *rec, const char *const *argv, bool raw, struct om_err *err)
{
	static const struct omd_helper_ops ops = { .line = on_line, .end = on_end };
	struct stream *s = calloc(1, sizeof(*s));
	int fds[4] = { -1, -1, -1, -1 }, p[2], r = 0;
	om_autofd int theirs = -1;

	if (!s)
		return om_err_set(err, -ENOMEM, "out of memory");
	*s = (struct stream){ .raw = raw, .fd = -1 };
	if (raw) {
		if (pipe2(p, O_CLOEXEC) < 0) {
			r = om_err_sys(err, -errno, "pipe");
			release(s);
			return r;
		}
		s->fd = p[0];
		fds[1] = theirs = p[1];
		om_fd_set_nonblock(s->fd, 1);
		(void)fcntl(s->fd, F_SETPIPE_SZ, 1 << 20);	/* fewer switches; smaller is only slower */
		r = sd_event_add_io(req->omd->ev, &s->src, s->fd, EPOLLIN, on_readable, s);
		if (r >= 0)
			r = sd_event_source_set_enabled(s->src, SD_EVENT_ONESHOT);
	}
	if (r >= 0)
		r = omd_helper_omjob(req->omd, rec, argv, fds, &ops, s, &s->helper, err);
	if (r < 0) {
		release(s);
		return r;
	}
	s->req = req;
	req->priv = s;
	req->gone = on_gone;
	return 0;
}
