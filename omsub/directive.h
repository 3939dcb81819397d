/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/directive.h - between script.c and the readers of other systems' lines (slurm.c, pbs.c). */
#ifndef OM_OMSUB_DIRECTIVE_H
#define OM_OMSUB_DIRECTIVE_H
#include "omsub/options.h"
#include "omsub/script.h"

/* One script while it is read. */
struct dir_script {
	struct opt_job *job;		/* what these lines say */
	int line;
	script_warn_cb *warn;
	void *arg;
	unsigned long tasks, cpus_per_task;	/* Slurm */
	unsigned long long mem_per_cpu;
	bool join_eo;			/* PBS: -j eo */
};

struct dir_opt {
	const char *name;	/* long, or NULL */
	char letter;		/* or 0 */
	int has_arg;		/* as getopt_long has it */
	/* 0, or -EINVAL with the reason; NULL: has no meaning here, @to says why */
	int (*set)(struct dir_script *d, const struct dir_opt *o, const char *value, struct om_err *err);
	const char *to;		/* our option's name, or why it is not used */
};

void dir_warn(struct dir_script *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The words of one line by @table (ends with letter and name 0). */
void dir_options(struct dir_script *d, const struct dir_opt *table, int argc, char *argv[]);
/* set: our option @to with this value */
int dir_set_same(struct dir_script *d, const struct dir_opt *o, const char *value, struct om_err *err);

void slurm_line(struct dir_script *d, int argc, char *argv[]);
void slurm_end(struct dir_script *d);
void pbs_line(struct dir_script *d, int argc, char *argv[]);
void pbs_end(struct dir_script *d);
#endif
