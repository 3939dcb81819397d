/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/merge.h - old epochs of the journal become one.  Promise: undoing the merged log does what undoing its parts did; what only brought a state
 * between them back is gone with its saved files, so that the journal of a long job stays as large as what was there before it.
 * Callers: the worker that removes checkpoints.  Killed at any moment, the next one goes on. */
#ifndef OM_OMJOB_MERGE_H
#define OM_OMJOB_MERGE_H
#include <stdint.h>
struct om_err;

/* All epochs below @below (no checkpoint can be gone back to inside of them). */
int omj_journal_merge(int jobdir, uint32_t below, struct om_err *err);
#endif
