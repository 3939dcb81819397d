/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/victims/victim.h - frame of the victims.  Promise: a victim builds state of one kernel feature, says it is ready by creating
 * the file $VICTIM_READY, goes on using that state until the file $VICTIM_GO is there, verifies all of it, prints "ok NAME" or
 * "bad NAME: what" and exits 0 or 1.  It knows nothing of checkpoints and passes undisturbed too.
 *
 *     victim NAME [--rounds N]     with --rounds it goes on by itself after N * 100 ms (of its own clock)
 *     victim --list                names of all
 *
 * $VICTIM_GO may hold a number: the milliseconds the job has been away at least (the clock victims use it). */
#ifndef OM_TESTS_VICTIM_H
#define OM_TESTS_VICTIM_H
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct victim {
	const char *name;
	void (*run)(void);
};
extern const struct victim victims_tree[], victims_family[], victims_memory[], victims_shared[], victims_cpu[], victims_futex[],
	victims_sleep[], victims_block[], victims_file[], victims_lock[], victims_special[], victims_socket[], victims_inet[],
	victims_signal[], victims_timer[], victims_refuse[];

void v_ready(void);
bool v_go(void);			/* also true for children */
void v_nap(void);			/* 10 ms */
void v_wait_go(void);
long v_outage_ms(void);			/* after v_go(): what the go-file says, 0 if nothing */
void v_bad(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4), noreturn));
void v_skip(const char *why) __attribute__((noreturn));	/* prints "skip NAME: why", exits 77 */

/* The condition must hold; else "bad" with it and errno. */
#define V_CHECK(cond) \
	do { \
		if (!(cond)) \
			v_bad(__FILE__, __LINE__, "%s (errno %d)", #cond, errno); \
	} while (0)
#define V_EQ(a, b) \
	do { \
		long long v_a = (long long)(a), v_b = (long long)(b); \
		if (v_a != v_b) \
			v_bad(__FILE__, __LINE__, "%s is %lld, not %lld (errno %d)", #a, v_a, v_b, errno); \
	} while (0)

void v_fill(void *buf, size_t len, uint64_t seed);
bool v_same(const void *buf, size_t len, uint64_t seed);
void *v_map(size_t len, int flags);	/* anonymous, read and write; @flags besides MAP_ANONYMOUS */
uint64_t v_clock_ns(int clock);

/* A child that runs @fn(@arg) and exits 0; and the check that it did. */
pid_t v_child(void (*fn)(void *), void *arg);
void v_reap(pid_t pid);

/* Children pass the gate when their state is built; the parent waits for @n of them. */
struct v_gate {
	int fd[2];
};
struct v_gate v_gate_open(void);
void v_gate_pass(struct v_gate *gate);
void v_gate_wait(struct v_gate *gate, unsigned n);

const char *v_path(const char *suffix);	/* a file of our own, beside $VICTIM_READY or in the current folder */
long v_status(pid_t pid, const char *field);	/* number of /proc/PID/status; -1 if it has none */
char v_state(pid_t pid);		/* R S T Z ... of /proc/PID/stat */
/* One line of /proc/self/smaps for the area that begins at @addr: "VmFlags:", "Rss:" ...; false if there is none. */
bool v_smaps(const void *addr, const char *field, char *ret, size_t len);
#endif
