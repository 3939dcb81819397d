/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub/showjob.h - one job for people (omq). */
#ifndef OM_OMSUB_SHOWJOB_H
#define OM_OMSUB_SHOWJOB_H
#include <jansson.h>
#include <stddef.h>

/* Why it waits, how it ended, or what stands in the way of a checkpoint; cleaned. */
void show_reason(char *dst, size_t n, json_t *job);
/* All that is known of a job (omq -l), one "name: value" per line. */
void show_job(json_t *job);
#endif
