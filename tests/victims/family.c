/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What belongs to a single process or thread: threads, scheduling, prctl, credentials, limits. */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 12 };

static __thread uint64_t thread_value;
static pthread_barrier_t barrier;

static void *thread_main(void *arg)
{
	long nr = (long)arg;
	char name[16], got[16];
	pid_t tid = gettid();
	sigset_t set, now;

	thread_value = (uint64_t)nr * 1000003;
	snprintf(name, sizeof(name), "thread-%ld", nr);
	V_CHECK(prctl(PR_SET_NAME, name, 0, 0, 0) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + (int)nr);
	V_CHECK(pthread_sigmask(SIG_SETMASK, &set, NULL) == 0);
	pthread_barrier_wait(&barrier);
	while (!v_go()) {
		if (nr % 2)
			v_nap();
		V_EQ(thread_value, nr * 1000003);
	}
	V_EQ(gettid(), tid);
	V_CHECK(prctl(PR_GET_NAME, got, 0, 0, 0) == 0 && strcmp(got, name) == 0);
	V_CHECK(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
	for (int s = SIGRTMIN; s <= SIGRTMAX; s++)
		V_EQ(sigismember(&now, s), s == SIGRTMIN + (int)nr);
	return arg;
}

static void run_threads(void)
{
	pthread_t thread[THREADS];
	void *ret;

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (long i = 0; i < THREADS; i++)
		V_CHECK(pthread_create(&thread[i], NULL, thread_main, (void *)i) == 0);
	pthread_barrier_wait(&barrier);
	v_ready();
	for (long i = 0; i < THREADS; i++) {
		V_CHECK(pthread_join(thread[i], &ret) == 0);
		V_EQ((long)ret, i);
	}
	V_EQ(v_status(getpid(), "Threads:"), 1);
}

/* threads that come and go */
static void *short_thread(void *arg)
{
	return (char *)arg + 1;
}

static void run_thread_storm(void)
{
	long n = 0;

	v_ready();
	do {
		pthread_t t;
		void *ret;

		V_CHECK(pthread_create(&t, NULL, short_thread, (void *)n) == 0);
		V_CHECK(pthread_join(t, &ret) == 0);
		V_EQ((long)ret, n + 1);
		n++;
	} while (n % 16 || !v_go());
}

/* the first thread has ended, the process lives on in another */
static void *survivor(void *arg)
{
	while (v_state(getpid()) != 'Z')
		v_nap();
	v_gate_pass(arg);
	v_wait_go();
	V_EQ(v_state(getpid()), 'Z');
	_exit(0);
}

static void leader_leaves(void *arg)
{
	pthread_t t;

	V_CHECK(pthread_create(&t, NULL, survivor, arg) == 0);
	pthread_exit(NULL);
}

static void run_leader_gone(void)
{
	struct v_gate gate = v_gate_open();
	pid_t kid = v_child(leader_leaves, &gate);

	v_gate_wait(&gate, 1);
	v_ready();
	v_wait_go();
	v_reap(kid);
}

/* ---- scheduling ---- */
enum { IOPRIO_WHO = 1, IOPRIO_BE_6 = 2 << 13 | 6, IOPRIO_IDLE = 3 << 13 };

static void *sched_thread(void *arg)
{
	struct sched_param sp = { 0 };

	V_CHECK(setpriority(PRIO_PROCESS, (id_t)gettid(), 11) == 0);
	V_CHECK(sched_setscheduler(0, SCHED_IDLE, &sp) == 0);
	V_CHECK(syscall(SYS_ioprio_set, IOPRIO_WHO, 0, IOPRIO_IDLE) == 0);
	pthread_barrier_wait(&barrier);
	v_wait_go();
	V_EQ(getpriority(PRIO_PROCESS, (id_t)gettid()), 11);
	V_EQ(sched_getscheduler(0), SCHED_IDLE);
	V_EQ(syscall(SYS_ioprio_get, IOPRIO_WHO, 0), IOPRIO_IDLE);
	return arg;
}

static void run_sched(void)
{
	struct sched_param sp = { 0 };
	cpu_set_t one, got;
	pthread_t t;
	int cpu = sched_getcpu();

	pthread_barrier_init(&barrier, NULL, 2);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	V_CHECK(setpriority(PRIO_PROCESS, 0, 5) == 0);
	V_CHECK(sched_setscheduler(0, SCHED_BATCH, &sp) == 0);
	V_CHECK(pthread_create(&t, NULL, sched_thread, NULL) == 0);
	V_CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	V_CHECK(syscall(SYS_ioprio_set, IOPRIO_WHO, 0, IOPRIO_BE_6) == 0);
	pthread_barrier_wait(&barrier);
	v_ready();
	v_wait_go();
	V_EQ(getpriority(PRIO_PROCESS, 0), 5);
	V_EQ(sched_getscheduler(0), SCHED_BATCH);
	V_CHECK(sched_getaffinity(0, sizeof(got), &got) == 0 && CPU_EQUAL(&one, &got));
	V_EQ(syscall(SYS_ioprio_get, IOPRIO_WHO, 0), IOPRIO_BE_6);
	V_EQ(pthread_join(t, NULL), 0);
}

/* real-time policy: only who may */
static void run_sched_rt(void)
{
	struct sched_param sp = { .sched_priority = 7 }, got = { 0 };

	if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &sp) < 0)
		v_skip("no right to a real-time policy");
	v_ready();
	v_wait_go();
	V_EQ(sched_getscheduler(0), SCHED_RR | SCHED_RESET_ON_FORK);
	V_CHECK(sched_getparam(0, &got) == 0);
	V_EQ(got.sched_priority, 7);
}

/* ---- the small numbers ---- */
static long oom_adj(const char *set)
{
	char text[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);

	V_CHECK(fd >= 0);
	if (set)
		V_CHECK(write(fd, set, strlen(set)) > 0);
	V_CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
	close(fd);
	return strtol(text, NULL, 10);
}

static void run_oom(void)
{
	V_EQ(oom_adj("777"), 777);
	v_ready();
	v_wait_go();
	V_EQ(oom_adj(NULL), 777);
}

static void run_dumpable(void)
{
	V_CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	v_ready();
	v_wait_go();
	V_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}

static void run_personality(void)
{
	V_CHECK(personality(ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT) >= 0);
	v_ready();
	v_wait_go();
	V_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT);
}

static void run_prctl(void)
{
	char name[16];
	int death = 0;

	V_CHECK(prctl(PR_SET_NAME, "odd name)(", 0, 0, 0) == 0);
	V_CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR2, 0, 0, 0) == 0);
	V_CHECK(prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0) == 0);
	V_CHECK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
	V_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	V_CHECK(prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(prctl(PR_GET_NAME, name, 0, 0, 0) == 0 && strcmp(name, "odd name)(") == 0);
	V_CHECK(prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) == 0);
	V_EQ(death, SIGUSR2);
	V_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 123456);
	V_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	V_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

/* ---- credentials of a child that gave up root (it cannot look for the go-file, so it waits for a pipe) ---- */
static int go_pipe[2];

static void other_user(void *arg)
{
	gid_t groups[3] = { 10, 20, 30 }, got[8];
	uid_t r, e, s;
	gid_t gr, ge, gs;
	char c;

	close(go_pipe[1]);
	V_CHECK(setgroups(3, groups) == 0 && setresgid(7, 8, 9) == 0 && setresuid(1001, 1002, 1003) == 0);
	v_gate_pass(arg);
	V_EQ(read(go_pipe[0], &c, 1), 0);
	V_CHECK(getresuid(&r, &e, &s) == 0 && r == 1001 && e == 1002 && s == 1003);
	V_CHECK(getresgid(&gr, &ge, &gs) == 0 && gr == 7 && ge == 8 && gs == 9);
	V_EQ(getgroups(8, got), 3);
	V_CHECK(memcmp(got, groups, sizeof(groups)) == 0);
	V_CHECK(setuid(0) < 0);
}

static void run_creds(void)
{
	struct v_gate gate = v_gate_open();
	pid_t kid;

	if (getuid() != 0 || setgroups(0, NULL) < 0 || setresuid(-1u, 1001, -1u) < 0)
		v_skip("needs root with more than one user");
	V_CHECK(setresuid(0, 0, 0) == 0 && pipe(go_pipe) == 0);
	kid = v_child(other_user, &gate);
	close(go_pipe[0]);
	v_gate_wait(&gate, 1);
	v_ready();
	v_wait_go();
	close(go_pipe[1]);
	V_EQ(getuid(), 0);
	v_reap(kid);
}

/* ---- limits, umask ---- */
static void run_limits(void)
{
	struct rlimit core = { 4096, 8192 }, nofile = { 77, 999 }, stack = { 3 << 20, 5 << 20 }, got;

	V_CHECK(setrlimit(RLIMIT_CORE, &core) == 0 && setrlimit(RLIMIT_NOFILE, &nofile) == 0 && setrlimit(RLIMIT_STACK, &stack) == 0);
	umask(0137);
	v_ready();
	v_wait_go();
	V_CHECK(getrlimit(RLIMIT_CORE, &got) == 0 && memcmp(&got, &core, sizeof(got)) == 0);
	V_CHECK(getrlimit(RLIMIT_NOFILE, &got) == 0 && memcmp(&got, &nofile, sizeof(got)) == 0);
	V_CHECK(getrlimit(RLIMIT_STACK, &got) == 0 && memcmp(&got, &stack, sizeof(got)) == 0);
	V_EQ(umask(0), 0137);
}

/* ---- a program replaces itself again and again; the state is in its environment ---- */
static void run_execs(void)
{
	const char *text = getenv("VICTIM_EXECS");
	long n = text ? strtol(text, NULL, 10) : 0;
	char self[512] = "", buf[32], first[32];
	pid_t pid = getpid();

	snprintf(first, sizeof(first), "%d", pid);
	if (n == 0) {
		V_CHECK(setenv("VICTIM_PID", first, 1) == 0);
		v_ready();
	}
	V_CHECK(strcmp(getenv("VICTIM_PID"), first) == 0);
	if (n >= 5 && v_go())
		return;
	V_CHECK(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	snprintf(buf, sizeof(buf), "%ld", n + 1);
	V_CHECK(setenv("VICTIM_EXECS", buf, 1) == 0);
	execl(self, "victim", "tree-execs", NULL);
	V_CHECK(!"exec");
}

const struct victim victims_family[] = {
	{ "tree-threads", run_threads },
	{ "tree-thread-storm", run_thread_storm },
	{ "tree-leader-gone", run_leader_gone },
	{ "tree-sched", run_sched },
	{ "tree-sched-rt", run_sched_rt },
	{ "tree-oom", run_oom },
	{ "tree-dumpable", run_dumpable },
	{ "tree-personality", run_personality },
	{ "tree-prctl", run_prctl },
	{ "tree-creds", run_creds },
	{ "tree-limits", run_limits },
	{ "tree-execs", run_execs },
	{ 0 },
};
