/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_lock.c - POSIX locks once more.  The process had taken them when its descriptors were arranged; then its memory was rebuilt, and a
 * mapped file that is opened and closed on the way drops all locks the process has on it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "checkpoint/fjson.h"
#include "checkpoint/item.h"

enum { LOCKS_MAX = 1 << 16 };

int ckpt_item_lock_restore(struct ckpt_item_restore *r)
{
	const json_t *list;
	int e;

	if (!json_object_get(r->obj, "locks"))
		return 0;
	e = fj_array(r->obj, "locks", LOCKS_MAX, &list, r->err);
	for (size_t i = 0; i < json_array_size(list) && e == 0; i++) {
		const json_t *l = json_array_get(list, i);
		struct flock fl = { .l_whence = SEEK_SET };
		int64_t fd = 0, type = 0, start = 0, len = 0;

		e = fj_int(l, "fd", 0, INT_MAX, &fd, r->err);
		if (e == 0)
			e = fj_int(l, "type", 0, 1, &type, r->err);
		if (e == 0)
			e = fj_int(l, "start", 0, INT64_MAX, &start, r->err);
		if (e == 0)
			e = fj_int(l, "len", 0, INT64_MAX, &len, r->err);
		if (e == 0)
			e = ckpt_batch_flush(&r->t->remote, r->b, 4, 256, r->err);
		fl.l_type = type ? F_WRLCK : F_RDLCK;
		fl.l_start = start;
		fl.l_len = len;
		if (e == 0)
			(void)ckpt_must(r->b, "lock a file", SYS_fcntl, (uint64_t)fd, F_SETLK, ckpt_batch_in(r->b, &fl, sizeof(fl)));
	}
	return e;
}
