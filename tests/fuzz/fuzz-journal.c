/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A log of the journal of closed files, and the keeper's part of a checkpoint's description.  A record that is taken is made the same again. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "omjob/journal.h"
#include "omjob/sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t flags, first;
	struct omj_note note;
	struct omj_rec rec;
	long n;

	(void)omj_note_parse(data, size, &note);
	if (omj_log_head_parse(data, size, &flags, &first) < 0)
		return 0;
	for (size_t at = OMJ_LOG_HEAD; (n = omj_rec_parse(data + at, size - at, &rec)) > 0; at += (size_t)n) {
		om_autobuf b = { 0 };

		if ((size_t)n > size - at || omj_rec_add(&b, &rec) < 0 || b.len != (size_t)n || strlen(rec.path) > b.len)
			abort();
	}
	return 0;
}
