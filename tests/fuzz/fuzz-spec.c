/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job description (POST /v1/jobs, spec.json): hostile JSON.  What is accepted must come back the same through JSON, and its patterns and indices must be
 * usable. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "spool/spec.h"
#include "tests/fuzz/fuzz.h"

static void must(int ok)
{
	if (!ok)
		abort();
}

static void use(const struct spool_spec *s)
{
	const struct spool_names names = { { 17, 3 }, s->name, "node" };
	char path[SPOOL_PATH_MAX];
	uint32_t first;

	/* the pattern was checked when it was parsed: only its length may be wrong now */
	must(spool_spec_expand(s->out, &names, path, sizeof(path), NULL) != -22);
	must(spool_spec_expand(s->in, &names, path, sizeof(path), NULL) != -22);
	must(!s->array || (spool_indices_first(&s->indices, &first) == 0 && spool_indices_has(&s->indices, first)));
	must(s->env && s->chdir && s->name[0] && s->cpus && s->keep && !s->argv != !s->script);
}

static void back(const struct spool_spec *s)
{
	json_t *json = spool_spec_to_json(s), *again;
	struct spool_spec *copy = NULL;
	struct om_err err;

	must(json != NULL);
	must(spool_spec_parse(json, &copy, &err) == 0);
	again = spool_spec_to_json(copy);
	must(json_equal(json, again));
	json_decref(json);
	json_decref(again);
	spool_spec_destroy(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *json = json_loadb((const char *)data, size, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
	struct spool_spec *s = NULL;
	struct spool_run run;
	struct om_err err = { 0 };

	if (!json)
		return 0;
	if (spool_spec_parse(json, &s, &err) == 0) {
		use(s);
		back(s);
		spool_spec_destroy(s);
	} else {
		must(err.text[0] && err.code < 0);
	}
	s = NULL;
	if (spool_run_parse(json, &s, &run, &err) == 0) {
		use(s);
		spool_spec_destroy(s);
		spool_run_done(&run);
	}
	json_decref(json);
	return 0;
}
