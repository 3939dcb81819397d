/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/uapi.h - kernel interfaces newer than the oldest headers we build with. */
#ifndef OM_CHECKPOINT_UAPI_H
#define OM_CHECKPOINT_UAPI_H
#include <linux/fs.h>
#include <linux/ioctl.h>
#include <linux/prctl.h>
#include <linux/types.h>

#ifndef PAGEMAP_SCAN				/* Linux 6.7 */
#define PAGE_IS_WPALLOWED	(1 << 0)
#define PAGE_IS_WRITTEN		(1 << 1)
#define PAGE_IS_FILE		(1 << 2)
#define PAGE_IS_PRESENT		(1 << 3)
#define PAGE_IS_SWAPPED		(1 << 4)
#define PAGE_IS_PFNZERO		(1 << 5)
#define PAGE_IS_HUGE		(1 << 6)
#define PAGE_IS_SOFT_DIRTY	(1 << 7)
struct page_region {
	__u64 start, end, categories;
};
#define PM_SCAN_WP_MATCHING	(1 << 0)
#define PM_SCAN_CHECK_WPASYNC	(1 << 1)
struct pm_scan_arg {
	__u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
	__u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN	_IOWR('f', 16, struct pm_scan_arg)
#endif
#ifndef PAGE_IS_GUARD				/* Linux 6.15 */
#define PAGE_IS_GUARD		(1 << 8)
#endif
#ifndef MADV_GUARD_INSTALL			/* Linux 6.13 */
#define MADV_GUARD_INSTALL	102
#endif
#ifndef PR_TIMER_CREATE_RESTORE_IDS		/* Linux 6.15 */
#define PR_TIMER_CREATE_RESTORE_IDS	77
#define PR_TIMER_CREATE_RESTORE_IDS_OFF	0
#define PR_TIMER_CREATE_RESTORE_IDS_ON	1
#endif
#endif
