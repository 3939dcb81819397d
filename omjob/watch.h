/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/watch.h - the job is about to change a name or to open a file for writing: note what is there before, then let it go on.
 * Promise: when the call goes on, the journal can undo it, or says by name what it cannot.
 * Callers: keep.c.  Threads: loop thread only. */
#ifndef OM_OMJOB_WATCH_H
#define OM_OMJOB_WATCH_H
#include <stdbool.h>
#include "omjob/journal.h"
#include "omjob/places.h"
struct om_err;

struct omj_watch {
	int listener;			/* -1: none */
	bool on;			/* off: calls go on without a look (the job's own restore, its first output files) */
	struct omj_journal journal;
	struct omj_places places;
};

void omj_watch_init(struct omj_watch *w, int jobdir, uint32_t epoch);
void omj_watch_done(struct omj_watch *w);
/* Answer all calls that wait now.  -ENODATA: no process of the job is left. */
int omj_watch_serve(struct omj_watch *w);
/* A checkpoint is being taken and everything stands still: what follows belongs to @epoch. */
void omj_watch_cut(struct omj_watch *w, uint32_t epoch);
#endif
