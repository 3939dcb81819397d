/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/dump.h - one dump in progress; inside of checkpoint/ only. */
#ifndef OM_CHECKPOINT_DUMP_H
#define OM_CHECKPOINT_DUMP_H
#include "checkpoint/files.h"
#include "checkpoint/tree.h"

struct ckpt_shm_object;
struct ckpt_pre {				/* a process that is tracked, before the freeze */
	pid_t pid;
	uint64_t start;
	struct ckpt_shot shot;
};
struct ckpt_dump {
	const struct ckpt_dump_opts *opts;
	const struct ckpt_sink *sink;
	struct ckpt_stats *stats;
	struct ckpt_why *why;
	struct om_err *err;
	struct ckpt_tree look;			/* as it was before the freeze, with smaps */
	struct ckpt_tree tree;
	struct ckpt_batch batch;
	uint64_t real_ns, mono_ns, boot_ns, pre_stop_ns, id;
	struct ckpt_pre *pre;
	unsigned npre;
	json_t *base_meta;
	uint32_t *kept, nkept;			/* block of the base -> ours + 1 */
	struct ckpt_files *files;
	json_t *files_desc, *vdso, *shm;
	struct ckpt_shm_object *object;		/* shared memory, by number */
	unsigned nobjects;
	json_t *ipc;				/* System V objects, or NULL */
	int ipc_mem;				/* memfd with the content of their shared memory, 0 = none */
};

/* dump_memory.c */
int ckpt_dump_maps(struct ckpt_dump *dump, struct ckpt_proc *p);
int ckpt_dump_still_memory(struct ckpt_dump *dump);	/* stage or twin; the tree stands still */
int ckpt_dump_memory(struct ckpt_dump *dump);	/* when it runs again */
/* look.c: ckpt_look(), keeping the list with the smaps */
int ckpt_look_tree(struct ckpt_tree *tree, pid_t init, bool net_reset, struct ckpt_why *why, struct om_err *err);
/* dump_shm.c */
int ckpt_dump_shm_find(struct ckpt_dump *dump);	/* number the objects that are mapped */
int ckpt_dump_shm_memfd(struct ckpt_dump *dump, int fd, const struct stat *st, json_t *file, struct om_err *err);
int ckpt_dump_shm_still(struct ckpt_dump *dump);	/* copy, the tree stands still */
int ckpt_dump_shm_store(struct ckpt_dump *dump);
void ckpt_dump_shm_done(struct ckpt_dump *dump);
/* dump_ipc.c */
int ckpt_dump_ipc(struct ckpt_dump *dump);	/* the tree stands still */
int ckpt_dump_ipc_store(struct ckpt_dump *dump);
void ckpt_dump_ipc_done(struct ckpt_dump *dump);
/* dump_files.c */
int ckpt_dump_files(struct ckpt_dump *dump);
int ckpt_dump_files_finish(struct ckpt_dump *dump);
void ckpt_dump_files_done(struct ckpt_dump *dump);
#endif
