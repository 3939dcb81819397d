/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals for the whole tree go through init: its kill(-1) is one walk under the kernel's own lock, which no fork escapes.
 * The processor time of the leg comes from wait4(init), which has waited for everything; while the job runs, from /proc. */
#include "omjob/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "omjob/init.h"
#include "omjob/sink.h"
#include "omjob/spec.h"

enum {
	USAGE_PERIOD_S = 5,		/* the protocol's */
	USAGE_PROCESSES_MAX = 4096,	/* more are not looked at: one look must stay below a few ms */
	KILL_AGAIN_S = 10,		/* init did not do it (stopped?): then the kernel */
};
static const uint64_t ns_per_s = 1000000000;

struct start_arg {
	struct omj_init_opts o;
	const struct omj_keeper *k;
	int theirs[2];			/* the keeper's ends of our sockets */
};

/* In init: the keeper's descriptors must not live on in the job, his lock above all.  Those of an image stay until it is restored. */
static int init_begin(void *arg)
{
	struct start_arg *a = arg;
	const struct omj_keeper *k = a->k;
	const int his[] = { k->dirfd, k->lock, k->listen, k->conn, a->theirs[0], a->theirs[1] };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		return 1;
	om_fd_close(null);
	for (size_t i = 0; i < OM_ARRAY_SIZE(his); i++)
		om_fd_close(his[i]);
	(void)setsid();		/* fails when the keeper led none: then it is a session of its own already */
	return omj_init_main(&a->o);
}

static int order(struct omj_keeper *k, uint32_t kind, int32_t value)
{
	struct omj_order o = { .kind = kind, .value = value };

	return om_fd_send(k->ctl, &o, sizeof(o), NULL, 0);
}

/* Who holds the job now: a later keeper waits for the end of this init before it touches the job's files.  A record of fixed
 * length, so that nothing needs to be cut off. */
static int lock_note(struct omj_keeper *k, struct om_err *err)
{
	om_autofree char *stat = NULL;
	char path[64], note[OMJ_LOCK_NOTE];
	size_t len;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)k->space.init);
	r = om_file_read(path, sizeof(note) - 1, &stat, &len);
	if (r == 0) {
		memset(note, '\n', sizeof(note));
		memcpy(note, stat, len);
		r = om_fd_pwrite_all(k->lock, note, sizeof(note), 0);
	}
	return r < 0 ? om_err_sys(err, r, "keeper.lock") : 0;
}

static int pair_make(int sv[2], struct om_err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0)
		return 0;
	sv[0] = sv[1] = -1;
	return om_err_sys(err, -errno, "socketpair");
}

/* Everything is written down: init may begin, and the worker with it. */
static int tree_go(struct omj_keeper *k, struct omj_image *im, int restore_ctl, struct om_err *err)
{
	int r = lock_note(k, err);

	if (r == 0) {
		r = order(k, OMJ_O_GO, 0);
		if (r < 0)
			om_err_sys(err, r, "the job's init does not answer");
	}
	if (r == 0 && im)
		r = omj_work_restore(k, im, restore_ctl, err);
	return r;
}

int omj_tree_start(struct omj_keeper *k, struct omj_image *im, struct om_err *err)
{
	om_autofree char *cwd = getcwd(NULL, 0), *script = NULL;
	struct ckpt_space_opts so = { .user_ns = geteuid() != 0 };
	struct start_arg a = { .o = { .spec = k->spec, .restore_ctl = -1, .src = im ? &im->source : NULL }, .k = k };
	int sv[2], rv[2] = { -1, -1 }, r = 0;

	if (!cwd || asprintf(&script, "%s/script", cwd) < 0)
		return om_err_set(err, -ENOMEM, "cannot tell the job's folder");
	a.o.script = script;
	if (im)
		r = ckpt_restore_clocks(&im->source, &so.mono_ns, &so.boot_ns, err);
	r = r ? r : pair_make(sv, err);
	if (r < 0)
		return r;
	r = im ? pair_make(rv, err) : 0;
	a.o.ctl = sv[1];
	a.o.restore_ctl = rv[1];
	a.theirs[0] = sv[0];
	a.theirs[1] = rv[0];
	k->begin_ns = om_clock_mono_ns();
	r = r ? r : ckpt_space_create(&so, init_begin, &a, &k->space, err);
	om_fd_close(sv[1]);
	om_fd_close(rv[1]);
	k->ctl = sv[0];
	(void)om_fd_set_nonblock(k->ctl, 1);	/* of our own socket: cannot fail */
	if (r == 0)
		r = tree_go(k, im, rv[0], err);
	om_fd_close(rv[0]);
	k->usage_at = k->begin_ns + USAGE_PERIOD_S * ns_per_s;
	return r;
}

int omj_tree_sync(struct omj_keeper *k)
{
	return k->space.init_pidfd < 0 ? -ESRCH : order(k, OMJ_O_SYNC, 0);
}

int omj_tree_signal(struct omj_keeper *k, int sig)
{
	return k->space.init_pidfd < 0 ? -ESRCH : order(k, OMJ_O_SIGNAL, sig);
}

void omj_tree_kill(struct omj_keeper *k)
{
	if (k->space.init_pidfd >= 0)
		(void)om_pidfd_signal(k->space.init_pidfd, SIGKILL);	/* gone already: fine */
	k->kill_at = 0;
}

void omj_tree_cancel(struct omj_keeper *k, uint64_t grace_s, const char *why)
{
	uint64_t at = om_clock_mono_ns() + grace_s * ns_per_s;

	if (strcmp(k->why, "exit") == 0) {
		k->why = why;
		(void)omj_tree_signal(k, SIGTERM);	/* an init that is gone ends the loop anyway */
		(void)omj_tree_signal(k, SIGCONT);
	}
	if (!k->kill_at || at < k->kill_at)
		k->kill_at = at;
}

void omj_tree_due(struct omj_keeper *k, uint64_t now)
{
	/* SIGKILL by init keeps the root's status; when even that does not end it, the kernel takes the namespace. */
	if (k->kill_at && now >= k->kill_at) {
		bool again = k->killed;

		k->killed = true;
		k->kill_at = now + KILL_AGAIN_S * ns_per_s;
		if (again || omj_tree_signal(k, SIGKILL) < 0)
			omj_tree_kill(k);
	}
	if (k->usage_at && now >= k->usage_at) {
		k->usage_at = now + USAGE_PERIOD_S * ns_per_s;
		omj_link_usage(k);
	}
}

int omj_tree_report(struct omj_keeper *k)
{
	struct omj_report rep;
	int fd = -1, nfds = 1;
	ssize_t n = om_fd_recv(k->ctl, &rep, sizeof(rep), &fd, &nfds);

	if (n < 0)
		return (int)n;
	if (n != sizeof(rep)) {
		om_fd_close(fd);
		return -ENODATA;
	}
	rep.text[sizeof(rep.text) - 1] = 0;
	switch ((enum omj_report_kind)rep.kind) {
	case OMJ_R_STARTED:
		k->state = OMJ_RUNNING;
		omj_link_send(k, json_pack("{s:s, s:o, s:I}", "ev", "started", "restored",
					   k->spec->restore ? json_integer(k->spec->restore) : json_null(),
					   "realtime_ns", (json_int_t)om_clock_real_ns()));
		break;
	case OMJ_R_FAILED:
		(void)om_str_copy(k->failed, sizeof(k->failed), rep.text);	/* of equal size */
		om_log_warning("job=%s cannot start: %s", k->spec->id, rep.text);
		break;
	case OMJ_R_ROOT:
		k->root_ended = true;
		k->root_status = rep.value;
		break;
	case OMJ_R_SYNCED:
		omj_work_synced(k);
		break;
	case OMJ_R_LISTENER:
		om_fd_close(k->watch.listener);
		k->watch.listener = om_fd_steal(&fd);
		/* Output files that are truncated at the start are truncated again at another start: nothing to be noted for them.
		 * What a restore does to files is no change of the job's. */
		k->watch.on = k->spec->append && !k->spec->restore;
		break;
	case OMJ_R_OPENED:
		k->watch.on = true;
		break;
	}
	om_fd_close(fd);
	return 0;
}

void omj_tree_ended(struct omj_keeper *k)
{
	struct rusage ru = { 0 };
	int status = 0;

	if (wait4(k->space.init, &status, __WALL, &ru) < 0)
		om_log_err("job=%s wait for init: %s", k->spec->id, strerror(errno));
	while (omj_tree_report(k) == 0)
		;
	om_fd_close(om_fd_steal(&k->space.init_pidfd));
	om_fd_close(om_fd_steal(&k->ctl));
	k->kill_at = k->usage_at = 0;
	k->usage.cpu_ns = (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * ns_per_s +
			  (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000;
	if ((uint64_t)ru.ru_maxrss * 1024 > k->usage.maxrss)
		k->usage.maxrss = (uint64_t)ru.ru_maxrss * 1024;
	k->usage.rss = 0;
	k->usage.processes = 0;
	if (omj_work_settle(k))
		omj_keep_suspended(k);
	else if (k->lost[0] && strcmp(k->why, "exit") == 0)
		omj_keep_lost(k, k->lost_temporary, "%s", k->lost);
	else if (k->root_ended && (status == 0 || strcmp(k->why, "exit")))
		omj_keep_exited(k, k->root_status);
	else if (strcmp(k->why, "exit"))
		omj_keep_exited(k, SIGKILL);
	else if (k->failed[0])
		omj_keep_lost(k, false, "%s", k->failed);
	else
		omj_keep_lost(k, true, "the job's init was ended from outside (status %#x)", status);
}

/* The numbers of one process from /proc/PID/stat: fields 14-17 and 24. */
static int stat_add(pid_t pid, struct omj_usage *u)
{
	unsigned long long ut, st, rss;
	om_autofree char *text = NULL;
	const char *p;
	long long cut, cst;
	char path[64];
	size_t len;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = om_file_read(path, 4096, &text, &len);
	if (r < 0)
		return r;
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d %*d %*d %*u %*u %llu",
			 &ut, &st, &cut, &cst, &rss) != 5)
		return -EINVAL;
	u->cpu_ns += (ut + st + (unsigned long long)(cut + cst)) * (ns_per_s / (uint64_t)sysconf(_SC_CLK_TCK));
	u->rss += rss * (uint64_t)sysconf(_SC_PAGESIZE);
	u->processes++;
	return 0;
}

/* Append the children of all threads of @pid to @list. */
static size_t children_add(pid_t pid, pid_t *list, size_t n)
{
	char path[64];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		om_autofree char *text = NULL;
		char *p, *end;
		size_t len;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children", (int)pid, e->d_name);
		if (om_file_read(path, 1 << 20, &text, &len) < 0)
			continue;
		for (p = text; n < USAGE_PROCESSES_MAX; p = end) {
			long v = strtol(p, &end, 10);

			if (end == p)
				break;
			list[n++] = (pid_t)v;
		}
	}
	if (d)
		closedir(d);
	return n;
}

void omj_tree_usage(struct omj_keeper *k)
{
	struct omj_usage u = { .maxrss = k->usage.maxrss };
	om_autofree pid_t *list = NULL;
	size_t n = 1;

	if (k->space.init_pidfd < 0)
		return;
	list = malloc(USAGE_PROCESSES_MAX * sizeof(*list));
	if (!list)
		return;
	list[0] = k->space.init;
	for (size_t i = 0; i < n; i++) {
		if (stat_add(list[i], &u) == 0)
			n = children_add(list[i], list, n);
		if (i == 0)
			u.rss = u.processes = 0;	/* init is ours */
	}
	if (u.rss > u.maxrss)
		u.maxrss = u.rss;
	if (u.cpu_ns < k->usage.cpu_ns)
		u.cpu_ns = k->usage.cpu_ns;	/* a process between end and wait is in neither number */
	k->usage = u;
}
