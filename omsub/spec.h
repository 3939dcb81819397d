/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/spec.h - from what was said of a job, and from the process that says it, to the SPEC of doc/api.md. */
#ifndef OM_OMSUB_SPEC_H
#define OM_OMSUB_SPEC_H
#include <jansson.h>

#include "omsub/script.h"

struct om_err;
struct opt_job;

/* Fill in what comes from this process: folder, umask, limits, environment (with what Slurm and PBS scripts look for).
 * A variable that JSON cannot carry is named to @warn (line 0).  New object in @ret; 0 or -errno. */
int spec_make(const struct opt_job *job, const struct script_kind *kind, script_warn_cb *warn, void *arg, json_t **ret, struct om_err *err);
/* All of @path ("-": standard input) up to @max bytes; -EFBIG above.  Folders are refused. */
int spec_read_file(const char *path, size_t max, char **ret, size_t *ret_len, struct om_err *err);
/* A JSON array of @argv; -EINVAL for text that is not UTF-8. */
int spec_argv(char *const argv[], int n, json_t **ret, struct om_err *err);
#endif
