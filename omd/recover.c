/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a restart of omd: the records say what was, the folders say what is.  A keeper that answers is taken over; without one exit.json says how
 * the job ended; without that, and with keeper.lock free, the job is lost and the policy decides. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "omd/helper.h"
#include "omd/omd.h"

enum {
	LOOK_AGAIN_MS = 100,
	LOOKS_STARTING = 20,	/* a keeper may have been started just before omd was killed: it has its lock soon */
	LOOKS_HELD = 600,	/* a keeper that has its lock but does not answer: it starts, or leaves */
	EXIT_MAX = 65536,
};

struct look {			/* one job whose keeper is sought */
	struct omd_job *j;
	unsigned int n;
	sd_event_source *timer;
};

static void look(struct look *l);

/* ---- what is in the folder ---- */

int omd_recover_exit(struct omd *omd, struct om_job_id id, struct omd_kmsg *m, struct om_err *err)
{
	om_autofd int dirfd = omd_folder_open(omd, id, err);
	om_autofree char *text = NULL;
	size_t len = 0;
	json_t *o;
	int r;

	if (dirfd < 0)
		return dirfd;
	r = om_file_read_at(dirfd, "exit.json", EXIT_MAX, 1, &text, &len);
	if (r < 0)
		return om_err_sys(err, r, "exit.json of job %s", omd_id(id));
	o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	r = json_is_object(o) ? omd_kmsg_parse(o, m, err) : om_err_set(err, -EBADMSG, "exit.json of job %s is damaged", omd_id(id));
	json_decref(o);
	if (r >= 0 && m->kind != OMD_K_EXITED)
		r = om_err_set(err, -EBADMSG, "exit.json of job %s does not say how it ended", omd_id(id));
	return r;
}

/* 0: somebody holds the lock; -ENOENT: nobody. */
static int lock_state(int dirfd)
{
	om_autofd int fd = openat(dirfd, "keeper.lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0)
		return -ENOENT;
	return errno == EWOULDBLOCK ? 0 : -ENOENT;
}

static int connect_keeper(struct omd_job *j, int dirfd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	om_autofd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred cr;
	socklen_t len = sizeof(cr);
	struct stat st;
	int pidfd, r;

	if (fd < 0)
		return -errno;
	/* a user could lead us with a link to a socket of somebody else */
	if (fstatat(dirfd, "keeper.sock", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOENT;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/keeper.sock", dirfd);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cr, &len) < 0)
		return -errno;
	if (cr.uid != j->rec.uid)
		return -EPERM;
	pidfd = om_pidfd_open(cr.pid);
	if (pidfd < 0)
		return pidfd;
	r = omd_keeper_attach(j, om_fd_steal(&fd), pidfd, cr.pid, false, NULL);
	if (r < 0)
		return r;
	om_log_notice("job=%s keeper=%d found", omd_id(j->rec.id), (int)cr.pid);
	return omd_keeper_send(j, json_pack("{ss}", "op", "hello"));
}

/* ---- no keeper: which checkpoints are there? ---- */

static void on_list(void *arg, int status, json_t *last)
{
	struct omd_job *j = arg;
	json_t *a = json_object_get(last, "checkpoints"), *v;
	size_t i;

	j->pending--;
	if (status != 0 || !json_is_array(a)) {
		char why[256];

		omd_helper_text(status, last, why, sizeof(why));
		om_log_warning("job=%s checkpoints are not known: %s", omd_id(j->rec.id), why);
		if (j->rec.ckpt_n)
			omd_ckpt_add(j, j->rec.ckpt_n, j->rec.ckpt_time_ns, j->rec.ckpt_bytes, 0);
	} else {
		json_array_foreach(a, i, v) {
			json_int_t n = json_integer_value(json_object_get(v, "n"));

			if (n >= 1 && n <= OMD_KMSG_N_MAX && !json_is_true(json_object_get(v, "bad")))
				omd_ckpt_add(j, (uint32_t)n, 0, 0, 0);
		}
		j->ckpt_known = true;
	}
	if (omd_job_alive(j) && j->pidfd < 0)
		omd_lost(j, "its keeper was gone when omd came back", true);
	omd_job_drop(j);
}

static void gone(struct omd_job *j)
{
	static const struct omd_helper_ops ops = { .end = on_list };
	static const char *const argv[] = { "omjob", "list", NULL };
	struct om_err err = { 0 };

	if (!j->ckpt_known && (j->rec.ckpt_n || j->rec.legs)) {
		j->pending++;
		if (omd_helper_omjob(j->omd, &j->rec, argv, NULL, &ops, j, NULL, &err) == 0)
			return;
		j->pending--;
		om_log_warning("job=%s checkpoints are not known: %s", omd_id(j->rec.id), err.text);
	}
	omd_lost(j, "its keeper was gone when omd came back", true);
}

/* ---- looking ---- */

static int on_look(sd_event_source *s, uint64_t usec, void *arg)
{
	struct look *l = arg;

	(void)s; (void)usec;
	l->timer = sd_event_source_disable_unref(l->timer);
	look(l);
	return 0;
}

static void look_done(struct look *l)
{
	struct omd_job *j = l->j;

	free(l);
	j->pending--;
	omd_job_drop(j);
}

static bool look_again(struct look *l, unsigned int most)
{
	return l->n++ < most && sd_event_add_time_relative(l->j->omd->ev, &l->timer, CLOCK_MONOTONIC, LOOK_AGAIN_MS * 1000, 0,
							   on_look, l) >= 0;
}

static void look(struct look *l)
{
	struct omd_job *j = l->j;
	om_autofd int dirfd = -1;
	struct omd_kmsg m;
	int r;

	if (!omd_job_alive(j) || j->pidfd >= 0) {
		look_done(l);
		return;
	}
	dirfd = omd_folder_open(j->omd, j->rec.id, NULL);
	r = dirfd < 0 ? -ENOENT : connect_keeper(j, dirfd);
	if (r == 0) {
		look_done(l);
		return;
	}
	if (dirfd >= 0 && lock_state(dirfd) == 0) {
		if (look_again(l, LOOKS_HELD))
			return;
		om_log_err("job=%s a process holds keeper.lock in its folder but does not answer; end that process (see fuser)",
			   omd_id(j->rec.id));
	} else if (omd_recover_exit(j->omd, j->rec.id, &m, NULL) == 0 && m.leg + 1 >= j->rec.legs) {
		omd_keeper_message(j, &m);
	} else if (dirfd < 0 || j->rec.state != OM_JOB_STARTING || !look_again(l, LOOKS_STARTING)) {
		gone(j);
	} else {
		return;
	}
	look_done(l);
}

void omd_recover_job(struct omd_job *j)
{
	struct look *l;

	if (j->sock >= 0) {		/* only our record was behind */
		omd_keeper_send(j, json_pack("{ss}", "op", "hello"));
		return;
	}
	if (!omd_job_alive(j) || j->pidfd >= 0) {
		omd_job_drop(j);
		return;
	}
	l = calloc(1, sizeof(*l));
	if (!l) {
		j->resync = true;
		return;
	}
	l->j = j;
	j->pending++;
	look(l);
}

/* ---- start of omd ---- */

struct walk {
	struct omd *omd;
	struct om_job_id *live, *never;
	size_t n_live, room_live, n_never, room_never;
	size_t waiting;
};

static int note_id(struct om_job_id **list, size_t *n, size_t *room, struct om_job_id id)
{
	if (*n == *room) {
		size_t r = *room ? *room * 2 : 64;
		struct om_job_id *l = reallocarray(*list, r, sizeof(*l));

		if (!l)
			return -ENOMEM;
		*list = l;
		*room = r;
	}
	(*list)[(*n)++] = id;
	return 0;
}

static int each(void *arg, const struct spool_job *rec, const struct spool_dep *deps, size_t n)
{
	struct walk *w = arg;
	int r;

	if (rec->state == OM_JOB_STARTING || rec->state == OM_JOB_ENDING || (rec->state == OM_JOB_RUNNING && !rec->array))
		return note_id(&w->live, &w->n_live, &w->room_live, rec->id);
	if (rec->state != OM_JOB_WAITING || (rec->array && !rec->left))
		return 0;
	w->waiting++;
	r = omd_act_queue(w->omd, rec, rec->legs ? NULL : deps, rec->legs ? 0 : n);
	if (r == -ECANCELED)
		return note_id(&w->never, &w->n_never, &w->room_never, rec->id);
	return r == -ENOMEM ? r : 0;
}

static void adopt(struct omd *omd, struct om_job_id id)
{
	struct om_err err = { 0 };
	struct omd_job *j;
	struct pol_job p;
	int r = omd_job_get(omd, id, &j, &err);

	if (r < 0) {
		om_log_err("job=%s not taken over: %s", omd_id(id), om_err_text(&err, r));
		return;
	}
	p = (struct pol_job){ .id = id, .priority = j->rec.priority, .cpus = j->rec.cpus, .memory = j->rec.memory, .cap = j->rec.cap,
			      .limit_ns = j->rec.time_limit_s * 1000000000ULL };
	r = pol_queue_adopt(omd->queue, &p, j->rec.leg_started_ns);
	if (r < 0)
		om_log_err("job=%s its share of the machine is not counted: %s", omd_id(id), strerror(-r));
	omd_recover_job(j);
}

/* images that were on their way when omd ended */
static void remove_halves(struct omd *omd)
{
	int fd = openat(omd->jobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!d)
		om_fd_close(fd);
	while (d && (e = readdir(d))) {
		struct omd_spawn s = { .program = "/bin/rm", .argv = { "rm", "-rf", "--", e->d_name }, .dirfd = omd->jobs_fd,
				       .fds = { -1, -1, -1, -1 }, .uid = omd->uid, .gid = getegid() };

		if (om_str_starts(e->d_name, ".import-") && omd_helper_start(omd, &s, 1, NULL, NULL, NULL, NULL) < 0)
			om_log_warning("folder jobs/%s stays", e->d_name);
	}
	if (d)
		closedir(d);
	omd->refs = om_clock_real_ns() / 1000000;	/* names of new ones differ from theirs */
}

int omd_recover(struct omd *omd, struct om_err *err)
{
	struct walk w = { .omd = omd };
	struct omd_job *j;
	int r;

	remove_halves(omd);
	r = spool_jobs_each_active(omd->db, each, &w, err);

	for (size_t i = 0; r >= 0 && i < w.n_live; i++)
		adopt(omd, w.live[i]);
	for (size_t i = 0; r >= 0 && i < w.n_never; i++)
		if (omd_job_get(omd, w.never[i], &j, NULL) == 0) {
			(void)omd_job_step(j, POL_EV_DEP_NEVER, "a dependency cannot be satisfied any more", NULL, NULL);
			omd_job_drop(j);
		}
	if (r >= 0 && (w.n_live || w.waiting))
		om_log_notice("recovered running=%zu waiting=%zu", w.n_live, w.waiting);
	free(w.live);
	free(w.never);
	return r < 0 ? om_err_wrap(err, r, "read the jobs") : 0;
}
