/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/dump_files.c - the dump's side of files.h. */
#include <errno.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "checkpoint/dump.h"

int ckpt_dump_files(struct ckpt_dump *dump)
{
	int r = om_fault(OM_FI_DUMP_FILES);

	return r < 0 ? om_err_sys(dump->err, r, "examine open files") : 0;
}

int ckpt_dump_files_finish(struct ckpt_dump *dump)
{
	(void)dump;
	return 0;
}

void ckpt_dump_files_done(struct ckpt_dump *dump)
{
	(void)dump;
}

void ckpt_dump_shm_done(struct ckpt_dump *dump)
{
	(void)dump;
}
