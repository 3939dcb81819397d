/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/client.h - the daemon as the commands see it.  Promise: finds the right daemon (or starts the user's own), asks it, and
 * turns every failure into one line and one exit code. */
#ifndef OM_OMSUB_CLIENT_H
#define OM_OMSUB_CLIENT_H
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

#include "omsub/http.h"

struct om_err;

struct omc {
	char socket[PATH_MAX];
	bool own;	/* the user's private daemon: may be started */
};

/* Which daemon: @socket (--socket) or $OM_SOCKET; $OM_HOME set: the private one there; the system's if it answers; else the user's own.
 * Nothing is asked of it yet.  0, or -errno when no path can be made. */
int omc_init(struct omc *c, const char *socket, struct om_err *err);
/* Start the private daemon if it does not answer.  0 when somebody answers, -ECONNREFUSED, -errno.  Safe when many do it at once. */
int omc_start(struct omc *c, struct om_err *err);
/* Send @call; see omc_http_ask.  -ENOENT and -ECONNREFUSED: no daemon, the text says what to do. */
int omc_ask(struct omc *c, const struct omc_call *call, struct omc_answer *ret, struct om_err *err);
/* The API's error object in @a as text and errno-like code: -EACCES denied, -ENOENT not_found, ... */
int omc_answer_error(const struct omc_answer *a, struct om_err *err);
/* Ask with an optional JSON @body; JSON answer of a 2xx in @ret (may be NULL). 0, or -errno with the text for the user. */
int omc_json(struct omc *c, const char *method, const char *path, json_t *body, int timeout_s, json_t **ret, struct om_err *err);
/* Can -errno of the above mean that the daemon is not there (any more)? */
bool omc_unreachable(int r);
/* The same, or that it is about to go: asking again later may help. */
bool omc_away(int r);
#endif
