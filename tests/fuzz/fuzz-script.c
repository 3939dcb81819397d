/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of a job script: any bytes. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "omsub/options.h"
#include "omsub/script.h"

static void ignore(void *arg, int line, const char *text)
{
	(void)arg;
	if (line < 1 || !*text || strchr(text, '\n'))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script_kind kind;
	struct om_err err = { 0 };
	struct opt_job job;

	if (opt_job_init(&job) == 0 && script_parse((const char *)data, size, &job, &kind, ignore, NULL, &err) < 0 && !err.text[0])
		abort();
	opt_job_done(&job);
	return 0;
}
