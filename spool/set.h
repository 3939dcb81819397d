/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spool/set.h - everything that is in a store's folder, and its lock.  Promise: only what can be named by doc/image.md is ever removed.
 * Callers: spool/. */
#ifndef OM_SPOOL_SET_H
#define OM_SPOOL_SET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "spool/manifest.h"
struct om_err;

struct spool_store {
	int dirfd;
};

enum { SPOOL_LAST_NAME = 16 };
void spool_last_name(char name[SPOOL_LAST_NAME], uint32_t n);

struct spool_numbers {
	uint32_t *v;
	size_t n, room;
};

/* What the folder's names say. */
struct spool_names {
	struct spool_numbers ckpts, packs, lasts;	/* each sorted */
};
int spool_names_read(int dirfd, struct spool_names *ret, struct om_err *err);
void spool_names_done(struct spool_names *s);
/* The highest number that was given to a checkpoint (0: none yet). */
uint32_t spool_names_last(const struct spool_names *s);
bool spool_numbers_have(const struct spool_numbers *s, uint32_t number);
int spool_numbers_add(struct spool_numbers *s, uint32_t number);

/* The folder as a writer needs it: locked, leftovers removed, all sound manifests loaded. */
struct spool_set {
	int dirfd;			/* an open folder of its own: the lock belongs to it */
	struct spool_names names;
	struct spool_man *man;		/* sound ones, oldest first */
	size_t man_n;			/* man has room for one more */
	uint32_t next_pack;
};
/* -EBUSY: another writer is at work. */
int spool_set_lock(const struct spool_store *st, struct spool_set *ret, struct om_err *err);
void spool_set_unlock(struct spool_set *s);
/* Remove packs that no manifest of the set names, what ends in .tmp, and last- files that say nothing new. */
int spool_set_sweep(struct spool_set *s, struct om_err *err);
const struct spool_man *spool_set_find(const struct spool_set *s, uint32_t n);
/* All packs the set's usable manifests name, sorted, with their ids; @end is the largest.  Heap, with room for one more. */
int spool_set_packs(const struct spool_set *s, struct spool_pack_ref **ret, size_t *ret_n, struct om_err *err);

/* All packs of @m there, the right ones, and long enough?  0, -EUCLEAN.  @ret_packs may be NULL, else m->packs_n open packs (heap). */
int spool_man_packs_open(int dirfd, const struct spool_man *m, struct spool_pack **ret_packs, struct om_err *err);
/* Rewrite sparse packs (doc/image.md, rule 4). */
int spool_set_compact(struct spool_set *s, struct om_err *err);
#endif
