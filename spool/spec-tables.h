/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/spec-tables.h - what spec.c, spec-value.c, spec-fields.c, spec-out.c and names.c share: the words of the job description.  Not for other rooms. */
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

/* What all field functions get. */
struct spec_parse {
	struct spool_spec *spec;
	struct spool_run *run;		/* NULL: the plain description */
	const char *field;
	const json_t *v;
	struct om_err *err;
};
struct spec_field {
	const char *name;
	int (*parse)(struct spec_parse *p);
	bool run;			/* in spec.json only */
};
extern const struct spec_field spec_fields[];	/* a NULL name at the end */

/* Set the error "FIELD: text"; returns its code. */
int spec_bad(const struct spec_parse *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int spec_too_big(const struct spec_parse *p, uint64_t most, const char *of_what);
int spec_no_memory(const struct spec_parse *p);
/* A string without a zero byte, at most @most bytes; borrowed. */
int spec_string(const struct spec_parse *p, const json_t *v, size_t most, const char **ret);
/* p->v, not empty, as a copy. */
int spec_set_string(const struct spec_parse *p, size_t most, char **dst);
int spec_integer(const struct spec_parse *p, const json_t *v, int64_t least, int64_t most, int64_t *ret);
int spec_seconds(const struct spec_parse *p, double least, double most, double *ret);
/* Its position in @names. */
int spec_one_of(const struct spec_parse *p, const json_t *v, const char *const *names, int *ret);
/* An array of strings, together at most SPOOL_ARGV_MAX bytes; @dst is freed with the description, also after a failure. */
int spec_words(const struct spec_parse *p, char ***dst);
void spec_strv_free(char **v);
#endif
