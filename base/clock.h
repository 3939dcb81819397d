/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/clock.h - the clocks.  Time comes into the rooms below as a parameter; only daemons read it. */
#ifndef OM_BASE_CLOCK_H
#define OM_BASE_CLOCK_H
#include <stdint.h>

uint64_t om_clock_mono_ns(void);	/* CLOCK_MONOTONIC */
uint64_t om_clock_boot_ns(void);	/* CLOCK_BOOTTIME */
uint64_t om_clock_real_ns(void);	/* CLOCK_REALTIME; may step */
#endif
