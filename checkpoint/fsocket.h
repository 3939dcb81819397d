/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/fsocket.h - what unix and internet sockets have in common: options, queues, what sock_diag(7) says. */
#ifndef OM_CHECKPOINT_FSOCKET_H
#define OM_CHECKPOINT_FSOCKET_H
#include <sys/socket.h>
#include "checkpoint/fimpl.h"

enum { SOCK_QUEUE_ENTRIES_MAX = 1 << 20 };

struct unix_about {		/* one unix socket, from sock_diag */
	uint64_t peer;		/* inode; 0: none or a dead one */
	bool has_peer;
	uint32_t vfs_ino, vfs_dev;
	uint32_t backlog;
	uint8_t state, shut;
	uint32_t *icons;	/* inodes of the clients that wait to be accepted; free() */
	size_t n_icons;
};
/* -ENOENT: no such socket in our network namespace. */
int fsock_unix_about(uint64_t ino, struct unix_about *ret);

/* Options that differ from those of a fresh socket go into "opts"; only known ones are taken back. */
int fsock_opts_dump(int fd, json_t *j, struct om_err *err);
int fsock_opts_set(int fd, const json_t *j, struct om_err *err);
int fsock_int(int fd, int level, int name, int def);

/* Copy the receive queue into "queue": [{"data","fds","from"}..]; nothing is taken out of it. @records: each message is one entry. */
int fsock_queue_dump(struct ckpt_files *f, struct fdesc *d, bool records, struct om_err *err);
/* Send entry @e over @fd (to @to unless NULL). */
int fsock_queue_send(struct ckpt_opened *o, const json_t *e, int fd, const void *to, socklen_t to_len, struct om_err *err);
/* The description whose inode is @ino, among the sockets. */
struct fdesc *fsock_find(struct ckpt_files *f, uint64_t ino);
#endif
