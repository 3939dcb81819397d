/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy/retention.h - which checkpoints may go.  Promise: pure; the newest good one never does, nor one that is in use. */
#ifndef OM_POLICY_RETENTION_H
#define OM_POLICY_RETENTION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pol_ckpt {
	uint32_t n;			/* number; larger is newer */
	bool bad;			/* found damaged, or could not be restored */
	bool in_use;			/* being read (restore, export, verify) */
};
/* Numbers that may be dropped so that the @keep newest good ones stay (at least 1), oldest first.  @list in any order, numbers unique; @drop
 * has room for @n.  Bad ones go as soon as there is a good one.  Returns how many. */
size_t pol_retention_drop(const struct pol_ckpt *list, size_t n, uint32_t keep, uint32_t *drop);
/* May the user drop @which?  0; -EPERM: the only good one; -EBUSY: in use; -ENOENT. */
int pol_retention_may_drop(const struct pol_ckpt *list, size_t n, uint32_t which);
#endif
