/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/dump.h - one dump in progress; inside of checkpoint/ only. */
#ifndef OM_CHECKPOINT_DUMP_H
#define OM_CHECKPOINT_DUMP_H
#include "checkpoint/files.h"
#include "checkpoint/tree.h"

struct ckpt_shm_object;
struct ckpt_dump {
	const struct ckpt_dump_opts *opts;
	const struct ckpt_sink *sink;
	struct ckpt_stats *stats;
	struct ckpt_why *why;
	struct om_err *err;
	struct ckpt_tree tree;
	struct ckpt_batch batch;
	uint64_t real_ns, mono_ns, boot_ns;
	struct ckpt_files *files;
	json_t *files_desc, *vdso, *shm;
	struct ckpt_shm_object *object;		/* shared memory, by number */
	unsigned nobjects;
};

/* dump_memory.c */
bool ckpt_dump_locked(pid_t pid);		/* has it locked memory? then the slow smaps is read */
int ckpt_dump_still_memory(struct ckpt_dump *dump);	/* what the twins do not have; the tree stands still */
int ckpt_dump_memory(struct ckpt_dump *dump);	/* from the twins */
/* dump_shm.c */
int ckpt_dump_shm_find(struct ckpt_dump *dump);	/* number the objects that are mapped */
int ckpt_dump_shm_memfd(struct ckpt_dump *dump, int fd, const struct stat *st, json_t *file, struct om_err *err);
int ckpt_dump_shm_still(struct ckpt_dump *dump);	/* copy, the tree stands still */
int ckpt_dump_shm_store(struct ckpt_dump *dump);
void ckpt_dump_shm_done(struct ckpt_dump *dump);
/* dump_files.c */
int ckpt_dump_files(struct ckpt_dump *dump);
int ckpt_dump_files_finish(struct ckpt_dump *dump);
void ckpt_dump_files_done(struct ckpt_dump *dump);
#endif
