/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_pty.c - terminals. */
#include "checkpoint/fimpl.h"

static int refuse(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	(void)err;
	return files_refuse(f, d, "a terminal");
}

int fpty_dump_proc(struct ckpt_files *f, const struct ckpt_files_proc *p, struct om_err *err)
{
	(void)f, (void)p, (void)err;
	return 0;
}

int fpty_foreground(struct ckpt_opened *o, const json_t *proc, struct om_err *err)
{
	(void)o, (void)proc, (void)err;
	return 0;
}

int ckpt_files_terminal(struct ckpt_opened *o, size_t which, struct om_err *err)
{
	(void)o, (void)which, (void)err;
	return 0;
}

const struct fkind fkind_ptm = { .name = "ptm", .dump = refuse };
const struct fkind fkind_pts = { .name = "pts", .dump = refuse };
