/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job description as JSON.  What has its default value and says nothing is left out. */
#include <stdlib.h>
#include <string.h>

#include "spool/spec-tables.h"

/* json_object_set_new() frees the value also when it fails; @bad collects, so that callers check once. */
static void set(json_t *o, const char *key, json_t *v, bool *bad)
{
	if (!v || json_object_set_new_nocheck(o, key, v) < 0)
		*bad = true;
}

static void set_text(json_t *o, const char *key, const char *s, bool *bad)
{
	if (s)
		set(o, key, json_string_nocheck(s), bad);
}

static void append(json_t *a, json_t *v, bool *bad)
{
	if (!v || json_array_append_new(a, v) < 0)
		*bad = true;
}

static void set_words(json_t *o, const char *key, char *const *v, bool *bad)
{
	json_t *a;

	if (!v)
		return;
	a = json_array();
	for (size_t i = 0; a && v[i]; i++)
		append(a, json_string_nocheck(v[i]), bad);
	set(o, key, a, bad);
}

static void set_env(json_t *o, char *const *env, bool *bad)
{
	json_t *e = json_object();

	for (size_t i = 0; e && env[i]; i++) {
		char *eq = strchr(env[i], '='), *name = strndup(env[i], (size_t)(eq - env[i]));

		if (name)
			set(e, name, json_string_nocheck(eq + 1), bad);
		else
			*bad = true;
		free(name);
	}
	set(o, "env", e, bad);
}

static void set_rlimits(json_t *o, const struct spool_spec *s, bool *bad)
{
	json_t *all;

	if (!s->nrlimits)
		return;
	all = json_object();
	for (size_t i = 0; all && i < s->nrlimits; i++)
		for (size_t k = 0; k < SPOOL_RLIMITS_MAX; k++)
			if (spool_limit_names[k].resource == s->rlimits[i].resource)
				set(all, spool_limit_names[k].name,
				    json_pack("[I, I]", (json_int_t)s->rlimits[i].soft, (json_int_t)s->rlimits[i].hard), bad);
	set(o, "rlimits", all, bad);
}

static void set_array(json_t *o, const struct spool_spec *s, bool *bad)
{
	char *text;
	json_t *a;

	if (!s->array)
		return;
	text = spool_indices_text(&s->indices);
	a = json_object();
	set(a, "indices", text ? json_string_nocheck(text) : NULL, bad);
	if (s->cap)
		set(a, "cap", json_integer(s->cap), bad);
	set(o, "array", a, bad);
	free(text);
}

static void set_depends(json_t *o, const struct spool_spec *s, bool *bad)
{
	json_t *a;

	if (!s->ndepends)
		return;
	a = json_array();
	for (size_t i = 0; a && i < s->ndepends; i++) {
		char id[OM_JOB_ID_TEXT];

		append(a, json_pack("{s:s, s:s}", "type", spool_dep_names[s->depends[i].type],
				    "job", om_job_id_text(s->depends[i].job, id, sizeof(id))), bad);
	}
	set(o, "depends", a, bad);
}

static void set_numbers(json_t *o, const struct spool_spec *s, bool *bad)
{
	if (s->umask >= 0)
		set(o, "umask", json_integer(s->umask), bad);
	if (s->priority)
		set(o, "priority", json_integer(s->priority), bad);
	if (s->hold)
		set(o, "hold", json_true(), bad);
	if (s->begin_ns)
		set(o, "begin", json_real((double)(s->begin_ns / 1000) / 1e6), bad);
	set(o, "cpus", json_integer(s->cpus), bad);
	if (s->memory)
		set(o, "memory", json_integer((json_int_t)s->memory), bad);
	if (s->time_limit_s)
		set(o, "time_limit", json_integer((json_int_t)s->time_limit_s), bad);
	set(o, "keep", json_integer(s->keep), bad);
}

json_t *spool_spec_to_json(const struct spool_spec *s)
{
	json_t *o = json_object();
	bool bad = false;

	if (!o)
		return NULL;
	set_words(o, "argv", s->argv, &bad);
	set_text(o, "script", s->script, &bad);
	set_words(o, "args", s->args, &bad);
	set_text(o, "name", s->name, &bad);
	set_text(o, "chdir", s->chdir, &bad);
	set_env(o, s->env, &bad);
	set_rlimits(o, s, &bad);
	set_text(o, "stdin", s->in, &bad);
	set_text(o, "stdout", s->out, &bad);
	set_text(o, "stderr", s->err, &bad);
	set_text(o, "open_mode", spool_open_mode_names[s->open_mode], &bad);
	set_array(o, s, &bad);
	set_depends(o, s, &bad);
	set_numbers(o, s, &bad);
	if (s->checkpoint == SPOOL_PERIOD_FIXED)
		set(o, "checkpoint", json_real(s->period_s), &bad);
	else
		set_text(o, "checkpoint", spool_period_names[s->checkpoint], &bad);
	set_text(o, "restart", spool_restart_names[s->restart], &bad);
	set_text(o, "net", spool_net_names[s->net], &bad);
	set_text(o, "files", spool_files_names[s->files], &bad);
	set_text(o, "notify", s->notify, &bad);
	if (bad) {
		json_decref(o);
		return NULL;
	}
	return o;
}

json_t *spool_run_to_json(const struct spool_spec *s, const struct spool_run *run)
{
	json_t *o = spool_spec_to_json(s), *groups;
	char id[OM_JOB_ID_TEXT];
	bool bad = false;

	if (!o)
		return NULL;
	groups = json_array();
	for (size_t i = 0; groups && i < run->ngroups; i++)
		append(groups, json_integer(run->groups[i]), &bad);
	set(o, "groups", groups, &bad);
	set(o, "id", json_string(om_job_id_text(run->id, id, sizeof(id))), &bad);
	set(o, "uid", json_integer(run->uid), &bad);
	set(o, "gid", json_integer(run->gid), &bad);
	set(o, "leg", json_integer(run->leg), &bad);
	set(o, "restore", run->restore ? json_integer(run->restore) : json_null(), &bad);
	set_text(o, "node", run->node, &bad);
	set(o, "array_index", run->id.elem == OM_ELEM_NONE ? json_null() : json_integer(run->id.elem), &bad);
	if (bad) {
		json_decref(o);
		return NULL;
	}
	return o;
}
