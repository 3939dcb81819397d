/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omdel - cancel jobs. */
#include "omsub/cmd.h"
#include "omsub/simple.h"

static const struct simple command = {
	.name = "omdel",
	.help =
		"Usage: omdel [OPTION]... ID...\n"
		"Cancel jobs, running ones too (SIGTERM, after a grace time SIGKILL). ID is 17, or 17_3 for one element of an array.\n"
		"\n"
		CMD_COMMON_HELP,
	.method = "DELETE", .what = "",
};

int main(int argc, char *argv[])
{
	return simple_main(&command, argc, argv);
}
