/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fkind_inet.c - TCP, UDP and netlink sockets. */
#include "checkpoint/fimpl.h"

static int refuse(struct ckpt_files *f, struct fdesc *d, struct om_err *err)
{
	(void)err;
	return files_refuse(f, d, "a socket");
}

const struct fkind fkind_inet = { .name = "inet", .dump = refuse };
const struct fkind fkind_netlink = { .name = "netlink", .dump = refuse };
