/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omsub/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/values.h"

enum {
	NAME_MAX_BYTES = 255,		/* of a job, doc/api.md */
	PATTERN_MAX = 4000,		/* a path with patterns; PATH_MAX once they are filled in */
	LETTER_NONE = 256,		/* getopt values of options without a letter: this + place in the table */
};

enum opt_client_id { CL_NONE, CL_YAML, CL_LINES, CL_FAILED, CL_AT_ONCE, CL_WAIT, CL_JSON, CL_QUIET, CL_SOCKET, CL_HELP, CL_VERSION };

int opt_job_init(struct opt_job *job)
{
	job->spec = json_object();
	job->env = json_object();
	job->inherit = -1;
	return job->spec && job->env ? 0 : -ENOMEM;
}

void opt_job_done(struct opt_job *job)
{
	json_decref(job->spec);
	json_decref(job->env);
	job->spec = job->env = NULL;
}

int opt_job_merge(struct opt_job *under, const struct opt_job *over)
{
	if (over->inherit >= 0)
		under->inherit = over->inherit;
	return json_object_update(under->spec, over->spec) < 0 || json_object_update(under->env, over->env) < 0 ? -ENOMEM : 0;
}

/* ---- setters ---- */

static int put(struct opt_job *job, const char *field, json_t *v, struct om_err *err)
{
	return json_object_set_new(job->spec, field, v) < 0 ? om_err_set(err, -ENOMEM, "out of memory, or text that is not UTF-8") : 0;
}

static int set_text(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	if (!*v || strlen(v) > (size_t)o->max || !om_str_is_text(v, false))
		return om_err_set(err, -EINVAL, "wants a text of 1 to %ld bytes in UTF-8, without control characters", o->max);
	return put(job, o->field, json_string(v), err);
}

static int set_number(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	int64_t n;

	if (om_str_i64(v, &n) < 0 || n < o->min || n > o->max)
		return om_err_set(err, -EINVAL, "'%.40s' is no number from %ld to %ld", v, o->min, o->max);
	return put(job, o->field, json_integer(n), err);
}

static int set_true(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	(void)v;	/* a flag has none */
	return put(job, o->field, json_true(), err);
}

static int set_size(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	uint64_t n;

	if (om_str_size(v, 1 << 20, &n) < 0 || n > INT64_MAX)
		return om_err_set(err, -EINVAL, "'%.40s' is no size: 500M, 2G, 1T (a bare number counts MiB)", v);
	return put(job, o->field, json_integer((json_int_t)n), err);
}

static int set_duration(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	uint64_t n;

	if (om_str_duration(v, 1, &n) < 0 || n == 0 || n > INT32_MAX)
		return om_err_set(err, -EINVAL, "'%.40s' is no duration: 90s, 15m, 2h, 1d, 1:30:00, 2-12:00:00 (a bare number counts seconds)", v);
	return put(job, o->field, json_integer((json_int_t)n), err);
}

static int set_checkpoint(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	if (strcmp(v, "off") == 0 || strcmp(v, "auto") == 0)
		return put(job, o->field, json_string(v), err);
	if (set_duration(job, o, v, NULL) < 0)
		return om_err_set(err, -EINVAL, "'%.40s' is not off, auto or a duration (30s, 10m)", v);
	return 0;
}

/* one of the words of o->arg ("a|b|c") */
static int set_word(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	const char *p = o->arg;
	size_t n = strlen(v);

	while (n && *p) {
		size_t len = strcspn(p, "|");

		if (len == n && strncmp(p, v, n) == 0)
			return put(job, o->field, json_string(v), err);
		p += len + (p[len] == '|');
	}
	return om_err_set(err, -EINVAL, "'%.40s' is not one of %s", v, o->arg);
}

static int set_array(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	json_t *a = NULL;
	int r = val_array(v, &a, err);

	return r < 0 ? r : put(job, o->field, a, err);
}

/* said twice: both */
static int set_depend(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	json_t *new = NULL, *old = json_object_get(job->spec, o->field);
	int r = val_depends(v, &new, err);

	if (r < 0)
		return r;
	if (!old)
		return put(job, o->field, new, err);
	r = json_array_extend(old, new) < 0 ? om_err_set(err, -ENOMEM, "out of memory") : 0;
	json_decref(new);
	return r;
}

static int set_begin(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	time_t t;
	int r = val_begin(v, time(NULL), &t, err);

	return r < 0 ? r : put(job, o->field, json_integer((json_int_t)t), err);
}

static int set_append(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	(void)v;
	return put(job, o->field, json_string("append"), err);
}

static int set_env(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	const char *eq = strchr(v, '=');
	om_autofree char *name = eq ? strndup(v, (size_t)(eq - v)) : strdup(v);

	(void)o;
	if (!name)
		return om_err_set(err, -ENOMEM, "out of memory");
	if (!*name || !om_str_is_text(name, false))
		return om_err_set(err, -EINVAL, "'%.60s' is no NAME=VALUE", v);
	if (json_object_set_new(job->env, name, eq ? json_string(eq + 1) : json_null()) < 0)
		return om_err_set(err, -EINVAL, "the value of %.60s is not UTF-8 text", name);
	return 0;
}

static int set_no_env(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	(void)o;
	(void)v;
	(void)err;
	job->inherit = 0;
	return 0;
}

static int set_requeue(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	(void)v;
	return put(job, o->field, json_string(strcmp(o->name, "requeue") == 0 ? "checkpoint" : "never"), err);
}

static int set_notify(struct opt_job *job, const struct opt *o, const char *v, struct om_err *err)
{
	if (!om_str_starts(v, "http://") && !om_str_starts(v, "https://"))
		return om_err_set(err, -EINVAL, "'%.60s' is no http:// or https:// address", v);
	return set_text(job, o, v, err);
}

/* ---- the table ---- */

#define FLAG(n, l, h, s, f) { .name = n, .letter = l, .kind = OPT_FLAG, .help = h, .set = s, .field = f }
#define VALUE(n, l, a, h, s, f, lo, hi) \
	{ .name = n, .letter = l, .kind = OPT_VALUE, .arg = a, .help = h, .set = s, .field = f, .min = lo, .max = hi }
#define CLIENT(n, l, k, a, h, id) { .name = n, .letter = l, .kind = k, .arg = a, .help = h, .client = id }

static const struct opt table[] = {
	VALUE("name", 'J', "NAME", "name of the job", set_text, "name", 0, NAME_MAX_BYTES),
	VALUE("priority", 'p', "N", "-1000 to 1000, higher starts first (default 0)", set_number, "priority", -1000, 1000),
	VALUE("array", 'a', "LIST", "one job per index: 0-99, 1-9:2, 1,5,7; %N behind it: at most N at once", set_array, "array", 0, 0),
	VALUE("depend", 'd', "LIST", "wait for other jobs: afterok:ID, afterany:ID, afternotok:ID", set_depend, "depends", 0, 0),
	FLAG("hold", 'H', "do not start before omrelease", set_true, "hold"),
	VALUE("begin", 'b', "TIME", "not before HH:MM, YYYY-MM-DD[THH:MM], +DURATION", set_begin, "begin", 0, 0),
	VALUE("cpus", 'c', "N", "processors that must be free to start it (default 1)", set_number, "cpus", 1, 65536),
	VALUE("memory", 'm', "SIZE", "memory that must be free to start it: 500M, 2G", set_size, "memory", 0, 0),
	VALUE("time", 't', "DURATION", "time limit over all restarts: 90s, 15m, 2h, 1:30:00", set_duration, "time_limit", 0, 0),
	VALUE("stdin", 'i', "FILE", "standard input (default /dev/null)", set_text, "stdin", 0, PATTERN_MAX),
	VALUE("stdout", 'o', "FILE", "standard output (default om-%j.out); %j %A %a %n %x", set_text, "stdout", 0, PATTERN_MAX),
	VALUE("stderr", 'e', "FILE", "standard error (default: the same as standard output)", set_text, "stderr", 0, PATTERN_MAX),
	FLAG("append", 0, "append to output files that exist", set_append, "open_mode"),
	VALUE("chdir", 'D', "FOLDER", "where the job runs (default: here)", set_text, "chdir", 0, PATTERN_MAX),
	VALUE("env", 'E', "NAME=VALUE", "set a variable, or pass NAME on; may be repeated", set_env, NULL, 0, 0),
	FLAG("no-env", 0, "do not take the environment along", set_no_env, NULL),
	VALUE("checkpoint", 0, "off|auto|PERIOD", "how often checkpoints are made (default auto)", set_checkpoint, "checkpoint", 0, 0),
	VALUE("keep", 0, "N", "checkpoints that are kept (default 2)", set_number, "keep", 1, 100),
	VALUE("restart", 0, "checkpoint|only-checkpoint|never", "what happens when it was lost (default checkpoint)", set_word, "restart", 0, 0),
	FLAG("requeue", 0, "the same as --restart checkpoint", set_requeue, "restart"),
	FLAG("no-requeue", 0, "the same as --restart never", set_requeue, "restart"),
	VALUE("net", 0, "refuse|reset", "connections to elsewhere: no checkpoint, or restored as reset", set_word, "net", 0, 0),
	VALUE("files", 0, "all|open", "files put back at a restart: also those that were closed, or open ones only", set_word, "files", 0, 0),
	VALUE("notify", 0, "URL", "POST state changes there", set_notify, "notify", 0, 2000),
	CLIENT("file", 'f', OPT_VALUE, "JOB.yaml", "submit the job that the file describes", CL_YAML),
	CLIENT("shell-lines", 'S', OPT_VALUE, "FILE", "run each line of FILE as a job of /bin/sh, and wait for all", CL_LINES),
	CLIENT("failed", 0, OPT_VALUE, "FILE", "with -S: write the lines that failed to FILE", CL_FAILED),
	CLIENT("jobs", 'j', OPT_VALUE, "N", "with -S: at most N jobs at once", CL_AT_ONCE),
	CLIENT("wait", 'w', OPT_FLAG, NULL, "wait for the end and exit with the job's status", CL_WAIT),
	CLIENT("json", 0, OPT_FLAG, NULL, "print JSON", CL_JSON),
	CLIENT("quiet", 'q', OPT_FLAG, NULL, "print nothing but errors", CL_QUIET),
	CLIENT("socket", 0, OPT_VALUE, "PATH", "socket of the daemon (default: OM_SOCKET, or the one found)", CL_SOCKET),
	CLIENT("help", 'h', OPT_FLAG, NULL, "this text", CL_HELP),
	CLIENT("version", 'V', OPT_FLAG, NULL, "the version", CL_VERSION),
	{ .name = NULL },
};
enum { TABLE_N = sizeof(table) / sizeof(table[0]) - 1 };

const struct opt *opt_table(void)
{
	return table;
}

const struct opt *opt_find(const char *name)
{
	for (const struct opt *o = table; o->name; o++)
		if (o->set && strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

int opt_set(struct opt_job *job, const struct opt *o, const char *value, struct om_err *err)
{
	int r;

	if (o->kind == OPT_VALUE && !value)
		return om_err_set(err, -EINVAL, "--%s: needs a value", o->name);
	r = o->set(job, o, value, err);
	return r < 0 ? om_err_wrap(err, r, "--%s", o->name) : 0;
}

int opt_set_by_name(struct opt_job *job, const char *name, const char *value, struct om_err *err)
{
	const struct opt *o = opt_find(name);

	return o ? opt_set(job, o, value, err) : om_err_set(err, -EINVAL, "no option --%s", name);
}

/* ---- getopt ---- */

struct getopt_args {
	char letters[2 * TABLE_N + 4];
	struct option longs[TABLE_N + 1];
};

static void make_getopt(struct getopt_args *g, bool cli)
{
	size_t n = 0, l = 0;

	memset(g, 0, sizeof(*g));
	g->letters[n++] = '+';
	g->letters[n++] = ':';
	for (int i = 0; i < TABLE_N; i++) {
		const struct opt *o = &table[i];

		if (!o->set && !cli)
			continue;
		g->longs[l++] = (struct option){ o->name, o->kind == OPT_VALUE ? required_argument : no_argument, NULL, LETTER_NONE + i };
		if (!o->letter)
			continue;
		g->letters[n++] = o->letter;
		if (o->kind == OPT_VALUE)
			g->letters[n++] = ':';
	}
}

static const struct opt *by_answer(int answer)
{
	if (answer >= LETTER_NONE)
		return &table[answer - LETTER_NONE];
	for (int i = 0; i < TABLE_N; i++)
		if (table[i].letter == answer)
			return &table[i];
	return NULL;
}

static const char *complaint(int answer, const char *word)
{
	if (answer == ':')
		return "needs a value";
	if (optopt >= LETTER_NONE)
		return "takes no value";
	if (om_str_starts(word, "--") && word[2]) {
		size_t n = strcspn(word + 2, "=");

		for (const struct opt *o = table; o->name; o++)
			if (strncmp(o->name, word + 2, n) == 0)
				return o->client && strlen(o->name) == n ? "belongs on the command line" : "may mean several options";
	}
	return "unknown option";
}

int opt_parse_line(struct opt_job *job, int argc, char *argv[], opt_unknown_cb *unknown, void *arg, struct om_err *err)
{
	struct getopt_args g;
	int a, r = 0;

	make_getopt(&g, false);
	opterr = 0;
	optind = 0;
	while (r == 0 && argc > 1) {
		a = getopt_long(argc, argv, g.letters, g.longs, NULL);
		if (a == -1 && optind >= argc)
			break;
		if (a == -1) {
			/* on behind the stray word, which takes the place of argv[0] */
			unknown(arg, argv[optind], "not an option");
			argc -= optind;
			argv += optind;
			optind = 0;
		} else if (a == '?' || a == ':') {
			const char *word = argv[optind > 1 ? optind - 1 : 1];

			unknown(arg, word, complaint(a, word));
		} else {
			r = opt_set(job, by_answer(a), optarg, err);
		}
	}
	return r;
}

static int set_client(struct opt_client *cl, const struct opt *o, const char *v, struct om_err *err)
{
	uint64_t n;

	switch ((enum opt_client_id)o->client) {
	case CL_YAML: cl->yaml = v; break;
	case CL_LINES: cl->lines = v; break;
	case CL_FAILED: cl->failed = v; break;
	case CL_AT_ONCE:
		if (om_str_u64(v, &n) < 0 || n < 1 || n > 100000)
			return om_err_set(err, -EINVAL, "--jobs: '%.40s' is no number from 1 to 100000", v);
		cl->at_once = (unsigned)n;
		break;
	case CL_WAIT: cl->wait = true; break;
	case CL_JSON: cl->json = true; break;
	case CL_QUIET: cl->quiet = true; break;
	case CL_SOCKET: cl->socket = v; break;
	case CL_HELP: cl->help = true; break;
	case CL_VERSION: cl->version = true; break;
	case CL_NONE: break;
	}
	return 0;
}

int opt_parse_cli(struct opt_job *job, struct opt_client *cl, int argc, char *argv[], int *ret_first, bool *ret_command,
		  struct om_err *err)
{
	struct getopt_args g;
	int a, before = 1, r;

	make_getopt(&g, true);
	opterr = 0;
	optind = 0;
	while ((a = getopt_long(argc, argv, g.letters, g.longs, NULL)) != -1) {
		const char *word = argv[optind > 1 ? optind - 1 : 1];
		const struct opt *o;

		if (a == '?' && optopt && optopt < LETTER_NONE)
			return om_err_set(err, -EINVAL, "-%c: unknown option", optopt);
		if (a == '?' || a == ':')
			return om_err_set(err, -EINVAL, "%.100s: %s", word, complaint(a, word));
		o = by_answer(a);
		r = o->set ? opt_set(job, o, optarg, err) : set_client(cl, o, optarg, err);
		if (r < 0)
			return r;
		before = optind;
	}
	*ret_first = optind;
	/* "--" itself, not one that was the value of an option */
	*ret_command = optind == before + 1 && strcmp(argv[before], "--") == 0;
	return 0;
}

void opt_print_help(void)
{
	for (const struct opt *o = table; o->name; o++) {
		char left[80];

		snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ', o->letter ? "," : " ",
			 o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		if (strlen(left) > 27)
			printf("%s\n%28s%s\n", left, "", o->help);
		else
			printf("%-28s%s\n", left, o->help);
	}
}
