/* SPDX-License-Identifier: GPL-2.0-or-later */
/* #PBS lines (OpenPBS and Torque): what has a meaning on one machine is mapped, the rest is named in a warning. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/directive.h"
#include "omsub/values.h"

/* [host:]path with ^array_index^ or $PBS_... in it, to our pattern */
static char *translate(const char *s)
{
	static const struct { const char *theirs, *ours; } map[] = {
		{ "^array_index^", "%a" },
		{ "${PBS_JOBID}", "%j" }, { "$PBS_JOBID", "%j" },
		{ "${PBS_JOBNAME}", "%n" }, { "$PBS_JOBNAME", "%n" },
		{ "${PBS_ARRAY_INDEX}", "%a" }, { "$PBS_ARRAY_INDEX", "%a" },
		{ "${PBS_ARRAYID}", "%a" }, { "$PBS_ARRAYID", "%a" },
		{ "%", "%%" },
	};
	const char *colon = strchr(s, ':'), *slash = strchr(s, '/');
	om_autobuf b = { 0 };
	int r = 0;

	if (colon && (!slash || colon < slash))
		s = colon + 1;
	while (*s && r == 0) {
		size_t i;

		for (i = 0; i < OM_ARRAY_SIZE(map); i++)
			if (om_str_starts(s, map[i].theirs))
				break;
		if (i < OM_ARRAY_SIZE(map)) {
			r = om_buf_add(&b, map[i].ours, strlen(map[i].ours));
			s += strlen(map[i].theirs);
		} else {
			r = om_buf_add(&b, s++, 1);
		}
	}
	return r < 0 ? NULL : om_buf_steal(&b);
}

static int set_file(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	om_autofree char *ours = translate(v);

	if (!ours || !*ours)
		return om_err_set(err, -EINVAL, "'%.60s' is no file name", v);
	return opt_set_by_name(d->job, o->to, ours, err);
}

static int set_join(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	(void)o;
	if (strcmp(v, "oe") == 0 || strcmp(v, "n") == 0)
		return 0;	/* oe is how it is without -e; with -e the user has named two files */
	if (strcmp(v, "eo") != 0)
		return om_err_set(err, -EINVAL, "'%.40s' is not oe, eo or n", v);
	d->join_eo = true;
	return 0;
}

static int set_size(struct dir_script *d, const char *v, struct om_err *err)
{
	char text[32];
	uint64_t n;

	if (om_str_size(v, 1, &n) < 0)
		return om_err_set(err, -EINVAL, "'%.40s' is no size", v);
	snprintf(text, sizeof(text), "%" PRIu64 "B", n);
	return opt_set_by_name(d->job, "memory", text, err);
}

static int resource(struct dir_script *d, const char *name, const char *v, struct om_err *err)
{
	if (strcmp(name, "walltime") == 0)
		return opt_set_by_name(d->job, "time", v, err);
	if (strcmp(name, "mem") == 0)
		return set_size(d, v, err);
	if (strcmp(name, "ncpus") == 0 || strcmp(name, "ppn") == 0)
		return opt_set_by_name(d->job, "cpus", v, err);
	if ((strcmp(name, "nodes") == 0 || strcmp(name, "select") == 0 || strcmp(name, "procs") == 0) && strcmp(v, "1") == 0)
		return 0;
	if (strcmp(name, "nodes") == 0 || strcmp(name, "select") == 0)
		return om_err_set(err, -EINVAL, "a job runs on one node");
	if (strcmp(name, "procs") == 0)
		return opt_set_by_name(d->job, "cpus", v, err);
	return om_err_set(err, -EINVAL, "has no meaning here");
}

/* walltime=1:00:00,mem=4gb,nodes=1:ppn=4 - a colon separates only behind nodes= and select= */
static int set_resources(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	(void)o;
	while (*v) {
		bool chunk = om_str_starts(v, "nodes=") || om_str_starts(v, "select=");
		size_t n = strcspn(v, ",");
		om_autofree char *part = strndup(v, n);
		char *next = part;

		if (!part)
			return om_err_set(err, -ENOMEM, "out of memory");
		while (next && *next) {
			char *name = chunk ? strsep(&next, ":") : strsep(&next, ","), *eq = strchr(name, '=');
			struct om_err why = { 0 };

			if (eq)
				*eq = 0;
			if (resource(d, name, eq ? eq + 1 : "", &why) < 0)
				dir_warn(d, "-l %.60s%s%.60s ignored: %s", name, eq ? "=" : "", eq ? eq + 1 : "", why.text);
		}
		v += n + (v[n] == ',');
	}
	return 0;
}

/* depend=afterok:17.server:18,block=true: the list goes on with commas, too */
static int set_attributes(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	static const char key[] = "depend=";

	(void)o;
	if (!om_str_starts(v, key))
		return om_err_set(err, -EINVAL, "'%.60s': only depend= is known here", v);
	return opt_set_by_name(d->job, "depend", v + strlen(key), err);
}

static int set_begin(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	time_t t;
	int r = val_begin_pbs(v, time(NULL), &t, err);

	(void)o;
	if (r < 0)
		return r;
	return json_object_set_new(d->job->spec, "begin", json_integer((json_int_t)t)) < 0 ? -ENOMEM : 0;
}

static int set_variables(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	int r = 0;

	while (*v && r == 0) {
		size_t n = strcspn(v, ",");
		om_autofree char *word = strndup(v, n);

		if (!word)
			return om_err_set(err, -ENOMEM, "out of memory");
		if (*word)
			r = opt_set_by_name(d->job, o->to, word, err);
		v += n + (v[n] == ',');
	}
	return r;
}

static int set_all_env(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	(void)o;
	(void)v;
	(void)err;
	d->job->inherit = 1;
	return 0;
}

static int set_priority(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	int64_t n;
	char text[16];

	if (om_str_i64(v, &n) < 0 || n < -1024 || n > 1023)
		return om_err_set(err, -EINVAL, "'%.40s' is no number from -1024 to 1023", v);
	n = n < -1000 ? -1000 : n > 1000 ? 1000 : n;
	snprintf(text, sizeof(text), "%d", (int)n);
	return opt_set_by_name(d->job, o->to, text, err);
}

static int set_rerun(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	(void)o;
	if (strcmp(v, "y") != 0 && strcmp(v, "n") != 0)
		return om_err_set(err, -EINVAL, "'%.40s' is not y or n", v);
	return opt_set_by_name(d->job, *v == 'y' ? "requeue" : "no-requeue", NULL, err);
}

#define NO_MAIL "no mail is sent; --notify URL posts state changes"
#define ONE_QUEUE "there is one queue"

static const struct dir_opt table[] = {
	{ NULL, 'N', 1, dir_set_same, "name" },
	{ NULL, 'o', 1, set_file, "stdout" },
	{ NULL, 'e', 1, set_file, "stderr" },
	{ NULL, 'j', 1, set_join, NULL },
	{ NULL, 'l', 1, set_resources, NULL },
	{ NULL, 't', 1, dir_set_same, "array" },
	{ NULL, 'J', 1, dir_set_same, "array" },
	{ NULL, 'W', 1, set_attributes, NULL },
	{ NULL, 'h', 0, dir_set_same, "hold" },
	{ NULL, 'a', 1, set_begin, NULL },
	{ NULL, 'v', 1, set_variables, "env" },
	{ NULL, 'V', 0, set_all_env, NULL },
	{ NULL, 'p', 1, set_priority, "priority" },
	{ NULL, 'd', 1, dir_set_same, "chdir" },
	{ NULL, 'w', 1, dir_set_same, "chdir" },
	{ NULL, 'r', 1, set_rerun, NULL },
	{ NULL, 'q', 1, NULL, ONE_QUEUE },
	{ NULL, 'A', 1, NULL, ONE_QUEUE },
	{ NULL, 'P', 1, NULL, ONE_QUEUE },
	{ NULL, 'm', 1, NULL, NO_MAIL },
	{ NULL, 'M', 1, NULL, NO_MAIL },
	{ NULL, 'S', 1, NULL, "the first line of the script (#!) chooses the shell" },
	{ NULL, 'c', 1, NULL, "use --checkpoint on a #OM line" },
	{ NULL, 'k', 1, NULL, NULL },
	{ NULL, 'u', 1, NULL, NULL },
	{ NULL, 'R', 1, NULL, NULL },
	{ NULL, 'C', 1, NULL, NULL },
	{ NULL, 'D', 1, NULL, NULL },
	{ NULL, 'T', 1, NULL, NULL },
	{ NULL, 'z', 0, NULL, NULL },
	{ NULL, 'f', 0, NULL, NULL },
	{ NULL, 'n', 0, NULL, NULL },
	{ NULL, 'I', 0, NULL, "jobs have no terminal" },
	{ NULL, 'X', 0, NULL, "jobs have no terminal" },
	{ NULL, 0, 0, NULL, NULL },
};

void pbs_line(struct dir_script *d, int argc, char *argv[])
{
	dir_options(d, table, argc, argv);
}

/* -j eo: both streams into the file of -e */
void pbs_end(struct dir_script *d)
{
	json_t *e = json_object_get(d->job->spec, "stderr");

	if (!d->join_eo || !e)
		return;
	if (json_object_set(d->job->spec, "stdout", e) < 0 || json_object_del(d->job->spec, "stderr") < 0)
		dir_warn(d, "-j eo ignored: out of memory");
}
