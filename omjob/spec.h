/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/spec.h - spec.json as the keeper needs it.  Promise: a spec that was read is complete and within its limits; every
 * text is free of NUL; fields that are for others (priority, depends, ...) are not looked at.
 * Callers: omjob.  Format: doc/architecture.md (spec.json), doc/api.md (SPEC). */
#ifndef OM_OMJOB_SPEC_H
#define OM_OMJOB_SPEC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include "base/mem.h"
struct om_err;

enum {
	OMJ_SPEC_MAX = 16 << 20,	/* a script and an environment of the kernel's own limits fit many times */
	OMJ_ARGS_MAX = 100000,
};

struct omj_spec {
	char *id, *name, *node, *chdir;
	char **argv;			/* NULL-terminated; with a script its arguments only */
	char **env;			/* NULL-terminated "NAME=value" */
	bool script;			/* run the copy in the job's folder */
	char *in, *out, *err;		/* NULL: not given */
	bool append;			/* open_mode */
	long umask;			/* -1: as it is */
	struct { bool set; struct rlimit lim; } rlimit[RLIMIT_NLIMITS];
	int64_t array_index;		/* -1: no array element */
	uint32_t leg;			/* how often it was started before */
	uint32_t restore;		/* checkpoint to start from, 0: from the beginning */
	bool net_reset, journal;
};

int omj_spec_parse(const char *text, size_t len, struct omj_spec **ret, struct om_err *err);
int omj_spec_read(int dirfd, const char *name, struct omj_spec **ret, struct om_err *err);
void omj_spec_destroy(struct omj_spec *spec);
OM_DEFINE_AUTOPTR(omj_spec, omj_spec_destroy);

/* Replace %j (id) %A (id without array index) %a (array index) %n (name, '/' as '_') %x (node) %%; another % is an error.  Heap string in @ret. */
int omj_pattern_expand(const char *pattern, const struct omj_spec *spec, char **ret, struct om_err *err);
#endif
