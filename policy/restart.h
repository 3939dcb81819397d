/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy/restart.h - what follows when a job was lost or could not be started.  Promise: pure; a job that makes progress is restarted for ever, one
 * that does not POL_LOSSES_MAX times, each time after a longer pause. */
#ifndef OM_POLICY_RESTART_H
#define OM_POLICY_RESTART_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "policy/job.h"
#include "policy/retention.h"

enum {
	POL_LOSSES_MAX = 10,		/* in a row without progress; with the pauses below after about nine minutes */
	POL_PAUSE_FIRST_S = 2,		/* before the second attempt; the first follows at once.  Doubles */
	POL_PAUSE_MAX_S = 300,
	POL_PROGRESS_S = 60,		/* a leg that ran so long, or made a checkpoint, was progress */
	POL_REASON_MAX = 256
};
enum pol_restart_mode { POL_RESTART_CHECKPOINT, POL_RESTART_ONLY_CHECKPOINT, POL_RESTART_NEVER };	/* as enum spool_restart */

struct pol_loss {
	enum pol_restart_mode mode;
	bool started;			/* this leg came as far as running */
	bool temporary;			/* the keeper says that trying again may help (only read if not started) */
	bool made_checkpoint;		/* in this leg */
	uint64_t ran_ns;		/* this leg, from `started` */
	uint32_t restored;		/* checkpoint this leg was started from, 0: from the beginning */
	uint32_t losses;		/* in a row without progress, before this one (of the record) */
	const struct pol_ckpt *ckpts;	/* what there is, any order */
	size_t nckpts;
	const char *reason;		/* the keeper's text, or what omd saw */
};
struct pol_after_loss {
	enum pol_event event;		/* POL_EV_LOST_AGAIN, _LOST_FINAL, _START_AGAIN, _START_FAILED */
	uint32_t restore;		/* checkpoint to start from; 0: from the beginning */
	uint32_t bad;			/* this checkpoint is to be marked bad (it could not be restored, and not for the moment only); 0: none */
	uint32_t losses;		/* new value of the record */
	uint64_t begin_ns;		/* not before */
	char reason[POL_REASON_MAX];	/* for the record: what happened and what follows */
};
void pol_restart_decide(const struct pol_loss *loss, uint64_t now_ns, struct pol_after_loss *ret);
/* The checkpoint to go on from: the newest that is not bad; 0: there is none. */
uint32_t pol_restart_newest_good(const struct pol_ckpt *list, size_t n);
#endif
