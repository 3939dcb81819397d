/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/job.h - how every room names a job: its id and its states.  Header of words only; what follows from what is in policy/job.h. */
#ifndef OM_BASE_JOB_H
#define OM_BASE_JOB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	OM_ELEM_NONE = -1,		/* an ordinary job, or an array as a whole */
	OM_ELEM_MAX = 1999999,		/* largest array index: id and index fit one 64-bit key (spool/job.c) */
	OM_JOB_ID_TEXT = 32		/* room for "8796093022207_1999999" */
};
#define OM_JOB_ID_MAX ((UINT64_C(1) << 42) - 1)	/* the other part of that key */

struct om_job_id {
	uint64_t id;			/* from 1 */
	int32_t elem;			/* index of an array's element, else OM_ELEM_NONE */
};

/* "17" or "17_3".  0, -EINVAL, -ERANGE; @ret untouched on failure. */
int om_job_id_parse(const char *s, struct om_job_id *ret);
/* @dst of at least OM_JOB_ID_TEXT bytes; returns @dst. */
const char *om_job_id_text(struct om_job_id id, char *dst, size_t n);
static inline bool om_job_id_same(struct om_job_id a, struct om_job_id b)
{
	return a.id == b.id && a.elem == b.elem;
}

/* The numbers are in the database: never change one.  Names: doc/api.md. */
enum om_job_state {
	OM_JOB_NONE = 0,		/* there is no such job (yet) */
	OM_JOB_HELD = 1,
	OM_JOB_WAITING = 2,
	OM_JOB_STARTING = 3,
	OM_JOB_RUNNING = 4,
	OM_JOB_SUSPENDED = 5,		/* held with a checkpoint, no process left */
	OM_JOB_ENDING = 6,		/* was told to end */
	OM_JOB_DONE = 7,		/* from here on: ended */
	OM_JOB_FAILED = 8,
	OM_JOB_CANCELLED = 9,
	OM_JOB_TIMEOUT = 10,
	OM_JOB_LOST = 11,
	OM_JOB_STATES			/* how many */
};
/* "waiting"; "none" for OM_JOB_NONE and what is no state */
const char *om_job_state_name(enum om_job_state s);
/* 0 with the state, or -EINVAL. */
int om_job_state_parse(const char *name, enum om_job_state *ret);
static inline bool om_job_state_ended(enum om_job_state s)
{
	return s >= OM_JOB_DONE;
}
#endif
