/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"

#include <time.h>

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t om_clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t om_clock_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

uint64_t om_clock_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}
