/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loss after progress (a checkpoint, or a minute of running) starts the count of losses anew: a machine that fails once a day never makes a
 * job give up.  A checkpoint from which the job cannot be restored is marked bad and the next older one is taken; a temporary failure
 * (no memory, no process numbers) marks nothing. */
#include "policy/restart.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* the newest good one that is not @except */
static uint32_t newest(const struct pol_ckpt *list, size_t n, uint32_t except)
{
	uint32_t best = 0;

	for (size_t i = 0; i < n; i++)
		if (!list[i].bad && list[i].n > best && list[i].n != except)
			best = list[i].n;
	return best;
}

uint32_t pol_restart_newest_good(const struct pol_ckpt *list, size_t n)
{
	return newest(list, n, 0);
}

static uint64_t pause_s(uint32_t losses)
{
	uint64_t s = POL_PAUSE_FIRST_S;

	if (losses < 2)
		return 0;
	while (--losses > 1 && s < POL_PAUSE_MAX_S)
		s *= 2;
	return s < POL_PAUSE_MAX_S ? s : POL_PAUSE_MAX_S;
}

static void final(const struct pol_loss *loss, struct pol_after_loss *ret, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void final(const struct pol_loss *loss, struct pol_after_loss *ret, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* what follows is worth more than the end of a long cause */
	snprintf(ret->reason, sizeof(ret->reason), "%.*s; %s", (int)(POL_REASON_MAX - 3 - strlen(text)), loss->reason ? loss->reason : "lost", text);
	/* What ran once and cannot go on is lost, not failed: restore can continue it. */
	ret->event = loss->started || loss->restored ? POL_EV_LOST_FINAL : POL_EV_START_FAILED;
}

static void again(const struct pol_loss *loss, struct pol_after_loss *ret, uint64_t now_ns)
{
	uint64_t pause = pause_s(ret->losses);
	char from[48] = "from the beginning", when[32] = "";

	if (ret->restore)
		snprintf(from, sizeof(from), "from checkpoint %" PRIu32, ret->restore);
	if (pause)
		snprintf(when, sizeof(when), " in %" PRIu64 " s", pause);
	snprintf(ret->reason, sizeof(ret->reason), "%.160s; starts again %s%s", loss->reason ? loss->reason : "lost", from, when);
	ret->event = loss->started ? POL_EV_LOST_AGAIN : POL_EV_START_AGAIN;
	ret->begin_ns = pause ? now_ns + pause * UINT64_C(1000000000) : 0;
}

void pol_restart_decide(const struct pol_loss *loss, uint64_t now_ns, struct pol_after_loss *ret)
{
	bool progress = loss->started && (loss->made_checkpoint || loss->ran_ns >= POL_PROGRESS_S * UINT64_C(1000000000));
	bool start_failed = !loss->started && !loss->temporary;

	memset(ret, 0, sizeof(*ret));
	ret->losses = progress ? 1 : loss->losses < UINT32_MAX ? loss->losses + 1 : UINT32_MAX;
	if (start_failed)
		ret->bad = loss->restored;
	ret->restore = loss->mode == POL_RESTART_NEVER ? 0 : newest(loss->ckpts, loss->nckpts, ret->bad);

	/* nothing of it was run as long as it could not be started: `never` does not forbid that */
	if (loss->mode == POL_RESTART_NEVER && (loss->started || loss->restored))
		final(loss, ret, "not restarted: the job asks for that (restart: never)");
	else if (start_failed && !loss->restored)
		final(loss, ret, "it cannot be started");
	else if (!ret->restore && loss->mode == POL_RESTART_ONLY_CHECKPOINT)
		final(loss, ret, "not restarted: there is no good checkpoint (restart: only-checkpoint)");
	else if (ret->losses >= POL_LOSSES_MAX)
		final(loss, ret, "given up: lost %" PRIu32 " times in a row without progress", ret->losses);
	else
		again(loss, ret, now_ns);
}
