/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Futexes: private, shared between processes, robust, with priority inheritance. */
#include "tests/victims/victim.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct board {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	uint64_t turn, waiting, done;
};

static struct board *board_make(int kind, int protocol)
{
	struct board *b = v_map(4096, MAP_SHARED);
	pthread_mutexattr_t ma;
	pthread_condattr_t ca;

	V_CHECK(pthread_mutexattr_init(&ma) == 0 && pthread_condattr_init(&ca) == 0);
	V_CHECK(pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED) == 0);
	V_CHECK(pthread_mutexattr_setrobust(&ma, kind) == 0);
	V_CHECK(pthread_mutexattr_setprotocol(&ma, protocol) == 0);
	V_CHECK(pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED) == 0);
	V_CHECK(pthread_mutex_init(&b->mutex, &ma) == 0 && pthread_cond_init(&b->cond, &ca) == 0);
	return b;
}

/* ---- three processes in turn, by a condition in shared memory ---- */
struct player {
	struct board *b;
	unsigned nr;
};

static void play(void *arg)
{
	struct player *p = arg;
	bool last = false;

	while (!last) {
		V_EQ(pthread_mutex_lock(&p->b->mutex), 0);
		while (p->b->turn % 3 != p->nr && !p->b->done)
			V_EQ(pthread_cond_wait(&p->b->cond, &p->b->mutex), 0);
		last = p->b->done;
		p->b->turn++;
		V_EQ(pthread_cond_broadcast(&p->b->cond), 0);
		V_EQ(pthread_mutex_unlock(&p->b->mutex), 0);
	}
}

static void run_shared(void)
{
	struct board *b = board_make(PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
	struct player p[3] = { { b, 0 }, { b, 1 }, { b, 2 } };
	pid_t kid[3];

	for (int i = 0; i < 3; i++)
		kid[i] = v_child(play, &p[i]);
	while (*(volatile uint64_t *)&b->turn < 100)
		v_nap();
	v_ready();
	v_wait_go();
	V_EQ(pthread_mutex_lock(&b->mutex), 0);
	b->done = 1;
	V_EQ(pthread_cond_broadcast(&b->cond), 0);
	V_EQ(pthread_mutex_unlock(&b->mutex), 0);
	for (int i = 0; i < 3; i++)
		v_reap(kid[i]);
}

/* ---- many threads wait for one signal that comes only at the end ---- */
static struct board local = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0 };

static void *waiter(void *arg)
{
	V_EQ(pthread_mutex_lock(&local.mutex), 0);
	local.waiting++;
	while (!local.done)
		V_EQ(pthread_cond_wait(&local.cond, &local.mutex), 0);
	V_EQ(pthread_mutex_unlock(&local.mutex), 0);
	return arg;
}

static void run_waiters(void)
{
	pthread_t t[8];

	for (int i = 0; i < 8; i++)
		V_CHECK(pthread_create(&t[i], NULL, waiter, NULL) == 0);
	for (uint64_t n = 0; n < 8; v_nap()) {
		V_EQ(pthread_mutex_lock(&local.mutex), 0);
		n = local.waiting;
		V_EQ(pthread_mutex_unlock(&local.mutex), 0);
	}
	v_ready();
	v_wait_go();
	V_EQ(pthread_mutex_lock(&local.mutex), 0);
	local.done = 1;
	V_EQ(pthread_cond_broadcast(&local.cond), 0);
	V_EQ(pthread_mutex_unlock(&local.mutex), 0);
	for (int i = 0; i < 8; i++)
		V_EQ(pthread_join(t[i], NULL), 0);
}

/* ---- robust: who dies with the lock leaves word of it ---- */
static void lock_and_die(void *arg)
{
	struct board *b = arg;

	V_EQ(pthread_mutex_lock(&b->mutex), 0);
	*(volatile uint64_t *)&b->waiting = 1;
	v_wait_go();
	_exit(0);		/* with the lock held */
}

static void run_robust(void)
{
	struct board *b = board_make(PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
	pid_t kid = v_child(lock_and_die, b);

	while (!*(volatile uint64_t *)&b->waiting)
		v_nap();
	V_EQ(pthread_mutex_trylock(&b->mutex), EBUSY);
	v_ready();
	V_EQ(pthread_mutex_lock(&b->mutex), EOWNERDEAD);	/* waits there through it all */
	V_EQ(pthread_mutex_consistent(&b->mutex), 0);
	V_EQ(pthread_mutex_unlock(&b->mutex), 0);
	v_reap(kid);
}

/* ---- priority inheritance: the kernel knows owner and waiter ---- */
static void lock_and_release(void *arg)
{
	struct board *b = arg;

	V_EQ(pthread_mutex_lock(&b->mutex), 0);
	*(volatile uint64_t *)&b->waiting = 1;
	v_wait_go();
	b->done = 1;
	V_EQ(pthread_mutex_unlock(&b->mutex), 0);
}

static void run_pi(void)
{
	struct board *b = board_make(PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
	pid_t kid = v_child(lock_and_release, b);

	while (!*(volatile uint64_t *)&b->waiting)
		v_nap();
	v_ready();
	V_EQ(pthread_mutex_lock(&b->mutex), 0);
	V_EQ(b->done, 1);
	V_EQ(pthread_mutex_unlock(&b->mutex), 0);
	v_reap(kid);
}

const struct victim victims_futex[] = {
	{ "futex-shared", run_shared },
	{ "futex-waiters", run_waiters },
	{ "futex-robust", run_robust },
	{ "futex-pi", run_pi },
	{ 0 },
};
