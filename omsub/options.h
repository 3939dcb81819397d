/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/options.h - the options of a job.  Promise: one table says what a job can be told, for the command line, #OM lines and
 * YAML keys alike; a value that is accepted here has the type doc/api.md wants.  No I/O. */
#ifndef OM_OMSUB_OPTIONS_H
#define OM_OMSUB_OPTIONS_H
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct om_err;

/* What one source (command line, #OM, #SBATCH...) says of a job. */
struct opt_job {
	json_t *spec;	/* fields of SPEC */
	json_t *env;	/* name -> text, or null: the caller's own value */
	int inherit;	/* the caller's environment: 1, 0, or -1 where this source does not say */
};

/* What only the command line can say. */
struct opt_client {
	bool wait, json, quiet, help, version;
	const char *yaml, *lines, *failed, *socket;
	unsigned at_once;	/* -j; 0: all */
};

enum opt_kind { OPT_FLAG, OPT_VALUE };

struct opt {
	const char *name;
	char letter;		/* 0: none */
	enum opt_kind kind;
	const char *arg, *help;	/* for --help; the page says more */
	int (*set)(struct opt_job *job, const struct opt *o, const char *value, struct om_err *err);
	const char *field;	/* of SPEC */
	long min, max;		/* of a number */
	int client;		/* enum opt_client_id: of the command line only */
};

int opt_job_init(struct opt_job *job);	/* 0 or -ENOMEM */
void opt_job_done(struct opt_job *job);
/* @over says more than @under: @under becomes both.  0 or -ENOMEM. */
int opt_job_merge(struct opt_job *under, const struct opt_job *over);

/* The table; ends with a NULL name. */
const struct opt *opt_table(void);
/* The job option called @name, or NULL. */
const struct opt *opt_find(const char *name);
/* Set it to @value (NULL for a flag).  0, -EINVAL with a text "--name: why". */
int opt_set(struct opt_job *job, const struct opt *o, const char *value, struct om_err *err);

/* What a word of opt_parse was not understood as. */
typedef void opt_unknown_cb(void *arg, const char *word, const char *why);
/* Options of a #OM line: @argv[0] is not looked at.  What is unknown goes to @unknown.  0, -EINVAL for a bad value. */
int opt_parse_line(struct opt_job *job, int argc, char *argv[], opt_unknown_cb *unknown, void *arg, struct om_err *err);
/* The command line.  @ret_first: the first argument that is no option; @ret_command: it came after "--".
 * 0, -EINVAL with the text of the usage error. */
int opt_parse_cli(struct opt_job *job, struct opt_client *cl, int argc, char *argv[], int *ret_first, bool *ret_command,
		  struct om_err *err);

/* All options as the middle of --help. */
void opt_print_help(void);

/* Setters that other forms of writing (SBATCH, PBS) share: text in our own syntax. */
int opt_set_by_name(struct opt_job *job, const char *name, const char *value, struct om_err *err);
#endif
