/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_unix.c - unix sockets. */
#include "checkpoint/fimpl.h"

static int refuse(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	(void)err;
	return files_refuse(f, d, "a socket");
}

const struct fkind fkind_unix = { .name = "unix", .dump = refuse };
