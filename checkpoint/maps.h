/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/maps.h - the memory areas of a process, as /proc tells them and as the description holds them. */
#ifndef OM_CHECKPOINT_MAPS_H
#define OM_CHECKPOINT_MAPS_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
struct om_err;

enum {
	CKPT_PAGE = 4096,
	CKPT_AREAS_MAX = 1 << 20,		/* far above vm.max_map_count's default of 65530 */
};
#define CKPT_TASK_SIZE 0x7ffffffff000ULL	/* x86-64 user space with 4-level tables */

enum ckpt_area_kind {
	CKPT_AREA_ANON,				/* private, anonymous */
	CKPT_AREA_FILE,				/* of a file that has a name */
	CKPT_AREA_SHM,				/* shared memory without a name that others could open: object `shm` */
	CKPT_AREA_KERNEL,			/* vdso, vvar: the kernel's */
	CKPT_AREA_SYSV,				/* System V shared memory: id `shm`, `size` bytes */
};
enum ckpt_area_flag {
	CKPT_AREA_SHARED = 1, CKPT_AREA_GROWSDOWN = 2, CKPT_AREA_NORESERVE = 4, CKPT_AREA_LOCKED = 8,
	CKPT_AREA_MAYWRITE = 16, CKPT_AREA_DONTFORK = 32, CKPT_AREA_DONTDUMP = 64, CKPT_AREA_WIPEONFORK = 128,
	CKPT_AREA_HUGE = 256, CKPT_AREA_NOHUGE = 512, CKPT_AREA_MERGE = 1024, CKPT_AREA_SEQ = 2048, CKPT_AREA_RAND = 4096,
};
struct ckpt_area {
	uint64_t from, to;
	uint32_t prot;				/* PROT_* */
	uint32_t flags;				/* ckpt_area_flag */
	enum ckpt_area_kind kind;
	uint64_t off;				/* in the file or object */
	uint64_t dev, ino;			/* dev: as st_dev */
	uint32_t shm;				/* CKPT_AREA_SHM: number of the object */
	uint64_t size;				/* CKPT_AREA_FILE: of the file, and its time */
	int64_t mtime_ns;
	bool gone;				/* the file has no name any more: private pages are stored in whole */
	char refuse[8];				/* VmFlags that cannot be carried */
	char *name;				/* path, or [heap] and the like; NULL: none */
};
struct ckpt_maps {
	struct ckpt_area *area;			/* ascending, apart */
	size_t n;
};

/* Read /proc/@pid/maps, or with @flags the (slow) smaps that tells the VmFlags. [vsyscall] is left out. */
int ckpt_maps_read(pid_t pid, bool flags, struct ckpt_maps *ret, struct om_err *err);
void ckpt_maps_done(struct ckpt_maps *m);
/* A gap of @len bytes that is free in both (b may be NULL), above @from; 0: none. */
uint64_t ckpt_maps_gap(const struct ckpt_maps *a, const struct ckpt_maps *b, uint64_t from, uint64_t len);
/* Add an anonymous private area. */
int ckpt_maps_insert(struct ckpt_maps *m, uint64_t from, uint64_t to, uint32_t prot);
/* The area that has @addr, or NULL. */
const struct ckpt_area *ckpt_maps_at(const struct ckpt_maps *m, uint64_t addr);
/* Would a page of zeros at @addr hide a file's content? */
bool ckpt_maps_hides_file(const struct ckpt_maps *m, uint64_t addr);
json_t *ckpt_maps_pack(const struct ckpt_maps *m);
/* From a description: every number is checked. */
int ckpt_maps_unpack(const json_t *list, struct ckpt_maps *ret, struct om_err *err);
#endif
