/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/restore.h - inside of a restore; checkpoint/ only.  What goes over the control socket (SOCK_SEQPACKET). */
#ifndef OM_CHECKPOINT_RESTORE_H
#define OM_CHECKPOINT_RESTORE_H
#include "base/err.h"
#include "checkpoint/cow.h"
#include "checkpoint/image.h"
#include "checkpoint/tree.h"

enum ckpt_ctl_kind {
	CKPT_CTL_READY = 1,			/* init: the whole tree is forked and waits to be filled */
	CKPT_CTL_FAILED = 2,			/* init: err says why */
	CKPT_CTL_GO = 3,			/* driver: the tree runs */
	CKPT_CTL_START = 4,			/* driver: files are put back, begin */
	CKPT_CTL_SHM = 5,			/* init: the next shared memory object is descriptor @value */
	CKPT_CTL_BUSY = 6,			/* init: memory is being loaded, wait on */
	CKPT_CTL_ZONE = 7,			/* init: the zone of shared pages is at @value * 2 MiB */
	CKPT_CTL_FILLED = 8,			/* driver: the tree is complete, what you hold for it may go; init answers READY */
};
struct ckpt_ctl {
	uint32_t kind, value;
	struct om_err err;
};

/* restore_shm.c, in pid 1 */
int ckpt_shm_make(struct ckpt_image *im, struct om_err *err);
void ckpt_shm_close(struct ckpt_image *im);
/* A descriptor of the object that the open file description @file shows; 1: it shows none. */
int ckpt_shm_fd(const struct ckpt_image *im, const json_t *file, int *ret, struct om_err *err);

/* rebuild.c: make the stopped process @p (an empty shell) into what the image says; its tasks stay stopped, ready to be detached. */
int ckpt_rebuild(const struct ckpt_image *im, const struct ckpt_cow *cow, const struct ckpt_image_proc *ip, struct ckpt_proc *p, struct ckpt_stats *stats, struct om_err *err);
/* fill.c: write the memory content into the areas that are mapped and not @loaded (by number) already. */
int ckpt_fill(const struct ckpt_image *im, const struct ckpt_image_proc *ip, struct ckpt_proc *p, const bool *loaded, struct ckpt_stats *stats,
	      struct om_err *err);
#endif
