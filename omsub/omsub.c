/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub - submit jobs.  Prints the id when the daemon has made the job durable. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/client.h"
#include "omsub/cmd.h"
#include "omsub/options.h"
#include "omsub/out.h"
#include "omsub/script.h"
#include "omsub/spec.h"
#include "omsub/submit.h"
#include "omsub/yaml.h"

enum { SUBMIT_SECONDS = 120, ARRAY_PAGE = 1000 };

static const char usage[] =
	"Usage: omsub [OPTION]... SCRIPT [ARGUMENT]...\n"
	"       omsub [OPTION]... -- COMMAND [ARGUMENT]...\n"
	"       omsub [OPTION]... -f JOB.yaml\n"
	"       omsub [OPTION]... -S LINES [--failed FILE] [-j N]\n"
	"Submit a job and print its id. SCRIPT may be - for standard input.\n"
	"Options of a job may also stand in the script: #OM --name=x; #SBATCH and #PBS lines are understood.\n"
	"\n";

/* what one call of omsub is about */
struct call {
	struct opt_client cl;
	struct opt_job cli, job;
	struct script_kind kind;
	const char *source;	/* the file that warnings are about */
	char name[256];		/* of the job when nobody gives one */
};

static void warn(void *arg, int line, const char *text)
{
	const struct call *c = arg;

	if (line)
		cmd_warning("%s:%d: %s", c->source, line, text);
	else
		cmd_warning("%s", text);
}

static int help(void)
{
	fputs(usage, stdout);
	opt_print_help();
	return cmd_flush(CMD_OK);
}

int submit(struct omc *c, json_t *spec, json_t **ret, struct om_err *err)
{
	json_t *body = json_is_array(spec) ? json_pack("{s:O}", "jobs", spec) : json_incref(spec);
	int r;

	if (!body)
		return om_err_set(err, -ENOMEM, "out of memory");
	r = omc_json(c, "POST", "/v1/jobs", body, SUBMIT_SECONDS, ret, err);
	/* refused: nobody has seen the request, so it may be sent again */
	if (r == -ECONNREFUSED && c->own) {
		r = omc_start(c, err);
		if (r == 0)
			r = omc_json(c, "POST", "/v1/jobs", body, SUBMIT_SECONDS, ret, err);
	}
	json_decref(body);
	return r;
}

/* ---- where the job comes from ---- */

static int merge_cli(struct call *c, struct om_err *err)
{
	int r = opt_job_merge(&c->job, &c->cli);

	return r < 0 ? om_err_set(err, r, "out of memory") : 0;
}

static int put_argv(struct call *c, const char *field, char *const argv[], int n, struct om_err *err)
{
	json_t *list = NULL;
	int r = spec_argv(argv, n, &list, err);

	if (r == 0 && json_object_set_new(c->job.spec, field, list) < 0)
		r = om_err_set(err, -ENOMEM, "out of memory");
	return r;
}

static int from_command(struct call *c, char *const argv[], int n, struct om_err *err)
{
	int r = put_argv(c, "argv", argv, n, err);

	return r < 0 ? r : merge_cli(c, err);
}

/* A program is run where it is, not copied. */
static int from_program(struct call *c, char *const argv[], int n, struct om_err *err)
{
	char path[PATH_MAX];
	int r = put_argv(c, "argv", argv, n, err);

	if (r < 0)
		return r;
	if (!realpath(argv[0], path))
		return om_err_sys(err, -errno, "'%s'", argv[0]);
	if (json_array_set_new(json_object_get(c->job.spec, "argv"), 0, json_string(path)) < 0)
		return om_err_set(err, -EINVAL, "the name of '%s' is not UTF-8 text", argv[0]);
	return merge_cli(c, err);
}

/* The first line that is not UTF-8 text, 0 when all are. */
static int bad_line(char *text)
{
	int line = 1;

	for (char *p = text; *p; line++) {
		char *nl = strchr(p, '\n');
		json_t *s = nl ? json_stringn(p, (size_t)(nl - p)) : json_string(p);

		if (!s)
			return line;
		json_decref(s);
		if (!nl)
			break;
		p = nl + 1;
	}
	return 0;
}

static int put_script(struct call *c, char *text, size_t len, struct om_err *err)
{
	int line;

	if (len == 0)
		return om_err_set(err, -EINVAL, "'%s' is empty", c->source);
	if (memchr(text, 0, len))
		return om_err_set(err, -EINVAL, "'%s' is neither a script nor a program: it has zero bytes", c->source);
	line = bad_line(text);
	if (line)
		return om_err_set(err, -EINVAL, "%s:%d: not UTF-8 text, which a job's description cannot carry: convert it, or use 'omsub -- %s'",
				  c->source, line, c->source);
	return json_object_set_new(c->job.spec, "script", json_stringn(text, len)) < 0 ? om_err_set(err, -ENOMEM, "out of memory") : 0;
}

static void default_name(struct call *c, const char *path)
{
	om_autofree char *copy = strdup(strcmp(path, "-") == 0 ? "stdin" : path);

	if (copy)
		out_clean(c->name, sizeof(c->name), basename(copy));
}

static int from_script(struct call *c, char *const argv[], int n, struct om_err *err)
{
	om_autofree char *text = NULL;
	size_t len = 0;
	int r;

	c->source = strcmp(argv[0], "-") == 0 ? "standard input" : argv[0];
	r = spec_read_file(argv[0], SCRIPT_MAX, &text, &len, err);
	if (r == -ENOENT && !strchr(argv[0], '/'))
		return om_err_set(err, r, "there is no script '%s' here (a command goes behind two dashes: omsub -- %s ...)", argv[0], argv[0]);
	if (r < 0)
		return r;
	default_name(c, argv[0]);
	if (len >= 4 && memcmp(text, "\177ELF", 4) == 0 && strcmp(argv[0], "-") != 0)
		return from_program(c, argv, n, err);
	r = put_script(c, text, len, err);
	if (r == 0)
		r = script_parse(text, len, &c->job, &c->kind, warn, c, err);
	if (r < 0)
		return r == -EINVAL && om_str_starts(err->text, "line ") ? om_err_wrap(err, r, "%s", c->source) : r;
	if (n > 1)
		r = put_argv(c, "args", argv + 1, n - 1, err);
	return r < 0 ? r : merge_cli(c, err);
}

static int from_yaml(struct call *c, struct om_err *err)
{
	om_autofree char *text = NULL;
	size_t len = 0;
	int r;

	c->source = c->cl.yaml;
	default_name(c, c->cl.yaml);
	r = spec_read_file(c->cl.yaml, YAML_FILE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = yaml_parse(text, len, &c->job, err);
	return r < 0 ? om_err_wrap(err, r, "%s", c->source) : merge_cli(c, err);
}

static int make_job(struct call *c, char *const argv[], int n, bool command, json_t **ret, struct om_err *err)
{
	int r;

	if (c->cl.lines)
		r = merge_cli(c, err);
	else if (c->cl.yaml)
		r = from_yaml(c, err);
	else
		r = command ? from_command(c, argv, n, err) : from_script(c, argv, n, err);
	if (r < 0)
		return r;
	if (!command && !c->cl.lines && c->name[0] && !json_object_get(c->job.spec, "name"))
		if (json_object_set_new(c->job.spec, "name", json_string(c->name)) < 0)
			return om_err_set(err, -ENOMEM, "out of memory");
	return spec_make(&c->job, &c->kind, warn, c, ret, err);
}

/* ---- after the answer ---- */

static void print_answer(const struct call *c, json_t *answer)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(answer, "warnings"), i, v)
		if (json_is_string(v))
			cmd_warning("%s", json_string_value(v));
	if (c->cl.quiet)
		return;
	if (c->cl.json) {
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	json_array_foreach(json_object_get(answer, "ids"), i, v)
		if (json_is_string(v) && cmd_is_id(json_string_value(v)))
			puts(json_string_value(v));
}

static int wait_one(struct omc *oc, const char *id)
{
	struct om_err err = { 0 };
	json_t *job = NULL;
	int rc = 0, r = cmd_wait_job(oc, id, &job, &rc, &err);

	if (r < 0)
		return cmd_fail(r, &err);
	if (strcmp(out_str(job, "state"), "done") != 0 && *out_str(job, "reason"))
		cmd_error("job %s %s: %s", id, out_str(job, "state"), out_str(job, "reason"));
	json_decref(job);
	return rc;
}

static int wait_all(struct omc *oc, json_t *answer)
{
	int worst = 0;
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(answer, "ids"), i, v) {
		const char *id = json_string_value(v);
		int rc = id && cmd_is_id(id) ? wait_one(oc, id) : CMD_FAILED;

		worst = rc > worst ? rc : worst;
	}
	return worst;
}

static int run(struct call *c, char *const argv[], int n, bool command)
{
	struct om_err err = { 0 };
	json_t *spec = NULL, *answer = NULL;
	struct omc oc;
	int rc, r;

	r = make_job(c, argv, n, command, &spec, &err);
	if (r < 0)
		return cmd_fail(r == -EACCES ? -EIO : r, &err);	/* a file we cannot read: not the daemon's "denied" */
	r = omc_init(&oc, c->cl.socket, &err);
	if (r == 0 && c->cl.lines) {
		rc = submit_lines(&oc, &c->cl, spec);
		json_decref(spec);
		return cmd_flush(rc);
	}
	if (r == 0)
		r = submit(&oc, spec, &answer, &err);
	json_decref(spec);
	if (r < 0)
		return cmd_fail(r, &err);
	print_answer(c, answer);
	rc = cmd_flush(CMD_OK);
	if (c->cl.wait && rc == CMD_OK)
		rc = wait_all(&oc, answer);
	json_decref(answer);
	return rc;
}

static int check_usage(const struct opt_client *cl, int left, bool command)
{
	if (cl->yaml && cl->lines)
		return cmd_usage("-f and -S exclude each other");
	if ((cl->yaml || cl->lines) && left)
		return cmd_usage("nothing may stand behind the options with %s", cl->yaml ? "-f" : "-S");
	if (!cl->lines && cl->failed)
		return cmd_usage("--failed belongs to -S");
	if (!cl->lines && cl->at_once)
		return cmd_usage("--jobs belongs to -S");
	if (!cl->yaml && !cl->lines && !left)
		return cmd_usage(command ? "which command?" : "what is to run? Give a script, or -- and a command");
	return 0;
}

int main(int argc, char *argv[])
{
	struct call c = { 0 };
	struct om_err err = { 0 };
	bool command = false;
	int first = 0, rc;

	cmd_init("omsub", usage);
	if (opt_job_init(&c.cli) < 0 || opt_job_init(&c.job) < 0) {
		cmd_error("out of memory");
		return CMD_FAILED;
	}
	if (opt_parse_cli(&c.cli, &c.cl, argc, argv, &first, &command, &err) < 0)
		rc = cmd_usage("%s", err.text);
	else if (c.cl.help)
		rc = help();
	else if (c.cl.version)
		rc = cmd_version();
	else
		rc = check_usage(&c.cl, argc - first, command);
	if (rc == 0 && !c.cl.help && !c.cl.version)
		rc = run(&c, argv + first, argc - first, command);
	opt_job_done(&c.cli);
	opt_job_done(&c.job);
	return rc;
}
