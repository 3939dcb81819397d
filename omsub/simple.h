/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/simple.h - commands that take ids and ask one thing about each (omdel, omhold, omrelease). */
#ifndef OM_OMSUB_SIMPLE_H
#define OM_OMSUB_SIMPLE_H

struct simple {
	const char *name, *help;
	const char *method, *what;	/* of the request; see cmd_each */
};

/* main() of such a command. */
int simple_main(const struct simple *s, int argc, char *argv[]);
#endif
