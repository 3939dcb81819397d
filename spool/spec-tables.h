/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/spec-tables.h - what spec.c, spec-out.c and names.c share: the words of the job description.  Not for other rooms. */
#ifndef OM_SPOOL_SPEC_TABLES_H
#define OM_SPOOL_SPEC_TABLES_H
#include "spool/spec.h"

struct spool_limit_name {
	const char *name;
	int resource;
};
extern const struct spool_limit_name spool_limit_names[SPOOL_RLIMITS_MAX];
/* in the order of their enums, NULL at the end */
extern const char *const spool_open_mode_names[];
extern const char *const spool_period_names[];
extern const char *const spool_restart_names[];
extern const char *const spool_net_names[];
extern const char *const spool_files_names[];
extern const char *const spool_dep_names[];

/* Text of a user as it may stand in a message: printable ASCII, cut. */
enum { SPOOL_SHOWN_MAX = 64 };
const char *spool_shown(const char *s, char dst[SPOOL_SHOWN_MAX]);
/* 0, or -EINVAL with a text that names the unknown pattern. */
int spool_pattern_check(const char *pattern, struct om_err *err);
#endif
