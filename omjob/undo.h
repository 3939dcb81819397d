/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/undo.h - bring the files of a job back.  Promise: after 0 they are as they were when epoch @epoch began, durably, and the journal from there on
 * is gone; killed at any moment it is done again and goes on where it was.  Nothing is changed when it is known before that it cannot be done.
 * Callers: keep.c, before a start or restore, when no process of the job is left. */
#ifndef OM_OMJOB_UNDO_H
#define OM_OMJOB_UNDO_H
#include <stdint.h>
struct om_err;

/* -EOPNOTSUPP: a named file cannot be brought back; -EUCLEAN: the journal is damaged; -EEXIST: something of another's is in the way. */
int omj_undo(int jobdir, uint32_t epoch, struct om_err *err);
#endif
