/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spec.json as the keeper reads it, and its file name patterns. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "base/err.h"
#include "omjob/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct om_err err = { 0 };
	struct omj_spec *s;
	char *path;

	if (omj_spec_parse((const char *)data, size, &s, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	if (!s->id || !s->env || !s->argv || s->chdir[0] != '/')
		abort();
	if (s->out && omj_pattern_expand(s->out, s, &path, NULL) == 0)
		free(path);
	omj_spec_destroy(s);
	return 0;
}
