/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/values.h - texts of options that are more than a number.  Promise: exact or an error.  No I/O, no clock of its own. */
#ifndef OM_OMSUB_VALUES_H
#define OM_OMSUB_VALUES_H
#include <jansson.h>
#include <time.h>

struct om_err;

/* When a job may begin, seconds since 1970: "16:30[:00]" (the next one after @now), "2026-12-24", "2026-12-24T16:30[:00]", "+2h", "now",
 * "now+1hour" (Slurm), "today", "tomorrow", "noon", "midnight".  0 or -EINVAL. */
int val_begin(const char *s, time_t now, time_t *ret, struct om_err *err);
/* PBS: [[[[CC]YY]MM]DD]hhmm[.SS]. */
int val_begin_pbs(const char *s, time_t now, time_t *ret, struct om_err *err);
/* "afterok:17,afterany:18:19" to the depends field. */
int val_depends(const char *s, json_t **ret, struct om_err *err);
/* "0-99:2,7%8" to the array field. */
int val_array(const char *s, json_t **ret, struct om_err *err);
#endif
