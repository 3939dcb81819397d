/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsing is a table of fields (spec-fields.c); what concerns several of them is checked here at the end. */
#include "spool/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "spool/spec-tables.h"

static int missing(const struct spec_parse *p, const char *name, const char *what)
{
	return om_err_set(p->err, -EINVAL, "%s: missing (%s)", name, what);
}

static int default_string(const struct spec_parse *p, char **dst, const char *value)
{
	if (!*dst)
		*dst = strdup(value);
	return *dst ? 0 : spec_no_memory(p);
}

/* argv[0]'s file name as far as it makes a name */
static int default_name(const struct spec_parse *p)
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

static int whole(struct spec_parse *p)
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
		r = s->args ? 0 : spec_no_memory(p);
	}
	return r;
}

static int all_fields(struct spec_parse *p, const json_t *json)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)json, key, v) {
		char shown[SPOOL_SHOWN_MAX];
		size_t i;
		int r;

		for (i = 0; spec_fields[i].name; i++)
			if (strcmp(key, spec_fields[i].name) == 0 && (p->run || !spec_fields[i].run))
				break;
		if (!spec_fields[i].name)
			return om_err_set(p->err, -EINVAL, "unknown field '%s'", spool_shown(key, shown));
		p->field = spec_fields[i].name;
		p->v = v;
		r = spec_fields[i].parse(p);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_all(const json_t *json, struct spool_spec **ret, struct spool_run *run, struct om_err *err)
{
	struct spec_parse p = { .run = run, .err = err, .field = "job description" };
	int r;

	if (!json_is_object(json))
		return om_err_set(err, -EINVAL, "the job description must be an object");
	p.spec = calloc(1, sizeof(*p.spec));
	if (!p.spec)
		return spec_no_memory(&p);
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
	return parse_all(json, ret, NULL, err);
}

int spool_run_parse(const json_t *json, struct spool_spec **ret, struct spool_run *ret_run, struct om_err *err)
{
	struct spool_run run = { .uid = UINT32_MAX, .gid = UINT32_MAX };
	int r = parse_all(json, ret, &run, err);

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
	spec_strv_free(s->argv);
	free(s->script);
	spec_strv_free(s->args);
	free(s->name);
	free(s->chdir);
	spec_strv_free(s->env);
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
	free(run->node);
	run->groups = NULL;
	run->node = NULL;
	run->ngroups = 0;
}
