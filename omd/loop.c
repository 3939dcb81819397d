/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop, and how omd ends.  SIGTERM, SIGINT and SIGPWR are a shutdown that suspends the jobs: each is checkpointed and goes back
 * into the queue; one that cannot be checkpointed runs on with its keeper, and the next omd finds it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sched.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/paths.h"
#include "omd/http.h"
#include "omd/omd.h"
#include "omd/setup.h"
#include "omd/spawn.h"

static const uint64_t IDLE_LOOK_US = 1000000;
static const uint64_t STOP_MAX_US = 80 * 1000000ULL;	/* below systemd's 90 s, after which it would kill us */

/* ---- shutdown, drain ---- */

static bool any_keeper(struct omd *omd)
{
	for (unsigned int i = 0; i < OMD_HASH; i++)
		for (struct omd_job *j = omd->jobs[i]; j; j = j->next)
			if (j->sock >= 0 && (j->suspend != OMD_SUSPEND_NO || j->rec.state == OM_JOB_ENDING))
				return true;
	return false;
}

void omd_stop_check(struct omd *omd)
{
	if (omd->stopping && (omd->leave || !any_keeper(omd)))
		sd_event_exit(omd->ev, 0);
}

static int on_stop_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct omd *omd = arg;

	(void)s; (void)usec;
	om_log_warning("jobs are not suspended in time, leaving them to their keepers");
	omd->leave = true;
	omd_stop_check(omd);
	return 0;
}

static void suspend_all(struct omd *omd)
{
	for (unsigned int i = 0; i < OMD_HASH; i++)
		for (struct omd_job *j = omd->jobs[i], *next; j; j = next) {
			struct om_err err = { 0 };

			next = j->next;
			if (j->rec.state != OM_JOB_RUNNING || j->sock < 0 || j->suspend != OMD_SUSPEND_NO)
				continue;
			if (omd_job_step(j, POL_EV_SUSPEND, NULL, NULL, &err) < 0)
				om_log_warning("job=%s not suspended: %s", omd_id(j->rec.id), om_err_text(&err, 0));
		}
}

static void cancel_all(struct omd *omd)
{
	for (unsigned int i = 0; i < OMD_HASH; i++)
		for (struct omd_job *j = omd->jobs[i], *next; j; j = next) {
			next = j->next;
			if (omd_job_alive(j) && j->sock >= 0)
				(void)omd_job_step(j, POL_EV_CANCEL, "shutdown", NULL, NULL);
		}
}

void omd_drain(struct omd *omd, bool undo)
{
	omd->draining = !undo;
	pol_queue_set_draining(omd->queue, omd->draining);
	om_log_notice("draining=%s", undo ? "no" : "yes");
	if (!undo)
		suspend_all(omd);
	omd_batch_flush(omd);		/* the orders go out now: whoever asks next must not give them again */
	omd_queue_kick(omd);
}

void omd_stop(struct omd *omd, enum omd_stop how)
{
	static const char *const names[] = { "suspend", "leave", "kill" };

	om_log_notice("shutdown jobs=%s", names[how]);
	if (!omd->stopping && sd_event_add_time_relative(omd->ev, &omd->stop_timer, CLOCK_MONOTONIC, STOP_MAX_US, 0,
							 on_stop_timer, omd) < 0)
		omd->leave = true;
	omd->stopping = true;
	pol_queue_set_draining(omd->queue, true);
	omd->stop_kill = how == OMD_STOP_KILL;
	if (how == OMD_STOP_SUSPEND)
		suspend_all(omd);
	else if (how == OMD_STOP_KILL)
		cancel_all(omd);
	else
		omd->leave = true;
	omd_batch_flush(omd);
	omd_stop_check(omd);
}

static int on_stop_defer(sd_event_source *s, void *arg)
{
	struct omd *omd = arg;

	(void)s;
	omd_stop(omd, (enum omd_stop)omd->stop_how);
	return 0;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	struct omd *omd = arg;

	(void)s;
	om_log_notice("signal=%u", si->ssi_signo);
	if (si->ssi_signo == SIGHUP) {
		omd_user_forget(omd);
		return 0;
	}
	if (omd->stopping)		/* asked twice: at once */
		omd->leave = true;
	omd_stop(omd, omd->leave ? OMD_STOP_LEAVE : OMD_STOP_SUSPEND);
	return 0;
}

/* ---- idle ---- */

static int on_idle(sd_event_source *s, uint64_t usec, void *arg)
{
	struct omd *omd = arg;
	struct pol_queue_stats q;
	uint64_t quiet = om_clock_mono_ns() - omd_http_last_ns(omd->http);

	(void)usec;
	pol_queue_stats(omd->queue, &q);
	if (!q.waiting && !q.running && !omd_wait_any(omd) && !omd_http_connections(omd->http) &&
	    quiet > omd->idle_exit_s * 1000000000ULL) {
		om_log_notice("idle for %llu s, ending", (unsigned long long)(quiet / 1000000000ULL));
		sd_event_exit(omd->ev, 0);
	}
	sd_event_source_set_time_relative(s, IDLE_LOOK_US);
	return 0;
}

/* ---- start ---- */

static void know_machine(struct omd *omd)
{
	om_autofree char *text = NULL;
	struct utsname u;
	cpu_set_t set;
	const char *p;
	size_t len;

	if (uname(&u) == 0)
		snprintf(omd->node, sizeof(omd->node), "%s", u.nodename);
	omd->machine.cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) :
			    (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	omd->machine.memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	if (om_file_read("/proc/meminfo", 65536, &text, &len) == 0 && (p = strstr(text, "MemTotal:")))
		omd->machine.memory = strtoull(p + 9, NULL, 10) * 1024;
}

static int add_signals(struct omd *omd)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGPWR, SIGHUP };
	sigset_t set;
	int r = 0;

	sigemptyset(&set);
	for (size_t i = 0; i < OM_ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; r >= 0 && i < OM_ARRAY_SIZE(signals); i++)
		r = sd_event_add_signal(omd->ev, &omd->stop_src[i], signals[i], on_signal, omd);
	return r;
}

static int create_sources(struct omd *omd, struct om_err *err)
{
	int r = sd_event_new(&omd->ev);

	if (r >= 0)
		r = add_signals(omd);
	if (r >= 0)
		r = sd_event_add_defer(omd->ev, &omd->stop_defer, on_stop_defer, omd);
	if (r >= 0)
		r = sd_event_source_set_enabled(omd->stop_defer, SD_EVENT_OFF);
	if (r >= 0 && omd->idle_exit_s) {
		r = sd_event_add_time_relative(omd->ev, &omd->idle, CLOCK_MONOTONIC, IDLE_LOOK_US, 0, on_idle, omd);
		if (r >= 0)
			r = sd_event_source_set_enabled(omd->idle, SD_EVENT_ON);
	}
	return r < 0 ? om_err_sys(err, r, "event loop") : 0;
}

int omd_loop_create(struct omd *omd, struct om_err *err)
{
	int r;

	know_machine(omd);
	if (om_path_program(omd->omjob, sizeof(omd->omjob), "omjob") < 0)
		return om_err_set(err, -ENOENT, "the program omjob is not found beside omd nor in " OM_LIBEXECDIR ": install it, or set OM_LIBEXEC");
	omd->uid = geteuid();
	omd->start_ns = om_clock_mono_ns();
	omd->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (omd->null_fd < 0)
		return om_err_sys(err, -errno, "open /dev/null");
	r = create_sources(omd, err);
	if (r >= 0)
		r = spool_jobs_open(omd->spool, &omd->db, err);
	if (r >= 0)
		r = omd_queue_create(omd, err);
	if (r >= 0)
		r = omd_batch_create(omd, err);
	if (r >= 0)
		r = omd_recover(omd, err);
	if (r >= 0 && omd_history_create(omd) < 0)
		r = om_err_set(err, -ENOMEM, "event loop");
	/* last: who connects is served at once */
	if (r >= 0)
		r = omd_setup_socket(omd, err);
	if (r >= 0)
		r = omd_http_create(omd, omd->ev, omd->listen_fd, omd_routes, &omd->http, err);
	if (r >= 0)
		omd->listen_fd = -1;	/* libmicrohttpd closes it at its end */
	return r;
}

/* ---- run, end ---- */

int omd_loop_run(struct omd *omd)
{
	uint64_t begin, ns;
	int r;

	while (sd_event_get_state(omd->ev) != SD_EVENT_FINISHED) {
		r = sd_event_prepare(omd->ev);
		if (r == 0)
			r = sd_event_wait(omd->ev, UINT64_MAX);
		if (r < 0 && r != -EINTR)
			return r;
		if (r <= 0)
			continue;
		begin = om_clock_mono_ns();
		r = sd_event_dispatch(omd->ev);
		if (r < 0) {
			om_log_err("event loop: %s", strerror(-r));
			return r;
		}
		ns = om_clock_mono_ns() - begin;
		if (ns > omd->stats.turn_max_ns)
			omd->stats.turn_max_ns = ns;
	}
	return 0;
}

void omd_loop_destroy(struct omd *omd)
{
	if (omd->batch)
		omd_batch_flush(omd);
	omd_http_destroy(omd->http);
	omd->http = NULL;
	omd_job_destroy_all(omd);
	omd_notify_destroy(omd);
	omd_user_forget(omd);
	omd_batch_destroy(omd);
	spool_jobs_close(omd->db);
	omd->db = NULL;
	for (size_t i = 0; i < OM_ARRAY_SIZE(omd->stop_src); i++)
		omd->stop_src[i] = sd_event_source_disable_unref(omd->stop_src[i]);
	omd->idle = sd_event_source_disable_unref(omd->idle);
	omd->queue_timer = sd_event_source_disable_unref(omd->queue_timer);
	omd->queue_defer = sd_event_source_disable_unref(omd->queue_defer);
	omd->history = sd_event_source_disable_unref(omd->history);
	omd->stop_timer = sd_event_source_disable_unref(omd->stop_timer);
	omd->stop_defer = sd_event_source_disable_unref(omd->stop_defer);
	pol_queue_destroy(omd->queue);
	omd->queue = NULL;
	sd_event_unref(omd->ev);
	om_fd_close(omd->null_fd);
	omd->null_fd = -1;
}
