/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omwait - wait for jobs to end.  A daemon that is restarted meanwhile is waited for, too. */
#include <getopt.h>
#include <string.h>

#include "base/err.h"
#include "omsub/client.h"
#include "omsub/cmd.h"
#include "omsub/out.h"

static const char help[] =
	"Usage: omwait [OPTION]... ID...\n"
	"Wait until the jobs have ended and exit with the status of the job (128 + N after signal N);\n"
	"of several jobs with the highest one. ID is 17 (of an array: all its elements), or 17_3.\n"
	"\n"
	"  -v, --verbose           say how each job ended\n"
	CMD_COMMON_HELP;

static void say(const char *id, json_t *job, int rc)
{
	char state[64], reason[512];

	out_clean(state, sizeof(state), out_str(job, "state"));
	out_clean(reason, sizeof(reason), out_str(job, "reason"));
	printf("%s %s %d%s%s\n", id, state, rc, *reason ? " " : "", reason);
}

static int wait_ids(const char *socket, bool verbose, char *const ids[], int n)
{
	struct om_err err = { 0 };
	struct omc c;
	int worst = 0, r = omc_init(&c, socket, &err);

	if (r < 0)
		return cmd_fail(r, &err);
	for (int i = 0; i < n; i++) {
		json_t *job = NULL;
		int rc = 0;

		r = cmd_wait_job(&c, ids[i], &job, &rc, &err);
		if (r < 0)
			rc = cmd_fail_job(r, ids[i], &err);
		if (r == 0 && verbose)
			say(ids[i], job, rc);
		json_decref(job);
		worst = rc > worst ? rc : worst;
	}
	return cmd_flush(worst);
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = { { "verbose", no_argument, NULL, 'v' }, CMD_COMMON_LONG, { NULL, 0, NULL, 0 } };
	const char *socket = NULL;
	bool verbose = false;
	int a, r;

	cmd_init("omwait", help);
	opterr = 0;
	while ((a = getopt_long(argc, argv, ":hVv", longs, NULL)) != -1) {
		switch (a) {
		case 'h': return cmd_help();
		case 'V': return cmd_version();
		case 'v': verbose = true; break;
		case CMD_OPT_SOCKET: socket = optarg; break;
		default: return cmd_usage_getopt(a, argv);
		}
	}
	r = cmd_check_ids(argv + optind, argc - optind);
	return r ? r : wait_ids(socket, verbose, argv + optind, argc - optind);
}
