/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/sink.h - a checkpoint of the engine in the job's store.  Promise: what the keeper must know to go on from a checkpoint is committed in one
 * piece with it.
 *
 * The store's description = "omjob1\n\0", le32 length, le32 0, a JSON object of that length padded with blanks to 8 bytes, the engine's own
 * description.  The object: epoch (omjob/journal.h: what has to be undone to go back to it), root (wait status, or null while it runs), leg,
 * cpu_ns and maxrss of the leg until then.
 * Callers: work.c, restore.c, the helpers. */
#ifndef OM_OMJOB_SINK_H
#define OM_OMJOB_SINK_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"
#include "checkpoint/sink.h"
#include "spool/store.h"
struct om_err;

#define OMJ_STORE "ckpt"		/* folder of the store below the job's */

struct omj_note {			/* the keeper's part */
	uint32_t epoch, leg;
	bool root_ended;
	int root_status;
	uint64_t cpu_ns, maxrss;
};

struct omj_sink {
	struct ckpt_sink sink;
	struct spool_writer *writer;
	struct omj_note note;		/* to be filled before the commit */
	struct spool_ckpt_info info;	/* after it */
};
int omj_sink_create(struct omj_sink *s, struct spool_store *st, uint32_t base_n, struct om_err *err);
void omj_sink_done(struct omj_sink *s);	/* not committed: nothing is left */

struct omj_image {
	struct ckpt_source source;
	struct spool_image *im;
	struct omj_note note;
	struct spool_ckpt_info info;
	const char *meta;		/* the engine's, borrowed */
	size_t meta_len;
};
/* @n 0: the newest.  -EUCLEAN: damaged. */
int omj_image_open(struct omj_image *im, struct spool_store *st, uint32_t n, struct om_err *err);
void omj_image_done(struct omj_image *im);
json_t *omj_info_json(const struct spool_ckpt_info *i);
/* All complete checkpoints as an array of {n,time_ns,bytes,stored,blocks}; no store: an empty one. */
int omj_store_list(int jobdir, json_t **ret, struct om_err *err);
/* Length of the keeper's part of @meta; fills @note. -EUCLEAN. */
long omj_note_parse(const void *meta, size_t len, struct omj_note *note);
#endif
