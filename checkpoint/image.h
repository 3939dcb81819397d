/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/image.h - the description, read and checked as far as all steps of a restore need it. */
#ifndef OM_CHECKPOINT_IMAGE_H
#define OM_CHECKPOINT_IMAGE_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
struct om_err;
struct ckpt_source;

struct ckpt_image_proc {
	pid_t pid, ppid, pgid, sid;
	bool zombie, stopped;
	bool stop_reported;			/* its parent has been told that it stopped */
	int stop_signal;
	int exit_code, exit_signal;
	unsigned nthreads;
	const json_t *obj, *threads;		/* borrowed */
};
struct ckpt_image {
	const struct ckpt_source *src;
	json_t *meta;
	const json_t *processes;		/* borrowed from meta */
	struct ckpt_image_proc *proc;		/* parents before their children */
	unsigned *where;			/* proc[i] is element where[i] of processes */
	unsigned n;
	uint64_t mono_ns, boot_ns;
	int *shm_fd;				/* shared memory objects: descriptors in pid 1 */
	unsigned nshm;
	void **held;				/* pid 1: System V shared memory that it holds for the job */
	unsigned nheld;
};
/* Promise: pids are unique and in range, parents exist (or are 1), there is no circle, every living process has threads. */
int ckpt_image_load(const struct ckpt_source *src, struct ckpt_image *ret, struct om_err *err);
void ckpt_image_done(struct ckpt_image *im);
#endif
