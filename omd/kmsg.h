/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd/kmsg.h - what a keeper says, checked.  Promise: whatever a hostile keeper sends becomes either an error or a struct whose
 * numbers are in range and whose texts are short, terminated and printable. */
#ifndef OMD_KMSG_H
#define OMD_KMSG_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
struct om_err;

enum omd_kmsg_kind {
	OMD_K_HELLO, OMD_K_STARTED, OMD_K_EXITED, OMD_K_LOST, OMD_K_CHECKPOINT, OMD_K_SUSPENDED, OMD_K_PRUNED, OMD_K_USAGE, OMD_K_CANNOT,
	OMD_K_ERROR, OMD_K_KINDS
};

enum omd_kmsg_state { OMD_KS_STARTING, OMD_KS_RUNNING, OMD_KS_ENDED };
enum omd_kmsg_why { OMD_KW_EXIT, OMD_KW_CANCELLED, OMD_KW_TIMEOUT };

enum {
	OMD_KMSG_TEXT = 256,
	OMD_KMSG_CKPTS = 128,	/* a job keeps at most 100 */
	OMD_KMSG_N_MAX = 1000000000,	/* number of a checkpoint */
};

struct omd_kmsg_ckpt {
	uint32_t n;
	double time;		/* seconds since 1970, 0 when it was not said */
	uint64_t bytes, stored;
};

struct omd_kmsg {
	enum omd_kmsg_kind kind;
	/* hello */
	char job[64];
	uint32_t leg;
	int64_t pid;
	enum omd_kmsg_state state;
	bool has_ckpts;
	uint32_t n_ckpts;
	struct omd_kmsg_ckpt ckpts[OMD_KMSG_CKPTS];	/* pruned: n only */
	/* started */
	uint32_t restored;		/* 0: from the beginning */
	/* exited (and hello of an ended job; @lost, @suspended: see below) */
	bool lost, suspended;
	int status;			/* a wait status that means "ended" */
	enum omd_kmsg_why why;
	uint64_t cpu_ns, maxrss, wall_ns, rss;
	uint32_t processes;
	/* lost, checkpoint, cannot, error */
	bool temporary, ok, given;	/* @given: cannot names something */
	char reason[OMD_KMSG_TEXT], object[OMD_KMSG_TEXT], process[OMD_KMSG_TEXT];
	/* checkpoint, suspended */
	char ref[64];
	uint32_t n;
	uint64_t stop_ns, bytes, stored;
};

/* 0, or -EBADMSG with the field that is wrong in @err.  @m is filled only on success. */
int omd_kmsg_parse(const json_t *o, struct omd_kmsg *m, struct om_err *err);
#endif
