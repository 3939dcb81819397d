/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omsub/showjob.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "omsub/out.h"

static void end_text(char *dst, size_t n, json_t *job)
{
	json_t *e = json_object_get(job, "exit"), *code = json_object_get(e, "code"), *sig = json_object_get(e, "signal");
	const char *name;

	dst[0] = 0;
	if (json_is_integer(sig) && json_integer_value(sig) > 0 && json_integer_value(sig) < NSIG) {
		name = sigabbrev_np((int)json_integer_value(sig));
		snprintf(dst, n, "ended by signal %d%s%s", (int)json_integer_value(sig), name ? " SIG" : "", name ? name : "");
	} else if (json_is_integer(code) && json_integer_value(code)) {
		snprintf(dst, n, "exit code %" JSON_INTEGER_FORMAT, json_integer_value(code));
	}
}

void show_reason(char *dst, size_t n, json_t *job)
{
	json_t *no = json_object_get(job, "checkpoint_refused");
	const char *reason = out_str(job, "reason");
	char text[512];

	end_text(text, sizeof(text), job);
	if (*reason)
		out_clean(dst, n, reason);
	else if (*text)
		out_clean(dst, n, text);
	else if (json_is_object(no)) {
		snprintf(text, sizeof(text), "no checkpoint: %.150s %.100s: %.200s", out_str(no, "process"), out_str(no, "object"), out_str(no, "reason"));
		out_clean(dst, n, text);
	} else
		dst[0] = 0;
}

static void line(const char *name, const char *value)
{
	om_autofree char *clean = out_clean_dup(value);

	if (clean && *clean)
		printf("%14s: %s\n", name, clean);
}

static void line_str(json_t *job, const char *field, const char *name)
{
	line(name, out_str(job, field));
}

static void line_time(json_t *job, const char *field)
{
	char text[40];

	if (json_is_number(json_object_get(job, field)))
		line(field, out_time(text, sizeof(text), json_object_get(job, field)));
}

static void line_number(json_t *job, const char *field)
{
	json_t *v = json_object_get(job, field);

	if (json_is_integer(v))
		printf("%14s: %" JSON_INTEGER_FORMAT "\n", field, json_integer_value(v));
	else if (json_is_real(v))
		printf("%14s: %g\n", field, json_real_value(v));
}

static void show_checkpoint(json_t *job)
{
	json_t *c = json_object_get(job, "checkpoint"), *no = json_object_get(job, "checkpoint_refused");
	char age[24], size[24], text[700];

	if (json_is_object(c)) {
		out_seconds(age, sizeof(age), json_object_get(c, "age"));
		out_size(size, sizeof(size), json_object_get(c, "bytes"));
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT ", %s ago, %s, job stopped for %.1f ms", json_integer_value(json_object_get(c, "n")),
			 age, size, json_number_value(json_object_get(c, "stop_ns")) / 1e6);
		line("checkpoint", text);
	}
	if (json_is_object(no)) {
		snprintf(text, sizeof(text), "process %.200s, %.200s: %.200s", out_str(no, "process"), out_str(no, "object"), out_str(no, "reason"));
		line("no checkpoint", text);
	}
}

/* "a b 'c d'" */
static void show_argv(json_t *spec)
{
	json_t *argv = json_object_get(spec, "argv"), *a;
	bool script = !json_is_array(argv);
	size_t i;

	if (script)
		argv = json_object_get(spec, "args");
	printf("%14s: %s", "command", script ? "(script)" : "");
	json_array_foreach(argv, i, a) {
		om_autofree char *clean = out_clean_dup(json_is_string(a) ? json_string_value(a) : "?");
		bool quote = clean && (!*clean || strpbrk(clean, " \t'\"$*?;&|<>()"));

		if (clean)
			printf(quote ? "%s'%s'" : "%s%s", i || script ? " " : "", clean);
	}
	putchar('\n');
}

/* What of the SPEC is a plain value, as it was given. */
static void show_spec(json_t *spec)
{
	static const char *const skip[] = { "argv", "args", "script", "env", "rlimits", "name", "priority", "chdir", "umask" };
	const char *key;
	json_t *v;

	json_object_foreach(spec, key, v) {
		om_autofree char *text = NULL;
		bool skipped = json_is_null(v);

		for (size_t i = 0; i < OM_ARRAY_SIZE(skip); i++)
			skipped |= strcmp(skip[i], key) == 0;
		if (skipped || !om_str_is_text(key, false))
			continue;
		if (json_is_string(v)) {
			line(key, json_string_value(v));
			continue;
		}
		text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
		if (text && strcmp(text, "[]") != 0)
			line(key, text);
	}
}

void show_job(json_t *job)
{
	json_t *spec = json_object_get(job, "spec"), *maxrss = json_object_get(job, "maxrss");
	char text[600];

	line_str(job, "id", "job");
	line_str(job, "name", "name");
	line_str(job, "user", "user");
	line_str(job, "state", "state");
	line_str(job, "reason", "reason");
	end_text(text, sizeof(text), job);
	line("exit", text);
	line_number(job, "priority");
	line_time(job, "submitted");
	line_time(job, "started");
	line_time(job, "ended");
	line("elapsed", out_seconds(text, sizeof(text), json_object_get(job, "elapsed")));
	line("cpu", out_seconds(text, sizeof(text), json_object_get(job, "cpu")));
	if (json_number_value(maxrss) > 0)
		line("memory used", out_size(text, sizeof(text), maxrss));
	line_number(job, "restarts");
	show_checkpoint(job);
	line_str(job, "node", "node");
	line_str(job, "chdir", "folder");
	if (json_is_object(spec)) {
		show_argv(spec);
		show_spec(spec);
	}
}
