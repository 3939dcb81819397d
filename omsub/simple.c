/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omsub/simple.h"

#include <getopt.h>

#include "base/err.h"
#include "omsub/client.h"
#include "omsub/cmd.h"

int simple_main(const struct simple *s, int argc, char *argv[])
{
	static const struct option longs[] = { CMD_COMMON_LONG, { NULL, 0, NULL, 0 } };
	const char *socket = NULL;
	struct om_err err = { 0 };
	struct omc c;
	int a, r;

	cmd_init(s->name, s->help);
	opterr = 0;
	while ((a = getopt_long(argc, argv, ":hV", longs, NULL)) != -1) {
		switch (a) {
		case 'h': return cmd_help();
		case 'V': return cmd_version();
		case CMD_OPT_SOCKET: socket = optarg; break;
		default: return cmd_usage_getopt(a, argv);
		}
	}
	r = cmd_check_ids(argv + optind, argc - optind);
	if (r)
		return r;
	r = omc_init(&c, socket, &err);
	if (r < 0)
		return cmd_fail(r, &err);
	return cmd_each(&c, s->method, s->what, NULL, argv + optind, argc - optind);
}
