/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/dump_files.c - the dump's side of files.h. */
#include <errno.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/dump.h"

static int memfd_take(void *arg, int fd, const struct stat *st, json_t *file, struct om_err *err)
{
	return ckpt_dump_shm_memfd(arg, fd, st, file, err);
}

/* Files that are written through a mapping are put back, too. */
static int mapped_note(struct ckpt_dump *dump, const struct ckpt_proc *p)
{
	int r = 0;

	for (size_t i = 0; i < p->maps.n && r == 0; i++) {
		const struct ckpt_area *a = &p->maps.area[i];

		if (a->kind == CKPT_AREA_FILE && (a->flags & CKPT_AREA_SHARED) && (a->prot & PROT_WRITE) && !a->gone)
			r = ckpt_files_note_mapped(dump->files, p->vpid, a->name, a->dev, a->ino, dump->err);
	}
	return r;
}

int ckpt_dump_files(struct ckpt_dump *dump)
{
	const struct ckpt_files_opts o = { .sink = dump->sink, .init = dump->opts->init, .net_reset = dump->opts->net_reset,
					   .memfd = memfd_take, .arg = dump };
	om_autofree struct ckpt_files_proc *list = calloc(dump->tree.n + 1, sizeof(*list));
	unsigned n = 0;
	int r;

	if (!list)
		return om_err_set(dump->err, -ENOMEM, "out of memory");
	r = ckpt_files_create(&o, &dump->files, dump->err);
	for (unsigned i = 0; i < dump->tree.n && r == 0; i++) {
		const struct ckpt_proc *p = &dump->tree.procs[i];

		if (p->zombie)
			continue;
		list[n++] = (struct ckpt_files_proc){ p->pid, p->vpid, p->pidfd, p->desc };
		r = mapped_note(dump, p);
	}
	return r == 0 ? ckpt_files_dump(dump->files, list, n, &dump->files_desc, dump->why, dump->err) : r;
}

int ckpt_dump_files_finish(struct ckpt_dump *dump)
{
	return ckpt_files_finish(dump->files, dump->err);
}

void ckpt_dump_files_done(struct ckpt_dump *dump)
{
	if (dump->files)
		ckpt_files_destroy(dump->files);
	dump->files = NULL;
}
