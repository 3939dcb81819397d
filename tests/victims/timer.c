/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timers that send signals, and the clocks themselves. */
#include "tests/victims/victim.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t alarms, profs, virtuals;

static void on_tick(int sig)
{
	if (sig == SIGALRM)
		alarms++;
	else if (sig == SIGPROF)
		profs++;
	else
		virtuals++;
}

/* All three interval timers at once; the processor is busy, so that they run. */
static void run_itimers(void)
{
	struct sigaction sa = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
	struct itimerval iv = { { 0, 20000 }, { 0, 20000 } }, got;
	int from[3];

	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGPROF, &sa, NULL);
	sigaction(SIGVTALRM, &sa, NULL);
	V_CHECK(setitimer(ITIMER_REAL, &iv, NULL) == 0 && setitimer(ITIMER_PROF, &iv, NULL) == 0 && setitimer(ITIMER_VIRTUAL, &iv, NULL) == 0);
	v_ready();
	while (!v_go())
		for (volatile int i = 0; i < 1000000; i++)
			;
	for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
		V_CHECK(getitimer(which, &got) == 0);
		V_EQ(got.it_interval.tv_usec, 20000);
		V_EQ(got.it_interval.tv_sec, 0);
	}
	from[0] = alarms;
	from[1] = profs;
	from[2] = virtuals;
	while (alarms < from[0] + 3 || profs < from[1] + 3 || virtuals < from[2] + 3)
		for (volatile int i = 0; i < 1000000; i++)
			;
}

/* an alarm that is far away keeps its distance */
static void run_alarm(void)
{
	struct itimerval iv = { { 0, 0 }, { 50000, 0 } }, got;

	V_CHECK(setitimer(ITIMER_REAL, &iv, NULL) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(getitimer(ITIMER_REAL, &got) == 0);
	V_CHECK(got.it_value.tv_sec <= 50000 && got.it_value.tv_sec > 50000 - 600);
	V_EQ(got.it_interval.tv_sec, 0);
}

/* ---- POSIX timers: numbers, signal, value, interval; a hole in the numbers ---- */
static volatile sig_atomic_t timer_hits;

static void on_timer(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	if (si->si_code == SI_TIMER && si->si_value.sival_int == 4242)
		timer_hits++;
}

static void run_posix_timers(void)
{
	struct sigaction sa = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 6, .sigev_value.sival_int = 4242 };
	struct sigevent own = { .sigev_notify = SIGEV_NONE };
	struct itimerspec fast = { { 0, 30000000 }, { 0, 30000000 } }, far = { { 11, 0 }, { 60000, 0 } }, got;
	int id[5], before;

	sigaction(SIGRTMIN + 6, &sa, NULL);
	for (int i = 0; i < 5; i++)
		V_CHECK(syscall(SYS_timer_create, i == 4 ? CLOCK_BOOTTIME : CLOCK_MONOTONIC, i == 3 ? &own : &ev, &id[i]) == 0);
	V_CHECK(syscall(SYS_timer_delete, id[1]) == 0);
	V_CHECK(syscall(SYS_timer_settime, id[2], 0, &fast, NULL) == 0);
	V_CHECK(syscall(SYS_timer_settime, id[3], 0, &far, NULL) == 0);
	v_ready();
	v_wait_go();
	V_EQ(syscall(SYS_timer_gettime, id[1], &got), -1);
	V_CHECK(syscall(SYS_timer_gettime, id[3], &got) == 0);
	V_EQ(got.it_interval.tv_sec, 11);
	V_CHECK(got.it_value.tv_sec <= 60000 && got.it_value.tv_sec > 60000 - 600);
	V_CHECK(syscall(SYS_timer_gettime, id[0], &got) == 0 && got.it_value.tv_sec == 0 && got.it_value.tv_nsec == 0);
	before = timer_hits;
	while (timer_hits < before + 3)
		v_nap();
	V_CHECK(syscall(SYS_timer_settime, id[4], 0, &fast, NULL) == 0);
	for (int i = 0; i < 5; i++)
		if (i != 1)
			V_CHECK(syscall(SYS_timer_delete, id[i]) == 0);
}

/* a timer that is bound to a thread, as glibc makes them too */
static void run_thread_timer(void)
{
	struct sigaction sa = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 6, .sigev_value.sival_int = 4242 };
	struct itimerspec fast = { { 0, 30000000 }, { 0, 30000000 } };
	int id, before;

	ev._sigev_un._tid = gettid();
	sigaction(SIGRTMIN + 6, &sa, NULL);
	V_CHECK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &id) == 0);
	V_CHECK(syscall(SYS_timer_settime, id, 0, &fast, NULL) == 0);
	v_ready();
	v_wait_go();
	before = timer_hits;
	while (timer_hits < before + 3)
		v_nap();
}

/* timers on processor time: of the process and of the thread */
static void run_cpu_timers(void)
{
	struct sigaction sa = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 6, .sigev_value.sival_int = 4242 };
	struct itimerspec far = { { 0, 0 }, { 5000, 0 } }, fast = { { 0, 20000000 }, { 0, 20000000 } }, got;
	int id[2], before;

	sigaction(SIGRTMIN + 6, &sa, NULL);
	V_CHECK(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &ev, &id[0]) == 0);
	V_CHECK(syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &ev, &id[1]) == 0);
	V_CHECK(syscall(SYS_timer_settime, id[0], 0, &far, NULL) == 0 && syscall(SYS_timer_settime, id[1], 0, &fast, NULL) == 0);
	v_ready();
	while (!v_go())
		for (volatile int i = 0; i < 1000000; i++)
			;
	V_CHECK(syscall(SYS_timer_gettime, id[0], &got) == 0);
	V_CHECK(got.it_value.tv_sec <= 5000 && got.it_value.tv_sec > 5000 - 600);
	before = timer_hits;
	while (timer_hits < before + 3)
		for (volatile int i = 0; i < 1000000; i++)
			;
}

/* ---- clocks: never back, and the time the job was away is not in them ---- */
static void clock_runs(int clock)
{
	uint64_t real = v_clock_ns(CLOCK_REALTIME), last = v_clock_ns(clock), first = last, now;
	long away;

	v_ready();
	do {
		now = v_clock_ns(clock);
		V_CHECK(now >= last);
		last = now;
		usleep(1000);
	} while (!v_go());
	away = v_outage_ms();
	now = v_clock_ns(clock) - first;
	real = v_clock_ns(CLOCK_REALTIME) - real;
	/* what has gone by outside, less the time away, has gone by inside (20 ms: the system time may be slewed) */
	if (real + 20000000 < now + (uint64_t)away * 1000000)
		v_bad(__FILE__, __LINE__, "the clock ran %llu ms in %llu, of which %ld away",
		      (unsigned long long)now / 1000000, (unsigned long long)real / 1000000, away);
}

static void run_mono(void)
{
	clock_runs(CLOCK_MONOTONIC);
}

static void run_boot(void)
{
	clock_runs(CLOCK_BOOTTIME);
}

const struct victim victims_timer[] = {
	{ "timer-itimers", run_itimers },
	{ "timer-alarm", run_alarm },
	{ "timer-posix", run_posix_timers },
	{ "timer-thread", run_thread_timer },
	{ "timer-cpu", run_cpu_timers },
	{ "clock-monotonic", run_mono },
	{ "clock-boottime", run_boot },
	{ 0 },
};
