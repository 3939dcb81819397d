/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/work.h - what blocks is done by a worker, a forked child of the keeper: one at a time, the others wait in a queue.
 * Promise: each request ends in its answer to omd; a worker that dies while it has the job in its hands takes the job along (it is lost,
 * temporarily), one that dies before or after does not.
 * Callers: keep.c, link.c, tree.c. */
#ifndef OM_OMJOB_WORK_H
#define OM_OMJOB_WORK_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
struct omj_image;
struct omj_keeper;
struct om_err;

enum omj_work_kind { OMJ_WORK_NONE = 0, OMJ_WORK_DUMP, OMJ_WORK_STOP /* a dump that ends the tree */, OMJ_WORK_RESTORE, OMJ_WORK_PRUNE };
enum { OMJ_WORK_QUEUE = 8 };	/* requests that wait; omd sends one at a time */

struct omj_work {
	enum omj_work_kind kind;
	pid_t pid;
	int pidfd, sock;		/* -1: none */
	bool holds_job;			/* the job may be in a state that is not its own */
	bool frozen;			/* it waits for init's word and our answer */
	bool answered, ok;		/* its result is here */
	json_t *result;
	json_t *request;		/* message of omd */
	json_t *queue[OMJ_WORK_QUEUE];
	unsigned n_queue;
};

/* "checkpoint", "suspend", "prune": takes a reference of @request. */
void omj_work_request(struct omj_keeper *k, json_t *request);
/* Lead the restore of @im in the space that was made; @ctl is the keeper's end. */
int omj_work_restore(struct omj_keeper *k, struct omj_image *im, int ctl, struct om_err *err);
void omj_work_message(struct omj_keeper *k);	/* its socket is readable */
void omj_work_ended(struct omj_keeper *k);	/* its pidfd is */
void omj_work_synced(struct omj_keeper *k);	/* init has told everything up to the freeze */
/* The tree is gone: the worker's end (waited for if it decides what the tree's end means).  True when the job was suspended. */
bool omj_work_settle(struct omj_keeper *k);
void omj_work_done(struct omj_keeper *k);
#endif
