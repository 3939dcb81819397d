/* SPDX-License-Identifier: GPL-2.0-or-later */
/* #SBATCH lines: what has a meaning on one machine is mapped, the rest is named in a warning. */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/directive.h"

static int add_user(struct om_buf *b)
{
	struct passwd *pw = getpwuid(getuid());
	const char *u = pw ? pw->pw_name : "";
	int r = 0;

	if (!pw)
		return om_buf_addf(b, "%u", (unsigned)getuid());
	for (; *u && r == 0; u++)
		r = *u == '%' ? om_buf_add(b, "%%", 2) : om_buf_add(b, u, 1);
	return r;
}

/* One %X of Slurm as ours. */
static int add_pattern(struct dir_script *d, struct om_buf *b, char c)
{
	static const struct { char theirs; const char *ours; } map[] = {
		{ '%', "%%" }, { 'A', "%A" }, { 'a', "%a" }, { 'j', "%j" }, { 'J', "%j" }, { 'N', "%x" }, { 'x', "%n" },
		{ 'n', "0" }, { 't', "0" }, { 's', "batch" },
	};

	if (c == 'u')
		return add_user(b);
	for (size_t i = 0; i < OM_ARRAY_SIZE(map); i++)
		if (map[i].theirs == c)
			return om_buf_add(b, map[i].ours, strlen(map[i].ours));
	dir_warn(d, "the pattern %%%c is not known here and is kept as text", c);
	return om_buf_addf(b, "%%%%%c", c);
}

/* Slurm's file name pattern to ours; heap string, NULL when out of memory. */
static char *translate(struct dir_script *d, const char *s)
{
	bool plain = strchr(s, '\\');	/* Slurm: a backslash anywhere turns patterns off */
	om_autobuf b = { 0 };
	int r = 0;

	for (; *s && r == 0; s++) {
		size_t width;

		if (plain && *s == '\\')
			continue;
		if (*s != '%') {
			r = om_buf_add(&b, s, 1);
			continue;
		}
		if (plain || !s[1]) {
			r = om_buf_add(&b, "%%", 2);
			continue;
		}
		width = strspn(s + 1, "0123456789");
		if (width && s[1 + width])
			dir_warn(d, "the width in '%.*s' is not used", (int)width + 2, s);
		s += 1 + width;
		if (!*s)
			break;
		r = add_pattern(d, &b, *s);
	}
	return r < 0 ? NULL : om_buf_steal(&b);
}

static int set_file(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	om_autofree char *ours = translate(d, v);

	if (!ours || !*ours)
		return om_err_set(err, -EINVAL, "'%.60s' is no file name", v);
	return opt_set_by_name(d->job, o->to, ours, err);
}

static int set_open_mode(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	if (strcmp(v, "truncate") == 0)
		return 0;
	if (strcmp(v, "append") != 0)
		return om_err_set(err, -EINVAL, "'%.40s' is not append or truncate", v);
	return opt_set_by_name(d->job, o->to, NULL, err);
}

static int set_depend(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	if (strchr(v, '?'))
		return om_err_set(err, -EINVAL, "'?' (any of several) is not supported");
	return opt_set_by_name(d->job, o->to, v, err);
}

static int set_time(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	char text[32];
	uint64_t s;

	if (strcasecmp(v, "UNLIMITED") == 0 || strcasecmp(v, "INFINITE") == 0 || strcmp(v, "0") == 0)
		return 0;
	if (om_str_duration(v, 60, &s) < 0)
		return om_err_set(err, -EINVAL, "'%.40s' is no time limit", v);
	snprintf(text, sizeof(text), "%" PRIu64, s);
	return opt_set_by_name(d->job, o->to, text, err);
}

static int set_memory(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	if (strcmp(v, "0") == 0)
		return om_err_set(err, -EINVAL, "0 (all memory of a node) is not supported");
	return opt_set_by_name(d->job, o->to, v, err);
}

static int set_mem_per_cpu(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	uint64_t n;

	(void)o;
	if (om_str_size(v, 1 << 20, &n) < 0 || n > INT64_MAX / 65536)
		return om_err_set(err, -EINVAL, "'%.40s' is no size", v);
	d->mem_per_cpu = n;
	return 0;
}

static int count(const char *v, unsigned long *ret, struct om_err *err)
{
	uint64_t n;

	if (om_str_u64(v, &n) < 0 || n < 1 || n > 65536)
		return om_err_set(err, -EINVAL, "'%.40s' is no number from 1 to 65536", v);
	*ret = (unsigned long)n;
	return 0;
}

static int set_cpus(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	(void)o;
	return count(v, &d->cpus_per_task, err);
}

static int set_tasks(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	int r = count(v, &d->tasks, err);

	if (r == 0 && d->tasks > 1)
		dir_warn(d, "--%s: the script runs once; processors for %lu tasks are reserved", o->name, d->tasks);
	return r;
}

/* an option that only says what is so anyway when its value is 1 */
static int set_one(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	(void)d;
	(void)o;
	if (strcmp(v, "1") == 0 || strcmp(v, "1-1") == 0)
		return 0;
	return om_err_set(err, -EINVAL, "a job runs on one node");
}

/* ALL, NONE, NIL, or a list of NAME[=VALUE]; a list without ALL starts from nothing */
static int set_export(struct dir_script *d, const struct dir_opt *o, const char *v, struct om_err *err)
{
	int inherit = 0, r = 0;

	while (*v && r == 0) {
		size_t n = strcspn(v, ",");
		om_autofree char *word = strndup(v, n);

		if (!word)
			return om_err_set(err, -ENOMEM, "out of memory");
		if (strcasecmp(word, "ALL") == 0)
			inherit = 1;
		else if (strcasecmp(word, "NONE") != 0 && strcasecmp(word, "NIL") != 0 && *word)
			r = opt_set_by_name(d->job, o->to, word, err);
		v += n + (v[n] == ',');
	}
	if (r == 0)
		d->job->inherit = inherit;
	return r;
}

#define NO_MAIL "no mail is sent; --notify URL posts state changes"
#define ONE_QUEUE "there is one queue"
#define DEVICES "devices are not scheduled"
#define PLACE "a job runs on one node; where is not chosen this way"

static const struct dir_opt table[] = {
	{ "job-name", 'J', 1, dir_set_same, "name" },
	{ "output", 'o', 1, set_file, "stdout" },
	{ "error", 'e', 1, set_file, "stderr" },
	{ "input", 'i', 1, set_file, "stdin" },
	{ "open-mode", 0, 1, set_open_mode, "append" },
	{ "array", 'a', 1, dir_set_same, "array" },
	{ "dependency", 'd', 1, set_depend, "depend" },
	{ "time", 't', 1, set_time, "time" },
	{ "mem", 0, 1, set_memory, "memory" },
	{ "mem-per-cpu", 0, 1, set_mem_per_cpu, NULL },
	{ "cpus-per-task", 'c', 1, set_cpus, NULL },
	{ "ntasks", 'n', 1, set_tasks, NULL },
	{ "nodes", 'N', 1, set_one, NULL },
	{ "ntasks-per-node", 0, 1, set_one, NULL },
	{ "chdir", 'D', 1, dir_set_same, "chdir" },
	{ "workdir", 0, 1, dir_set_same, "chdir" },
	{ "begin", 'b', 1, dir_set_same, "begin" },
	{ "hold", 'H', 0, dir_set_same, "hold" },
	{ "export", 0, 1, set_export, "env" },
	{ "requeue", 0, 0, dir_set_same, "requeue" },
	{ "no-requeue", 0, 0, dir_set_same, "no-requeue" },
	{ "mail-type", 0, 1, NULL, NO_MAIL },
	{ "mail-user", 0, 1, NULL, NO_MAIL },
	{ "partition", 'p', 1, NULL, ONE_QUEUE },
	{ "account", 'A', 1, NULL, ONE_QUEUE },
	{ "qos", 'q', 1, NULL, ONE_QUEUE },
	{ "clusters", 'M', 1, NULL, ONE_QUEUE },
	{ "reservation", 0, 1, NULL, ONE_QUEUE },
	{ "nice", 0, 2, NULL, "use --priority on a #OM line" },
	{ "priority", 0, 1, NULL, "use --priority on a #OM line" },
	{ "gres", 0, 1, NULL, DEVICES },
	{ "gpus", 'G', 1, NULL, DEVICES },
	{ "gpus-per-node", 0, 1, NULL, DEVICES },
	{ "gpus-per-task", 0, 1, NULL, DEVICES },
	{ "cpus-per-gpu", 0, 1, NULL, DEVICES },
	{ "mem-per-gpu", 0, 1, NULL, DEVICES },
	{ "constraint", 'C', 1, NULL, PLACE },
	{ "nodelist", 'w', 1, NULL, PLACE },
	{ "exclude", 'x', 1, NULL, PLACE },
	{ "exclusive", 0, 2, NULL, PLACE },
	{ "oversubscribe", 's', 0, NULL, PLACE },
	{ "distribution", 'm', 1, NULL, PLACE },
	{ "licenses", 'L', 1, NULL, NULL },
	{ "comment", 0, 1, NULL, NULL },
	{ "signal", 0, 1, NULL, NULL },
	{ "time-min", 0, 1, NULL, NULL },
	{ "deadline", 0, 1, NULL, NULL },
	{ "tmp", 0, 1, NULL, NULL },
	{ "hint", 0, 1, NULL, NULL },
	{ "threads-per-core", 0, 1, NULL, NULL },
	{ "cores-per-socket", 0, 1, NULL, NULL },
	{ "sockets-per-node", 0, 1, NULL, NULL },
	{ "ntasks-per-core", 0, 1, NULL, NULL },
	{ "ntasks-per-socket", 0, 1, NULL, NULL },
	{ "mincpus", 0, 1, NULL, NULL },
	{ "mem-bind", 0, 1, NULL, NULL },
	{ "cpu-freq", 0, 1, NULL, NULL },
	{ "overcommit", 'O', 0, NULL, NULL },
	{ "profile", 0, 1, NULL, NULL },
	{ "propagate", 0, 2, NULL, "the limits of the caller always go along" },
	{ "get-user-env", 0, 2, NULL, NULL },
	{ "kill-on-invalid-dep", 0, 1, NULL, NULL },
	{ "no-kill", 'k', 2, NULL, NULL },
	{ "uid", 0, 1, NULL, NULL },
	{ "gid", 0, 1, NULL, NULL },
	{ "wckey", 0, 1, NULL, NULL },
	{ "switches", 0, 1, NULL, NULL },
	{ "core-spec", 'S', 1, NULL, NULL },
	{ "wait", 'W', 0, NULL, "belongs on the command line" },
	{ "wait-all-nodes", 0, 1, NULL, NULL },
	{ "wrap", 0, 1, NULL, "belongs on the command line" },
	{ "parsable", 0, 2, NULL, "belongs on the command line" },
	{ "quiet", 'Q', 0, NULL, "belongs on the command line" },
	{ "verbose", 'v', 0, NULL, "belongs on the command line" },
	{ "test-only", 0, 0, NULL, "belongs on the command line" },
	{ NULL, 0, 0, NULL, NULL },
};

void slurm_line(struct dir_script *d, int argc, char *argv[])
{
	dir_options(d, table, argc, argv);
}

/* What takes several lines together. */
void slurm_end(struct dir_script *d)
{
	unsigned long cpus = (d->cpus_per_task ? d->cpus_per_task : 1) * (d->tasks ? d->tasks : 1);
	struct om_err err = { 0 };
	char text[32];

	if (d->cpus_per_task || d->tasks) {
		snprintf(text, sizeof(text), "%lu", cpus);
		if (opt_set_by_name(d->job, "cpus", text, &err) < 0)
			dir_warn(d, "processors ignored: %s", err.text);
	}
	if (d->mem_per_cpu) {
		snprintf(text, sizeof(text), "%lluB", d->mem_per_cpu * cpus);
		if (opt_set_by_name(d->job, "memory", text, &err) < 0)
			dir_warn(d, "--mem-per-cpu ignored: %s", err.text);
	}
}
