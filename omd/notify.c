/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notifications go out by processes (omd-notify), a few at a time.  One that cannot be delivered is given up and counted: they are news, the
 * truth is asked for by GET /v1/jobs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "omd/helper.h"
#include "omd/omd.h"

enum { NOTES_AT_ONCE = 16, NOTES_WAITING = 10000 };

struct note {
	struct note *next;
	struct omd *omd;
	struct om_job_id id;
	uid_t uid;
	gid_t gid;
	char *url, *body;
};

static void destroy(struct note *n)
{
	free(n->url);
	free(n->body);
	free(n);
}

static void run_next(struct omd *omd);

static void on_end(void *arg, int status, json_t *last)
{
	struct note *n = arg;
	struct omd *omd = n->omd;

	(void)last;
	omd->notes_running--;
	if (status != 0) {
		omd->stats.notify_failed++;
		om_log_warning("job=%s notification given up (%s)", omd_id(n->id), n->url);
	}
	destroy(n);
	run_next(omd);
}

static int start(struct note *n, struct om_err *err)
{
	static const struct omd_helper_ops ops = { .end = on_end };
	struct omd_spawn s = { .program = "omd-notify", .argv = { "omd-notify", n->url }, .dirfd = -1, .fds = { -1, -1, -1, -1 },
			       .uid = n->uid, .gid = n->gid };
	om_autofd int body = memfd_create("note", MFD_CLOEXEC);
	int r;

	if (body < 0)
		return om_err_sys(err, -errno, "memory for a notification");
	r = om_fd_write_all(body, n->body, strlen(n->body));
	if (r < 0 || lseek(body, 0, SEEK_SET) < 0)
		return om_err_sys(err, r < 0 ? r : -errno, "memory for a notification");
	s.fds[0] = body;
	return omd_helper_start(n->omd, &s, 1, &ops, n, NULL, err);
}

static void run_next(struct omd *omd)
{
	while (omd->notes && omd->notes_running < NOTES_AT_ONCE) {
		struct note *n = omd->notes;
		struct om_err err = { 0 };

		omd->notes = n->next;
		omd->notes_waiting--;
		if (!omd->notes)
			omd->notes_last = NULL;
		if (start(n, &err) < 0) {
			om_log_warning("job=%s no notification: %s", omd_id(n->id), err.text);
			omd->stats.notify_failed++;
			destroy(n);
		} else {
			omd->notes_running++;
		}
	}
}

void omd_notify(struct omd_job *j, enum om_job_state state)
{
	struct omd *omd = j->omd;
	struct spool_job rec = j->rec;
	struct note *n;
	json_t *o;

	if (omd_job_need_spec(j, NULL) < 0 || !j->spec->notify)
		return;
	if (rec.state != state) {	/* a short job: its start and its end went into one commit */
		rec.state = state;
		rec.reason[0] = 0;
		if (!om_job_state_ended(state))
			rec.ended_ns = 0;
	}
	n = omd->notes_waiting < NOTES_WAITING ? calloc(1, sizeof(*n)) : NULL;
	o = omd_job_json(omd, &rec, false);
	if (n && o) {
		json_object_set_new(o, "time", json_real((double)om_clock_real_ns() / 1e9));
		*n = (struct note){ .omd = omd, .id = j->rec.id, .uid = j->rec.uid, .gid = j->rec.gid, .url = strdup(j->spec->notify),
				    .body = json_dumps(o, JSON_COMPACT) };
	}
	json_decref(o);
	if (!n || !n->url || !n->body) {
		omd->stats.notify_failed++;
		if (n)
			destroy(n);
		return;
	}
	if (omd->notes_last)
		omd->notes_last->next = n;
	else
		omd->notes = n;
	omd->notes_last = n;
	omd->notes_waiting++;
	run_next(omd);
}

void omd_notify_destroy(struct omd *omd)
{
	while (omd->notes) {
		struct note *n = omd->notes;

		omd->notes = n->next;
		destroy(n);
	}
	omd->notes_last = NULL;
}
