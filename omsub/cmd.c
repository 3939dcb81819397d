/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omsub/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

#include "config.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/job.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/client.h"
#include "omsub/out.h"

enum {
	ANSWER_SECONDS = 120,	/* for requests that are answered at once by a daemon that is well */
	WAIT_SECONDS = 60,	/* one question of cmd_wait_job */
	ELEMENTS_PAGE = 1000,
	AWAY_SECONDS = 60,	/* how long a daemon that is being restarted is waited for */
};

static const char *cmd_name = "omsub", *cmd_help_text = "";

void cmd_init(const char *name, const char *help)
{
	cmd_name = name;
	cmd_help_text = help;
}

int cmd_help(void)
{
	fputs(cmd_help_text, stdout);
	return cmd_flush(CMD_OK);
}

int cmd_version(void)
{
	printf("%s (%s) %s\n", cmd_name, PACKAGE_NAME, PACKAGE_VERSION);
	return cmd_flush(CMD_OK);
}

static void say(const char *kind, const char *fmt, va_list ap)
{
	char text[1024], clean[4 * sizeof(text)];

	vsnprintf(text, sizeof(text), fmt, ap);
	out_clean(clean, sizeof(clean), text);
	fprintf(stderr, "%s: %s%s\n", cmd_name, kind, clean);
}

void cmd_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void cmd_warning(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("warning: ", fmt, ap);
	va_end(ap);
}

int cmd_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try '%s --help'.\n", cmd_name);
	return CMD_USAGE;
}

int cmd_usage_getopt(int answer, char *const argv[])
{
	if (answer == ':')
		return cmd_usage("the option '%s' needs a value", argv[optind - 1]);
	if (optopt && optopt < CMD_OPT_SOCKET && isgraph(optopt) && strncmp(argv[optind - 1], "--", 2) != 0)
		return cmd_usage("unknown option '-%c'", optopt);
	if (optopt)
		return cmd_usage("the option '%s' takes no value", argv[optind - 1]);
	return cmd_usage("unknown option '%s'", argv[optind - 1]);
}

int cmd_fail(int r, const struct om_err *err)
{
	cmd_error("%s", om_err_text(err, r));
	if (omc_unreachable(r))
		return CMD_UNREACHABLE;
	return r == -EACCES || r == -EPERM ? CMD_DENIED : CMD_FAILED;
}

int cmd_fail_job(int r, const char *id, struct om_err *err)
{
	char start[OM_JOB_ID_TEXT + 8];

	snprintf(start, sizeof(start), "job %s", id);
	if (!om_str_starts(err->text, start))
		om_err_wrap(err, r, "%s", start);
	return cmd_fail(r, err);
}

int cmd_flush(int rc)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return rc;
	if (errno != EPIPE)
		cmd_error("cannot write to standard output: %s", strerror(errno));
	return rc == CMD_OK ? CMD_FAILED : rc;
}

bool cmd_is_id(const char *s)
{
	struct om_job_id id;

	return om_job_id_parse(s, &id) == 0;
}

int cmd_check_ids(char *const ids[], int n)
{
	for (int i = 0; i < n; i++)
		if (!cmd_is_id(ids[i]))
			return cmd_usage("'%s' is not a job id (a number, or NUMBER_INDEX)", ids[i]);
	return n > 0 ? 0 : cmd_usage("which job? Give at least one id");
}

int cmd_each(struct omc *c, const char *method, const char *what, json_t *body, char *const ids[], int n)
{
	int worst = CMD_OK;

	for (int i = 0; i < n; i++) {
		struct om_err err = { 0 };
		char path[128];
		int r;

		snprintf(path, sizeof(path), "/v1/jobs/%s%s", ids[i], what);
		/* no deadline: to hold a running job is to checkpoint it first */
		r = omc_json(c, method, path, body, 0, NULL, &err);
		if (r < 0) {
			int code = cmd_fail_job(r, ids[i], &err);

			worst = code > worst ? code : worst;
			if (code == CMD_UNREACHABLE)
				break;
		}
	}
	return worst;
}

bool cmd_state_ended(const char *state)
{
	enum om_job_state st;

	return om_job_state_parse(state, &st) == 0 && om_job_state_ended(st);
}

int cmd_job_exit(json_t *job)
{
	json_t *e = json_object_get(job, "exit");
	json_t *code = json_object_get(e, "code"), *sig = json_object_get(e, "signal");
	const char *state = json_string_value(json_object_get(job, "state"));

	if (json_is_integer(sig) && json_integer_value(sig) > 0 && json_integer_value(sig) < 128)
		return 128 + (int)json_integer_value(sig);
	/* a job that was ended by us may still have said 0 */
	if (json_is_integer(code) && json_integer_value(code) > 0 && json_integer_value(code) < 256)
		return (int)json_integer_value(code);
	return state && strcmp(state, "done") == 0 ? 0 : CMD_FAILED;
}

static int wait_end(struct omc *c, const char *id, json_t **ret, struct om_err *err)
{
	uint64_t away = 0;
	char path[128];

	snprintf(path, sizeof(path), "/v1/jobs/%s/wait?timeout=%d", id, WAIT_SECONDS);
	for (;;) {
		json_t *job = NULL;
		const char *state;
		int r = omc_json(c, "GET", path, NULL, WAIT_SECONDS + ANSWER_SECONDS, &job, err);

		if (omc_away(r)) {
			/* The job does not end with its daemon: a restarted one knows. */
			uint64_t now = om_clock_mono_ns();

			away = away ? away : now;
			if (now - away > AWAY_SECONDS * 1000000000ull)
				return r;
			poll(NULL, 0, 100);
			continue;
		}
		if (r < 0)
			return r;
		away = 0;
		state = json_string_value(json_object_get(job, "state"));
		if (!state) {
			json_decref(job);
			return om_err_set(err, -EBADMSG, "the daemon's answer has no state");
		}
		if (cmd_state_ended(state)) {
			*ret = job;
			return 0;
		}
		json_decref(job);
	}
}

/* The highest code among the elements of an array that has ended. */
static int worst_element(struct omc *c, const char *id, int *worst, struct om_err *err)
{
	char path[160], after[OM_JOB_ID_TEXT] = "";
	bool more = true;

	while (more) {
		json_t *answer = NULL, *jobs, *job;
		size_t i;
		int r;

		snprintf(path, sizeof(path), "/v1/jobs?all=1&limit=%d&id=%s%s%s", ELEMENTS_PAGE, id, *after ? "&after=" : "", after);
		r = omc_json(c, "GET", path, NULL, ANSWER_SECONDS, &answer, err);
		if (r < 0)
			return r;
		jobs = json_object_get(answer, "jobs");
		json_array_foreach(jobs, i, job) {
			int code = strchr(out_str(job, "id"), '_') ? cmd_job_exit(job) : 0;

			*worst = code > *worst ? code : *worst;
			if (!cmd_is_id(out_str(job, "id")) || om_str_copy(after, sizeof(after), out_str(job, "id")) < 0)
				r = om_err_set(err, -EBADMSG, "the daemon gave an id that is none");
		}
		more = json_is_true(json_object_get(answer, "more")) && json_array_size(jobs);
		json_decref(answer);
		if (r < 0)
			return r;
	}
	return 0;
}

int cmd_wait_job(struct omc *c, const char *id, json_t **ret, int *ret_code, struct om_err *err)
{
	json_t *job = NULL;
	int code, r = wait_end(c, id, &job, err);

	if (r < 0)
		return r;
	code = cmd_job_exit(job);
	if (!strchr(id, '_') && json_is_object(json_object_get(job, "array")))
		r = worst_element(c, id, &code, err);
	if (r < 0) {
		json_decref(job);
		return r;
	}
	*ret = job;
	*ret_code = code;
	return 0;
}
