/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/cmd.h - what all commands share: messages, exit codes, ids as arguments.  Promise: nothing that came from elsewhere
 * reaches a terminal with control characters in it.  Only commands use this: it writes to standard error. */
#ifndef OM_OMSUB_CMD_H
#define OM_OMSUB_CMD_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct om_err;
struct omc;

enum cmd_exit {
	CMD_OK = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
	CMD_UNREACHABLE = 3,
	CMD_DENIED = 4,
};

/* what --help says of the options every command has */
#define CMD_COMMON_HELP \
	"      --socket PATH       socket of the daemon (default: OM_SOCKET, or the one found)\n" \
	"  -h, --help              this text\n" \
	"  -V, --version           the version\n"
#define CMD_COMMON_LONG \
	{ "socket", required_argument, NULL, CMD_OPT_SOCKET }, \
	{ "help", no_argument, NULL, 'h' }, \
	{ "version", no_argument, NULL, 'V' }

enum { CMD_OPT_SOCKET = 1000, CMD_OPT_OWN };	/* values of long options without a letter */

/* The name of the command, for messages, and its --help text. */
void cmd_init(const char *name, const char *help);
int cmd_help(void);
int cmd_version(void);
void cmd_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void cmd_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints "name: text" and where help is; returns CMD_USAGE. */
int cmd_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What getopt_long has answered '?' or ':' to; @arg the argument it was looking at.  Returns CMD_USAGE. */
int cmd_usage_getopt(int answer, char *const argv[]);
/* Prints what @err says and returns the exit code that @r (negative errno of omc_*) stands for. */
int cmd_fail(int r, const struct om_err *err);
/* The same about job @id, which is named if the text does not begin with it already. */
int cmd_fail_job(int r, const char *id, struct om_err *err);
/* Report standard output that could not be written (disk full): CMD_FAILED instead of CMD_OK. */
int cmd_flush(int rc);

/* 17 or 17_3: no other text may become a part of a request's path. */
bool cmd_is_id(const char *s);
/* All of @ids are ids: 0, else CMD_USAGE with a message. */
int cmd_check_ids(char *const ids[], int n);
/* Ask about each id (POST or DELETE /v1/jobs/ID/@what); failures are printed, the worst code is returned. */
int cmd_each(struct omc *c, const char *method, const char *what, json_t *body, char *const ids[], int n);

/* The exit code that the end of @job stands for: its code, 128 + signal, 1 without either. */
int cmd_job_exit(json_t *job);
bool cmd_state_ended(const char *state);
/* Wait for the end of job @id through restarts of the daemon.  0 with the JOB in @ret and its exit code in @ret_code (of an array
 * the highest of its elements), or -errno. */
int cmd_wait_job(struct omc *c, const char *id, json_t **ret, int *ret_code, struct om_err *err);
#endif
