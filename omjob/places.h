/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/places.h - what the journal knows already in the present epoch.  Promise: bounded memory; forgetting something only costs
 * a record more.
 *
 * A path is *new* when undoing this epoch makes whatever is there vanish: nothing was there, or what was there has been saved.  A file
 * is *kept* when its content at the beginning of the epoch is safe, or (grows) its size is and it is only appended to.
 * Callers: watch.c. */
#ifndef OM_OMJOB_PLACES_H
#define OM_OMJOB_PLACES_H
#include <stdbool.h>
#include <stddef.h>
#include "omjob/journal.h"

enum { OMJ_PLACES_MAX = 1 << 20 };	/* entries of each kind: about 100 MB of paths at worst */

enum omj_kept { OMJ_KEPT_NOT = 0, OMJ_KEPT_GROWS, OMJ_KEPT_ALL };

struct omj_places {
	char **path;			/* open addressing; rooms are powers of two */
	size_t n_path, room_path;
	struct omj_kept_entry {
		struct omj_file_id id;
		enum omj_kept kept;
	} *file;
	size_t n_file, room_file;
};

void omj_places_clear(struct omj_places *p);
bool omj_places_is_new(const struct omj_places *p, const char *path);
/* out of memory or full: it is not remembered */
void omj_places_new(struct omj_places *p, const char *path);
void omj_places_old(struct omj_places *p, const char *path);
/* Folder @from has become @to: what was new below it is new there. */
void omj_places_move(struct omj_places *p, const char *from, const char *to);
enum omj_kept omj_places_kept(const struct omj_places *p, const struct omj_file_id *id);
void omj_places_keep(struct omj_places *p, const struct omj_file_id *id, enum omj_kept kept);
#endif
