/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/spec.h - the job description (SPEC of doc/api.md).  Promise: what spool_spec_parse() accepts is whole, typed and within the limits below;
 * what it refuses is named with its field.
 * Callers: omd (requests, database), omjob (spec.json).  Threads: any, no globals. */
#ifndef OM_SPOOL_SPEC_H
#define OM_SPOOL_SPEC_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/job.h"
#include "base/mem.h"
#include "spool/indices.h"
struct om_err;

enum {
	SPOOL_ARGV_MAX = 2 * 1024 * 1024,	/* bytes of all arguments: execve(2)'s own default limit */
	SPOOL_ENV_MAX = 2 * 1024 * 1024,	/* bytes of all variables: the same */
	SPOOL_WORDS_MAX = 131072,		/* arguments, variables: their number */
	SPOOL_SCRIPT_MAX = 16 * 1024 * 1024,
	SPOOL_NAME_MAX = 255,			/* bytes; one path component */
	SPOOL_PATH_MAX = 4096,
	SPOOL_URL_MAX = 2048,
	SPOOL_DEPENDS_MAX = 1000,
	SPOOL_RLIMITS_MAX = 16,			/* the kernel has 16 */
	SPOOL_GROUPS_MAX = 65536,		/* the kernel's NGROUPS_MAX */
	SPOOL_PRIORITY_MAX = 1000,		/* and -1000 */
	SPOOL_KEEP_MAX = 100,
	SPOOL_CPUS_MAX = 65536,
	SPOOL_PERIOD_MIN_S = 1,
	SPOOL_PERIOD_MAX_S = 30 * 86400
};
#define SPOOL_MEMORY_MAX (UINT64_C(1) << 62)
#define SPOOL_TIME_MAX_S UINT64_C(9000000000)	/* times and durations: seconds that fit 64 bits of nanoseconds */

enum spool_open_mode { SPOOL_OPEN_TRUNCATE, SPOOL_OPEN_APPEND };
enum spool_period { SPOOL_PERIOD_OFF, SPOOL_PERIOD_AUTO, SPOOL_PERIOD_FIXED };
enum spool_restart { SPOOL_RESTART_CHECKPOINT, SPOOL_RESTART_ONLY_CHECKPOINT, SPOOL_RESTART_NEVER };
enum spool_net { SPOOL_NET_REFUSE, SPOOL_NET_RESET };
enum spool_files { SPOOL_FILES_ALL, SPOOL_FILES_OPEN };
enum spool_dep_type { SPOOL_DEP_AFTEROK, SPOOL_DEP_AFTERANY, SPOOL_DEP_AFTERNOTOK };

struct spool_dep {
	enum spool_dep_type type;
	struct om_job_id job;
};
struct spool_rlimit {
	int resource;			/* RLIMIT_ of <sys/resource.h> */
	int64_t soft, hard;		/* -1: unlimited */
};

struct spool_spec {			/* all strings owned */
	char **argv;			/* NULL at the end; NULL itself when there is a script */
	char *script;			/* text, or NULL */
	char **args;			/* of the script; never NULL when there is one */
	char *name;
	char *chdir;
	char **env;			/* "NAME=value", NULL at the end */
	int umask;			/* -1: of the daemon */
	struct spool_rlimit rlimits[SPOOL_RLIMITS_MAX];
	size_t nrlimits;
	char *in, *out, *err;		/* patterns: spool_spec_expand(); err NULL: same file as out; others never NULL */
	enum spool_open_mode open_mode;
	int32_t priority;
	bool array;
	struct spool_indices indices;	/* of an array */
	uint32_t cap;			/* 0: no cap */
	struct spool_dep *depends;
	size_t ndepends;
	bool hold;
	uint64_t begin_ns;		/* CLOCK_REALTIME; 0: at once */
	uint32_t cpus;
	uint64_t memory;		/* bytes */
	uint64_t time_limit_s;		/* 0: none */
	enum spool_period checkpoint;
	double period_s;		/* with SPOOL_PERIOD_FIXED */
	uint32_t keep;
	enum spool_restart restart;
	enum spool_net net;
	enum spool_files files;
	char *notify;			/* NULL: none */
};

/* @json is borrowed.  0 with a heap object; -EINVAL (code `invalid`), -E2BIG (`too_large`), -ENOMEM; the text names the field. */
int spool_spec_parse(const json_t *json, struct spool_spec **ret, struct om_err *err);
void spool_spec_destroy(struct spool_spec *s);
OM_DEFINE_AUTOPTR(spool_spec, spool_spec_destroy);
/* JSON that spool_spec_parse() makes the same again; NULL when out of memory. */
json_t *spool_spec_to_json(const struct spool_spec *s);

/* ---- spec.json: the job description plus what omd decided for this leg (doc/architecture.md) ---- */
struct spool_run {
	struct om_job_id id;
	uid_t uid;
	gid_t gid;
	gid_t *groups;			/* owned */
	size_t ngroups;
	uint32_t leg;			/* how often it was started before */
	uint32_t restore;		/* checkpoint to start from; 0: from the beginning */
	char *node;			/* its name for %x, owned; NULL: not said */
};
void spool_run_done(struct spool_run *run);
/* spec.json as omd writes it; NULL when out of memory.  `array_index` is id.elem. */
json_t *spool_run_to_json(const struct spool_spec *s, const struct spool_run *run);
/* The same back.  Strict as spool_spec_parse(). */
int spool_run_parse(const json_t *json, struct spool_spec **ret, struct spool_run *ret_run, struct om_err *err);

/* ---- patterns ---- */
struct spool_names {
	struct om_job_id id;		/* %j 17_3, %A 17 */
	const char *name;		/* %n; a '/' in it becomes '_' */
	const char *node;		/* %x */
};
/* %a is the array index ("" of an ordinary job).  0; -EINVAL: an unknown pattern; -ENAMETOOLONG.  @dst untouched on failure. */
int spool_spec_expand(const char *pattern, const struct spool_names *names, char *dst, size_t n, struct om_err *err);
#endif
