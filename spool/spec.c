/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing is a table of fields; each function takes one value.  What concerns several fields is checked at the end (whole()). */
#include "spool/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/err.h"
#include "base/str.h"
#include "spool/spec-tables.h"

/* What all field functions get. */
struct parse {
	struct spool_spec *spec;
	struct spool_run *run;		/* NULL: the plain description */
	const char *field;
	const json_t *v;
	struct om_err *err;
};

const struct spool_limit_name spool_limit_names[SPOOL_RLIMITS_MAX] = {
	{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE }, { "locks", RLIMIT_LOCKS }, { "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE },
	{ "nice", RLIMIT_NICE }, { "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "rss", RLIMIT_RSS },
	{ "rtprio", RLIMIT_RTPRIO }, { "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING }, { "stack", RLIMIT_STACK },
};
/* in the order of their enums */
const char *const spool_open_mode_names[] = { "truncate", "append", NULL };
const char *const spool_period_names[] = { "off", "auto", NULL };
const char *const spool_restart_names[] = { "checkpoint", "only-checkpoint", "never", NULL };
const char *const spool_net_names[] = { "refuse", "reset", NULL };
const char *const spool_files_names[] = { "all", "open", NULL };
const char *const spool_dep_names[] = { "afterok", "afterany", "afternotok", NULL };

/* ---- values ---- */

static int bad(const struct parse *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(const struct parse *p, const char *fmt, ...)
{
	char text[192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return om_err_set(p->err, -EINVAL, "%s: %s", p->field, text);
}

static int too_big(const struct parse *p, uint64_t most, const char *of_what)
{
	return om_err_set(p->err, -E2BIG, "%s: more than %" PRIu64 " %s", p->field, most, of_what);
}

static int no_memory(const struct parse *p)
{
	return om_err_set(p->err, -ENOMEM, "%s: out of memory", p->field);
}

/* A string without a zero byte, at most @most bytes; borrowed. */
static int string(const struct parse *p, const json_t *v, size_t most, const char **ret)
{
	const char *s = json_string_value(v);

	if (!s)
		return bad(p, "must be a string");
	if (strlen(s) != json_string_length(v))
		return bad(p, "has a zero byte in it");
	if (strlen(s) > most)
		return too_big(p, most, "bytes");
	*ret = s;
	return 0;
}

static int set_string(const struct parse *p, size_t most, char **dst)
{
	const char *s;
	int r = string(p, p->v, most, &s);

	if (r < 0)
		return r;
	if (!*s)
		return bad(p, "must not be empty");
	*dst = strdup(s);
	return *dst ? 0 : no_memory(p);
}

static int integer(const struct parse *p, const json_t *v, int64_t least, int64_t most, int64_t *ret)
{
	int64_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < least || n > most)
		return bad(p, "must be an integer from %" PRId64 " to %" PRId64, least, most);
	*ret = n;
	return 0;
}

static int seconds(const struct parse *p, double least, double most, double *ret)
{
	double d = json_number_value(p->v);

	if (!json_is_number(p->v) || !isfinite(d) || d < least || d > most)
		return bad(p, "must be a number of seconds from %.0f to %.0f", least, most);
	*ret = d;
	return 0;
}

static int one_of(const struct parse *p, const json_t *v, const char *const *names, int *ret)
{
	const char *s = json_string_value(v);
	char all[128] = "";
	size_t n = 0;

	for (int i = 0; s && names[i]; i++)
		if (strcmp(s, names[i]) == 0) {
			*ret = i;
			return 0;
		}
	for (int i = 0; names[i]; i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s\"%s\"", i ? ", " : "", names[i]);
	return bad(p, "must be one of %s", all);
}

static void strv_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

/* An array of strings, together at most SPOOL_ARGV_MAX bytes. */
static int words(const struct parse *p, char ***dst)
{
	size_t n = json_array_size(p->v), bytes = 0, i;
	char **v;

	if (!json_is_array(p->v))
		return bad(p, "must be an array of strings");
	if (n > SPOOL_WORDS_MAX)
		return too_big(p, SPOOL_WORDS_MAX, "words");
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return no_memory(p);
	*dst = v;			/* freed with the description */
	for (i = 0; i < n; i++) {
		const char *s;
		int r = string(p, json_array_get(p->v, i), SPOOL_ARGV_MAX, &s);

		if (r < 0)
			return om_err_wrap(p->err, r, "word %zu", i);
		bytes += strlen(s) + 1;
		if (bytes > SPOOL_ARGV_MAX)
			return too_big(p, SPOOL_ARGV_MAX, "bytes");
		v[i] = strdup(s);
		if (!v[i])
			return no_memory(p);
	}
	return 0;
}

/* ---- fields ---- */

static int f_argv(struct parse *p)
{
	int r = words(p, &p->spec->argv);

	if (r < 0)
		return r;
	return p->spec->argv[0] && p->spec->argv[0][0] ? 0 : bad(p, "must name a program");
}

static int f_args(struct parse *p)
{
	return words(p, &p->spec->args);
}

static int f_script(struct parse *p)
{
	return set_string(p, SPOOL_SCRIPT_MAX, &p->spec->script);
}

static int f_name(struct parse *p)
{
	int r = set_string(p, SPOOL_NAME_MAX, &p->spec->name);

	if (r == 0 && !om_str_is_text(p->spec->name, false))
		return bad(p, "has control characters in it");
	return r;
}

static int f_chdir(struct parse *p)
{
	int r = set_string(p, SPOOL_PATH_MAX - 1, &p->spec->chdir);

	if (r == 0 && p->spec->chdir[0] != '/')
		return bad(p, "must be an absolute path");
	return r;
}

static int f_env(struct parse *p)
{
	size_t n = json_object_size(p->v), bytes = 0, i = 0;
	const char *key;
	json_t *v;

	if (!json_is_object(p->v))
		return bad(p, "must be an object of strings");
	if (n > SPOOL_WORDS_MAX)
		return too_big(p, SPOOL_WORDS_MAX, "variables");
	p->spec->env = calloc(n + 1, sizeof(char *));
	if (!p->spec->env)
		return no_memory(p);
	json_object_foreach((json_t *)p->v, key, v) {
		const char *s;
		char shown[SPOOL_SHOWN_MAX];
		int r;

		if (!key[0] || strchr(key, '='))
			return bad(p, "'%s' is no name of a variable", spool_shown(key, shown));
		r = string(p, v, SPOOL_ENV_MAX, &s);
		if (r < 0)
			return om_err_wrap(p->err, r, "variable '%s'", spool_shown(key, shown));
		bytes += strlen(key) + strlen(s) + 2;
		if (bytes > SPOOL_ENV_MAX)
			return too_big(p, SPOOL_ENV_MAX, "bytes");
		if (asprintf(&p->spec->env[i], "%s=%s", key, s) < 0) {
			p->spec->env[i] = NULL;
			return no_memory(p);
		}
		i++;
	}
	return 0;
}

static int f_umask(struct parse *p)
{
	int64_t n = 0;
	int r = integer(p, p->v, 0, 0777, &n);

	if (r == 0)
		p->spec->umask = (int)n;
	return r;
}

static int limit_value(const struct parse *p, const json_t *v, int64_t *ret)
{
	return integer(p, v, -1, INT64_MAX, ret);
}

static int f_rlimits(struct parse *p)
{
	const char *key;
	json_t *v;

	if (!json_is_object(p->v))
		return bad(p, "must be an object of pairs [soft, hard]");
	json_object_foreach((json_t *)p->v, key, v) {
		struct spool_rlimit *l = &p->spec->rlimits[p->spec->nrlimits];
		char shown[SPOOL_SHOWN_MAX];
		size_t i;
		int r;

		for (i = 0; i < SPOOL_RLIMITS_MAX && strcmp(key, spool_limit_names[i].name) != 0; i++)
			;
		if (i == SPOOL_RLIMITS_MAX)
			return bad(p, "there is no limit '%s'", spool_shown(key, shown));
		if (!json_is_array(v) || json_array_size(v) != 2)
			return bad(p, "%s must be a pair [soft, hard]", key);
		r = limit_value(p, json_array_get(v, 0), &l->soft);
		if (r == 0)
			r = limit_value(p, json_array_get(v, 1), &l->hard);
		if (r < 0)
			return r;
		if ((uint64_t)l->soft > (uint64_t)l->hard)	/* -1 is the largest, as for the kernel */
			return bad(p, "%s: the soft limit is above the hard one", key);
		l->resource = spool_limit_names[i].resource;
		p->spec->nrlimits++;
	}
	return 0;
}

static int pattern(struct parse *p, char **dst)
{
	int r = set_string(p, SPOOL_PATH_MAX - 1, dst);

	if (r < 0)
		return r;
	r = spool_pattern_check(*dst, p->err);
	return r < 0 ? om_err_wrap(p->err, r, "%s", p->field) : 0;
}

static int f_stdin(struct parse *p)
{
	return pattern(p, &p->spec->in);
}

static int f_stdout(struct parse *p)
{
	return pattern(p, &p->spec->out);
}

static int f_stderr(struct parse *p)
{
	return pattern(p, &p->spec->err);
}

static int f_open_mode(struct parse *p)
{
	int i = 0, r = one_of(p, p->v, spool_open_mode_names, &i);

	if (r == 0)
		p->spec->open_mode = (enum spool_open_mode)i;
	return r;
}

static int f_priority(struct parse *p)
{
	int64_t n = 0;
	int r = integer(p, p->v, -SPOOL_PRIORITY_MAX, SPOOL_PRIORITY_MAX, &n);

	if (r == 0)
		p->spec->priority = (int32_t)n;
	return r;
}

/* The object @v has only the members @a and @b, and has @a. */
static int members(const struct parse *p, const json_t *v, const char *a, const char *b)
{
	const char *key;
	json_t *member;

	if (!json_is_object(v))
		return bad(p, "must be an object with \"%s\" and \"%s\"", a, b);
	json_object_foreach((json_t *)v, key, member) {
		char shown[SPOOL_SHOWN_MAX];

		if (strcmp(key, a) != 0 && strcmp(key, b) != 0)
			return bad(p, "unknown field '%s'", spool_shown(key, shown));
	}
	return json_object_get(v, a) ? 0 : bad(p, "\"%s\" is missing", a);
}

static int f_array(struct parse *p)
{
	const char *text;
	json_t *cap;
	int64_t n = 0;
	int r = members(p, p->v, "indices", "cap");

	if (r == 0)
		r = string(p, json_object_get(p->v, "indices"), SPOOL_SCRIPT_MAX, &text);
	if (r < 0)
		return r;
	r = spool_indices_parse(text, &p->spec->indices, p->err);
	if (r < 0)
		return r;
	p->spec->array = true;
	cap = json_object_get(p->v, "cap");
	if (cap)
		r = integer(p, cap, 1, SPOOL_ELEMENTS_MAX, &n);
	p->spec->cap = (uint32_t)n;
	return r;
}

static int dependency(const struct parse *p, const json_t *v, struct spool_dep *dep)
{
	const char *text;
	int type = 0, r = members(p, v, "type", "job");

	if (r == 0)
		r = one_of(p, json_object_get(v, "type"), spool_dep_names, &type);
	if (r < 0)
		return r;
	if (!json_object_get(v, "job"))
		return bad(p, "\"job\" is missing");
	r = string(p, json_object_get(v, "job"), OM_JOB_ID_TEXT, &text);
	if (r < 0)
		return r;
	dep->type = (enum spool_dep_type)type;
	return om_job_id_parse(text, &dep->job) < 0 ? bad(p, "\"job\" must be the id of a job as \"17\" or \"17_3\"") : 0;
}

static int f_depends(struct parse *p)
{
	size_t n = json_array_size(p->v);

	if (!json_is_array(p->v))
		return bad(p, "must be an array of dependencies");
	if (n > SPOOL_DEPENDS_MAX)
		return too_big(p, SPOOL_DEPENDS_MAX, "dependencies");
	if (!n)
		return 0;
	p->spec->depends = calloc(n, sizeof(*p->spec->depends));
	if (!p->spec->depends)
		return no_memory(p);
	for (size_t i = 0; i < n; i++) {
		int r = dependency(p, json_array_get(p->v, i), &p->spec->depends[i]);

		if (r < 0)
			return r;
	}
	p->spec->ndepends = n;
	return 0;
}

static int f_hold(struct parse *p)
{
	if (!json_is_boolean(p->v))
		return bad(p, "must be true or false");
	p->spec->hold = json_is_true(p->v);
	return 0;
}

static int f_begin(struct parse *p)
{
	double t = 0;
	int r = seconds(p, 0, (double)SPOOL_TIME_MAX_S, &t);

	/* whole microseconds: these come back from JSON as they went */
	if (r == 0)
		p->spec->begin_ns = (uint64_t)(t * 1e6 + 0.5) * 1000;
	return r;
}

static int f_cpus(struct parse *p)
{
	int64_t n = 0;
	int r = integer(p, p->v, 1, SPOOL_CPUS_MAX, &n);

	if (r == 0)
		p->spec->cpus = (uint32_t)n;
	return r;
}

static int f_memory(struct parse *p)
{
	int64_t n = 0;
	int r = integer(p, p->v, 0, (int64_t)SPOOL_MEMORY_MAX, &n);

	if (r == 0)
		p->spec->memory = (uint64_t)n;
	return r;
}

static int f_time_limit(struct parse *p)
{
	double t = 0;
	int r = seconds(p, 1, (double)SPOOL_TIME_MAX_S, &t);

	if (r == 0)
		p->spec->time_limit_s = (uint64_t)t + ((double)(uint64_t)t < t);	/* rounded up */
	return r;
}

static int f_checkpoint(struct parse *p)
{
	int i = 0, r;

	if (json_is_number(p->v)) {
		p->spec->checkpoint = SPOOL_PERIOD_FIXED;
		return seconds(p, SPOOL_PERIOD_MIN_S, SPOOL_PERIOD_MAX_S, &p->spec->period_s);
	}
	r = one_of(p, p->v, spool_period_names, &i);
	if (r < 0)
		return bad(p, "must be \"off\", \"auto\" or a number of seconds");
	p->spec->checkpoint = (enum spool_period)i;
	return 0;
}

static int f_keep(struct parse *p)
{
	int64_t n = 0;
	int r = integer(p, p->v, 1, SPOOL_KEEP_MAX, &n);

	if (r == 0)
		p->spec->keep = (uint32_t)n;
	return r;
}

static int f_restart(struct parse *p)
{
	int i = 0, r = one_of(p, p->v, spool_restart_names, &i);

	if (r == 0)
		p->spec->restart = (enum spool_restart)i;
	return r;
}

static int f_net(struct parse *p)
{
	int i = 0, r = one_of(p, p->v, spool_net_names, &i);

	if (r == 0)
		p->spec->net = (enum spool_net)i;
	return r;
}

static int f_files(struct parse *p)
{
	int i = 0, r = one_of(p, p->v, spool_files_names, &i);

	if (r == 0)
		p->spec->files = (enum spool_files)i;
	return r;
}

static int f_notify(struct parse *p)
{
	int r = set_string(p, SPOOL_URL_MAX, &p->spec->notify);
	const char *s = p->spec->notify, *host;

	if (r < 0)
		return r;
	host = om_str_starts(s, "http://") ? s + 7 : om_str_starts(s, "https://") ? s + 8 : NULL;
	if (!host || !*host || *host == '/' || strchr(s, ' ') || !om_str_is_text(s, false))
		return bad(p, "must be an http:// or https:// address");
	return 0;
}

/* ---- what omd adds in spec.json ---- */

static int f_id(struct parse *p)
{
	const char *text;
	int r = string(p, p->v, OM_JOB_ID_TEXT, &text);

	if (r == 0 && om_job_id_parse(text, &p->run->id) < 0)
		return bad(p, "must be the id of a job");
	return r;
}

/* (uid_t)-1 means "no change" to the kernel: never an id */
static int id_number(const struct parse *p, const json_t *v, uint32_t *ret)
{
	int64_t n = 0;
	int r = integer(p, v, 0, UINT32_MAX - 1, &n);

	if (r == 0)
		*ret = (uint32_t)n;
	return r;
}

static int f_uid(struct parse *p)
{
	return id_number(p, p->v, &p->run->uid);
}

static int f_gid(struct parse *p)
{
	return id_number(p, p->v, &p->run->gid);
}

static int f_groups(struct parse *p)
{
	size_t n = json_array_size(p->v);

	if (!json_is_array(p->v))
		return bad(p, "must be an array of numbers");
	if (n > SPOOL_GROUPS_MAX)
		return too_big(p, SPOOL_GROUPS_MAX, "groups");
	p->run->groups = calloc(n + 1, sizeof(gid_t));
	if (!p->run->groups)
		return no_memory(p);
	for (; p->run->ngroups < n; p->run->ngroups++) {
		int r = id_number(p, json_array_get(p->v, p->run->ngroups), &p->run->groups[p->run->ngroups]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int f_leg(struct parse *p)
{
	return id_number(p, p->v, &p->run->leg);
}

static int f_restore(struct parse *p)
{
	return json_is_null(p->v) ? 0 : id_number(p, p->v, &p->run->restore);
}

/* follows from the id; there for people and other readers */
static int f_array_index(struct parse *p)
{
	int64_t n = 0;

	return json_is_null(p->v) ? 0 : integer(p, p->v, 0, OM_ELEM_MAX, &n);
}

static const struct field {
	const char *name;
	int (*parse)(struct parse *p);
	bool run;			/* in spec.json only */
} fields[] = {
	{ "argv", f_argv, false }, { "script", f_script, false }, { "args", f_args, false }, { "name", f_name, false },
	{ "chdir", f_chdir, false }, { "env", f_env, false }, { "umask", f_umask, false }, { "rlimits", f_rlimits, false },
	{ "stdin", f_stdin, false }, { "stdout", f_stdout, false }, { "stderr", f_stderr, false },
	{ "open_mode", f_open_mode, false }, { "priority", f_priority, false }, { "array", f_array, false },
	{ "depends", f_depends, false }, { "hold", f_hold, false }, { "begin", f_begin, false }, { "cpus", f_cpus, false },
	{ "memory", f_memory, false }, { "time_limit", f_time_limit, false }, { "checkpoint", f_checkpoint, false },
	{ "keep", f_keep, false }, { "restart", f_restart, false }, { "net", f_net, false }, { "files", f_files, false },
	{ "notify", f_notify, false },
	{ "id", f_id, true }, { "uid", f_uid, true }, { "gid", f_gid, true }, { "groups", f_groups, true },
	{ "leg", f_leg, true }, { "restore", f_restore, true }, { "array_index", f_array_index, true },
};

/* ---- the whole ---- */

static int missing(const struct parse *p, const char *name, const char *what)
{
	return om_err_set(p->err, -EINVAL, "%s: missing (%s)", name, what);
}

static int default_string(const struct parse *p, char **dst, const char *value)
{
	if (!*dst)
		*dst = strdup(value);
	return *dst ? 0 : no_memory(p);
}

/* argv[0]'s file name as far as it makes a name */
static int default_name(const struct parse *p)
{
	struct spool_spec *s = p->spec;
	const char *base = "script";

	if (s->name)
		return 0;
	if (s->argv) {
		base = strrchr(s->argv[0], '/');
		base = base ? base + 1 : s->argv[0];
	}
	if (!*base || strlen(base) > SPOOL_NAME_MAX || !om_str_is_text(base, false))
		base = "job";
	return default_string(p, &s->name, base);
}

static int whole(struct parse *p)
{
	struct spool_spec *s = p->spec;
	int r;

	if (!s->argv == !s->script)
		return missing(p, "argv", "one of argv and script, not both, says what to run");
	if (s->args && !s->script)
		return om_err_set(p->err, -EINVAL, "args: only with script");
	if (!s->chdir)
		return missing(p, "chdir", "absolute path of the folder to run in");
	if (!s->env)
		return missing(p, "env", "object of strings");
	if (s->array && !s->indices.count)
		return missing(p, "array", "no element");
	if (p->run && (!p->run->id.id || p->run->uid == UINT32_MAX || p->run->gid == UINT32_MAX))
		return missing(p, "id", "id, uid and gid");
	p->field = "defaults";
	r = default_name(p);
	if (r == 0)
		r = default_string(p, &s->in, "/dev/null");
	if (r == 0)
		r = default_string(p, &s->out, "om-%j.out");
	if (r == 0 && s->script && !s->args) {
		s->args = calloc(1, sizeof(char *));
		r = s->args ? 0 : no_memory(p);
	}
	return r;
}

static int all_fields(struct parse *p, const json_t *json)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)json, key, v) {
		char shown[SPOOL_SHOWN_MAX];
		size_t i;
		int r;

		for (i = 0; i < OM_ARRAY_SIZE(fields); i++)
			if (strcmp(key, fields[i].name) == 0 && (p->run || !fields[i].run))
				break;
		if (i == OM_ARRAY_SIZE(fields))
			return om_err_set(p->err, -EINVAL, "unknown field '%s'", spool_shown(key, shown));
		p->field = fields[i].name;
		p->v = v;
		r = fields[i].parse(p);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse(const json_t *json, struct spool_spec **ret, struct spool_run *run, struct om_err *err)
{
	struct parse p = { .run = run, .err = err, .field = "job description" };
	int r;

	if (!json_is_object(json))
		return om_err_set(err, -EINVAL, "the job description must be an object");
	p.spec = calloc(1, sizeof(*p.spec));
	if (!p.spec)
		return no_memory(&p);
	p.spec->umask = -1;
	p.spec->cpus = 1;
	p.spec->checkpoint = SPOOL_PERIOD_AUTO;
	p.spec->keep = 2;
	r = all_fields(&p, json);
	if (r == 0)
		r = whole(&p);
	if (r < 0) {
		spool_spec_destroy(p.spec);
		return r;
	}
	*ret = p.spec;
	return 0;
}

int spool_spec_parse(const json_t *json, struct spool_spec **ret, struct om_err *err)
{
	return parse(json, ret, NULL, err);
}

int spool_run_parse(const json_t *json, struct spool_spec **ret, struct spool_run *ret_run, struct om_err *err)
{
	struct spool_run run = { .uid = UINT32_MAX, .gid = UINT32_MAX };
	int r = parse(json, ret, &run, err);

	if (r < 0) {
		spool_run_done(&run);
		return r;
	}
	*ret_run = run;
	return 0;
}

void spool_spec_destroy(struct spool_spec *s)
{
	if (!s)
		return;
	strv_free(s->argv);
	free(s->script);
	strv_free(s->args);
	free(s->name);
	free(s->chdir);
	strv_free(s->env);
	free(s->in);
	free(s->out);
	free(s->err);
	spool_indices_done(&s->indices);
	free(s->depends);
	free(s->notify);
	free(s);
}

void spool_run_done(struct spool_run *run)
{
	free(run->groups);
	run->groups = NULL;
	run->ngroups = 0;
}
