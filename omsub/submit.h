/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/submit.h - SPECs to the daemon. */
#ifndef OM_OMSUB_SUBMIT_H
#define OM_OMSUB_SUBMIT_H
#include <jansson.h>

struct om_err;
struct omc;
struct opt_client;
struct opt_job;
struct script_kind;

/* POST one SPEC, or a list of them (all or none); the private daemon is started when none answers.
 * The answer ({"ids":..,"warnings":..}) in @ret.  0 or -errno; no job is submitted twice. */
int submit(struct omc *c, json_t *spec_or_list, json_t **ret, struct om_err *err);
/* omsub -S: each line of cl->lines is a job like @spec.  Exit code. */
int submit_lines(struct omc *c, const struct opt_client *cl, json_t *spec);
#endif
