/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/init.h - pid 1 of a job.  Promise: starts (or restores) the first task, reaps everything, reports the root's status, and
 * ends only when no process of the tree is left.  Holds no state of the job: everything it knows the keeper knows too.
 * Callers: keeper (as init_main of ckpt_space_create()). */
#ifndef OM_OMJOB_INIT_H
#define OM_OMJOB_INIT_H
#include <stdint.h>
struct omj_spec;
struct ckpt_source;

struct omj_init_opts {
	const struct omj_spec *spec;
	int ctl;			/* our end of the socket to the keeper (omjob/report.h) */
	int restore_ctl;		/* for ckpt_restore_in_init(), with src */
	const struct ckpt_source *src;	/* NULL: start from the beginning */
	const char *script;		/* path of the script's copy */
};

/* @arg: struct omj_init_opts.  0: the tree has ended; else nothing could be started (reported). */
int omj_init_main(void *arg);
#endif
