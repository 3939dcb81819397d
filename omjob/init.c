/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals sent to pid 1 from inside its namespace are dropped by the kernel (no handlers are set), and a job's process lacks the
 * capabilities pid 1 has, so it cannot trace it either.  Orders come by socket, ends of children by signalfd, so that nothing
 * here runs in a signal handler. */
#include "omjob/init.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "checkpoint/ckpt.h"
#include "omjob/filter.h"
#include "omjob/report.h"
#include "omjob/spec.h"
#include "omjob/start.h"

struct init {
	const struct omj_init_opts *o;
	pid_t root;
};

static int report(const struct init *in, uint32_t kind, int32_t value, const char *text)
{
	struct omj_report r = { .kind = kind, .value = value };

	(void)om_str_copy(r.text, sizeof(r.text), text);	/* a cut reason is a reason */
	return om_fd_send(in->o->ctl, &r, sizeof(r), NULL, 0);
}

/* 1 when no child is left */
static int reap(struct init *in)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);

		if (pid == 0)
			return 0;
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return 1;
		if (pid == in->root) {
			in->root = 0;
			(void)report(in, OMJ_R_ROOT, status, "");	/* keeper gone: so are we in a moment */
		}
	}
}

/* -ENODATA when the keeper is gone */
static int obey(struct init *in)
{
	struct omj_order o;
	ssize_t n = om_fd_recv(in->o->ctl, &o, sizeof(o), NULL, NULL);

	if (n == -EAGAIN)
		return 0;
	if (n != sizeof(o))
		return -ENODATA;
	switch ((enum omj_order_kind)o.kind) {
	case OMJ_O_SIGNAL:
		(void)kill(-1, o.value);	/* ESRCH: nobody left, the loop will see it */
		return 0;
	case OMJ_O_SYNC:
		(void)reap(in);
		return report(in, OMJ_R_SYNCED, 0, "");
	case OMJ_O_GO:
		break;
	}
	return 0;
}

static int loop(struct init *in, int sfd)
{
	struct pollfd p[2] = { { .fd = in->o->ctl, .events = POLLIN }, { .fd = sfd, .events = POLLIN } };
	struct signalfd_siginfo si[8];

	while (!reap(in)) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (p[1].revents && read(sfd, si, sizeof(si)) < 0 && errno != EAGAIN)
			return 1;
		if (p[0].revents && obey(in) < 0)
			return 1;	/* our end takes the whole namespace with it */
	}
	return 0;
}

static int wait_for_go(const struct init *in)
{
	struct omj_order o;
	ssize_t n = om_fd_recv(in->o->ctl, &o, sizeof(o), NULL, NULL);

	return n == sizeof(o) && o.kind == OMJ_O_GO ? 0 : -ENODATA;
}

static int watch_begin(const struct init *in, struct om_err *err)
{
	struct omj_report rep = { .kind = OMJ_R_LISTENER };
	om_autofd int fd = -1;
	int r = omj_filter_install(&fd, err);

	if (r < 0)
		return r;
	r = om_fd_send(in->o->ctl, &rep, sizeof(rep), &fd, 1);
	return r < 0 ? om_err_sys(err, r, "cannot reach the keeper") : 0;
}

static int begin(struct init *in, struct om_err *err)
{
	int r = in->o->spec->journal ? watch_begin(in, err) : 0;

	if (r < 0)
		return r;
	if (in->o->src)
		r = ckpt_restore_in_init(in->o->src, in->o->restore_ctl, &in->root, err);
	else
		r = omj_start_root(in->o, &in->root, err);
	return r;
}

static void close_but(int a, int b)
{
	int low = a < b ? a : b, high = a < b ? b : a;

	if (low > 3)
		(void)close_range(3, (unsigned)low - 1, 0);
	if (high > low + 1)
		(void)close_range((unsigned)low + 1, (unsigned)high - 1, 0);
	(void)close_range((unsigned)high + 1, ~0U, 0);
}

int omj_init_main(void *arg)
{
	struct init in = { .o = arg };
	struct om_err err = { 0 };
	sigset_t all;
	int sfd, r;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sfd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sfd < 0 || wait_for_go(&in) < 0)
		return 1;
	r = begin(&in, &err);
	if (r < 0) {
		(void)report(&in, OMJ_R_FAILED, r, om_err_text(&err, r));
		return 1;
	}
	close_but(in.o->ctl, sfd);	/* an image's descriptors, whatever a restore needed */
	(void)report(&in, OMJ_R_STARTED, in.root, "");
	return loop(&in, sfd);
}
