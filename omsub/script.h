/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/script.h - what a job script says of itself in #OM, #SBATCH and #PBS lines.  Promise: reads only the comment lines at the
 * head of the script, any bytes may be in it; each line that has no effect is named to @warn with its number.  No I/O. */
#ifndef OM_OMSUB_SCRIPT_H
#define OM_OMSUB_SCRIPT_H
#include <stdbool.h>
#include <stddef.h>

struct om_err;
struct opt_job;

enum {
	SCRIPT_MAX = 16 * 1024 * 1024,	/* a longer script is a mistake (or /dev/zero) */
	SCRIPT_LINE_MAX = 16 * 1024,	/* of a line with options */
	SCRIPT_WORDS_MAX = 256,		/* on one line */
};

/* @text is one line, without a newline; it may hold anything else that was in the script. */
typedef void script_warn_cb(void *arg, int line, const char *text);

/* Which of the other systems' lines there were: such scripts look for some variables in their environment. */
struct script_kind {
	bool slurm, pbs;
};

/* Sets what the lines in @text say in @ret (#OM over #SBATCH and #PBS).  0, or -EINVAL with "line N: ..." for a bad value on a #OM line. */
int script_parse(const char *text, size_t len, struct opt_job *ret, struct script_kind *ret_kind, script_warn_cb *warn, void *arg,
		 struct om_err *err);
#endif
