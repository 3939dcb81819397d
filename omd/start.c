/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The beginning of a leg: the job's folder, spec.json, the script's copy, and its keeper.  In system mode a folder belongs to the
 * job's user from its first leg on, and he may have put anything there: files are made anew (O_EXCL), never opened for writing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "omd/helper.h"
#include "omd/omd.h"
#include "omd/spawn.h"

static const uint64_t START_US = OMD_START_S * 1000000ULL;
static const uint64_t RESTORE_US = 3600 * 1000000ULL;	/* reading a large image back may take long */

/* ---- the folder ---- */

int omd_folder_open(struct omd *omd, struct om_job_id id, struct om_err *err)
{
	int fd = openat(omd->jobs_fd, omd_id(id), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? om_err_sys(err, -errno, "the folder of job %s", omd_id(id)) : fd;
}

static int put_file(struct omd_job *j, int dirfd, const char *name, const char *data, size_t len, mode_t mode, struct om_err *err)
{
	om_autofd int fd = -1;
	int r;

	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return om_err_sys(err, -errno, "replace %s of job %s", name, omd_id(j->rec.id));
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return om_err_sys(err, -errno, "make %s of job %s", name, omd_id(j->rec.id));
	r = om_fd_write_all(fd, data, len);
	if (r >= 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r >= 0 && j->omd->system && fchown(fd, j->rec.uid, j->rec.gid) < 0)
		r = -errno;
	return r < 0 ? om_err_sys(err, r, "write %s of job %s", name, omd_id(j->rec.id)) : 0;
}

static int put_spec(struct omd_job *j, int dirfd, struct om_err *err)
{
	struct spool_run run = { .id = j->rec.id, .uid = j->rec.uid, .gid = j->rec.gid, .leg = j->rec.legs - 1,
				 .restore = j->rec.restore };
	om_autofree char *text = NULL;
	const gid_t *groups;
	json_t *o;
	int r, n = 0;

	r = omd_user_groups(j->omd, j->rec.uid, j->rec.gid, &groups, &n, err);
	if (r < 0)
		return r;
	run.groups = (gid_t *)(uintptr_t)groups;	/* only read, and not ours to free */
	run.ngroups = (size_t)n;
	o = spool_run_to_json(j->spec, &run);
	if (o && json_object_set_new(o, "node", json_string(j->omd->node)) == 0)
		text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text)
		return om_err_set(err, -ENOMEM, "out of memory");
	return put_file(j, dirfd, "spec.json", text, strlen(text), 0600, err);
}

int omd_folder_make(struct omd_job *j, int *ret_dirfd, struct om_err *err)
{
	const char *name = omd_id(j->rec.id);
	bool made = mkdirat(j->omd->jobs_fd, name, 0700) == 0;
	om_autofd int fd = -1;
	int r;

	if (!made && errno != EEXIST)
		return om_err_sys(err, -errno, "make the folder of job %s", name);
	fd = omd_folder_open(j->omd, j->rec.id, err);
	if (fd < 0)
		return fd;
	r = omd_job_need_spec(j, err);
	if (r >= 0)
		r = put_spec(j, fd, err);
	if (r >= 0 && j->spec->script)
		r = put_file(j, fd, "script", j->spec->script, strlen(j->spec->script), 0700, err);
	/* an older leg's end is not this one's */
	if (r >= 0 && !made && unlinkat(fd, "exit.json", 0) < 0 && errno != ENOENT)
		r = om_err_sys(err, -errno, "remove exit.json of job %s", name);
	if (r >= 0 && j->omd->system && fchown(fd, j->rec.uid, j->rec.gid) < 0)
		r = om_err_sys(err, -errno, "give the folder of job %s to its user", name);
	if (r >= 0)
		*ret_dirfd = om_fd_steal(&fd);
	return r;
}

void omd_folder_remove(struct omd *omd, struct om_job_id id)
{
	static const char *const files[] = { "spec.json", "script", "keeper.lock", "keeper.sock", "keeper.log", "exit.json",
					     "exit.json.tmp" };
	om_autofd int fd = omd_folder_open(omd, id, NULL);
	struct omd_spawn s = { .program = "/bin/rm", .argv = { "rm", "-rf", "--" }, .dirfd = omd->jobs_fd,
			       .fds = { -1, -1, -1, -1 }, .uid = omd->uid, .gid = getegid() };
	struct om_err err = { 0 };
	char name[OM_JOB_ID_TEXT];
	int r;

	if (fd < 0)
		return;
	for (size_t i = 0; i < OM_ARRAY_SIZE(files); i++)
		unlinkat(fd, files[i], 0);
	unlinkat(fd, "undo", AT_REMOVEDIR);
	unlinkat(fd, "ckpt", AT_REMOVEDIR);
	s.argv[3] = om_job_id_text(id, name, sizeof(name));
	if (unlinkat(omd->jobs_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return;
	/* large or odd: not in our loop */
	r = omd_helper_start(omd, &s, 1, NULL, NULL, NULL, &err);
	if (r < 0)
		om_log_warning("job=%s its folder stays: %s", name, om_err_text(&err, r));
}

/* ---- the keeper ---- */

static int on_start_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct omd_job *j = arg;

	(void)s; (void)usec;
	om_log_warning("job=%s keeper says nothing for too long, ending it", omd_id(j->rec.id));
	omd_keeper_kill(j);
	return 0;
}

static int launch(struct omd_job *j, struct om_err *err)
{
	om_autofd int dirfd = -1, ours = -1, theirs = -1;
	struct omd_spawn s = { .program = "omjob", .argv = { "omjob", "keep" }, .fds = { -1, -1, -1, -1 }, .log = "keeper.log",
			       .uid = j->rec.uid, .gid = j->rec.gid, .stay = true };
	int pair[2], pidfd, r = omd_folder_make(j, &dirfd, err);
	pid_t pid;

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return om_err_sys(err, -errno, "socket pair for job %s", omd_id(j->rec.id));
	ours = pair[0];
	theirs = pair[1];
	s.dirfd = dirfd;
	s.fds[3] = theirs;
	r = omd_spawn(j->omd, &s, &pidfd, &pid, err);
	if (r < 0)
		return r;
	return omd_keeper_attach(j, om_fd_steal(&ours), pidfd, pid, true, err);
}

void omd_start(struct omd_job *j)
{
	struct om_err err = { 0 };
	int r;

	if (j->pidfd >= 0) {		/* the keeper of the leg before is leaving; two must not meet */
		j->start_pending = true;
		return;
	}
	j->start_pending = j->running_said = j->ckpt_made = j->ckpt_busy = j->ckpt_again = j->lost_said = false;
	j->suspend = OMD_SUSPEND_NO;
	j->went_back = j->first_made = 0;
	j->lost_reason[0] = 0;
	j->cpu_ns = j->rss = j->maxrss = 0;
	if (!j->rec.restore) {		/* it begins anew: the keeper removes what there is */
		j->n_ckpts = 0;
		j->rec.ckpt_n = 0;
		j->ckpt_known = true;
	}
	r = launch(j, &err);
	if (r < 0) {
		om_log_err("job=%s keeper not started: %s", omd_id(j->rec.id), om_err_text(&err, r));
		omd_lost(j, om_err_text(&err, r), true);
		return;
	}
	if (!j->ckpt_known)
		omd_keeper_send(j, json_pack("{ss}", "op", "hello"));
	if (sd_event_add_time_relative(j->omd->ev, &j->start_timer, CLOCK_MONOTONIC, j->rec.restore ? RESTORE_US : START_US, 1000000,
				       on_start_timer, j) < 0)
		om_log_warning("job=%s no timer for its start, continuing", omd_id(j->rec.id));
}

/* ---- a leg has failed ---- */

static void count_leg(struct omd_job *j, struct pol_loss *l)
{
	uint64_t now = om_clock_real_ns();
	struct spool_job *rec = &j->rec;

	l->started = rec->state == OM_JOB_RUNNING || j->running_said;
	if (l->started && rec->leg_started_ns && now > rec->leg_started_ns)
		l->ran_ns = now - rec->leg_started_ns;
	rec->cpu_ns += j->cpu_ns;
	rec->wall_ns += l->ran_ns;
	if (j->maxrss > rec->maxrss)
		rec->maxrss = j->maxrss;
	j->omd->failures.seconds += (double)l->ran_ns / 1e9;
}

void omd_lost(struct omd_job *j, const char *reason, bool temporary)
{
	struct pol_ckpt ckpts[OMD_KMSG_CKPTS];
	struct pol_loss l = { .temporary = temporary, .made_checkpoint = j->ckpt_made, .restored = j->rec.restore, .losses = j->rec.losses,
			      .ckpts = ckpts, .reason = reason };
	struct pol_after_loss a;
	struct om_err err = { 0 };
	enum pol_event ev;
	int r;

	if (omd_job_need_spec(j, &err) == 0)
		l.mode = (enum pol_restart_mode)j->spec->restart;
	count_leg(j, &l);
	for (size_t i = 0; i < j->n_ckpts && l.nckpts < OMD_KMSG_CKPTS; i++)
		ckpts[l.nckpts++] = (struct pol_ckpt){ .n = j->ckpts[i].n, .bad = j->ckpts[i].bad };
	pol_restart_decide(&l, om_clock_real_ns(), &a);
	ev = a.event;
	if (j->rec.state == OM_JOB_ENDING && j->rec.end == SPOOL_END_TIMEOUT)
		ev = POL_EV_EXITED_TIMEOUT;
	for (size_t i = 0; i < j->n_ckpts; i++)
		if (a.bad && j->ckpts[i].n == a.bad)
			j->ckpts[i].bad = true;
	j->rec.losses = a.losses;
	j->rec.restore = a.restore;
	j->rec.begin_ns = a.begin_ns;
	j->omd->stats.lost++;
	if (l.started)
		j->omd->failures.failures++;
	if (ev == POL_EV_LOST_AGAIN || ev == POL_EV_START_AGAIN)
		omd_wait_refused(j, a.reason);
	r = omd_job_step(j, ev, a.reason, NULL, &err);
	if (r < 0)
		om_log_err("job=%s lost (%s), and that is not recorded: %s", omd_id(j->rec.id), reason, om_err_text(&err, r));
}
