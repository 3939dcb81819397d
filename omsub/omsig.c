/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsig - send a signal to every process of running jobs. */
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/str.h"
#include "omsub/client.h"
#include "omsub/cmd.h"

static const char help[] =
	"Usage: omsig [OPTION]... SIGNAL ID...\n"
	"Send SIGNAL (a name as USR1 or SIGUSR1, or a number) to every process of running jobs.\n"
	"\n"
	"  -l, --list              print the names of the signals\n"
	CMD_COMMON_HELP;

/* Number of a signal by name, with or without SIG, RTMIN+n and RTMAX-n; -1 for none. */
static int signal_number(const char *s)
{
	uint64_t n;

	if (om_str_u64(s, &n) == 0)
		return n > 0 && n < NSIG ? (int)n : -1;
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	if (strncasecmp(s, "RTMIN", 5) == 0 && (!s[5] || (s[5] == '+' && om_str_u64(s + 6, &n) == 0 && n <= 30)))
		return SIGRTMIN + (s[5] ? (int)n : 0);
	if (strncasecmp(s, "RTMAX", 5) == 0 && (!s[5] || (s[5] == '-' && om_str_u64(s + 6, &n) == 0 && n <= 30)))
		return SIGRTMAX - (s[5] ? (int)n : 0);
	for (int i = 1; i < SIGRTMIN; i++) {
		const char *name = sigabbrev_np(i);

		if (name && strcasecmp(name, s) == 0)
			return i;
	}
	return -1;
}

static int list(void)
{
	for (int i = 1; i < SIGRTMIN; i++)
		if (sigabbrev_np(i))
			printf("%2d %s\n", i, sigabbrev_np(i));
	return cmd_flush(CMD_OK);
}

static int send_signal(const char *socket, int sig, char *const ids[], int n)
{
	json_t *body = json_pack("{s:i}", "signal", sig);
	struct om_err err = { 0 };
	struct omc c;
	int r = omc_init(&c, socket, &err);

	if (r < 0)
		return cmd_fail(r, &err);
	r = cmd_each(&c, "POST", "/signal", body, ids, n);
	json_decref(body);
	return r;
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = { { "list", no_argument, NULL, 'l' }, CMD_COMMON_LONG, { NULL, 0, NULL, 0 } };
	const char *socket = NULL;
	int a, r, sig;

	cmd_init("omsig", help);
	opterr = 0;
	while ((a = getopt_long(argc, argv, "+:hVl", longs, NULL)) != -1) {
		switch (a) {
		case 'h': return cmd_help();
		case 'V': return cmd_version();
		case 'l': return list();
		case CMD_OPT_SOCKET: socket = optarg; break;
		default: return cmd_usage_getopt(a, argv);
		}
	}
	if (optind == argc)
		return cmd_usage("which signal, to which job?");
	sig = signal_number(argv[optind]);
	if (sig < 0)
		return cmd_usage("'%s' is no signal (see omsig --list)", argv[optind]);
	r = cmd_check_ids(argv + optind + 1, argc - optind - 1);
	return r ? r : send_signal(socket, sig, argv + optind + 1, argc - optind - 1);
}
