/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls with a time limit that are interrupted by a checkpoint: they end without an error and not early. */
#include "tests/victims/victim.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { NAP_MS = 400 };

static struct timespec ms_spec(uint64_t ms)
{
	return (struct timespec){ .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000) };
}

/* A call that lasts NAP_MS is repeated until the end; @clock is the one it goes by. */
static void naps(void (*call)(void *), void *arg, int clock)
{
	v_ready();
	do {
		uint64_t from = v_clock_ns(clock), took;

		call(arg);
		took = v_clock_ns(clock) - from;
		if (took < NAP_MS * 1000000ull)
			v_bad(__FILE__, __LINE__, "it ended after %llu us", (unsigned long long)took / 1000);
	} while (!v_go());
}

static void nap_nanosleep(void *arg)
{
	struct timespec ts = ms_spec(NAP_MS);

	(void)arg;
	V_EQ(nanosleep(&ts, NULL), 0);
}

static void run_nanosleep(void)
{
	naps(nap_nanosleep, NULL, CLOCK_MONOTONIC);
}

static void nap_relative(void *arg)
{
	struct timespec ts = ms_spec(NAP_MS);

	V_EQ(clock_nanosleep(*(clockid_t *)arg, 0, &ts, NULL), 0);
}

static void nap_absolute(void *arg)
{
	clockid_t clock = *(clockid_t *)arg;
	struct timespec ts = ms_spec(v_clock_ns(clock) / 1000000 + NAP_MS + 1);

	V_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &ts, NULL), 0);
}

static void run_clock_relative(void)
{
	clockid_t clock = CLOCK_BOOTTIME;

	naps(nap_relative, &clock, CLOCK_BOOTTIME);
}

static void run_clock_absolute(void)
{
	clockid_t clock = CLOCK_MONOTONIC;

	naps(nap_absolute, &clock, CLOCK_MONOTONIC);
}

static void run_clock_realtime(void)
{
	clockid_t clock = CLOCK_REALTIME;

	naps(nap_absolute, &clock, CLOCK_REALTIME);
}

static void nap_poll(void *arg)
{
	struct pollfd pfd = { .fd = *(int *)arg, .events = POLLIN };

	V_EQ(poll(&pfd, 1, NAP_MS), 0);
}

static void nap_ppoll(void *arg)
{
	struct pollfd pfd = { .fd = *(int *)arg, .events = POLLIN };
	struct timespec ts = ms_spec(NAP_MS);
	sigset_t set;

	sigfillset(&set);
	V_EQ(ppoll(&pfd, 1, &ts, &set), 0);
}

static void nap_select(void *arg)
{
	struct timeval tv = { .tv_usec = NAP_MS * 1000 };
	int fd = *(int *)arg;
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	V_EQ(select(fd + 1, &set, NULL, NULL, &tv), 0);
}

static void nap_pselect(void *arg)
{
	struct timespec ts = ms_spec(NAP_MS);
	int fd = *(int *)arg;
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	V_EQ(pselect(fd + 1, &set, NULL, NULL, &ts, NULL), 0);
}

static void nap_epoll(void *arg)
{
	struct epoll_event ev;

	V_EQ(epoll_wait(*(int *)arg, &ev, 1, NAP_MS), 0);
}

static void on_pipe(void (*call)(void *))
{
	int p[2];

	V_CHECK(pipe(p) == 0);
	naps(call, &p[0], CLOCK_MONOTONIC);
}

static void run_poll(void)
{
	on_pipe(nap_poll);
}

static void run_ppoll(void)
{
	on_pipe(nap_ppoll);
}

static void run_select(void)
{
	on_pipe(nap_select);
}

static void run_pselect(void)
{
	on_pipe(nap_pselect);
}

static void run_epoll(void)
{
	int p[2], ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN };

	V_CHECK(pipe(p) == 0 && ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev) == 0);
	naps(nap_epoll, &ep, CLOCK_MONOTONIC);
}

static uint32_t futex_word;

static void nap_futex(void *arg)
{
	struct timespec ts = ms_spec(NAP_MS);

	(void)arg;
	V_EQ(syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0), -1);
	V_EQ(errno, ETIMEDOUT);
}

static void nap_futex_absolute(void *arg)
{
	struct timespec ts = ms_spec(v_clock_ns(CLOCK_MONOTONIC) / 1000000 + NAP_MS + 1);

	(void)arg;
	V_EQ(syscall(SYS_futex, &futex_word, FUTEX_WAIT_BITSET_PRIVATE, 0, &ts, NULL, FUTEX_BITSET_MATCH_ANY), -1);
	V_EQ(errno, ETIMEDOUT);
}

static void run_futex(void)
{
	naps(nap_futex, NULL, CLOCK_MONOTONIC);
}

static void run_futex_absolute(void)
{
	naps(nap_futex_absolute, NULL, CLOCK_MONOTONIC);
}

static void nap_cond(void *arg)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec ts = ms_spec(v_clock_ns(CLOCK_REALTIME) / 1000000 + NAP_MS + 1);

	(void)arg;
	V_EQ(pthread_mutex_lock(&mutex), 0);
	V_EQ(pthread_cond_timedwait(&cond, &mutex, &ts), ETIMEDOUT);
	V_EQ(pthread_mutex_unlock(&mutex), 0);
}

static void run_cond(void)
{
	naps(nap_cond, NULL, CLOCK_REALTIME);
}

static void nap_sigwait(void *arg)
{
	struct timespec ts = ms_spec(NAP_MS);

	V_EQ(sigtimedwait(arg, NULL, &ts), -1);
	V_EQ(errno, EAGAIN);
}

static void run_sigwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	V_CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	naps(nap_sigwait, &set, CLOCK_MONOTONIC);
}

static void nap_semop(void *arg)
{
	struct sembuf op = { .sem_op = -1 };
	struct timespec ts = ms_spec(NAP_MS);

	V_EQ(semtimedop(*(int *)arg, &op, 1, &ts), -1);
	V_EQ(errno, EAGAIN);
}

static void run_semop(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);

	V_CHECK(id >= 0);
	naps(nap_semop, &id, CLOCK_MONOTONIC);
	V_CHECK(semctl(id, 0, IPC_RMID) == 0);
}

static void nap_recv(void *arg)
{
	char c;

	V_EQ(recv(*(int *)arg, &c, 1, 0), -1);
	V_EQ(errno, EAGAIN);
}

static void run_recv(void)
{
	struct timeval tv = { .tv_usec = NAP_MS * 1000 };
	int s[2];

	V_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	V_CHECK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
	naps(nap_recv, &s[0], CLOCK_MONOTONIC);
}

/* one long sleep, begun before and ended after: 1.5 s by the job's own clock */
static void run_long(void)
{
	struct timespec ts = ms_spec(1500);
	uint64_t from = v_clock_ns(CLOCK_MONOTONIC);

	v_ready();
	V_EQ(nanosleep(&ts, NULL), 0);
	V_CHECK(v_clock_ns(CLOCK_MONOTONIC) - from >= 1500000000);
	v_wait_go();
}

const struct victim victims_sleep[] = {
	{ "sleep-nanosleep", run_nanosleep },
	{ "sleep-long", run_long },
	{ "sleep-clock-relative", run_clock_relative },
	{ "sleep-clock-absolute", run_clock_absolute },
	{ "sleep-clock-realtime", run_clock_realtime },
	{ "sleep-poll", run_poll },
	{ "sleep-ppoll", run_ppoll },
	{ "sleep-select", run_select },
	{ "sleep-pselect", run_pselect },
	{ "sleep-epoll", run_epoll },
	{ "sleep-futex", run_futex },
	{ "sleep-futex-absolute", run_futex_absolute },
	{ "sleep-cond", run_cond },
	{ "sleep-sigwait", run_sigwait },
	{ "sleep-semop", run_semop },
	{ "sleep-recv", run_recv },
	{ 0 },
};
