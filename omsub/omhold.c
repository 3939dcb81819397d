/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omhold - keep waiting jobs from being started. */
#include "omsub/cmd.h"
#include "omsub/simple.h"

static const struct simple command = {
	.name = "omhold",
	.help =
		"Usage: omhold [OPTION]... ID...\n"
		"Hold waiting jobs: they are not started before omrelease. ID is 17, or 17_3 for one element of an array.\n"
		"\n"
		CMD_COMMON_HELP,
	.method = "POST", .what = "/hold",
};

int main(int argc, char *argv[])
{
	return simple_main(&command, argc, argv);
}
