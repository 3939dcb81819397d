/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Manifests of unknown origin.  What is taken must survive being written and read again. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "spool/manifest.h"

static void same(const struct spool_man *a, const struct spool_man *b)
{
	if (a->info.n != b->info.n || a->info.time_ns != b->info.time_ns || a->info.bytes != b->info.bytes || a->info.stored != b->info.stored ||
	    a->info.blocks != b->info.blocks || a->packs_n != b->packs_n || a->meta_stored != b->meta_stored)
		abort();
	for (uint32_t i = 0; i < a->info.blocks; i++)
		if (memcmp(&a->rows[i], &b->rows[i], sizeof(a->rows[i])) != 0)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct om_err err = { 0 };
	struct spool_man m, again;
	om_autobuf b = { 0 };
	void *meta = NULL;

	if (spool_man_decode(data, size, &m, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	if (spool_meta_unpack(m.meta, m.meta_stored, m.meta_len, &meta, NULL) == 0)
		free(meta);
	{
		struct spool_pack_ref *known = calloc(m.packs_n + 1, sizeof(*known));

		if (!known)
			abort();
		memcpy(known, m.packs, m.packs_n * sizeof(*known));
		if (spool_man_encode(&m, known, m.packs_n, false, &b, NULL) < 0 || b.len != size)
			abort();
		free(known);
	}
	if (spool_man_decode(b.data, b.len, &again, NULL) < 0)
		abort();
	same(&m, &again);
	spool_man_done(&again);
	spool_man_done(&m);
	return 0;
}
