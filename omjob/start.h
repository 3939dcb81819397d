/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/start.h - the first task of a job that starts from its beginning.  Callers: init. */
#ifndef OM_OMJOB_START_H
#define OM_OMJOB_START_H
#include <sys/types.h>
struct om_err;
struct omj_init_opts;

/* Fork the root: own session, signals as new, umask, limits, files, environment, exec.  What goes wrong in the child is reported to the keeper as
 * OMJ_R_FAILED and ends it with the status a shell would give: 127 not found, 126 otherwise. */
int omj_start_root(const struct omj_init_opts *o, pid_t *ret, struct om_err *err);
#endif
