/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd/ckpts.h - what checkpoints a job has, by `omjob list`.  Callers: api-ckpt.c, api-restore.c. */
#ifndef OMD_CKPTS_H
#define OMD_CKPTS_H
#include <jansson.h>
#include "policy/retention.h"
struct om_err;
struct omd_job;
struct omd_req;

/* @req NULL: the client has left.  @last NULL: the helper has failed. */
typedef void omd_ckpts_fn(struct omd_req *req, struct omd_job *j, json_t *last, void *arg);

/* 0: @fn is called once, later (NULL: the answer is what the helper says); -ENOENT: the job has no folder. */
int omd_ckpts_list(struct omd_req *req, struct omd_job *j, omd_ckpts_fn *fn, void *arg, struct om_err *err);
/* The helper's last line as a list, with what omd knows of bad ones; how many. */
size_t omd_ckpts_parse(const struct omd_job *j, json_t *last, struct pol_ckpt *list, size_t max);
#endif
