/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The events of libyaml become a small tree (json_t: objects, arrays, strings), refused as soon as a limit is passed; then each key
 * is handed to the option of its name.  A map or list becomes the text that the option takes on the command line. */
#include "omsub/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/options.h"

struct reader {
	yaml_parser_t p;
	int nodes, depth;
	struct om_err *err;
};

static int bad(struct reader *y, const yaml_mark_t *at, const char *what)
{
	return om_err_set(y->err, -EINVAL, "line %zu: %s", at->line + 1, what);
}

/* the next event; the caller deletes it */
static int next(struct reader *y, yaml_event_t *ev)
{
	if (yaml_parser_parse(&y->p, ev))
		return 0;
	return om_err_set(y->err, -EINVAL, "line %zu: no YAML: %s", y->p.problem_mark.line + 1, y->p.problem ? y->p.problem : "unreadable");
}

static int read_node(struct reader *y, const yaml_event_t *ev, json_t **ret);

static int check_node(struct reader *y, const yaml_event_t *ev)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (++y->nodes > YAML_NODES_MAX)
		return bad(y, &ev->start_mark, "more than 20000 values");
	if (ev->type == YAML_ALIAS_EVENT)
		return bad(y, &ev->start_mark, "aliases (*name) are not allowed here");
	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	}
	if (anchor)
		return bad(y, &ev->start_mark, "anchors (&name) are not allowed here");
	return tag ? bad(y, &ev->start_mark, "tags (!type) are not allowed here") : 0;
}

static int read_scalar(struct reader *y, const yaml_event_t *ev, json_t **ret)
{
	const char *s = (const char *)ev->data.scalar.value;

	if (strlen(s) != ev->data.scalar.length)
		return bad(y, &ev->start_mark, "a zero byte in a text");
	/* "key:" and "key: ~" say nothing; a quoted text is always one */
	if (ev->data.scalar.plain_implicit && (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0))
		*ret = json_null();
	else
		*ret = json_string(s);
	return *ret ? 0 : bad(y, &ev->start_mark, "text that is not UTF-8");
}

/* one key and its value into @obj; 1 at the end of the map */
static int read_pair(struct reader *y, json_t *obj)
{
	om_autofree char *key = NULL;
	json_t *v = NULL;
	yaml_event_t ev;
	int r = next(y, &ev);

	if (r < 0)
		return r;
	if (ev.type == YAML_MAPPING_END_EVENT)
		r = 1;
	else if (ev.type != YAML_SCALAR_EVENT)
		r = bad(y, &ev.start_mark, "a key must be a word");
	else
		r = check_node(y, &ev);
	if (r == 0) {
		key = strdup((const char *)ev.data.scalar.value);
		if (!key || strlen(key) != ev.data.scalar.length || !om_str_is_text(key, false))
			r = bad(y, &ev.start_mark, "a key that is no text");
		else if (json_object_get(obj, key))
			r = bad(y, &ev.start_mark, "the same key twice");
	}
	yaml_event_delete(&ev);
	if (r == 0)
		r = next(y, &ev);
	else
		return r;
	if (r < 0)
		return r;
	r = read_node(y, &ev, &v);
	if (r == 0 && json_object_set_new(obj, key, v) < 0)
		r = bad(y, &ev.start_mark, "out of memory");
	yaml_event_delete(&ev);
	return r;
}

static int read_item(struct reader *y, json_t *list)
{
	json_t *v = NULL;
	yaml_event_t ev;
	int r = next(y, &ev);

	if (r < 0)
		return r;
	if (ev.type == YAML_SEQUENCE_END_EVENT)
		r = 1;
	else
		r = read_node(y, &ev, &v);
	if (r == 0 && json_array_append_new(list, v) < 0)
		r = bad(y, &ev.start_mark, "out of memory");
	yaml_event_delete(&ev);
	return r;
}

static int read_node(struct reader *y, const yaml_event_t *ev, json_t **ret)
{
	bool map = ev->type == YAML_MAPPING_START_EVENT;
	json_t *j;
	int r = check_node(y, ev);

	if (r < 0)
		return r;
	if (ev->type == YAML_SCALAR_EVENT)
		return read_scalar(y, ev, ret);
	if (!map && ev->type != YAML_SEQUENCE_START_EVENT)
		return bad(y, &ev->start_mark, "no value");
	if (++y->depth > YAML_DEPTH_MAX)
		return bad(y, &ev->start_mark, "nested too deeply");
	j = map ? json_object() : json_array();
	if (!j)
		return bad(y, &ev->start_mark, "out of memory");
	do {
		r = map ? read_pair(y, j) : read_item(y, j);
	} while (r == 0);
	y->depth--;
	if (r < 0) {
		json_decref(j);
		return r;
	}
	*ret = j;
	return 0;
}

static int expect(struct reader *y, yaml_event_type_t type, const char *what)
{
	yaml_event_t ev;
	int r = next(y, &ev);

	if (r < 0)
		return r;
	if (ev.type != type)
		r = bad(y, &ev.start_mark, what);
	yaml_event_delete(&ev);
	return r;
}

static int read_document(struct reader *y, json_t **ret)
{
	json_t *root = NULL;
	yaml_event_t ev;
	int r = expect(y, YAML_STREAM_START_EVENT, "no YAML");

	if (r == 0)
		r = expect(y, YAML_DOCUMENT_START_EVENT, "the file is empty");
	if (r == 0)
		r = next(y, &ev);
	if (r < 0)
		return r;
	if (ev.type == YAML_MAPPING_START_EVENT)
		r = read_node(y, &ev, &root);
	else
		r = bad(y, &ev.start_mark, "a job is described by 'key: value' lines");
	yaml_event_delete(&ev);
	if (r == 0)
		r = expect(y, YAML_DOCUMENT_END_EVENT, "something behind the job");
	if (r == 0)
		r = expect(y, YAML_STREAM_END_EVENT, "one file describes one job");
	if (r < 0)
		json_decref(root);
	else
		*ret = root;
	return r;
}

/* ---- tree to job ---- */

static int yes_or_no(const char *s)
{
	static const char *const yes[] = { "true", "yes", "on" }, *const no[] = { "false", "no", "off" };

	for (size_t i = 0; i < OM_ARRAY_SIZE(yes); i++) {
		if (strcasecmp(s, yes[i]) == 0)
			return 1;
		if (strcasecmp(s, no[i]) == 0)
			return 0;
	}
	return -EINVAL;
}

static int set_flag(struct opt_job *job, const struct opt *o, json_t *v, struct om_err *err)
{
	int r = json_is_string(v) ? yes_or_no(json_string_value(v)) : -EINVAL;

	if (r < 0)
		return om_err_set(err, -EINVAL, "%s: wants true or false", o->name);
	return r ? opt_set(job, o, NULL, err) : 0;
}

/* env: {A: b} or [A=b, C] */
static int set_env(struct opt_job *job, const struct opt *o, json_t *v, struct om_err *err)
{
	const char *key;
	json_t *e;
	size_t i;

	json_object_foreach(v, key, e) {
		if (!*key || strchr(key, '=') || (!json_is_string(e) && !json_is_null(e)))
			return om_err_set(err, -EINVAL, "env: '%.60s' wants a text", key);
		if ((json_is_null(e) ? json_object_set_new(job->env, key, json_string("")) : json_object_set(job->env, key, e)) < 0)
			return om_err_set(err, -ENOMEM, "out of memory");
	}
	json_array_foreach(v, i, e) {
		if (!json_is_string(e))
			return om_err_set(err, -EINVAL, "env: wants texts NAME=VALUE");
		int r = opt_set(job, o, json_string_value(e), err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* [afterok:1, afterany:2] or {afterok: 1, afterany: [2, 3]} as afterok:1,afterany:2:3 */
static int join(struct om_buf *b, json_t *v, char between)
{
	const char *key;
	json_t *e;
	size_t i;
	int r = 0;

	if (json_is_string(v))
		return om_buf_add(b, json_string_value(v), json_string_length(v));
	json_array_foreach(v, i, e) {
		if (i && om_buf_add(b, &between, 1) < 0)
			return -ENOMEM;
		if (!json_is_string(e))
			return -EINVAL;
		r = join(b, e, between);
		if (r < 0)
			return r;
	}
	json_object_foreach(v, key, e) {
		if (b->len && om_buf_add(b, &between, 1) < 0)
			return -ENOMEM;
		r = json_is_object(e) ? -EINVAL : om_buf_addf(b, "%s:", key);
		if (r == 0)
			r = join(b, e, ':');
		if (r < 0)
			return r;
	}
	return json_is_null(v) ? -EINVAL : 0;
}

/* {indices: 0-9, cap: 2} as 0-9%2; a list of indices as 1,2,3 */
static int join_array(struct om_buf *b, json_t *v)
{
	json_t *indices = json_object_get(v, "indices"), *cap = json_object_get(v, "cap");
	int r;

	if (!json_is_object(v))
		return join(b, v, ',');
	if (!indices || json_is_object(indices) || json_object_size(v) != (size_t)(cap ? 2 : 1) || (cap && !json_is_string(cap)))
		return -EINVAL;
	r = join(b, indices, ',');
	return r == 0 && cap ? om_buf_addf(b, "%%%s", json_string_value(cap)) : r;
}

static int set_option(struct opt_job *job, const struct opt *o, json_t *v, struct om_err *err)
{
	om_autobuf b = { 0 };
	int r;

	if (o->kind == OPT_FLAG)
		return set_flag(job, o, v, err);
	if (strcmp(o->name, "env") == 0 && !json_is_string(v))
		return set_env(job, o, v, err);
	if (strcmp(o->name, "array") == 0)
		r = join_array(&b, v);
	else if (strcmp(o->name, "depend") == 0)
		r = join(&b, v, ',');
	else
		r = json_is_string(v) ? join(&b, v, ',') : -EINVAL;
	if (r < 0 || !b.data)
		return om_err_set(err, -EINVAL, "%s: has not the form that is wanted here (see openmosix-job(5))", o->name);
	return opt_set(job, o, b.data, err);
}

static int set_list(struct opt_job *job, const char *field, json_t *v, struct om_err *err)
{
	json_t *e;
	size_t i;

	if (!json_is_array(v) || json_array_size(v) == 0)
		return om_err_set(err, -EINVAL, "%s: wants a list [a, b, ...]", field);
	json_array_foreach(v, i, e)
		if (!json_is_string(e))
			return om_err_set(err, -EINVAL, "%s: wants a list of texts (quote '', null and ~)", field);
	return json_object_set(job->spec, field, v) < 0 ? om_err_set(err, -ENOMEM, "out of memory") : 0;
}

static int set_key(struct opt_job *job, const char *key, json_t *v, struct om_err *err)
{
	const struct opt *o = opt_find(key);

	if (strcmp(key, "command") == 0)
		return set_list(job, "argv", v, err);
	if (strcmp(key, "args") == 0)
		return set_list(job, "args", v, err);
	if (strcmp(key, "script") == 0) {
		if (!json_is_string(v) || !json_string_length(v))
			return om_err_set(err, -EINVAL, "script: wants a text (script: | and indented lines)");
		return json_object_set(job->spec, "script", v) < 0 ? om_err_set(err, -ENOMEM, "out of memory") : 0;
	}
	if (!o)
		return om_err_set(err, -EINVAL, "unknown key '%.60s' (keys are the long options of omsub, script, args, command)", key);
	return set_option(job, o, v, err);
}

static int apply(json_t *root, struct opt_job *ret, struct om_err *err)
{
	const char *key;
	json_t *v;

	json_object_foreach(root, key, v) {
		int r = set_key(ret, key, v, err);

		if (r < 0)
			return r;
	}
	if (!json_object_get(ret->spec, "script") == !json_object_get(ret->spec, "argv"))
		return om_err_set(err, -EINVAL, "wants one of 'script' and 'command'");
	if (json_object_get(ret->spec, "args") && !json_object_get(ret->spec, "script"))
		return om_err_set(err, -EINVAL, "'args' belong to 'script'; write all of 'command' in its own list");
	return 0;
}

int yaml_parse(const char *text, size_t len, struct opt_job *ret, struct om_err *err)
{
	struct reader y = { .err = err };
	json_t *root = NULL;
	int r;

	if (!yaml_parser_initialize(&y.p))
		return om_err_set(err, -ENOMEM, "out of memory");
	yaml_parser_set_input_string(&y.p, (const unsigned char *)text, len);
	r = read_document(&y, &root);
	yaml_parser_delete(&y.p);
	if (r < 0)
		return r;
	r = apply(root, ret, err);
	json_decref(root);
	return r;
}
