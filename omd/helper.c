/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omd/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "omd/omd.h"

enum { LINE_MAX_BYTES = 4 << 20 };	/* `show` of a large tree is one line */

struct omd_helper {
	struct omd *omd;
	const struct omd_helper_ops *ops;	/* NULL: cancelled */
	void *arg;
	int pidfd, pipe;
	int status;
	bool ended;
	sd_event_source *pid_src, *pipe_src;
	struct om_buf buf;
	json_t *last;
};

static void destroy(struct omd_helper *h)
{
	sd_event_source_disable_unref(h->pid_src);
	sd_event_source_disable_unref(h->pipe_src);
	om_fd_close(h->pidfd);
	om_fd_close(h->pipe);
	om_buf_done(&h->buf);
	json_decref(h->last);
	free(h);
}

static void finish(struct omd_helper *h)
{
	if (!h->ended || h->pipe >= 0)
		return;
	if (h->ops && h->ops->end)
		h->ops->end(h->arg, h->status, h->last);
	destroy(h);
}

static void close_pipe(struct omd_helper *h)
{
	h->pipe_src = sd_event_source_disable_unref(h->pipe_src);
	om_fd_close(om_fd_steal(&h->pipe));
}

static void take_line(struct omd_helper *h, const char *p, size_t n)
{
	json_t *o = json_loadb(p, n, 0, NULL);

	if (!json_is_object(o)) {
		json_decref(o);
		return;
	}
	json_decref(h->last);
	h->last = o;
	if (h->ops && h->ops->line)
		h->ops->line(h->arg, o);
}

static void take_lines(struct omd_helper *h)
{
	size_t from = 0;
	char *nl;

	while (h->buf.len > from && (nl = memchr(h->buf.data + from, '\n', h->buf.len - from))) {
		take_line(h, h->buf.data + from, (size_t)(nl - h->buf.data) - from);
		from = (size_t)(nl - h->buf.data) + 1;
	}
	om_buf_shift(&h->buf, from);
}

static int on_pipe(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct omd_helper *h = arg;
	ssize_t n;

	(void)s; (void)revents;
	if (h->buf.len > LINE_MAX_BYTES || om_buf_reserve(&h->buf, 65536) < 0) {
		om_log_warning("helper says too much in one line, ending it");
		om_pidfd_signal(h->pidfd, SIGKILL);
		close_pipe(h);
		finish(h);
		return 0;
	}
	n = read(fd, h->buf.data + h->buf.len, 65536);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0) {
		h->buf.len += (size_t)n;
		h->buf.data[h->buf.len] = 0;
		take_lines(h);
		return 0;
	}
	if (h->buf.len)
		take_line(h, h->buf.data, h->buf.len);
	close_pipe(h);
	finish(h);
	return 0;
}

static int on_pid(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct omd_helper *h = arg;

	(void)s; (void)revents;
	if (om_pidfd_wait(fd, 0, &h->status) < 0)
		h->status = -1;
	h->ended = true;
	h->pid_src = sd_event_source_disable_unref(h->pid_src);
	finish(h);
	return 0;
}

int omd_helper_start(struct omd *omd, struct omd_spawn *s, int out, const struct omd_helper_ops *ops, void *arg,
		     struct omd_helper **ret, struct om_err *err)
{
	struct omd_helper *h = calloc(1, sizeof(*h));
	om_autofd int theirs = -1;
	int p[2] = { -1, -1 }, r = 0;
	pid_t pid;

	if (!h)
		return om_err_set(err, -ENOMEM, "out of memory");
	*h = (struct omd_helper){ .omd = omd, .ops = ops, .arg = arg, .pidfd = -1, .pipe = -1 };
	if (ops) {
		if (pipe2(p, O_CLOEXEC) < 0) {
			r = om_err_sys(err, -errno, "pipe");
			destroy(h);
			return r;
		}
		h->pipe = p[0];
		theirs = p[1];
		s->fds[out] = theirs;
		om_fd_set_nonblock(h->pipe, 1);
	}
	r = omd_spawn(omd, s, &h->pidfd, &pid, err);
	if (r >= 0)
		r = sd_event_add_io(omd->ev, &h->pid_src, h->pidfd, EPOLLIN, on_pid, h);
	if (r >= 0 && h->pipe >= 0)
		r = sd_event_add_io(omd->ev, &h->pipe_src, h->pipe, EPOLLIN, on_pipe, h);
	if (r < 0) {
		if (h->pidfd >= 0) {
			om_pidfd_signal(h->pidfd, SIGKILL);
			om_pidfd_wait(h->pidfd, -1, NULL);
			om_err_sys(err, r, "watch %s", s->program);
		}
		destroy(h);
		return r;
	}
	if (ret)
		*ret = h;
	return 0;
}

void omd_helper_cancel(struct omd_helper *h)
{
	if (!h)
		return;
	h->ops = NULL;
	om_pidfd_signal(h->pidfd, SIGKILL);
	close_pipe(h);
	if (h->ended)
		destroy(h);
}

void omd_helper_pause(struct omd_helper *h, bool pause)
{
	if (h->pipe_src)
		sd_event_source_set_enabled(h->pipe_src, pause ? SD_EVENT_OFF : SD_EVENT_ON);
}

void omd_helper_text(int status, json_t *last, char *dst, size_t n)
{
	const char *reason = json_string_value(json_object_get(last, "reason"));
	const char *spawn = omd_spawn_failure(status);

	if (reason && reason[0])
		om_str_copy(dst, n, reason);
	else if (spawn)
		snprintf(dst, n, "the helper %s", spawn);
	else if (status >= 0 && WIFSIGNALED(status))
		snprintf(dst, n, "the helper was killed by signal %d", WTERMSIG(status));
	else
		snprintf(dst, n, "the helper failed (status %d) without saying why", status >= 0 ? WEXITSTATUS(status) : -1);
}

int omd_helper_omjob(struct omd *omd, const struct spool_job *rec, const char *const *argv, const int *fds,
		     const struct omd_helper_ops *ops, void *arg, struct omd_helper **ret, struct om_err *err)
{
	om_autofd int dirfd = omd_folder_open(omd, rec->id, err);
	struct omd_spawn s = { .program = "omjob", .dirfd = dirfd, .fds = { -1, -1, -1, -1 }, .log = "keeper.log",
			       .uid = rec->uid, .gid = rec->gid };
	int i;

	if (dirfd < 0)
		return dirfd;
	for (i = 0; argv[i] && i < OMD_SPAWN_ARGS - 1; i++)
		s.argv[i] = argv[i];
	for (i = 0; fds && i < 4; i++)
		s.fds[i] = fds[i];
	/* export writes the image to descriptor 1 and its lines to 3 */
	return omd_helper_start(omd, &s, fds && fds[1] >= 0 ? 3 : 1, ops, arg, ret, err);
}
