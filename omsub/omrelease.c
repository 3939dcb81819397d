/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omrelease - let held jobs be started. */
#include "omsub/cmd.h"
#include "omsub/simple.h"

static const struct simple command = {
	.name = "omrelease",
	.help =
		"Usage: omrelease [OPTION]... ID...\n"
		"Release held jobs. ID is 17, or 17_3 for one element of an array.\n"
		"\n"
		CMD_COMMON_HELP,
	.method = "POST", .what = "/release",
};

int main(int argc, char *argv[])
{
	return simple_main(&command, argc, argv);
}
