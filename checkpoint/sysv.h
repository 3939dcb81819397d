/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/sysv.h - System V objects in the description: {"shm":[...], "sem":[...], "msg":[...]}, each list by rising id. */
#ifndef OM_CHECKPOINT_SYSV_H
#define OM_CHECKPOINT_SYSV_H
#include <jansson.h>
#include <stdint.h>
struct ckpt_dump;
struct ckpt_image;
struct ckpt_proc;
struct om_err;

enum {
	CKPT_SYSV_MAX = 1 << 24,		/* objects of a kind: the kernel's limit (ipcmni_extend) */
	CKPT_SEM_VALUE_MAX = 32767,
};
/* The object with this id, or NULL. */
const json_t *ckpt_sysv_find(const json_t *ipc, const char *kind, int64_t id);

/* item_ipc.c: what a process owes to semaphores (SEM_UNDO), into p->desc */
int ckpt_semundo_dump(struct ckpt_dump *dump, struct ckpt_proc *p);

/* restore_ipc.c, in pid 1: make all objects.  Shared memory stays attached until _release(): what was removed lives only as long as it is. */
int ckpt_ipc_make(struct ckpt_image *im, struct om_err *err);
void ckpt_ipc_release(struct ckpt_image *im);
#endif
