/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify --trial: everything a restore does but the putting back of files and the first instruction. */
#include "omjob/verbs.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/proc.h"
#include "checkpoint/ckpt.h"
#include "omjob/sink.h"

struct trial {
	struct omj_image *im;
	int ctl, theirs;
};

static int init_main(void *arg)
{
	struct trial *t = arg;
	pid_t root;

	om_fd_close(t->theirs);
	(void)setsid();		/* fails when it leads one already */
	return ckpt_restore_in_init(&t->im->source, t->ctl, &root, NULL) < 0;
}

int omj_trial(struct omj_image *im, struct om_err *err)
{
	struct ckpt_space_opts so = { .user_ns = geteuid() != 0 };
	struct ckpt_space space;
	struct ckpt_stats stats;
	struct trial t = { .im = im };
	int sv[2], r = ckpt_restore_clocks(&im->source, &so.mono_ns, &so.boot_ns, err);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return om_err_sys(err, -errno, "socketpair");
	t.theirs = sv[0];
	t.ctl = sv[1];
	r = ckpt_space_create(&so, init_main, &t, &space, err);
	om_fd_close(sv[1]);
	if (r == 0) {
		r = ckpt_restore_drive(&im->source, &space, sv[0], true, NULL, NULL, &stats, err);
		(void)om_pidfd_signal(space.init_pidfd, SIGKILL);	/* ended already, most likely */
		/* All, not only init: a task that was killed while we traced it is ours to reap before init's end is complete. */
		while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
			;
		om_fd_close(space.init_pidfd);
	}
	om_fd_close(sv[0]);
	return r;
}
