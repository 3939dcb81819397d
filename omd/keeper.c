/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A keeper at the other end of a socket.  What it says is checked by kmsg.c; what it may do to its job is decided by the state table.  That it
 * has gone is said by its pidfd alone: first what it has still said is read, then judged. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"
#include "omd/omd.h"
#include "omd/spawn.h"

enum {
	MESSAGES_PER_TURN = 16,		/* of one keeper: a babbling one must not keep the others waiting */
	KEEPER_HELD = 10,		/* exit status: another keeper has the job (omjob/keeper.h) */
};

/* ---- checkpoints it has ---- */

const struct omd_ckpt *omd_keeper_newest(const struct omd_job *j)
{
	const struct omd_ckpt *c = NULL;

	for (size_t i = 0; i < j->n_ckpts; i++)
		if (!j->ckpts[i].bad && (!c || j->ckpts[i].n > c->n))
			c = &j->ckpts[i];
	return c;
}

void omd_ckpt_add(struct omd_job *j, uint32_t n, uint64_t time_ns, uint64_t bytes, uint64_t stored)
{
	struct omd_ckpt *l;

	for (size_t i = 0; i < j->n_ckpts; i++)
		if (j->ckpts[i].n == n)
			return;
	if (j->n_ckpts >= OMD_KMSG_CKPTS)
		return;
	l = reallocarray(j->ckpts, j->n_ckpts + 1, sizeof(*l));
	if (!l)
		return;
	j->ckpts = l;
	l[j->n_ckpts++] = (struct omd_ckpt){ .n = n, .time_ns = time_ns, .bytes = bytes, .stored = stored };
}

void omd_ckpt_remove(struct omd_job *j, uint32_t n)
{
	for (size_t i = 0; i < j->n_ckpts; i++)
		if (j->ckpts[i].n == n) {
			j->ckpts[i] = j->ckpts[--j->n_ckpts];
			return;
		}
}

static bool was_bad(const struct omd_ckpt *old, size_t n_old, uint32_t n)
{
	for (size_t i = 0; i < n_old; i++)
		if (old[i].n == n)
			return old[i].bad;
	return false;
}

static void set_ckpts(struct omd_job *j, const struct omd_kmsg *m)
{
	om_autofree struct omd_ckpt *old = j->ckpts;
	size_t n_old = j->n_ckpts;

	j->ckpts = NULL;
	j->n_ckpts = 0;
	for (uint32_t i = 0; i < m->n_ckpts; i++) {
		const struct omd_kmsg_ckpt *c = &m->ckpts[i];

		omd_ckpt_add(j, c->n, (uint64_t)(c->time * 1e9), c->bytes, c->stored);
		if (j->n_ckpts && was_bad(old, n_old, c->n))
			j->ckpts[j->n_ckpts - 1].bad = true;
	}
	j->ckpt_known = true;
}

static void prune(struct omd_job *j)
{
	struct pol_ckpt list[OMD_KMSG_CKPTS];
	uint32_t drop[OMD_KMSG_CKPTS];
	size_t n;
	json_t *a;

	if (omd_job_need_spec(j, NULL) < 0)
		return;
	for (size_t i = 0; i < j->n_ckpts; i++)
		list[i] = (struct pol_ckpt){ .n = j->ckpts[i].n, .bad = j->ckpts[i].bad };
	n = pol_retention_drop(list, j->n_ckpts, j->spec->keep, drop);
	if (!n)
		return;
	a = json_array();
	for (size_t i = 0; a && i < n; i++)
		json_array_append_new(a, json_integer(drop[i]));
	omd_keeper_send(j, json_pack("{ss so}", "op", "prune", "drop", a));
}

/* ---- its messages ---- */

/* The job has gone back to @n: what came after it never was, so nobody may go on from there later. */
static void forget_newer(struct omd_job *j, uint32_t n)
{
	bool any = false;

	for (size_t i = 0; i < j->n_ckpts; i++)
		if (j->ckpts[i].n > n && (!j->first_made || j->ckpts[i].n < j->first_made))
			any = j->ckpts[i].bad = true;
	if (any)
		prune(j);
	if (j->rec.ckpt_n > n && !j->first_made)
		j->rec.ckpt_n = n;
}

static void take_usage(struct omd_job *j, const struct omd_kmsg *m)
{
	if (m->cpu_ns)
		j->cpu_ns = m->cpu_ns;
	if (m->maxrss)
		j->maxrss = m->maxrss;
	j->rss = m->rss;
	j->processes = m->processes;
}

static void refused(struct omd_job *j, enum pol_event ev, const struct om_err *err)
{
	om_log_warning("job=%s event=%s not taken: %s", omd_id(j->rec.id), pol_event_name(ev), err->text);
}

static void on_started(struct omd_job *j, const struct omd_kmsg *m)
{
	char text[64] = "";
	struct om_err err = { 0 };

	if (j->running_said || (j->rec.state != OM_JOB_STARTING && j->rec.state != OM_JOB_ENDING)) {
		j->running_said = true;
		return;
	}
	j->running_said = true;
	j->start_timer = sd_event_source_disable_unref(j->start_timer);
	if (m->kind == OMD_K_STARTED && m->restored) {
		snprintf(text, sizeof(text), "restored from checkpoint %u", m->restored);
		j->went_back = m->restored;
		forget_newer(j, m->restored);
	}
	if (omd_job_step(j, POL_EV_STARTED, text, NULL, &err) < 0)
		refused(j, POL_EV_STARTED, &err);
	omd_timers_running(j);
}

static void on_exited(struct omd_job *j, const struct omd_kmsg *m)
{
	static const char *const whys[] = { "exit", "cancelled", "timeout" };
	static const enum spool_end ends[] = { SPOOL_END_EXIT, SPOOL_END_CANCELLED, SPOOL_END_TIMEOUT };
	enum pol_event ev = pol_event_of_exit(whys[m->why], m->status);
	struct spool_job *rec = &j->rec;
	struct om_err err = { 0 };
	const char *text = m->reason;

	if (!omd_job_alive(j)) {	/* said twice (hello): the answer was lost perhaps */
		if (om_job_state_ended(rec->state))
			omd_keeper_send(j, json_pack("{ss}", "op", "ack"));
		return;
	}
	take_usage(j, m);
	rec->end = ends[m->why];
	rec->status = m->status;
	rec->cpu_ns += j->cpu_ns;
	rec->wall_ns += m->wall_ns;
	if (j->maxrss > rec->maxrss)
		rec->maxrss = j->maxrss;
	if (!rec->started_ns)
		rec->started_ns = om_clock_real_ns() - m->wall_ns;
	j->omd->failures.seconds += (double)m->wall_ns / 1e9;
	if (ev == POL_EV_EXITED_TIMEOUT && !text[0])
		text = "time limit";
	if (omd_job_step(j, ev, text, NULL, &err) < 0)
		refused(j, ev, &err);
	omd_wait_no_checkpoint(j, "the job has ended");
}

static void on_suspended(struct omd_job *j, const struct omd_kmsg *m)
{
	enum pol_event ev = j->suspend == OMD_SUSPEND_HOLD ? POL_EV_SUSPENDED_HELD : POL_EV_SUSPENDED;
	struct spool_job *rec = &j->rec;
	uint64_t now = om_clock_real_ns();
	struct om_err err = { 0 };
	char text[64];

	if (!omd_job_alive(j)) {
		omd_keeper_send(j, json_pack("{ss}", "op", "ack"));
		return;
	}
	take_usage(j, m);
	omd_ckpt_add(j, m->n, now, m->bytes, m->stored);
	rec->ckpt_n = rec->restore = m->n;
	rec->ckpt_time_ns = now;
	rec->begin_ns = 0;
	rec->cpu_ns += j->cpu_ns;
	if (rec->leg_started_ns && now > rec->leg_started_ns)
		rec->wall_ns += now - rec->leg_started_ns;
	if (j->maxrss > rec->maxrss)
		rec->maxrss = j->maxrss;
	snprintf(text, sizeof(text), "suspended with checkpoint %u", m->n);
	if (omd_job_step(j, ev, text, NULL, &err) < 0)
		refused(j, ev, &err);
}

static void remember_refusal(struct omd_job *j, const struct omd_kmsg *m)
{
	j->refused = m->given;
	om_str_copy(j->refused_process, sizeof(j->refused_process), m->process);
	om_str_copy(j->refused_object, sizeof(j->refused_object), m->object);
	om_str_copy(j->refused_reason, sizeof(j->refused_reason), m->reason);
}

static void ckpt_made(struct omd_job *j, const struct omd_kmsg *m)
{
	struct spool_job *rec = &j->rec;
	struct om_err err = { 0 };
	char text[64];

	j->refused = false;
	j->ckpt_failures = 0;
	j->ckpt_made = true;
	if (!j->first_made)
		j->first_made = m->n;
	j->omd->stats.ckpt_ok++;
	j->omd->stats.ckpt_stop_ns += m->stop_ns;
	pol_period_measured(&j->period, (double)m->stop_ns / 1e9, (double)m->wall_ns / 1e9);
	rec->ckpt_n = m->n;
	rec->ckpt_time_ns = om_clock_real_ns();
	rec->ckpt_stop_ns = m->stop_ns;
	rec->ckpt_bytes = m->bytes;
	rec->losses = 0;
	omd_ckpt_add(j, m->n, rec->ckpt_time_ns, m->bytes, m->stored);
	snprintf(text, sizeof(text), "checkpoint %u", m->n);
	om_log_notice("job=%s checkpoint=%u stop_ms=%.1f bytes=%llu stored=%llu", omd_id(rec->id), m->n, (double)m->stop_ns / 1e6,
		      (unsigned long long)m->bytes, (unsigned long long)m->stored);
	if (omd_job_note(j, text, &err) < 0)
		om_log_warning("job=%s checkpoint %u not recorded: %s", omd_id(rec->id), m->n, om_err_text(&err, 0));
	prune(j);
}

static void on_checkpoint(struct omd_job *j, const struct omd_kmsg *m)
{
	if (m->ok) {
		ckpt_made(j, m);
	} else {
		j->ckpt_failures++;
		j->omd->stats.ckpt_failed++;
		remember_refusal(j, m);
		om_log_warning("job=%s checkpoint=failed process=\"%s\" object=\"%s\" reason=\"%s\"", omd_id(j->rec.id), m->process,
			       m->object, m->reason);
		if (j->suspend != OMD_SUSPEND_NO) {
			om_log_warning("job=%s could not be suspended, it runs on", omd_id(j->rec.id));
			j->suspend = OMD_SUSPEND_NO;
			omd_stop_check(j->omd);
		}
	}
	j->ckpt_busy = false;
	omd_wait_checkpoint(j, m);
	omd_timers_checkpoint(j);
}

static void on_hello(struct omd_job *j, const struct omd_kmsg *m)
{
	if (strcmp(m->job, omd_id(j->rec.id)) != 0) {
		om_log_warning("job=%s keeper says it keeps job %s, dropping it", omd_id(j->rec.id), m->job);
		omd_keeper_kill(j);
		return;
	}
	if (m->has_ckpts)
		set_ckpts(j, m);
	if (j->went_back)
		forget_newer(j, j->went_back);
	switch (m->state) {
	case OMD_KS_STARTING:
		break;
	case OMD_KS_RUNNING:
		take_usage(j, m);
		on_started(j, m);
		if (!j->limit && !j->ckpt_timer)
			omd_timers_running(j);
		if (j->rec.state == OM_JOB_ENDING)	/* our order may have been lost with an omd */
			omd_keeper_send(j, json_pack("{ss si ss}", "op", "cancel", "grace", OMD_CANCEL_GRACE_S, "why",
						     j->rec.end == SPOOL_END_TIMEOUT ? "timeout" : "cancelled"));
		break;
	case OMD_KS_ENDED:
		if (m->suspended)
			on_suspended(j, m);
		else if (!m->lost)
			on_exited(j, m);
		break;
	}
}

void omd_keeper_message(struct omd_job *j, const struct omd_kmsg *m)
{
	switch (m->kind) {
	case OMD_K_HELLO: on_hello(j, m); break;
	case OMD_K_STARTED: on_started(j, m); break;
	case OMD_K_EXITED: on_exited(j, m); break;
	case OMD_K_CHECKPOINT: on_checkpoint(j, m); break;
	case OMD_K_SUSPENDED: on_suspended(j, m); break;
	case OMD_K_USAGE: take_usage(j, m); break;
	case OMD_K_CANNOT: remember_refusal(j, m); break;
	case OMD_K_PRUNED:
		for (uint32_t i = 0; i < m->n_ckpts; i++)
			omd_ckpt_remove(j, m->ckpts[i].n);
		omd_wait_pruned(j, m);
		break;
	case OMD_K_LOST:	/* judged when it is gone: its tree must be, before another leg begins */
		break;
	case OMD_K_ERROR:
		om_log_warning("job=%s keeper: %s", omd_id(j->rec.id), m->reason);
		if (j->ckpt_busy || j->suspend != OMD_SUSPEND_NO) {	/* perhaps that was what it did not understand */
			omd_wait_no_checkpoint(j, m->reason);
			j->suspend = OMD_SUSPEND_NO;
			omd_timers_checkpoint(j);
		}
		break;
	case OMD_K_KINDS:
		break;
	}
	if (m->kind == OMD_K_LOST || (m->kind == OMD_K_HELLO && m->lost)) {
		j->lost_said = true;
		j->lost_temporary = m->temporary;
		om_str_copy(j->lost_reason, sizeof(j->lost_reason), m->reason);
		omd_keeper_send(j, json_pack("{ss}", "op", "ack"));
	}
}

/* One message: 0, -EAGAIN, or the end of the connection. */
static int receive(struct omd_job *j)
{
	struct om_err err = { 0 };
	struct omd_kmsg m;
	json_t *o = NULL;
	int r = om_msg_recv(j->sock, &o);

	if (r == 0)
		r = omd_kmsg_parse(o, &m, &err);
	json_decref(o);
	if (r == 0) {
		omd_keeper_message(j, &m);
	} else if (r == -EBADMSG) {
		om_log_warning("job=%s message not understood: %s", omd_id(j->rec.id), om_err_text(&err, r));
		r = 0;
	}
	return r;
}

static void close_sock(struct omd_job *j)
{
	j->sock_src = sd_event_source_disable_unref(j->sock_src);
	om_fd_close(om_fd_steal(&j->sock));
}

static int on_sock(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct omd_job *j = arg;
	int r = 0;

	(void)s; (void)fd; (void)revents;
	j->pending++;			/* a message may be the last thing that holds it */
	for (int i = 0; i < MESSAGES_PER_TURN && r == 0 && j->sock >= 0; i++)
		r = receive(j);
	if (r < 0 && r != -EAGAIN && j->sock >= 0)
		close_sock(j);		/* the pidfd says when it is gone */
	j->pending--;
	omd_job_drop(j);
	return 0;
}

/* ---- its end ---- */

static void judge(struct omd_job *j, int status)
{
	const char *why = omd_spawn_failure(status);
	struct om_err err = { 0 };
	char text[OMD_KMSG_TEXT + 64];
	struct omd_kmsg m;

	omd_wait_no_checkpoint(j, "the job's keeper has ended");
	if (!omd_job_alive(j)) {
		if (om_job_state_ended(j->rec.state))
			omd_job_finished(j);
		return;
	}
	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == KEEPER_HELD) {
		omd_recover_job(j);
		return;
	}
	if (omd_recover_exit(j->omd, j->rec.id, &m, &err) == 0 && m.leg + 1 >= j->rec.legs) {
		on_exited(j, &m);
		return;
	}
	if (j->lost_said)
		snprintf(text, sizeof(text), "%s", j->lost_reason[0] ? j->lost_reason : "lost");
	else if (why)
		snprintf(text, sizeof(text), "the job's keeper %s", why);
	else if (status >= 0 && WIFSIGNALED(status))
		snprintf(text, sizeof(text), "the job's keeper was killed by signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "the job's keeper has ended unexpectedly");
	/* A keeper that was killed says nothing about its job or its checkpoint: trying again may help.  One that exits by itself and
	 * without a word has failed for good. */
	omd_lost(j, text, j->lost_said ? j->lost_temporary : why || status < 0 || WIFSIGNALED(status));
}

static int on_gone(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct omd_job *j = arg;
	int status = -1;

	(void)s; (void)revents;
	j->pending++;
	while (j->sock >= 0 && receive(j) == 0)
		;
	if (j->child && om_pidfd_wait(fd, 0, &status) < 0)
		status = -1;
	omd_keeper_detach(j);
	if (j->start_pending && j->rec.state == OM_JOB_STARTING) {
		j->start_pending = false;
		omd_start(j);
	} else {
		judge(j, status);
	}
	j->pending--;
	omd_stop_check(j->omd);
	omd_job_drop(j);
	return 0;
}

void omd_job_finished(struct omd_job *j)
{
	/* what a failed or lost one has left is kept with its record; without a checkpoint there is nothing to go on from */
	if (j->n_ckpts || j->rec.ckpt_n || j->rec.state == OM_JOB_LOST || j->pidfd >= 0)
		return;
	omd_folder_remove(j->omd, j->rec.id);
}

/* ---- attach, send ---- */

int omd_keeper_attach(struct omd_job *j, int sock, int pidfd, pid_t pid, bool child, struct om_err *err)
{
	int r;

	omd_keeper_detach(j);
	j->sock = sock;
	j->pidfd = pidfd;
	j->keeper_pid = pid;
	j->child = child;
	r = om_fd_set_nonblock(sock, 1);
	if (r >= 0)
		r = sd_event_add_io(j->omd->ev, &j->sock_src, sock, EPOLLIN, on_sock, j);
	if (r >= 0)
		r = sd_event_add_io(j->omd->ev, &j->pid_src, pidfd, EPOLLIN, on_gone, j);
	if (r >= 0)
		return 0;
	om_pidfd_signal(pidfd, SIGKILL);
	omd_keeper_detach(j);
	return om_err_sys(err, r, "watch the keeper of job %s", omd_id(j->rec.id));
}

void omd_keeper_detach(struct omd_job *j)
{
	close_sock(j);
	j->pid_src = sd_event_source_disable_unref(j->pid_src);
	j->start_timer = sd_event_source_disable_unref(j->start_timer);
	om_fd_close(om_fd_steal(&j->pidfd));
	j->keeper_pid = 0;
}

int omd_keeper_send(struct omd_job *j, json_t *msg)
{
	int r;

	if (j->sock < 0) {
		json_decref(msg);
		return -ENOTCONN;
	}
	r = om_msg_send(j->sock, msg);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		om_log_warning("job=%s order not sent: %s", omd_id(j->rec.id), strerror(-r));
	return r;
}

int omd_keeper_checkpoint(struct omd_job *j, const char *ref)
{
	int r = omd_keeper_send(j, json_pack("{ss ss}", "op", "checkpoint", "ref", ref));

	if (r == 0)
		j->ckpt_busy = true;
	return r;
}

void omd_keeper_suspend(struct omd_job *j, enum omd_suspend why)
{
	if (j->suspend == OMD_SUSPEND_NO &&
	    omd_keeper_send(j, json_pack("{ss ss}", "op", "suspend", "ref", why == OMD_SUSPEND_HOLD ? "hold" : "requeue")) < 0)
		return;
	j->suspend = why;		/* the last word counts: a drained job that is then held stays held */
}

void omd_keeper_kill(struct omd_job *j)
{
	if (j->pidfd >= 0)
		om_pidfd_signal(j->pidfd, SIGKILL);
}
