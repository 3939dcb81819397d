/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_mm.c - the fields of the address space that are not areas: code, data, heap, stack, arguments, auxv, executable. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/procfs.h"

enum { AUXV_MAX = 1024 };

/* name in the description, field of /proc/PID/stat, place in struct prctl_mm_map */
static const struct { const char *name; int stat; size_t at; } fields[] = {
	{ "start_code", 26, offsetof(struct prctl_mm_map, start_code) }, { "end_code", 27, offsetof(struct prctl_mm_map, end_code) },
	{ "start_stack", 28, offsetof(struct prctl_mm_map, start_stack) }, { "start_data", 45, offsetof(struct prctl_mm_map, start_data) },
	{ "end_data", 46, offsetof(struct prctl_mm_map, end_data) }, { "start_brk", 47, offsetof(struct prctl_mm_map, start_brk) },
	{ "arg_start", 48, offsetof(struct prctl_mm_map, arg_start) }, { "arg_end", 49, offsetof(struct prctl_mm_map, arg_end) },
	{ "env_start", 50, offsetof(struct prctl_mm_map, env_start) }, { "env_end", 51, offsetof(struct prctl_mm_map, env_end) },
};

int ckpt_item_mm_ask(struct ckpt_item_dump *d)
{
	d->slot[0] = ckpt_call(d->b, SYS_brk, 0);
	return 0;
}

int ckpt_item_mm_answer(struct ckpt_item_dump *d)
{
	uint64_t stat[CKPT_STAT_FIELDS];
	om_autofree char *auxv = NULL, *exe = NULL;
	char path[40];
	size_t n;
	json_t *mm;
	int r = ckpt_stat_read(d->p->pid, stat);

	snprintf(path, sizeof(path), "/proc/%d/auxv", d->p->pid);
	if (r == 0)
		r = om_file_read(path, AUXV_MAX, &auxv, &n);
	if (r == 0)
		r = ckpt_link_read(d->p->pid, "exe", &exe);
	if (r < 0)
		return om_err_sys(d->err, r, "memory layout of process %d", d->p->vpid);
	mm = json_pack("{sI}", "brk", (json_int_t)d->b->call[d->slot[0]].ret);
	for (size_t i = 0; i < OM_ARRAY_SIZE(fields); i++)
		json_object_set_new(mm, fields[i].name, json_integer((json_int_t)stat[fields[i].stat]));
	json_object_set_new(mm, "auxv", ckpt_json_from_bytes(auxv, n));
	json_object_set_new(mm, "exe", ckpt_json_from_name(exe));
	json_object_set_new(d->obj, "mm", mm);
	return 0;
}

int ckpt_item_mm_restore(struct ckpt_item_restore *r)
{
	const json_t *mm = json_object_get(r->obj, "mm");
	struct { struct prctl_mm_map map; uint64_t behind; } room = { .map.exe_fd = (uint32_t)-1 };
	om_autofree void *auxv = NULL;
	om_autofree char *exe = NULL;
	int64_t v;
	size_t n;
	unsigned o, c;
	uint64_t at;
	int e = ckpt_json_int(mm, "brk", 0, (int64_t)CKPT_TASK_SIZE, &v, r->err);

	room.map.brk = (uint64_t)v;
	for (size_t i = 0; e == 0 && i < OM_ARRAY_SIZE(fields); i++) {
		e = ckpt_json_int(mm, fields[i].name, 0, (int64_t)CKPT_TASK_SIZE, &v, r->err);
		*(__u64 *)((char *)&room.map + fields[i].at) = (uint64_t)v;
	}
	if (e == 0)
		e = ckpt_json_bytes(mm, "auxv", 0, AUXV_MAX, &auxv, &n, r->err);
	if (e == 0)
		e = ckpt_json_name(mm, "exe", PATH_MAX - 1, &exe, r->err);
	if (e < 0)
		return e;
	room.map.auxv = (void *)ckpt_batch_in(r->b, auxv, n);
	room.map.auxv_size = (uint32_t)n;
	at = ckpt_batch_in(r->b, &room, sizeof(room));
	(void)ckpt_must(r->b, "memory layout (PR_SET_MM_MAP)", SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, at, sizeof(room.map));
	/* Once more with the executable, where it is there and we may: only appearance.  exe_fd is 4 bytes, the result 8: hence room.behind. */
	o = ckpt_call(r->b, SYS_open, ckpt_batch_in(r->b, exe, strlen(exe) + 1), O_RDONLY | O_CLOEXEC);
	ckpt_batch_feed_at(r->b, o, at + offsetof(struct prctl_mm_map, exe_fd));
	(void)ckpt_call(r->b, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, at, sizeof(room.map));
	c = ckpt_call(r->b, SYS_close, 0);
	ckpt_batch_feed(r->b, o, c, 0);
	return 0;
}
