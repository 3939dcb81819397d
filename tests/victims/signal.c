/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals: handlers, masks, what is pending, alternate stacks, frames on the stack. */
#include "tests/victims/victim.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile sig_atomic_t hits[65];

static void on_signal(int sig)
{
	hits[sig]++;
}

static void on_siginfo(int sig, siginfo_t *si, void *uc)
{
	(void)si;
	(void)uc;
	hits[sig] += 10;
}

static void run_handlers(void)
{
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, got;
	struct sigaction b = { .sa_sigaction = on_siginfo, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER | SA_ONSTACK };
	struct sigaction ign = { .sa_handler = SIG_IGN };

	sigaddset(&a.sa_mask, SIGTERM);
	V_CHECK(sigaction(SIGUSR1, &a, NULL) == 0 && sigaction(SIGUSR2, &b, NULL) == 0 && sigaction(SIGHUP, &ign, NULL) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(sigaction(SIGUSR1, NULL, &got) == 0);
	V_CHECK(got.sa_handler == on_signal && (got.sa_flags & ~0x04000000) == SA_RESTART);
	V_EQ(sigismember(&got.sa_mask, SIGTERM), 1);
	V_EQ(sigismember(&got.sa_mask, SIGINT), 0);
	V_CHECK(sigaction(SIGHUP, NULL, &got) == 0 && got.sa_handler == SIG_IGN);
	V_CHECK(raise(SIGUSR1) == 0 && raise(SIGUSR2) == 0 && raise(SIGHUP) == 0);
	V_EQ(hits[SIGUSR1], 1);
	V_EQ(hits[SIGUSR2], 10);
	V_CHECK(sigaction(SIGUSR2, NULL, &got) == 0 && got.sa_handler == SIG_DFL);
}

static void run_mask(void)
{
	sigset_t set, got;

	sigfillset(&set);
	sigdelset(&set, SIGUSR2);
	sigdelset(&set, SIGRTMAX - 5);
	V_CHECK(sigprocmask(SIG_SETMASK, &set, NULL) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(sigprocmask(SIG_SETMASK, NULL, &got) == 0);
	for (int s = 1; s <= 64; s++)
		if (s != SIGKILL && s != SIGSTOP && s != 32 && s != 33)
			V_EQ(sigismember(&got, s), s != SIGUSR2 && s != SIGRTMAX - 5);
}

/* ---- pending: for the process and for one thread, with everything in siginfo, in order ---- */
/* the kernel's own answer: glibc's sigtimedwait() turns SI_TKILL into SI_USER */
static int take(const sigset_t *set, siginfo_t *si)
{
	struct timespec now = { 0, 0 };

	return (int)syscall(SYS_rt_sigtimedwait, set, si, &now, 8);
}

static void run_pending(void)
{
	sigset_t set;
	siginfo_t si;
	pid_t kid;

	sigfillset(&set);
	V_CHECK(sigprocmask(SIG_SETMASK, &set, NULL) == 0);
	for (int i = 0; i < 5; i++)
		V_CHECK(sigqueue(getpid(), SIGRTMIN + 4, (union sigval){ .sival_ptr = (void *)(0x123456789000 + i) }) == 0);
	V_CHECK(kill(getpid(), SIGUSR1) == 0);
	V_CHECK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2) == 0);
	kid = fork();
	if (kid == 0)
		_exit(kill(getppid(), SIGTERM) == 0 ? 0 : 1);
	v_reap(kid);
	v_ready();
	v_wait_go();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 4);
	for (int i = 0; i < 5; i++) {
		V_EQ(take(&set, &si), SIGRTMIN + 4);
		V_EQ(si.si_code, SI_QUEUE);
		V_EQ(si.si_pid, getpid());
		V_EQ((uintptr_t)si.si_value.sival_ptr, 0x123456789000 + i);
	}
	V_EQ(take(&set, &si), -1);
	sigfillset(&set);
	sigdelset(&set, SIGCHLD);
	V_EQ(take(&set, &si), SIGUSR2);	/* a thread's own come first */
	V_EQ(si.si_code, SI_TKILL);
	V_EQ(take(&set, &si), SIGUSR1);
	V_EQ(si.si_code, SI_USER);
	V_EQ(take(&set, &si), SIGTERM);
	V_EQ(si.si_pid, kid);
	V_EQ(take(&set, &si), -1);
}

static pthread_barrier_t barrier;

static void *blocked_thread(void *arg)
{
	siginfo_t si;
	sigset_t set;
	int sig = SIGRTMIN + (int)(long)arg;

	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_barrier_wait(&barrier);		/* their signals are sent between the two */
	pthread_barrier_wait(&barrier);
	v_wait_go();
	V_EQ(take(&set, &si), sig);
	V_EQ(si.si_code, SI_TKILL);
	V_EQ(take(&set, &si), -1);
	return NULL;
}

static void run_pending_threads(void)
{
	pthread_t t[3];
	sigset_t set;

	sigfillset(&set);
	V_CHECK(sigprocmask(SIG_SETMASK, &set, NULL) == 0);
	pthread_barrier_init(&barrier, NULL, 4);
	for (long i = 0; i < 3; i++)
		V_CHECK(pthread_create(&t[i], NULL, blocked_thread, (void *)i) == 0);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 3; i++)
		V_CHECK(pthread_kill(t[i], SIGRTMIN + i) == 0);
	pthread_barrier_wait(&barrier);
	v_ready();
	for (int i = 0; i < 3; i++)
		V_CHECK(pthread_join(t[i], NULL) == 0);
}

/* ---- an alternate stack, in use at the time, and nested frames below ---- */
static char alt[65536];
static volatile int depth;

static void on_altstack(int sig)
{
	char here[4096];
	stack_t ss;

	V_CHECK((uintptr_t)here - (uintptr_t)alt < sizeof(alt));
	v_fill(here, sizeof(here), (uint64_t)sig);
	depth++;
	if (sig == SIGUSR1) {
		raise(SIGUSR2);		/* a handler in a handler */
	} else {
		v_ready();
		v_wait_go();
	}
	V_CHECK(sigaltstack(NULL, &ss) == 0);
	V_EQ(ss.ss_flags & SS_ONSTACK, SS_ONSTACK);
	V_CHECK(v_same(here, sizeof(here), (uint64_t)sig));
}

static void run_altstack(void)
{
	struct sigaction sa = { .sa_handler = on_altstack, .sa_flags = SA_ONSTACK };
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) }, got;
	sigset_t now;

	sigaddset(&sa.sa_mask, SIGHUP);
	V_CHECK(sigaltstack(&ss, NULL) == 0 && sigaction(SIGUSR1, &sa, NULL) == 0 && sigaction(SIGUSR2, &sa, NULL) == 0);
	raise(SIGUSR1);
	V_EQ(depth, 2);
	V_CHECK(sigaltstack(NULL, &got) == 0);
	V_CHECK(got.ss_sp == alt && got.ss_size == sizeof(alt) && got.ss_flags == 0);
	V_CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0);
	V_EQ(sigismember(&now, SIGHUP), 0);
	V_EQ(sigismember(&now, SIGUSR1), 0);
}

static void *altstack_thread(void *arg)
{
	stack_t ss = { .ss_sp = arg, .ss_size = 32768 }, got;

	V_CHECK(sigaltstack(&ss, NULL) == 0);
	pthread_barrier_wait(&barrier);
	v_wait_go();
	V_CHECK(sigaltstack(NULL, &got) == 0);
	V_CHECK(got.ss_sp == arg && got.ss_size == 32768);
	return NULL;
}

static void run_altstack_threads(void)
{
	pthread_t t[3];

	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 3; i++)
		V_CHECK(pthread_create(&t[i], NULL, altstack_thread, v_map(32768, MAP_PRIVATE)) == 0);
	pthread_barrier_wait(&barrier);
	v_ready();
	for (int i = 0; i < 3; i++)
		V_CHECK(pthread_join(t[i], NULL) == 0);
}

/* ---- a storm: a thousand signals a second, none lost, none twice ---- */
static void run_storm(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int sent = 0;
	pid_t kid;

	sigaction(SIGRTMIN + 2, &sa, NULL);
	kid = fork();
	if (kid == 0) {
		int n = 0;

		while (!v_go() && n < 100000) {
			union sigval v = { .sival_int = n };

			if (sigqueue(getppid(), SIGRTMIN + 2, v) == 0)
				n++;
			else
				V_EQ(errno, EAGAIN);
			usleep(500);
		}
		v_nap();
		_exit(sigqueue(getppid(), SIGRTMIN + 3, (union sigval){ .sival_int = n }) == 0 ? 0 : 1);
	}
	sigset_t end, old;
	siginfo_t si;

	sigemptyset(&end);
	sigaddset(&end, SIGRTMIN + 3);
	V_CHECK(sigprocmask(SIG_BLOCK, &end, &old) == 0);
	v_ready();
	while (sigwaitinfo(&end, &si) < 0)
		V_EQ(errno, EINTR);
	sent = si.si_value.sival_int;
	v_reap(kid);
	V_EQ(hits[SIGRTMIN + 2], sent);
}

/* SIGCHLD ignored: no zombies */
static void run_nocldwait(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT };
	pid_t kid;

	V_CHECK(sigaction(SIGCHLD, &sa, NULL) == 0);
	kid = fork();
	if (kid == 0) {
		v_wait_go();
		_exit(0);
	}
	v_ready();
	v_wait_go();
	V_EQ(waitpid(kid, NULL, 0), -1);
	V_EQ(errno, ECHILD);
}

const struct victim victims_signal[] = {
	{ "sig-handlers", run_handlers },
	{ "sig-mask", run_mask },
	{ "sig-pending", run_pending },
	{ "sig-pending-threads", run_pending_threads },
	{ "sig-altstack", run_altstack },
	{ "sig-altstack-threads", run_altstack_threads },
	{ "sig-storm", run_storm },
	{ "sig-nocldwait", run_nocldwait },
	{ 0 },
};
