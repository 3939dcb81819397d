/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/vdso.h - an image from another kernel: its vdso's functions are made to jump into this kernel's vdso. */
#ifndef OM_CHECKPOINT_VDSO_H
#define OM_CHECKPOINT_VDSO_H
#include <stddef.h>
#include <stdint.h>
struct om_err;

/* Patch the image's vdso @old (hostile) so that every function of it leads to the one of the same name in @now, which will be at @addr.
 * One that this kernel does not have answers ENOSYS. */
int ckpt_vdso_patch(char *old, size_t old_len, const char *now, size_t now_len, uint64_t addr, struct om_err *err);
#endif
