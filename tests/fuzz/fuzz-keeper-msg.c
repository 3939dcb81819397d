/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a keeper sends to omd, or leaves as exit.json: hostile JSON.  What is accepted must be in range and printable. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/str.h"
#include "omd/kmsg.h"
#include "tests/fuzz/fuzz.h"

static void must(int ok)
{
	if (!ok)
		abort();
}

static void text(const char *s, size_t n)
{
	must(memchr(s, 0, n) != NULL && om_str_is_text(s, false));
}

static void check(const struct omd_kmsg *m)
{
	must(m->kind < OMD_K_KINDS && m->n <= OMD_KMSG_N_MAX && m->restored <= OMD_KMSG_N_MAX && m->n_ckpts <= OMD_KMSG_CKPTS);
	text(m->job, sizeof(m->job));
	text(m->ref, sizeof(m->ref));
	text(m->reason, sizeof(m->reason));
	text(m->object, sizeof(m->object));
	text(m->process, sizeof(m->process));
	for (uint32_t i = 0; i < m->n_ckpts; i++)
		must(m->ckpts[i].n >= 1 && m->ckpts[i].n <= OMD_KMSG_N_MAX && m->ckpts[i].time >= 0 && m->ckpts[i].time < 1e11);
	if (m->kind == OMD_K_EXITED)
		must(WIFEXITED(m->status) || WIFSIGNALED(m->status));
	if ((m->kind == OMD_K_CHECKPOINT && m->ok) || m->kind == OMD_K_SUSPENDED)
		must(m->n >= 1);
	/* sums over a thousand legs must not overflow */
	must(m->cpu_ns <= UINT64_MAX / 1024 && m->wall_ns <= UINT64_MAX / 1024 && m->stop_ns <= UINT64_MAX / 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *o = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct om_err err = { 0 };
	struct omd_kmsg m;

	if (json_is_object(o)) {
		if (omd_kmsg_parse(o, &m, &err) == 0)
			check(&m);
		else
			must(err.code < 0 && err.text[0]);
	}
	json_decref(o);
	return 0;
}
