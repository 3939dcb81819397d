/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "policy/map.h"
#include "policy/queue.h"

enum { E = OM_ELEM_NONE };
static const struct pol_machine four = { 4, 1000 };

/* The allocation after so many fails; below 0: none.  (-Wl,--wrap) */
static int allocations_left = -1;
void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
static bool no_memory(void)
{
	return allocations_left >= 0 && allocations_left-- == 0;
}
void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : __real_calloc(n, size);
}
void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return no_memory() ? NULL : __real_reallocarray(p, n, size);
}

static struct pol_queue *queue(const struct pol_machine *m)
{
	struct pol_queue *q = NULL;

	assert_int_equal(pol_queue_create(m, &q), 0);
	return q;
}

static struct om_job_id job_id(uint64_t id)
{
	return (struct om_job_id){ id, E };
}

static void add(struct pol_queue *q, uint64_t id, uint32_t cpus, struct pol_job more)
{
	more.id = job_id(id);
	more.cpus = cpus;
	assert_int_equal(pol_queue_add(q, &more, NULL, 0), 0);
}
#define ADD(q, id, cpus, ...) add(q, id, cpus, (struct pol_job){ .order = 0, __VA_ARGS__ })

/* The next one, started; 0: none. */
static uint64_t start_next(struct pol_queue *q, uint64_t now)
{
	struct om_job_id id;

	if (!pol_queue_next(q, now, &id))
		return 0;
	assert_int_equal(pol_queue_start(q, id, id.elem, now), 0);
	return id.id;
}

static void reason_is(struct pol_queue *q, struct om_job_id id, uint64_t now, const char *want)
{
	char text[128];

	assert_int_equal(pol_queue_reason(q, id, now, text, sizeof(text)), 0);
	assert_string_equal(text, want);
}

static void order(void **state)
{
	struct pol_queue *q = queue(&(struct pol_machine){ 100, 0 });

	(void)state;
	ADD(q, 5, 1);
	ADD(q, 3, 1);
	ADD(q, 4, 1, .priority = 1);
	ADD(q, 9, 1, .priority = -1);
	add(q, 8, 1, (struct pol_job){ .order = 1 });
	assert_int_equal(start_next(q, 0), 4);
	assert_int_equal(start_next(q, 0), 8);
	assert_int_equal(start_next(q, 0), 3);
	assert_int_equal(pol_queue_set_priority(q, job_id(9), 7), 0);
	assert_int_equal(start_next(q, 0), 9);
	assert_int_equal(start_next(q, 0), 5);
	assert_int_equal(start_next(q, 0), 0);
	pol_queue_destroy(q);
	pol_queue_destroy(NULL);
}

static void errors(void **state)
{
	struct pol_queue *q = queue(&four);
	struct pol_job j = { .id = job_id(1), .cpus = 0 };
	char text[64];

	(void)state;
	assert_int_equal(pol_queue_add(q, &j, NULL, 0), -EINVAL);
	assert_int_equal(pol_queue_adopt(q, &j, 0), -EINVAL);
	j.cpus = 1;
	assert_int_equal(pol_queue_add(q, &j, NULL, 0), 0);
	assert_int_equal(pol_queue_add(q, &j, NULL, 0), -EEXIST);
	assert_int_equal(pol_queue_adopt(q, &j, 0), 0);
	assert_int_equal(pol_queue_adopt(q, &j, 0), -EEXIST);
	assert_int_equal(pol_queue_start(q, j.id, E, 0), -EEXIST);
	assert_int_equal(pol_queue_stopped(q, j.id), 0);
	assert_int_equal(pol_queue_stopped(q, j.id), -ENOENT);
	assert_int_equal(pol_queue_set_left(q, j.id, 5), -ENOENT);
	assert_int_equal(pol_queue_remove(q, j.id), 0);
	assert_int_equal(pol_queue_remove(q, j.id), -ENOENT);
	assert_int_equal(pol_queue_hold(q, j.id, true), -ENOENT);
	assert_int_equal(pol_queue_set_priority(q, j.id, 1), -ENOENT);
	assert_int_equal(pol_queue_start(q, j.id, E, 0), -ENOENT);
	assert_int_equal(pol_queue_reason(q, j.id, 0, text, sizeof(text)), -ENOENT);
	assert_int_equal(pol_queue_target_ended(q, j.id, OM_JOB_RUNNING), -EINVAL);
	assert_int_equal(pol_queue_target_ended(q, j.id, OM_JOB_DONE), 0);
	j.id.elem = 3;
	j.left = 2;
	assert_int_equal(pol_queue_add(q, &j, NULL, 0), -EINVAL);
	pol_queue_destroy(q);
}

static void machine_is_shared(void **state)
{
	struct pol_queue *q = queue(&four);
	struct pol_queue_stats st;

	(void)state;
	ADD(q, 1, 2, .memory = 600);
	ADD(q, 2, 1, .memory = 600);
	ADD(q, 3, 64);
	ADD(q, 4, 1, .memory = UINT64_C(3) << 20);
	assert_int_equal(start_next(q, 0), 1);
	assert_int_equal(start_next(q, 0), 0);
	reason_is(q, job_id(2), 0, "resources");
	reason_is(q, job_id(3), 0, "needs 64 processors, the node has 4");
	reason_is(q, job_id(4), 0, "needs 3 MiB of memory, the node has 0");
	pol_queue_stats(q, &st);
	assert_true(st.waiting == 3 && st.running == 1 && st.cpus_used == 2 && st.memory_used == 600 && st.held == 0 && st.bytes > 0);
	pol_queue_set_machine(q, &(struct pol_machine){ 2, 100 });	/* less than is used */
	assert_int_equal(start_next(q, 0), 0);
	reason_is(q, job_id(2), 0, "needs 1 MiB of memory, the node has 0");
	assert_int_equal(pol_queue_stopped(q, job_id(1)), 0);
	assert_int_equal(start_next(q, 0), 0);
	pol_queue_set_machine(q, &(struct pol_machine){ 80, UINT64_C(1) << 30 });
	assert_int_equal(start_next(q, 0), 2);
	assert_int_equal(start_next(q, 0), 3);
	assert_int_equal(start_next(q, 0), 4);
	pol_queue_destroy(q);
}

static void begin_times(void **state)
{
	struct pol_queue *q = queue(&four);

	(void)state;
	assert_int_equal(pol_queue_wake_ns(q), UINT64_MAX);
	ADD(q, 1, 1, .begin_ns = 50);
	ADD(q, 2, 1, .begin_ns = 20);
	ADD(q, 3, 1, .begin_ns = 90);
	assert_int_equal(start_next(q, 10), 0);
	assert_int_equal(pol_queue_wake_ns(q), 20);
	reason_is(q, job_id(1), 10, "begin time");
	assert_int_equal(start_next(q, 20), 2);
	assert_int_equal(pol_queue_wake_ns(q), 50);
	assert_int_equal(pol_queue_remove(q, job_id(3)), 0);
	pol_queue_set_draining(q, true);
	assert_int_equal(pol_queue_wake_ns(q), UINT64_MAX);
	assert_int_equal(start_next(q, 60), 0);
	reason_is(q, job_id(1), 60, "draining");
	pol_queue_set_draining(q, false);
	assert_int_equal(start_next(q, 15), 1);	/* it is awake, though the clock was set back */
	pol_queue_destroy(q);
}

static void holding(void **state)
{
	struct pol_queue *q = queue(&four);
	struct pol_queue_stats st;

	(void)state;
	ADD(q, 1, 1, .held = true);
	ADD(q, 2, 1);
	assert_int_equal(pol_queue_hold(q, job_id(2), true), 0);
	pol_queue_stats(q, &st);
	assert_true(st.held == 2 && st.waiting == 0);
	assert_int_equal(start_next(q, 0), 0);
	reason_is(q, job_id(1), 0, "held");
	assert_int_equal(pol_queue_hold(q, job_id(1), false), 0);
	assert_int_equal(start_next(q, 0), 1);
	pol_queue_destroy(q);
}

static void add_dep(struct pol_queue *q, uint64_t id, enum pol_dep_type type, uint64_t a, uint64_t b)
{
	struct pol_job j = { .id = job_id(id), .cpus = 1 };
	struct pol_dep d[2] = { { type, job_id(a) }, { type, job_id(b) } };

	assert_int_equal(pol_queue_add(q, &j, d, b ? 2 : 1), 0);
}

static void dependencies(void **state)
{
	struct pol_queue *q = queue(&(struct pol_machine){ 99, 0 });
	struct om_job_id id, target;

	(void)state;
	add_dep(q, 11, POL_DEP_AFTEROK, 1, 2);
	add_dep(q, 12, POL_DEP_AFTERNOTOK, 1, 0);
	add_dep(q, 13, POL_DEP_AFTERANY, 1, 1);
	add_dep(q, 14, POL_DEP_AFTEROK, 2, 0);
	add_dep(q, 15, POL_DEP_AFTEROK, 2, 3);
	add_dep(q, 16, POL_DEP_AFTEROK, 2, 0);
	add_dep(q, 17, POL_DEP_AFTEROK, 9, 0);
	assert_int_equal(start_next(q, 0), 0);
	reason_is(q, job_id(11), 0, "dependency 2");
	assert_int_equal(pol_queue_target_ended(q, job_id(1), OM_JOB_DONE), 0);
	assert_int_equal(start_next(q, 0), 13);
	assert_int_equal(start_next(q, 0), 0);
	assert_true(pol_queue_take_impossible(q, &id, &target));
	assert_true(id.id == 12 && target.id == 1);
	assert_false(pol_queue_take_impossible(q, &id, &target));
	assert_int_equal(pol_queue_target_ended(q, job_id(2), OM_JOB_TIMEOUT), 0);
	reason_is(q, job_id(15), 0, "dependency 2 cannot be satisfied");
	assert_int_equal(start_next(q, 0), 0);
	assert_int_equal(pol_queue_remove(q, job_id(14)), 0);	/* by its user, before it was taken */
	assert_int_equal(pol_queue_target_ended(q, job_id(3), OM_JOB_FAILED), 0);	/* impossible twice */
	for (uint64_t seen = 0, n = 0; n < 3; n++) {
		assert_true(pol_queue_take_impossible(q, &id, &target));
		assert_false(seen >> id.id & 1);
		seen |= UINT64_C(1) << id.id;
	}
	assert_false(pol_queue_take_impossible(q, &id, &target));
	assert_int_equal(start_next(q, 0), 0);
	assert_int_equal(pol_queue_remove(q, job_id(17)), 0);
	assert_int_equal(pol_queue_target_ended(q, job_id(9), OM_JOB_DONE), 0);
	assert_int_equal(start_next(q, 0), 0);
	pol_queue_destroy(q);
}

static void fates(void **state)
{
	(void)state;
	assert_int_equal(pol_dep_judge(POL_DEP_AFTEROK, OM_JOB_RUNNING), POL_FATE_WAIT);
	assert_int_equal(pol_dep_judge(POL_DEP_AFTEROK, OM_JOB_DONE), POL_FATE_OK);
	assert_int_equal(pol_dep_judge(POL_DEP_AFTEROK, OM_JOB_CANCELLED), POL_FATE_NEVER);
	assert_int_equal(pol_dep_judge(POL_DEP_AFTEROK, OM_JOB_NONE), POL_FATE_NEVER);
	assert_int_equal(pol_dep_judge(POL_DEP_AFTERANY, OM_JOB_NONE), POL_FATE_OK);
	assert_int_equal(pol_dep_judge(POL_DEP_AFTERANY, OM_JOB_LOST), POL_FATE_OK);
	assert_int_equal(pol_dep_judge(POL_DEP_AFTERANY, OM_JOB_HELD), POL_FATE_WAIT);
	assert_int_equal(pol_dep_judge(POL_DEP_AFTERNOTOK, OM_JOB_DONE), POL_FATE_NEVER);
	assert_int_equal(pol_dep_judge(POL_DEP_AFTERNOTOK, OM_JOB_FAILED), POL_FATE_OK);
}

static void array_with_cap(void **state)
{
	struct pol_queue *q = queue(&(struct pol_machine){ 99, 0 });
	struct pol_queue_stats st;
	struct om_job_id id;

	(void)state;
	ADD(q, 7, 1, .left = 5, .cap = 2);
	ADD(q, 8, 1);
	for (int32_t elem = 0; elem < 2; elem++) {
		assert_true(pol_queue_next(q, 0, &id));
		assert_true(id.id == 7 && id.elem == E);
		assert_int_equal(pol_queue_start(q, id, elem, 0), 0);
	}
	pol_queue_stats(q, &st);
	assert_true(st.waiting == 4 && st.running == 2);
	assert_int_equal(start_next(q, 0), 8);
	assert_int_equal(start_next(q, 0), 0);
	reason_is(q, job_id(7), 0, "array cap");
	/* an element comes back: it counts too, and goes before the rest */
	assert_int_equal(pol_queue_stopped(q, (struct om_job_id){ 7, 1 }), 0);
	assert_int_equal(pol_queue_add(q, &(struct pol_job){ .id = { 7, 1 }, .cpus = 1, .cap = 2 }, NULL, 0), 0);
	assert_true(pol_queue_next(q, 0, &id));
	assert_true(id.id == 7 && id.elem == 1);
	assert_int_equal(pol_queue_start(q, id, 1, 0), 0);
	assert_false(pol_queue_next(q, 0, &id));
	assert_int_equal(pol_queue_set_left(q, job_id(7), 1), 0);
	pol_queue_stats(q, &st);
	assert_int_equal(st.waiting, 1);
	assert_int_equal(pol_queue_stopped(q, (struct om_job_id){ 7, 0 }), 0);
	assert_true(pol_queue_next(q, 0, &id));
	assert_int_equal(pol_queue_start(q, id, 4, 0), 0);
	assert_int_equal(pol_queue_remove(q, job_id(7)), -ENOENT);
	ADD(q, 9, 1, .left = 3);
	assert_int_equal(pol_queue_set_left(q, job_id(9), 0), 0);
	assert_int_equal(pol_queue_remove(q, job_id(9)), -ENOENT);
	pol_queue_destroy(q);
}

/* Of those that the cap has stopped one is let go when an element ends; if that one goes away before it is started, the next one. */
static void array_cap_is_handed_on(void **state)
{
	struct pol_queue *q = queue(&(struct pol_machine){ 99, 0 });
	struct om_job_id id;

	(void)state;
	for (int32_t i = 0; i < 4; i++)
		assert_int_equal(pol_queue_add(q, &(struct pol_job){ .id = { 7, i }, .cpus = 1, .cap = 1 }, NULL, 0), 0);
	assert_int_equal(start_next(q, 0), 7);
	assert_int_equal(start_next(q, 0), 0);
	assert_int_equal(pol_queue_stopped(q, (struct om_job_id){ 7, 0 }), 0);
	assert_int_equal(pol_queue_hold(q, (struct om_job_id){ 7, 1 }, true), 0);
	assert_true(pol_queue_next(q, 0, &id));
	assert_int_equal(id.elem, 2);
	assert_int_equal(pol_queue_remove(q, id), 0);
	assert_true(pol_queue_next(q, 0, &id));
	assert_int_equal(id.elem, 3);
	assert_int_equal(pol_queue_set_priority(q, (struct om_job_id){ 7, 3 }, -1), 0);
	assert_int_equal(pol_queue_hold(q, (struct om_job_id){ 7, 1 }, false), 0);
	assert_true(pol_queue_next(q, 0, &id));
	assert_int_equal(id.elem, 1);
	pol_queue_destroy(q);
}

/* EASY: 3 of 4 processors busy until 100 (2) and 200 (1); the head needs 3 and gets them at 100, when one will be left over. */
static void backfill(void **state)
{
	struct pol_queue *q = queue(&four);

	(void)state;
	ADD(q, 1, 2, .limit_ns = 100);
	ADD(q, 2, 1, .limit_ns = 200);
	assert_int_equal(start_next(q, 0), 1);
	assert_int_equal(start_next(q, 0), 2);
	ADD(q, 3, 3);
	ADD(q, 4, 1);			/* no limit: would delay it */
	ADD(q, 5, 1, .limit_ns = 101);	/* so would this */
	ADD(q, 6, 1, .limit_ns = 90);	/* this does not */
	assert_int_equal(start_next(q, 0), 6);
	assert_int_equal(start_next(q, 0), 0);
	reason_is(q, job_id(3), 0, "resources");
	reason_is(q, job_id(4), 0, "priority");
	assert_int_equal(pol_queue_stopped(q, job_id(6)), 0);
	assert_int_equal(start_next(q, 90), 0);
	/* 1 ends: now the head fits */
	assert_int_equal(pol_queue_stopped(q, job_id(1)), 0);
	assert_int_equal(start_next(q, 95), 3);
	pol_queue_destroy(q);

	q = queue(&four);		/* what is left over may be used without any limit */
	ADD(q, 1, 3, .limit_ns = 100);
	assert_int_equal(start_next(q, 0), 1);
	ADD(q, 2, 3);
	ADD(q, 3, 1);
	assert_int_equal(start_next(q, 0), 3);
	pol_queue_destroy(q);
}

/* Small jobs without limit come for ever: the large one behind whom they come must start all the same. */
static void nobody_starves(void **state)
{
	struct pol_queue *q = queue(&four);
	uint64_t running[8] = { 0 }, next = 100, id;
	size_t n = 0;
	int turn;

	(void)state;
	for (id = 1; id <= 4; id++) {
		ADD(q, id, 1);
		running[n++] = start_next(q, 0);
	}
	ADD(q, 50, 4);
	for (turn = 0; turn < 20; turn++) {
		ADD(q, next, 1, .limit_ns = turn % 2 ? 3 : 0);
		next++;
		if (n) {
			assert_int_equal(pol_queue_stopped(q, job_id(running[0])), 0);
			memmove(running, running + 1, --n * sizeof(running[0]));
		}
		while ((id = start_next(q, (uint64_t)turn)) != 0) {
			if (id == 50)
				break;
			running[n++] = id;
		}
		if (id == 50)
			break;
	}
	assert_int_equal(id, 50);
	assert_true(turn < 10);
	pol_queue_destroy(q);
}

static void running_over_the_limit(void **state)
{
	struct pol_queue *q = queue(&four);

	(void)state;
	assert_int_equal(pol_queue_adopt(q, &(struct pol_job){ .id = job_id(1), .cpus = 3, .memory = 5000, .limit_ns = 10 }, 0), 0);
	assert_int_equal(pol_queue_adopt(q, &(struct pol_job){ .id = job_id(2), .cpus = 1, .limit_ns = UINT64_MAX }, 5), 0);
	ADD(q, 3, 2);
	assert_int_equal(start_next(q, 50), 0);
	assert_int_equal(pol_queue_adopt(q, &(struct pol_job){ .id = job_id(4), .cpus = 9 }, 0), 0);
	assert_int_equal(start_next(q, 50), 0);
	assert_int_equal(pol_queue_stopped(q, job_id(4)), 0);
	assert_int_equal(pol_queue_stopped(q, job_id(1)), 0);
	assert_int_equal(start_next(q, 50), 3);
	pol_queue_destroy(q);
}

/* One decision looks at 1,000 shapes at most: small jobs behind more of them wait until those are fewer. */
static void decisions_are_bounded(void **state)
{
	struct pol_queue *q = queue(&(struct pol_machine){ 2, 1 << 20 });

	(void)state;
	ADD(q, 1, 1);
	assert_int_equal(start_next(q, 0), 1);
	for (uint64_t i = 2; i <= 1200; i++)
		ADD(q, i, 2, .memory = i);
	ADD(q, 2000, 1, .limit_ns = 5);
	assert_int_equal(start_next(q, 0), 0);
	for (uint64_t i = 2; i <= 300; i++)
		assert_int_equal(pol_queue_remove(q, job_id(i)), 0);
	assert_int_equal(start_next(q, 0), 2000);
	pol_queue_destroy(q);
}

/* ---- out of memory ---- */

/* A call that may run out of memory: repeated until it does not.  It has changed nothing as long as it failed. */
#define RETRIED(q, call) do { \
	struct pol_queue_stats before_, after_; \
	int nth_ = 0, r_; \
	pol_queue_stats(q, &before_); \
	for (;;) { \
		allocations_left = nth_++; \
		r_ = call; \
		allocations_left = -1; \
		if (r_ != -ENOMEM) \
			break; \
		pol_queue_stats(q, &after_); \
		assert_int_equal(after_.waiting, before_.waiting); \
		assert_int_equal(after_.running, before_.running); \
		assert_int_equal(after_.cpus_used, before_.cpus_used); \
	} \
	assert_int_equal(r_, 0); \
	failures += nth_ - 1; \
} while (0)

static void out_of_memory(void **state)
{
	struct pol_queue *q = NULL;
	struct pol_machine m = { 1000, 0 };
	int failures = 0;

	(void)state;
	allocations_left = 0;
	assert_int_equal(pol_queue_create(&m, &q), -ENOMEM);
	allocations_left = -1;
	assert_null(q);
	q = queue(&m);
	for (uint64_t i = 1; i <= 200; i++) {
		struct pol_job j = { .id = job_id(i), .cpus = 1, .cap = 1 + i % 2, .limit_ns = i, .left = 2 };
		struct pol_dep d[2] = { { POL_DEP_AFTERANY, job_id(i + 1000) }, { POL_DEP_AFTEROK, job_id(5000) } };
		struct pol_job r = { .id = { i, 100 }, .cpus = 1, .cap = 5 };

		RETRIED(q, pol_queue_add(q, &j, d, i % 2 ? 2 : 0));
		RETRIED(q, pol_queue_adopt(q, &r, 0));
	}
	assert_int_equal(pol_queue_target_ended(q, job_id(5000), OM_JOB_DONE), 0);
	for (;;) {
		struct om_job_id id;
		static int32_t elem;

		if (!pol_queue_next(q, 0, &id))
			break;
		elem++;
		RETRIED(q, pol_queue_start(q, id, elem, 0));
	}
	assert_true(failures > 30);
	pol_queue_destroy(q);
}

static void map(void **state)
{
	struct pol_map m = { 0 };
	bool there[64] = { 0 };
	unsigned seed = 9;

	(void)state;
	pol_map_remove(&m, (struct pol_map_key){ 1, 2, 3 });
	assert_int_equal(pol_map_get(&m, (struct pol_map_key){ 1, 2, 3 }), POL_NIL);
	assert_int_equal(pol_map_reserve(&m, 48), 0);
	/* keys that differ in one number only, in a table that is as full as it gets */
	for (int i = 0; i < 20000; i++) {
		uint32_t k = (uint32_t)rand_r(&seed) % 48;
		struct pol_map_key key = { k & 3, k >> 2 & 3, k >> 4 };

		if (rand_r(&seed) % 2) {
			pol_map_put(&m, key, k);
			there[k] = true;
		} else {
			pol_map_remove(&m, key);
			there[k] = false;
		}
		for (k = 0; k < 48; k++)
			assert_int_equal(pol_map_get(&m, (struct pol_map_key){ k & 3, k >> 2 & 3, k >> 4 }), there[k] ? k : POL_NIL);
	}
	pol_map_done(&m);
}

/* ---- against a slow reference: all jobs in one list, sorted anew for each question ---- */

enum { MOST = 60 };
struct ref_job {
	struct pol_job j;
	struct pol_dep dep[2];
	bool dep_open[2], never, waiting, running, awake;
	uint64_t end_ns, turn;
};
struct ref {
	struct ref_job job[MOST];
	size_t n;
	struct pol_machine m;
	uint64_t turn;
};

static int ref_order(const void *a, const void *b)
{
	const struct pol_job *x = &(*(struct ref_job *const *)a)->j, *y = &(*(struct ref_job *const *)b)->j;
	int64_t ex = x->id.elem == E ? INT64_MAX : x->id.elem, ey = y->id.elem == E ? INT64_MAX : y->id.elem;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	if (x->id.id != y->id.id)
		return x->id.id < y->id.id ? -1 : 1;
	return (ex > ey) - (ex < ey);
}

static int ref_ends(const void *a, const void *b)
{
	const struct ref_job *x = *(struct ref_job *const *)a, *y = *(struct ref_job *const *)b;

	if (x->end_ns != y->end_ns)
		return x->end_ns < y->end_ns ? -1 : 1;
	return (x->turn > y->turn) - (x->turn < y->turn);
}

static struct ref_job *ref_next(struct ref *r, uint64_t now)
{
	struct ref_job *wait[MOST], *run[MOST], *head = NULL;
	size_t nwait = 0, nrun = 0;
	int64_t cpus = r->m.cpus, memory = (int64_t)r->m.memory, extra_cpus = 0, extra_memory = 0;
	uint64_t at = now;

	for (size_t i = 0; i < r->n; i++) {
		struct ref_job *k = &r->job[i];

		if (k->running) {
			run[nrun++] = k;
			cpus -= k->j.cpus;
			memory -= (int64_t)k->j.memory;
		}
	}
	for (size_t i = 0; i < r->n; i++) {
		struct ref_job *k = &r->job[i];
		uint32_t same = 0;

		for (size_t x = 0; x < nrun; x++)
			same += run[x]->j.id.id == k->j.id.id;
		if (k->waiting && k->j.begin_ns <= now)
			k->awake = true;
		if (!k->waiting || k->j.held || k->never || k->dep_open[0] || k->dep_open[1] || !k->awake || (k->j.cap && same >= k->j.cap) ||
		    k->j.cpus > r->m.cpus || k->j.memory > r->m.memory)
			continue;
		wait[nwait++] = k;
	}
	qsort(wait, nwait, sizeof(wait[0]), ref_order);
	qsort(run, nrun, sizeof(run[0]), ref_ends);
	for (size_t i = 0; i < nwait; i++) {
		struct pol_job *j = &wait[i]->j;
		bool fits = j->cpus <= cpus && (int64_t)j->memory <= memory;

		if (fits && (!head || (j->limit_ns && now + j->limit_ns <= at) || (j->cpus <= extra_cpus && (int64_t)j->memory <= extra_memory)))
			return wait[i];
		if (head)
			continue;
		head = wait[i];
		extra_cpus = cpus;
		extra_memory = memory;
		for (size_t x = 0; x < nrun && (extra_cpus < j->cpus || extra_memory < (int64_t)j->memory); x++) {
			extra_cpus += run[x]->j.cpus;
			extra_memory += (int64_t)run[x]->j.memory;
			at = run[x]->end_ns > at ? run[x]->end_ns : at;
		}
		extra_cpus -= j->cpus;
		extra_memory -= (int64_t)j->memory;
	}
	return NULL;
}

static struct ref_job *ref_random(struct ref *r, unsigned *seed, bool running)
{
	for (int i = 0; i < 20 && r->n; i++) {
		struct ref_job *k = &r->job[(size_t)rand_r(seed) % r->n];

		if (running ? k->running : k->waiting)
			return k;
	}
	return NULL;
}

static void ref_drop(struct ref *r, struct ref_job *k)
{
	*k = r->job[--r->n];
}

static void ref_add(struct ref *r, struct pol_queue *q, unsigned *seed, uint64_t id, uint64_t now)
{
	struct ref_job *k = &r->job[r->n];
	size_t ndeps = rand_r(seed) % 4 == 0 ? 1 + (size_t)rand_r(seed) % 2 : 0;
	bool array = rand_r(seed) % 5 == 0;

	if (r->n == MOST)
		return;
	memset(k, 0, sizeof(*k));
	k->j = (struct pol_job){ .id = job_id(id), .priority = rand_r(seed) % 3, .cpus = 1 + (uint32_t)rand_r(seed) % 5,
				 .memory = (uint64_t)rand_r(seed) % 3 * 30, .limit_ns = (uint64_t)rand_r(seed) % 4 * 10, .order = id,
				 .begin_ns = rand_r(seed) % 5 ? 0 : now + (uint64_t)rand_r(seed) % 50, .held = rand_r(seed) % 9 == 0 };
	if (array) {
		k->j.left = 1 + (uint32_t)rand_r(seed) % 6;
		k->j.cap = (uint32_t)rand_r(seed) % 4;
	}
	for (size_t i = 0; i < ndeps; i++) {
		k->dep[i] = (struct pol_dep){ (enum pol_dep_type)(rand_r(seed) % 3), job_id(id - 1 - (uint64_t)rand_r(seed) % 8) };
		k->dep_open[i] = true;
	}
	k->waiting = true;
	assert_int_equal(pol_queue_add(q, &k->j, k->dep, ndeps), 0);
	r->n++;
}

static void ref_ended(struct ref *r, struct pol_queue *q, struct om_job_id target, enum om_job_state s)
{
	struct om_job_id id, of;

	assert_int_equal(pol_queue_target_ended(q, target, s), 0);
	for (size_t i = 0; i < r->n; i++)
		for (size_t d = 0; d < 2; d++) {
			struct ref_job *k = &r->job[i];

			if (!k->dep_open[d] || !om_job_id_same(k->dep[d].target, target))
				continue;
			k->dep_open[d] = false;
			if (pol_dep_judge(k->dep[d].type, s) == POL_FATE_NEVER)
				k->never = true;
		}
	while (pol_queue_take_impossible(q, &id, &of)) {
		size_t i;

		for (i = 0; i < r->n && !(om_job_id_same(r->job[i].j.id, id) && r->job[i].waiting); i++)
			;
		assert_true(i < r->n && r->job[i].never);
		ref_drop(r, &r->job[i]);
	}
	for (size_t i = 0; i < r->n; i++)
		assert_false(r->job[i].never);
}

/* Start what the queue says, if the reference says the same. */
static bool ref_start(struct ref *r, struct pol_queue *q, uint64_t now, int32_t *elem)
{
	struct ref_job *k = ref_next(r, now);
	struct om_job_id id = { 0, 0 };
	bool some = pol_queue_next(q, now, &id);

	assert_int_equal(some, k != NULL);
	if (!some)
		return false;
	assert_true(om_job_id_same(id, k->j.id));
	if (k->j.left) {
		struct ref_job *e = &r->job[r->n];

		if (r->n == MOST)	/* no room in the reference for one more */
			return false;
		*e = *k;
		e->j.id.elem = (*elem)++;
		assert_int_equal(pol_queue_start(q, id, e->j.id.elem, now), 0);
		if (--k->j.left == 0) {
			*k = *e;
			e = k;
		} else {
			r->n++;
		}
		e->j.left = 0;
		k = e;
	} else {
		assert_int_equal(pol_queue_start(q, id, id.elem, now), 0);
	}
	k->waiting = false;
	k->running = true;
	k->end_ns = k->j.limit_ns ? now + k->j.limit_ns : UINT64_MAX;
	k->turn = r->turn++;
	return true;
}

static void ref_stop(struct ref *r, struct pol_queue *q, unsigned *seed, uint64_t now)
{
	struct ref_job *k = ref_random(r, seed, true);

	if (!k)
		return;
	assert_int_equal(pol_queue_stopped(q, k->j.id), 0);
	k->running = false;
	if (rand_r(seed) % 3 == 0) {	/* lost: it comes back, with a pause */
		k->waiting = true;
		k->awake = false;
		k->dep_open[0] = k->dep_open[1] = false;
		k->j.begin_ns = rand_r(seed) % 2 ? 0 : now + (uint64_t)rand_r(seed) % 20;
		k->j.held = false;
		assert_int_equal(pol_queue_add(q, &k->j, NULL, 0), 0);
		return;
	}
	{
		struct om_job_id id = k->j.id;

		ref_drop(r, k);
		ref_ended(r, q, id, rand_r(seed) % 3 ? OM_JOB_DONE : OM_JOB_FAILED);
	}
}

static void ref_change(struct ref *r, struct pol_queue *q, unsigned *seed)
{
	struct ref_job *k = ref_random(r, seed, false);

	if (!k)
		return;
	switch (rand_r(seed) % 5) {
	case 0:
		assert_int_equal(pol_queue_remove(q, k->j.id), 0);
		ref_drop(r, k);
		break;
	case 1:
		k->j.priority = rand_r(seed) % 3;
		assert_int_equal(pol_queue_set_priority(q, k->j.id, k->j.priority), 0);
		break;
	case 2:
		if (k->j.left > 1) {
			k->j.left--;
			assert_int_equal(pol_queue_set_left(q, k->j.id, k->j.left), 0);
		}
		break;
	default:
		k->j.held = !k->j.held;
		assert_int_equal(pol_queue_hold(q, k->j.id, k->j.held), 0);
		break;
	}
}

static void check_stats(const struct ref *r, const struct pol_queue *q)
{
	struct pol_queue_stats st;
	uint64_t waiting = 0, held = 0, running = 0, cpus = 0, memory = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct ref_job *k = &r->job[i];

		if (k->waiting)
			*(k->j.held ? &held : &waiting) += k->j.left ? k->j.left : 1;
		if (k->running) {
			running++;
			cpus += k->j.cpus;
			memory += k->j.memory;
		}
	}
	pol_queue_stats(q, &st);
	assert_true(st.waiting == waiting && st.held == held && st.running == running && st.cpus_used == cpus && st.memory_used == memory);
}

static void random_against_reference(void **state)
{
	(void)state;
	for (unsigned round = 1; round <= 150; round++) {
		static struct ref r;
		unsigned seed = round;
		struct pol_queue *q;
		uint64_t now = 0, id = 10;
		int32_t elem = 0;

		memset(&r, 0, sizeof(r));
		r.m = (struct pol_machine){ 6, 100 };
		q = queue(&r.m);
		for (int step = 0; step < 600; step++) {
			switch (rand_r(&seed) % 10) {
			case 0: case 1: case 2:
				ref_add(&r, q, &seed, id++, now);
				break;
			case 3: case 4: case 5:
				ref_stop(&r, q, &seed, now);
				break;
			case 6:
				ref_change(&r, q, &seed);
				break;
			case 7:
				now += (uint64_t)rand_r(&seed) % 10;
				break;
			case 8:
				if (rand_r(&seed) % 8 == 0) {
					r.m.cpus = 3 + (uint32_t)rand_r(&seed) % 6;
					pol_queue_set_machine(q, &r.m);
				}
				break;
			default:
				ref_ended(&r, q, job_id(id - 1 - (uint64_t)rand_r(&seed) % 10), rand_r(&seed) % 2 ? OM_JOB_DONE : OM_JOB_LOST);
				break;
			}
			while (rand_r(&seed) % 4 && ref_start(&r, q, now, &elem))
				;
			if (!ref_next(&r, now)) {
				struct om_job_id none;

				assert_false(pol_queue_next(q, now, &none));
			}
			check_stats(&r, q);
		}
		pol_queue_destroy(q);
	}
}

/* 100,000 jobs of 1,000 shapes, two at a time: the time is printed, not asserted; the memory is. */
static void many(void **state)
{
	enum { N = 100000 };
	struct pol_queue *q = queue(&(struct pol_machine){ 2, 1 << 20 });
	struct pol_queue_stats st;
	struct timespec a, b;
	struct om_job_id id, before = { 0, 0 };

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (uint64_t i = 1; i <= N; i++)
		ADD(q, i, 1 + i % 2, .memory = i * 7919 % 1000, .limit_ns = i % 3 ? 1000 : 0, .priority = (int32_t)(i * 31 % 10));
	pol_queue_stats(q, &st);
	assert_true(st.bytes < 64u << 20);
	for (uint64_t n = 0; n < N;) {
		while (pol_queue_next(q, n, &id)) {
			assert_int_equal(pol_queue_start(q, id, E, n), 0);
			if (before.id)
				assert_int_equal(pol_queue_stopped(q, before), 0);
			before = id;
			n++;
		}
		assert_int_equal(pol_queue_stopped(q, before), 0);
		before.id = 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	print_message("# %d jobs through the queue: %.0f ms; %" PRIu64 " bytes\n", N,
		      (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6, st.bytes);
	pol_queue_stats(q, &st);
	assert_true(st.waiting == 0 && st.running == 0 && st.cpus_used == 0);
	pol_queue_destroy(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order), cmocka_unit_test(errors), cmocka_unit_test(machine_is_shared), cmocka_unit_test(begin_times),
		cmocka_unit_test(holding), cmocka_unit_test(dependencies), cmocka_unit_test(fates), cmocka_unit_test(array_with_cap), cmocka_unit_test(array_cap_is_handed_on),
		cmocka_unit_test(backfill), cmocka_unit_test(nobody_starves), cmocka_unit_test(running_over_the_limit),
		cmocka_unit_test(decisions_are_bounded), cmocka_unit_test(out_of_memory), cmocka_unit_test(map),
		cmocka_unit_test(random_against_reference), cmocka_unit_test(many),
	};

	return cmocka_run_group_tests_name("policy-queue", tests, NULL, NULL);
}
