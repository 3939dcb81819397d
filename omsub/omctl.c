/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omctl - the daemon itself: its state, drain, shutdown. */
#include <getopt.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "omsub/client.h"
#include "omsub/cmd.h"
#include "omsub/out.h"

enum {
	ASK_SECONDS = 120,
	DOWN_SECONDS = 300,	/* a shutdown makes a checkpoint of every job first */
};

static const char help[] =
	"Usage: omctl [OPTION]... status\n"
	"       omctl [OPTION]... drain [--undo]\n"
	"       omctl [OPTION]... shutdown [--suspend | --leave | --kill]\n"
	"status: show the daemon. drain: start no more jobs, checkpoint the running ones and put them back\n"
	"into the queue. shutdown: end the daemon (its jobs: see the options).\n"
	"\n"
	"      --json              status: print JSON\n"
	"      --undo              drain: start jobs again\n"
	"      --suspend           shutdown: checkpoint the jobs and end them; they go on at the next start (default)\n"
	"      --leave             shutdown: the jobs go on without a daemon\n"
	"      --kill              shutdown: the jobs are killed\n"
	CMD_COMMON_HELP;

enum { OPT_JSON = CMD_OPT_OWN, OPT_UNDO, OPT_SUSPEND, OPT_LEAVE, OPT_KILL };

static void print_status(json_t *s)
{
	const char *keys[] = { "version", "mode", "node" }, *state;
	char a[40], b[40];
	json_t *n;

	for (size_t i = 0; i < 3; i++) {
		out_clean(a, sizeof(a), out_str(s, keys[i]));
		printf("%10s: %s\n", keys[i], a);
	}
	printf("%10s: %" JSON_INTEGER_FORMAT "\n", "pid", json_integer_value(json_object_get(s, "pid")));
	printf("%10s: %s\n", "uptime", out_seconds(a, sizeof(a), json_object_get(s, "uptime")));
	printf("%10s: %g of %g in use\n", "cpus", json_number_value(json_object_get(s, "cpus_used")), json_number_value(json_object_get(s, "cpus")));
	printf("%10s: %s of %s in use\n", "memory", out_size(a, sizeof(a), json_object_get(s, "memory_used")),
	       out_size(b, sizeof(b), json_object_get(s, "memory")));
	printf("%10s: %s\n", "draining", json_is_true(json_object_get(s, "draining")) ? "yes" : "no");
	printf("%10s:", "jobs");
	json_object_foreach(json_object_get(s, "jobs"), state, n) {
		out_clean(a, sizeof(a), state);
		printf(" %" JSON_INTEGER_FORMAT " %s", json_integer_value(n), a);
	}
	putchar('\n');
}

static int status(struct omc *c, bool json)
{
	struct om_err err = { 0 };
	json_t *s = NULL;
	int r = omc_json(c, "GET", "/v1/status", NULL, ASK_SECONDS, &s, &err);

	if (r < 0)
		return cmd_fail(r, &err);
	if (json) {
		json_dumpf(s, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_status(s);
	}
	json_decref(s);
	return cmd_flush(CMD_OK);
}

static int drain(struct omc *c, bool undo)
{
	json_t *body = json_pack("{s:b}", "undo", undo);
	struct om_err err = { 0 };
	int r = omc_json(c, "POST", "/v1/drain", body, 0, NULL, &err);

	json_decref(body);
	return r < 0 ? cmd_fail(r, &err) : CMD_OK;
}

/* The daemon that answered has gone when its socket does not answer any more. */
static int wait_gone(struct omc *c)
{
	uint64_t until = om_clock_mono_ns() + DOWN_SECONDS * 1000000000ull;

	for (;;) {
		om_autofd int fd = omc_http_connect(c->socket, NULL);

		if (fd < 0)
			return CMD_OK;
		if (om_clock_mono_ns() > until) {
			cmd_error("the daemon has agreed to end but is still there after %d s", DOWN_SECONDS);
			return CMD_FAILED;
		}
		poll(NULL, 0, 20);
	}
}

static int down(struct omc *c, const char *jobs)
{
	json_t *body = json_pack("{s:s}", "jobs", jobs);
	struct om_err err = { 0 };
	int r = omc_json(c, "POST", "/v1/shutdown", body, 0, NULL, &err);

	json_decref(body);
	return r < 0 ? cmd_fail(r, &err) : wait_gone(c);
}

struct wish {
	const char *socket, *jobs;
	bool json, undo;
};

static int run(const struct wish *w, const char *what)
{
	struct om_err err = { 0 };
	struct omc c;
	int r;

	if (w->jobs && strcmp(what, "shutdown") != 0)
		return cmd_usage("--%s belongs to shutdown", w->jobs);
	if (w->undo && strcmp(what, "drain") != 0)
		return cmd_usage("--undo belongs to drain");
	if (w->json && strcmp(what, "status") != 0)
		return cmd_usage("--json belongs to status");
	r = omc_init(&c, w->socket, &err);
	if (r < 0)
		return cmd_fail(r, &err);
	if (strcmp(what, "status") == 0)
		return status(&c, w->json);
	if (strcmp(what, "drain") == 0)
		return drain(&c, w->undo);
	if (strcmp(what, "shutdown") == 0)
		return down(&c, w->jobs ? w->jobs : "suspend");
	return cmd_usage("'%s' is not status, drain or shutdown", what);
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, OPT_JSON }, { "undo", no_argument, NULL, OPT_UNDO },
		{ "suspend", no_argument, NULL, OPT_SUSPEND }, { "leave", no_argument, NULL, OPT_LEAVE },
		{ "kill", no_argument, NULL, OPT_KILL }, CMD_COMMON_LONG, { NULL, 0, NULL, 0 },
	};
	struct wish w = { 0 };
	int a;

	cmd_init("omctl", help);
	opterr = 0;
	while ((a = getopt_long(argc, argv, ":hV", longs, NULL)) != -1) {
		const char *jobs = a == OPT_SUSPEND ? "suspend" : a == OPT_LEAVE ? "leave" : a == OPT_KILL ? "kill" : NULL;

		switch (a) {
		case 'h': return cmd_help();
		case 'V': return cmd_version();
		case OPT_JSON: w.json = true; break;
		case OPT_UNDO: w.undo = true; break;
		case OPT_SUSPEND:
		case OPT_LEAVE:
		case OPT_KILL:
			if (w.jobs && strcmp(w.jobs, jobs) != 0)
				return cmd_usage("--%s and --%s exclude each other", w.jobs, jobs);
			w.jobs = jobs;
			break;
		case CMD_OPT_SOCKET: w.socket = optarg; break;
		default: return cmd_usage_getopt(a, argv);
		}
	}
	if (optind == argc)
		return cmd_usage("status, drain or shutdown?");
	if (optind + 1 < argc)
		return cmd_usage("'%s' is too much", argv[optind + 1]);
	return run(&w, argv[optind]);
}
