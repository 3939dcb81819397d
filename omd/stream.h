/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd/stream.h - a pipe of a helper as the body of an answer.  Promise: nothing is read faster than the client takes it; a client that leaves ends
 * the helper; a helper that fails in the middle cuts the answer off, so that nobody takes a part for the whole. */
#ifndef OMD_STREAM_H
#define OMD_STREAM_H
#include <jansson.h>
#include "spool/job.h"
struct omd_req;
struct om_err;

/* Run `omjob argv` and answer with its JSON lines as they come.  @fd -1.  Or (@raw) with its standard output, once the first byte is there; if it
 * fails before, with an error. */
int omd_stream_omjob(struct omd_req *req, const struct spool_job *rec, const char *const *argv, bool raw, struct om_err *err);
#endif
