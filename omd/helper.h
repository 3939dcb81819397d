/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd/helper.h - short-lived processes whose output omd reads without waiting: `omjob list`, `verify`, ..., rm.
 * Promise: the end is reported once, after everything it has printed; a cancelled one is killed and reaped, and reports nothing. */
#ifndef OMD_HELPER_H
#define OMD_HELPER_H
#include <jansson.h>
#include "omd/spawn.h"
struct om_err;
struct omd;
struct omd_helper;

struct omd_helper_ops {
	/* one JSON object of its standard output (borrowed); NULL: nothing is read from it */
	void (*line)(void *arg, json_t *o);
	/* it has ended; @last: its last object or NULL (borrowed).  May be NULL. */
	void (*end)(void *arg, int status, json_t *last);
};

/* Start; with @ops->line or @ops->end descriptor @out of the child (1 or 3) is our pipe. */
int omd_helper_start(struct omd *omd, struct omd_spawn *s, int out, const struct omd_helper_ops *ops, void *arg,
		     struct omd_helper **ret, struct om_err *err);
void omd_helper_cancel(struct omd_helper *h);
/* Stop reading for a while (the one who wants the lines is slow). */
void omd_helper_pause(struct omd_helper *h, bool pause);
/* What a failed helper said, or what its status means. */
void omd_helper_text(int status, json_t *last, char *dst, size_t n);
/* `omjob @verb...` in the folder of a job as its user. */
struct spool_job;
int omd_helper_omjob(struct omd *omd, const struct spool_job *rec, const char *const *argv, const int *fds,
		     const struct omd_helper_ops *ops, void *arg, struct omd_helper **ret, struct om_err *err);
#endif
