/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/verbs.h - the helpers that omd executes in a job's folder, as the job's user.  Promise: JSON lines on standard output (export: descriptor 3),
 * the last one says {"ok":true,..} or {"ok":false,"reason":..}; exit code 0, 1 (failed) or 2 (usage).  Callers: main.c. */
#ifndef OM_OMJOB_VERBS_H
#define OM_OMJOB_VERBS_H
#include <stdint.h>
struct om_err;
struct omj_image;

int omj_list_main(int argc, char **argv);
int omj_show_main(int argc, char **argv);
int omj_verify_main(int argc, char **argv);
int omj_export_main(int argc, char **argv);
int omj_import_main(int argc, char **argv);
int omj_prune_main(int argc, char **argv);

/* Restore really, stopped, and discard; no file is touched (trial.c). */
int omj_trial(struct omj_image *im, struct om_err *err);
#endif
