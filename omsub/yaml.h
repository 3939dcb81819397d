/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/yaml.h - a job described by a YAML file: keys are the long options of omsub, and script, args, command.
 * Promise: any bytes may be in it; work and memory are bounded by the limits below; anchors, aliases and tags are refused.  No I/O. */
#ifndef OM_OMSUB_YAML_H
#define OM_OMSUB_YAML_H
#include <stddef.h>

struct om_err;
struct opt_job;

enum {
	YAML_FILE_MAX = 16 * 1024 * 1024,	/* holds a script (SCRIPT_MAX) */
	YAML_DEPTH_MAX = 4,			/* the deepest form has 2 */
	YAML_NODES_MAX = 20000,			/* arguments and variables of one job */
};

/* Set @ret to what the document says; script, args and argv are fields of ret->spec.  0, or -EINVAL with "line N: ...". */
int yaml_parse(const char *text, size_t len, struct opt_job *ret, struct om_err *err);
#endif
