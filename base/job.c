/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/job.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const state_names[OM_JOB_STATES] = {
	[OM_JOB_NONE] = "none", [OM_JOB_HELD] = "held", [OM_JOB_WAITING] = "waiting", [OM_JOB_STARTING] = "starting",
	[OM_JOB_RUNNING] = "running", [OM_JOB_SUSPENDED] = "suspended", [OM_JOB_ENDING] = "ending", [OM_JOB_DONE] = "done",
	[OM_JOB_FAILED] = "failed", [OM_JOB_CANCELLED] = "cancelled", [OM_JOB_TIMEOUT] = "timeout", [OM_JOB_LOST] = "lost",
};

const char *om_job_state_name(enum om_job_state s)
{
	return (unsigned)s < OM_JOB_STATES ? state_names[s] : state_names[OM_JOB_NONE];
}

int om_job_state_parse(const char *name, enum om_job_state *ret)
{
	for (int i = OM_JOB_HELD; i < OM_JOB_STATES; i++)
		if (strcmp(name, state_names[i]) == 0) {
			*ret = (enum om_job_state)i;
			return 0;
		}
	return -EINVAL;
}

/* One decimal number without leading zeros, so that each job has one name only. */
static int take(const char **s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!isdigit((unsigned char)**s) || (**s == '0' && isdigit((unsigned char)(*s)[1])))
		return -EINVAL;
	for (; isdigit((unsigned char)**s); (*s)++) {
		v = v * 10 + (uint64_t)(**s - '0');
		if (v > max)
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

int om_job_id_parse(const char *s, struct om_job_id *ret)
{
	uint64_t id, elem = 0;
	bool part = false;
	int r = take(&s, OM_JOB_ID_MAX, &id);

	if (r == 0 && *s == '_') {
		part = true;
		s++;
		r = take(&s, OM_ELEM_MAX, &elem);
	}
	if (r < 0)
		return r;
	if (*s || !id)
		return -EINVAL;
	ret->id = id;
	ret->elem = part ? (int32_t)elem : OM_ELEM_NONE;
	return 0;
}

const char *om_job_id_text(struct om_job_id id, char *dst, size_t n)
{
	if (id.elem == OM_ELEM_NONE)
		snprintf(dst, n, "%" PRIu64, id.id);
	else
		snprintf(dst, n, "%" PRIu64 "_%" PRId32, id.id, id.elem);
	return dst;
}
