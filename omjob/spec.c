/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One function per kind of value; each says the field's name when it is not what it must be. */
#include "omjob/spec.h"

#include <errno.h>
#include <jansson.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

static int bad(struct om_err *err, const char *field, const char *must)
{
	return om_err_set(err, -EINVAL, "spec.json: '%s' must be %s", field, must);
}

static json_t *field_get(json_t *o, const char *field)
{
	json_t *v = json_object_get(o, field);

	return json_is_null(v) ? NULL : v;
}

/* jansson lets "\u0000" through only when asked to: a string's length is its strlen */
static int text_get(json_t *o, const char *field, bool must, char **ret, struct om_err *err)
{
	json_t *v = field_get(o, field);

	if (!v && !must)
		return 0;
	if (!json_is_string(v))
		return bad(err, field, "a string");
	*ret = strdup(json_string_value(v));
	return *ret ? 0 : om_err_set(err, -ENOMEM, "spec.json: no memory");
}

static int number_get(json_t *o, const char *field, int64_t min, int64_t max, int64_t *ret, struct om_err *err)
{
	json_t *v = field_get(o, field);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return om_err_set(err, -EINVAL, "spec.json: '%s' must be a number from %lld to %lld", field,
				  (long long)min, (long long)max);
	*ret = json_integer_value(v);
	return 0;
}

/* one of two words; @ret true for the second */
static int word_get(json_t *o, const char *field, const char *no, const char *yes, bool *ret, struct om_err *err)
{
	json_t *v = field_get(o, field);
	const char *s = json_string_value(v);

	if (!v)
		return 0;
	if (!s || (strcmp(s, no) && strcmp(s, yes)))
		return om_err_set(err, -EINVAL, "spec.json: '%s' must be \"%s\" or \"%s\"", field, no, yes);
	*ret = strcmp(s, yes) == 0;
	return 0;
}

static int strings_get(json_t *o, const char *field, char ***ret, struct om_err *err)
{
	json_t *v = field_get(o, field);
	size_t n = json_array_size(v);

	if (v && (!json_is_array(v) || n > OMJ_ARGS_MAX))
		return bad(err, field, "an array of at most 100000 strings");
	*ret = calloc(n + 1, sizeof(**ret));
	if (!*ret)
		return om_err_set(err, -ENOMEM, "spec.json: no memory");
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(v, i));

		if (!s)
			return bad(err, field, "an array of strings");
		(*ret)[i] = strdup(s);
		if (!(*ret)[i])
			return om_err_set(err, -ENOMEM, "spec.json: no memory");
	}
	return 0;
}

static int env_get(json_t *o, struct omj_spec *spec, struct om_err *err)
{
	json_t *v = field_get(o, "env"), *val;
	size_t i = 0, n = json_object_size(v);
	const char *key;

	if (!json_is_object(v) || n > OMJ_ARGS_MAX)
		return bad(err, "env", "an object of strings");
	spec->env = calloc(n + 1, sizeof(char *));
	if (!spec->env)
		return om_err_set(err, -ENOMEM, "spec.json: no memory");
	json_object_foreach(v, key, val) {
		if (!json_is_string(val) || !key[0] || strchr(key, '='))
			return bad(err, "env", "an object of strings with names without '='");
		if (asprintf(&spec->env[i], "%s=%s", key, json_string_value(val)) < 0) {
			spec->env[i] = NULL;
			return om_err_set(err, -ENOMEM, "spec.json: no memory");
		}
		i++;
	}
	return 0;
}

static const struct {
	const char *name;
	int id;
} rlimit_names[] = {
	{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE }, { "locks", RLIMIT_LOCKS }, { "memlock", RLIMIT_MEMLOCK },
	{ "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE }, { "nofile", RLIMIT_NOFILE },
	{ "nproc", RLIMIT_NPROC }, { "rss", RLIMIT_RSS }, { "rtprio", RLIMIT_RTPRIO },
	{ "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING }, { "stack", RLIMIT_STACK },
};

static int rlimit_id(const char *name)
{
	for (size_t i = 0; i < OM_ARRAY_SIZE(rlimit_names); i++)
		if (strcmp(rlimit_names[i].name, name) == 0)
			return rlimit_names[i].id;
	return -1;
}

static rlim_t rlimit_value(json_t *v)
{
	return json_integer_value(v) < 0 ? RLIM_INFINITY : (rlim_t)json_integer_value(v);
}

static int rlimits_get(json_t *o, struct omj_spec *spec, struct om_err *err)
{
	json_t *v = field_get(o, "rlimits"), *pair;
	const char *key;

	if (v && !json_is_object(v))
		return bad(err, "rlimits", "an object");
	json_object_foreach(v, key, pair) {
		int id = rlimit_id(key);
		json_t *soft = json_array_get(pair, 0), *hard = json_array_get(pair, 1);

		if (id < 0 || json_array_size(pair) != 2 || !json_is_integer(soft) || !json_is_integer(hard))
			return om_err_set(err, -EINVAL, "spec.json: rlimits.%.40s must be a known limit with [soft,hard]", key);
		spec->rlimit[id].set = true;
		spec->rlimit[id].lim.rlim_cur = rlimit_value(soft);
		spec->rlimit[id].lim.rlim_max = rlimit_value(hard);
	}
	return 0;
}

static int what_get(json_t *o, struct omj_spec *spec, struct om_err *err)
{
	json_t *script = field_get(o, "script");
	int r;

	spec->script = script != NULL;
	if (script && !json_is_string(script))
		return bad(err, "script", "a string");
	if (script && field_get(o, "argv"))
		return om_err_set(err, -EINVAL, "spec.json: both 'argv' and 'script'");
	r = strings_get(o, script ? "args" : "argv", &spec->argv, err);
	if (r == 0 && !script && (!spec->argv[0] || !spec->argv[0][0]))
		return bad(err, "argv", "an array that begins with a program's name");
	return r;
}

static int files_get(json_t *o, struct omj_spec *spec, struct om_err *err)
{
	bool all = true;
	int r = text_get(o, "stdin", false, &spec->in, err);

	r = r ? r : text_get(o, "stdout", false, &spec->out, err);
	r = r ? r : text_get(o, "stderr", false, &spec->err, err);
	r = r ? r : word_get(o, "open_mode", "truncate", "append", &spec->append, err);
	r = r ? r : word_get(o, "net", "refuse", "reset", &spec->net_reset, err);
	r = r ? r : word_get(o, "files", "open", "all", &all, err);
	spec->journal = all;
	return r;
}

static int numbers_get(json_t *o, struct omj_spec *spec, struct om_err *err)
{
	int64_t mask = -1, leg = 0, restore = 0;
	int r = number_get(o, "umask", 0, 0777, &mask, err);

	spec->array_index = -1;
	r = r ? r : number_get(o, "array_index", 0, INT32_MAX, &spec->array_index, err);
	r = r ? r : number_get(o, "leg", 0, INT32_MAX, &leg, err);
	r = r ? r : number_get(o, "restore", 1, UINT32_MAX, &restore, err);
	spec->umask = (long)mask;
	spec->leg = (uint32_t)leg;
	spec->restore = (uint32_t)restore;
	return r;
}

static int spec_fill(json_t *o, struct omj_spec *spec, struct om_err *err)
{
	int r = text_get(o, "id", true, &spec->id, err);

	r = r ? r : text_get(o, "name", false, &spec->name, err);
	r = r ? r : text_get(o, "node", false, &spec->node, err);
	r = r ? r : text_get(o, "chdir", true, &spec->chdir, err);
	if (r == 0 && spec->chdir[0] != '/')
		r = bad(err, "chdir", "an absolute path");
	r = r ? r : what_get(o, spec, err);
	r = r ? r : env_get(o, spec, err);
	r = r ? r : files_get(o, spec, err);
	r = r ? r : numbers_get(o, spec, err);
	return r ? r : rlimits_get(o, spec, err);
}

int omj_spec_parse(const char *text, size_t len, struct omj_spec **ret, struct om_err *err)
{
	om_autoptr(omj_spec) spec = calloc(1, sizeof(*spec));
	json_error_t je;
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	int r;

	if (!json_is_object(o)) {
		json_decref(o);
		return om_err_set(err, -EINVAL, "spec.json: line %d: %s", je.line, o ? "no object" : je.text);
	}
	r = spec ? spec_fill(o, spec, err) : om_err_set(err, -ENOMEM, "spec.json: no memory");
	json_decref(o);
	if (r == 0)
		*ret = om_steal(spec);
	return r;
}

int omj_spec_read(int dirfd, const char *name, struct omj_spec **ret, struct om_err *err)
{
	om_autofree char *text = NULL;
	size_t len;
	int r = om_file_read_at(dirfd, name, OMJ_SPEC_MAX, 1, &text, &len);

	if (r < 0)
		return om_err_sys(err, r, "cannot read %s", name);
	return omj_spec_parse(text, len, ret, err);
}

static void strings_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

void omj_spec_destroy(struct omj_spec *spec)
{
	if (!spec)
		return;
	free(spec->id);
	free(spec->name);
	free(spec->node);
	free(spec->chdir);
	free(spec->in);
	free(spec->out);
	free(spec->err);
	strings_free(spec->argv);
	strings_free(spec->env);
	free(spec);
}

static int pattern_one(struct om_buf *b, char c, const struct omj_spec *spec)
{
	char host[256];
	size_t at = b->len;
	int r;

	switch (c) {
	case '%':
		return om_buf_add(b, "%", 1);
	case 'j':
		return om_buf_addf(b, "%s", spec->id);
	case 'A':
		return om_buf_add(b, spec->id, strcspn(spec->id, "_"));
	case 'a':
		return spec->array_index < 0 ? om_buf_add(b, "0", 1) : om_buf_addf(b, "%lld", (long long)spec->array_index);
	case 'n':
		r = om_buf_addf(b, "%s", spec->name ? spec->name : "job");
		for (; r == 0 && at < b->len; at++)
			if (b->data[at] == '/')
				b->data[at] = '_';
		return r;
	case 'x':
		if (spec->node)
			return om_buf_addf(b, "%s", spec->node);
		if (gethostname(host, sizeof(host)) < 0)
			return -errno;
		host[sizeof(host) - 1] = 0;
		return om_buf_addf(b, "%s", host);
	default:
		return -EINVAL;
	}
}

int omj_pattern_expand(const char *pattern, const struct omj_spec *spec, char **ret, struct om_err *err)
{
	om_autobuf b = { 0 };
	int r = om_buf_add(&b, "", 0);

	for (const char *p = pattern; *p && r == 0; p++) {
		if (*p != '%') {
			r = om_buf_add(&b, p, 1);
			continue;
		}
		r = pattern_one(&b, *++p, spec);
		if (r == -EINVAL)
			return om_err_set(err, r, "file name '%s': %%%c is not one of %%j %%A %%a %%n %%x %%%%", pattern, *p ? *p : ' ');
	}
	if (r < 0)
		return om_err_sys(err, r, "file name '%s'", pattern);
	*ret = b.data ? om_buf_steal(&b) : strdup("");
	return *ret ? 0 : om_err_set(err, -ENOMEM, "file name '%s': no memory", pattern);
}
