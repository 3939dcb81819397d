/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields of the job description and of spec.json, one function each: it takes the value p->v into p->spec or p->run. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "spool/spec-tables.h"

/* ---- fields ---- */

static int f_argv(struct spec_parse *p)
{
	int r = spec_words(p, &p->spec->argv);

	if (r < 0)
		return r;
	return p->spec->argv[0] && p->spec->argv[0][0] ? 0 : spec_bad(p, "must name a program");
}

static int f_args(struct spec_parse *p)
{
	return spec_words(p, &p->spec->args);
}

static int f_script(struct spec_parse *p)
{
	return spec_set_string(p, SPOOL_SCRIPT_MAX, &p->spec->script);
}

static int f_name(struct spec_parse *p)
{
	int r = spec_set_string(p, SPOOL_NAME_MAX, &p->spec->name);

	if (r == 0 && !om_str_is_text(p->spec->name, false))
		return spec_bad(p, "has control characters in it");
	return r;
}

static int f_chdir(struct spec_parse *p)
{
	int r = spec_set_string(p, SPOOL_PATH_MAX - 1, &p->spec->chdir);

	if (r == 0 && p->spec->chdir[0] != '/')
		return spec_bad(p, "must be an absolute path");
	return r;
}

static int f_env(struct spec_parse *p)
{
	size_t n = json_object_size(p->v), bytes = 0, i = 0;
	const char *key;
	json_t *v;

	if (!json_is_object(p->v))
		return spec_bad(p, "must be an object of strings");
	if (n > SPOOL_WORDS_MAX)
		return spec_too_big(p, SPOOL_WORDS_MAX, "variables");
	p->spec->env = calloc(n + 1, sizeof(char *));
	if (!p->spec->env)
		return spec_no_memory(p);
	json_object_foreach((json_t *)p->v, key, v) {
		const char *s;
		char shown[SPOOL_SHOWN_MAX];
		int r;

		if (!key[0] || strchr(key, '='))
			return spec_bad(p, "'%s' is no name of a variable", spool_shown(key, shown));
		r = spec_string(p, v, SPOOL_ENV_MAX, &s);
		if (r < 0)
			return om_err_wrap(p->err, r, "variable '%s'", spool_shown(key, shown));
		bytes += strlen(key) + strlen(s) + 2;
		if (bytes > SPOOL_ENV_MAX)
			return spec_too_big(p, SPOOL_ENV_MAX, "bytes");
		if (asprintf(&p->spec->env[i], "%s=%s", key, s) < 0) {
			p->spec->env[i] = NULL;
			return spec_no_memory(p);
		}
		i++;
	}
	return 0;
}

static int f_umask(struct spec_parse *p)
{
	int64_t n = 0;
	int r = spec_integer(p, p->v, 0, 0777, &n);

	if (r == 0)
		p->spec->umask = (int)n;
	return r;
}

static int limit_value(const struct spec_parse *p, const json_t *v, int64_t *ret)
{
	return spec_integer(p, v, -1, INT64_MAX, ret);
}

static int f_rlimits(struct spec_parse *p)
{
	const char *key;
	json_t *v;

	if (!json_is_object(p->v))
		return spec_bad(p, "must be an object of pairs [soft, hard]");
	json_object_foreach((json_t *)p->v, key, v) {
		struct spool_rlimit *l = &p->spec->rlimits[p->spec->nrlimits];
		char shown[SPOOL_SHOWN_MAX];
		size_t i;
		int r;

		for (i = 0; i < SPOOL_RLIMITS_MAX && strcmp(key, spool_limit_names[i].name) != 0; i++)
			;
		if (i == SPOOL_RLIMITS_MAX)
			return spec_bad(p, "there is no limit '%s'", spool_shown(key, shown));
		if (!json_is_array(v) || json_array_size(v) != 2)
			return spec_bad(p, "%s must be a pair [soft, hard]", key);
		r = limit_value(p, json_array_get(v, 0), &l->soft);
		if (r == 0)
			r = limit_value(p, json_array_get(v, 1), &l->hard);
		if (r < 0)
			return r;
		if ((uint64_t)l->soft > (uint64_t)l->hard)	/* -1 is the largest, as for the kernel */
			return spec_bad(p, "%s: the soft limit is above the hard one", key);
		l->resource = spool_limit_names[i].resource;
		p->spec->nrlimits++;
	}
	return 0;
}

static int pattern(struct spec_parse *p, char **dst)
{
	int r = spec_set_string(p, SPOOL_PATH_MAX - 1, dst);

	if (r < 0)
		return r;
	r = spool_pattern_check(*dst, p->err);
	return r < 0 ? om_err_wrap(p->err, r, "%s", p->field) : 0;
}

static int f_stdin(struct spec_parse *p)
{
	return pattern(p, &p->spec->in);
}

static int f_stdout(struct spec_parse *p)
{
	return pattern(p, &p->spec->out);
}

static int f_stderr(struct spec_parse *p)
{
	return pattern(p, &p->spec->err);
}

static int f_open_mode(struct spec_parse *p)
{
	int i = 0, r = spec_one_of(p, p->v, spool_open_mode_names, &i);

	if (r == 0)
		p->spec->open_mode = (enum spool_open_mode)i;
	return r;
}

static int f_priority(struct spec_parse *p)
{
	int64_t n = 0;
	int r = spec_integer(p, p->v, -SPOOL_PRIORITY_MAX, SPOOL_PRIORITY_MAX, &n);

	if (r == 0)
		p->spec->priority = (int32_t)n;
	return r;
}

/* The object @v has only the members @a and @b, and has @a. */
static int members(const struct spec_parse *p, const json_t *v, const char *a, const char *b)
{
	const char *key;
	json_t *member;

	if (!json_is_object(v))
		return spec_bad(p, "must be an object with \"%s\" and \"%s\"", a, b);
	json_object_foreach((json_t *)v, key, member) {
		char shown[SPOOL_SHOWN_MAX];

		if (strcmp(key, a) != 0 && strcmp(key, b) != 0)
			return spec_bad(p, "unknown field '%s'", spool_shown(key, shown));
	}
	return json_object_get(v, a) ? 0 : spec_bad(p, "\"%s\" is missing", a);
}

static int f_array(struct spec_parse *p)
{
	const char *text;
	json_t *cap;
	int64_t n = 0;
	int r = members(p, p->v, "indices", "cap");

	if (r == 0)
		r = spec_string(p, json_object_get(p->v, "indices"), SPOOL_SCRIPT_MAX, &text);
	if (r < 0)
		return r;
	r = spool_indices_parse(text, &p->spec->indices, p->err);
	if (r < 0)
		return r;
	p->spec->array = true;
	cap = json_object_get(p->v, "cap");
	if (cap)
		r = spec_integer(p, cap, 1, SPOOL_ELEMENTS_MAX, &n);
	p->spec->cap = (uint32_t)n;
	return r;
}

static int dependency(const struct spec_parse *p, const json_t *v, struct spool_dep *dep)
{
	const char *text;
	int type = 0, r = members(p, v, "type", "job");

	if (r == 0)
		r = spec_one_of(p, json_object_get(v, "type"), spool_dep_names, &type);
	if (r < 0)
		return r;
	if (!json_object_get(v, "job"))
		return spec_bad(p, "\"job\" is missing");
	r = spec_string(p, json_object_get(v, "job"), OM_JOB_ID_TEXT, &text);
	if (r < 0)
		return r;
	dep->type = (enum spool_dep_type)type;
	return om_job_id_parse(text, &dep->job) < 0 ? spec_bad(p, "\"job\" must be the id of a job as \"17\" or \"17_3\"") : 0;
}

static int f_depends(struct spec_parse *p)
{
	size_t n = json_array_size(p->v);

	if (!json_is_array(p->v))
		return spec_bad(p, "must be an array of dependencies");
	if (n > SPOOL_DEPENDS_MAX)
		return spec_too_big(p, SPOOL_DEPENDS_MAX, "dependencies");
	if (!n)
		return 0;
	p->spec->depends = calloc(n, sizeof(*p->spec->depends));
	if (!p->spec->depends)
		return spec_no_memory(p);
	for (size_t i = 0; i < n; i++) {
		int r = dependency(p, json_array_get(p->v, i), &p->spec->depends[i]);

		if (r < 0)
			return r;
	}
	p->spec->ndepends = n;
	return 0;
}

static int f_hold(struct spec_parse *p)
{
	if (!json_is_boolean(p->v))
		return spec_bad(p, "must be true or false");
	p->spec->hold = json_is_true(p->v);
	return 0;
}

static int f_begin(struct spec_parse *p)
{
	double t = 0;
	int r = spec_seconds(p, 0, (double)SPOOL_TIME_MAX_S, &t);

	/* whole microseconds: these come back from JSON as they went */
	if (r == 0)
		p->spec->begin_ns = (uint64_t)(t * 1e6 + 0.5) * 1000;
	return r;
}

static int f_cpus(struct spec_parse *p)
{
	int64_t n = 0;
	int r = spec_integer(p, p->v, 1, SPOOL_CPUS_MAX, &n);

	if (r == 0)
		p->spec->cpus = (uint32_t)n;
	return r;
}

static int f_memory(struct spec_parse *p)
{
	int64_t n = 0;
	int r = spec_integer(p, p->v, 0, (int64_t)SPOOL_MEMORY_MAX, &n);

	if (r == 0)
		p->spec->memory = (uint64_t)n;
	return r;
}

static int f_time_limit(struct spec_parse *p)
{
	double t = 0;
	int r = spec_seconds(p, 1, (double)SPOOL_TIME_MAX_S, &t);

	if (r == 0)
		p->spec->time_limit_s = (uint64_t)t + ((double)(uint64_t)t < t);	/* rounded up */
	return r;
}

static int f_checkpoint(struct spec_parse *p)
{
	int i = 0, r;

	if (json_is_number(p->v)) {
		p->spec->checkpoint = SPOOL_PERIOD_FIXED;
		return spec_seconds(p, SPOOL_PERIOD_MIN_S, SPOOL_PERIOD_MAX_S, &p->spec->period_s);
	}
	r = spec_one_of(p, p->v, spool_period_names, &i);
	if (r < 0)
		return spec_bad(p, "must be \"off\", \"auto\" or a number of seconds");
	p->spec->checkpoint = (enum spool_period)i;
	return 0;
}

static int f_keep(struct spec_parse *p)
{
	int64_t n = 0;
	int r = spec_integer(p, p->v, 1, SPOOL_KEEP_MAX, &n);

	if (r == 0)
		p->spec->keep = (uint32_t)n;
	return r;
}

static int f_restart(struct spec_parse *p)
{
	int i = 0, r = spec_one_of(p, p->v, spool_restart_names, &i);

	if (r == 0)
		p->spec->restart = (enum spool_restart)i;
	return r;
}

static int f_net(struct spec_parse *p)
{
	int i = 0, r = spec_one_of(p, p->v, spool_net_names, &i);

	if (r == 0)
		p->spec->net = (enum spool_net)i;
	return r;
}

static int f_files(struct spec_parse *p)
{
	int i = 0, r = spec_one_of(p, p->v, spool_files_names, &i);

	if (r == 0)
		p->spec->files = (enum spool_files)i;
	return r;
}

static int f_notify(struct spec_parse *p)
{
	int r = spec_set_string(p, SPOOL_URL_MAX, &p->spec->notify);
	const char *s = p->spec->notify, *host;

	if (r < 0)
		return r;
	host = om_str_starts(s, "http://") ? s + 7 : om_str_starts(s, "https://") ? s + 8 : NULL;
	if (!host || !*host || *host == '/' || strchr(s, ' ') || !om_str_is_text(s, false))
		return spec_bad(p, "must be an http:// or https:// address");
	return 0;
}

/* ---- what omd adds in spec.json ---- */

static int f_id(struct spec_parse *p)
{
	const char *text;
	int r = spec_string(p, p->v, OM_JOB_ID_TEXT, &text);

	if (r == 0 && om_job_id_parse(text, &p->run->id) < 0)
		return spec_bad(p, "must be the id of a job");
	return r;
}

/* (uid_t)-1 means "no change" to the kernel: never an id */
static int id_number(const struct spec_parse *p, const json_t *v, uint32_t *ret)
{
	int64_t n = 0;
	int r = spec_integer(p, v, 0, UINT32_MAX - 1, &n);

	if (r == 0)
		*ret = (uint32_t)n;
	return r;
}

static int f_uid(struct spec_parse *p)
{
	return id_number(p, p->v, &p->run->uid);
}

static int f_gid(struct spec_parse *p)
{
	return id_number(p, p->v, &p->run->gid);
}

static int f_groups(struct spec_parse *p)
{
	size_t n = json_array_size(p->v);

	if (!json_is_array(p->v))
		return spec_bad(p, "must be an array of numbers");
	if (n > SPOOL_GROUPS_MAX)
		return spec_too_big(p, SPOOL_GROUPS_MAX, "groups");
	p->run->groups = calloc(n + 1, sizeof(gid_t));
	if (!p->run->groups)
		return spec_no_memory(p);
	for (; p->run->ngroups < n; p->run->ngroups++) {
		int r = id_number(p, json_array_get(p->v, p->run->ngroups), &p->run->groups[p->run->ngroups]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int f_leg(struct spec_parse *p)
{
	return id_number(p, p->v, &p->run->leg);
}

static int f_restore(struct spec_parse *p)
{
	return json_is_null(p->v) ? 0 : id_number(p, p->v, &p->run->restore);
}

static int f_node(struct spec_parse *p)
{
	return spec_set_string(p, SPOOL_NAME_MAX, &p->run->node);
}

/* follows from the id; there for people and other readers */
static int f_array_index(struct spec_parse *p)
{
	int64_t n = 0;

	return json_is_null(p->v) ? 0 : spec_integer(p, p->v, 0, OM_ELEM_MAX, &n);
}

const struct spec_field spec_fields[] = {
	{ "argv", f_argv, false }, { "script", f_script, false }, { "args", f_args, false }, { "name", f_name, false },
	{ "chdir", f_chdir, false }, { "env", f_env, false }, { "umask", f_umask, false }, { "rlimits", f_rlimits, false },
	{ "stdin", f_stdin, false }, { "stdout", f_stdout, false }, { "stderr", f_stderr, false },
	{ "open_mode", f_open_mode, false }, { "priority", f_priority, false }, { "array", f_array, false },
	{ "depends", f_depends, false }, { "hold", f_hold, false }, { "begin", f_begin, false }, { "cpus", f_cpus, false },
	{ "memory", f_memory, false }, { "time_limit", f_time_limit, false }, { "checkpoint", f_checkpoint, false },
	{ "keep", f_keep, false }, { "restart", f_restart, false }, { "net", f_net, false }, { "files", f_files, false },
	{ "notify", f_notify, false },
	{ "id", f_id, true }, { "uid", f_uid, true }, { "gid", f_gid, true }, { "groups", f_groups, true },
	{ "leg", f_leg, true }, { "restore", f_restore, true }, { "array_index", f_array_index, true }, { "node", f_node, true },
	{ NULL, NULL, false }
};
