/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job described in YAML: any bytes. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "base/err.h"
#include "omsub/options.h"
#include "omsub/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct om_err err = { 0 };
	struct opt_job job;

	if (opt_job_init(&job) == 0 && yaml_parse((const char *)data, size, &job, &err) < 0 && !err.text[0])
		abort();
	opt_job_done(&job);
	return 0;
}
