/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Process trees: who is whose child, group, session; states other than running. */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a pipeline as a shell makes it: numbers go through three filters that add 1 ---- */
static void filter(int in, int out)
{
	uint32_t v;

	while (read(in, &v, sizeof(v)) == sizeof(v)) {
		v++;
		V_CHECK(write(out, &v, sizeof(v)) == sizeof(v));
	}
	_exit(0);
}

static void run_pipeline(void)
{
	int p[4][2];
	pid_t kid[3], group = 0;
	uint32_t v;

	for (int i = 0; i < 4; i++)
		V_CHECK(pipe(p[i]) == 0);
	for (int i = 0; i < 3; i++) {
		kid[i] = fork();
		V_CHECK(kid[i] >= 0);
		if (kid[i] == 0) {
			for (int j = 0; j < 4; j++) {
				if (j != i)
					close(p[j][0]);
				if (j != i + 1)
					close(p[j][1]);
			}
			filter(p[i][0], p[i + 1][1]);
		}
		group = group ? group : kid[i];
		setpgid(kid[i], group);
	}
	for (int i = 0; i < 3; i++) {
		close(p[i][0]);
		close(p[i + 1][1]);
	}
	v_ready();
	for (uint32_t i = 0; i < 10 || !v_go(); i++) {
		V_CHECK(write(p[0][1], &i, sizeof(i)) == sizeof(i));
		V_CHECK(read(p[3][0], &v, sizeof(v)) == sizeof(v));
		V_EQ(v, i + 3);
	}
	close(p[0][1]);
	for (int i = 0; i < 3; i++) {
		V_EQ(getpgid(kid[i]), group);
		v_reap(kid[i]);
	}
	V_EQ(read(p[3][0], &v, sizeof(v)), 0);
}

/* ---- children and grandchildren in the background ---- */
struct family {
	struct v_gate gate;
	int depth;
};

static void family_member(void *arg)
{
	struct family f = *(struct family *)arg;
	pid_t me = getpid(), parent = getppid(), kid = 0;

	if (f.depth > 0) {
		struct family sub = { f.gate, f.depth - 1 };

		kid = v_child(family_member, &sub);
	}
	v_gate_pass(&f.gate);
	v_wait_go();
	V_EQ(getpid(), me);
	V_EQ(getppid(), parent);
	if (kid)
		v_reap(kid);
}

static void run_background(void)
{
	struct family f = { v_gate_open(), 3 };
	pid_t kid[6];

	for (int i = 0; i < 6; i++)
		kid[i] = v_child(family_member, &f);
	v_gate_wait(&f.gate, 24);
	v_ready();
	v_wait_go();
	for (int i = 0; i < 6; i++)
		v_reap(kid[i]);
	V_EQ(waitpid(-1, NULL, WNOHANG), -1);
	V_EQ(errno, ECHILD);
}

/* ---- an orphan lives on under whoever adopted it, and reports through a pipe ---- */
static void run_orphan(void)
{
	int p[2];
	char word[8] = "";
	pid_t mid;

	V_CHECK(pipe(p) == 0);
	mid = fork();
	if (mid == 0) {
		pid_t parent = getpid();

		if (fork() > 0)
			_exit(0);
		while (getppid() == parent)
			v_nap();
		parent = getppid();
		V_CHECK(write(p[1], "up", 2) == 2);
		v_wait_go();
		V_EQ(getppid(), parent);
		V_CHECK(write(p[1], "end", 3) == 3);
		_exit(0);
	}
	close(p[1]);
	v_reap(mid);
	V_CHECK(read(p[0], word, sizeof(word)) == 2);
	v_ready();
	v_wait_go();
	V_CHECK(read(p[0], word, sizeof(word)) == 3 && memcmp(word, "end", 3) == 0);
	V_EQ(read(p[0], word, sizeof(word)), 0);
}

/* ---- zombies keep what they have to say ---- */
static void exit_42(void *arg)
{
	(void)arg;
	_exit(42);
}

static void die_usr1(void *arg)
{
	(void)arg;
	signal(SIGUSR1, SIG_DFL);
	raise(SIGUSR1);
}

static void run_zombie(void)
{
	pid_t exited = v_child(exit_42, NULL), killed = v_child(die_usr1, NULL);
	siginfo_t si;
	int status;

	V_CHECK(waitid(P_PID, (id_t)exited, &si, WEXITED | WNOWAIT) == 0);
	V_CHECK(waitid(P_PID, (id_t)killed, &si, WEXITED | WNOWAIT) == 0);
	v_ready();
	v_wait_go();
	V_EQ(v_state(exited), 'Z');
	memset(&si, 0, sizeof(si));
	V_CHECK(waitid(P_PID, (id_t)exited, &si, WEXITED | WNOWAIT) == 0);
	V_EQ(si.si_code, CLD_EXITED);
	V_EQ(si.si_status, 42);
	V_EQ(si.si_pid, exited);
	V_EQ(waitpid(exited, &status, 0), exited);
	V_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	V_EQ(waitpid(killed, &status, 0), killed);
	V_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
	V_EQ(waitpid(-1, &status, 0), -1);
}

/* ---- stopped children stay stopped ---- */
static volatile uint64_t *stop_count;

static void count_up(void *arg)
{
	(void)arg;
	setpgid(0, 0);		/* SIGTSTP does not stop a group whose session knows nobody to start it again */
	*stop_count = 1;
	while (!v_go()) {
		(*stop_count)++;
		v_nap();
	}
}

static void run_stopped(void)
{
	pid_t reported, silent;
	uint64_t before;
	int status;

	stop_count = v_map(4096, MAP_SHARED);
	reported = v_child(count_up, NULL);
	silent = v_child(count_up, NULL);
	V_CHECK(kill(reported, SIGSTOP) == 0 && kill(silent, SIGSTOP) == 0);
	V_EQ(waitpid(reported, &status, WUNTRACED), reported);
	V_CHECK(WIFSTOPPED(status));
	while (v_state(silent) != 'T')
		v_nap();
	before = *stop_count;
	v_ready();
	v_wait_go();
	V_EQ(v_state(reported), 'T');
	V_EQ(v_state(silent), 'T');
	V_EQ(*stop_count, before);
	V_EQ(waitpid(reported, &status, WUNTRACED | WNOHANG), 0);
	V_CHECK(kill(reported, SIGCONT) == 0 && kill(silent, SIGCONT) == 0);
	v_reap(reported);
	v_reap(silent);
}

/* the stop that nobody has waited for yet can still be waited for */
static void run_stop_report(void)
{
	pid_t kid;
	int status;

	stop_count = v_map(4096, MAP_SHARED);
	kid = v_child(count_up, NULL);
	while (*stop_count == 0)
		v_nap();
	V_CHECK(kill(kid, SIGTSTP) == 0);
	while (v_state(kid) != 'T')
		v_nap();
	v_ready();
	v_wait_go();
	V_EQ(waitpid(kid, &status, WUNTRACED), kid);
	V_CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
	V_CHECK(kill(kid, SIGCONT) == 0);
	V_EQ(waitpid(kid, &status, WCONTINUED), kid);
	if (WIFCONTINUED(status))
		v_reap(kid);
	else
		V_EQ(status, 0);
}

/* ---- sessions and groups, also such whose leader is gone ---- */
struct ids {
	pid_t pid, group, session;
};

static void session_member(struct v_gate *gate, struct ids *slot)
{
	slot->pid = getpid();
	slot->group = getpgrp();
	slot->session = getsid(0);
	v_gate_pass(gate);
	v_wait_go();
	V_EQ(getpid(), slot->pid);
	V_EQ(getpgrp(), slot->group);
	V_EQ(getsid(0), slot->session);
	_exit(0);
}

static void run_session(void)
{
	struct ids *slot = v_map(4096, MAP_SHARED);
	struct v_gate gate = v_gate_open();
	pid_t leader, kid[3];

	leader = fork();
	if (leader == 0) {
		setsid();
		for (int i = 0; i < 3; i++) {
			kid[i] = fork();
			if (kid[i] == 0) {
				if (i == 1)
					setpgid(0, 0);
				if (i == 2 && fork() == 0) {
					setpgid(0, 0);
					if (fork() > 0)
						_exit(0);	/* a group without its leader, a session member adopted by init */
					session_member(&gate, &slot[4]);
				}
				session_member(&gate, &slot[i]);
			}
		}
		session_member(&gate, &slot[3]);
	}
	v_gate_wait(&gate, 5);
	V_EQ(slot[0].session, leader);
	V_EQ(slot[1].group, slot[1].pid);
	v_ready();
	v_wait_go();
	V_EQ(getsid(leader), leader);
	v_reap(leader);
}

static void run_session_orphan(void)
{
	struct ids *slot = v_map(4096, MAP_SHARED);
	struct v_gate gate = v_gate_open();
	pid_t leader = fork();

	if (leader == 0) {
		setsid();
		if (fork() == 0)
			session_member(&gate, &slot[0]);
		_exit(0);
	}
	v_gate_wait(&gate, 1);
	v_reap(leader);
	V_EQ(slot[0].session, leader);	/* a session whose leader has been reaped: its number is still in use */
	v_ready();
	v_wait_go();
	while (kill(slot[0].pid, 0) == 0 && v_state(slot[0].pid) != 'Z')
		v_nap();
}

/* ---- a sub-reaper gets the orphans ---- */
static void run_subreaper(void)
{
	int is = 0, p[2];
	pid_t mid, orphan = 0;

	V_CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
	V_CHECK(pipe(p) == 0);
	mid = fork();
	if (mid == 0) {
		pid_t kid = fork();

		if (kid == 0) {
			v_wait_go();
			_exit(0);
		}
		V_CHECK(write(p[1], &kid, sizeof(kid)) == sizeof(kid));
		v_wait_go();
		_exit(0);
	}
	V_CHECK(read(p[0], &orphan, sizeof(orphan)) == sizeof(orphan));
	v_ready();
	v_wait_go();
	V_CHECK(prctl(PR_GET_CHILD_SUBREAPER, &is, 0, 0, 0) == 0 && is == 1);
	v_reap(mid);
	v_reap(orphan);
}

/* ---- a parent that sits in waitpid() all the time ---- */
static void wait_for_grandchild(void *arg)
{
	pid_t kid = fork();

	if (kid == 0) {
		v_gate_pass(arg);
		v_wait_go();
		_exit(0);
	}
	v_reap(kid);
}

static void run_wait(void)
{
	struct v_gate gate = v_gate_open();
	pid_t kid = v_child(wait_for_grandchild, &gate);

	v_gate_wait(&gate, 1);
	v_ready();
	v_reap(kid);
}

/* ---- processes come and go all the time ---- */
static void fork_loop(void *arg)
{
	unsigned n = *(unsigned *)arg;

	do {
		pid_t kid = fork();
		int status = 0;

		V_CHECK(kid >= 0);
		if (kid == 0)
			_exit((int)(n & 127));
		V_EQ(waitpid(kid, &status, 0), kid);
		V_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (int)(n & 127));
		n++;
	} while (n % 16 || !v_go());
}

static void run_forks(void)
{
	unsigned first[3] = { 0, 16, 32 };
	pid_t kid[3];

	for (int i = 0; i < 3; i++)
		kid[i] = v_child(fork_loop, &first[i]);
	v_ready();
	for (int i = 0; i < 3; i++)
		v_reap(kid[i]);
}

static void run_vforks(void)
{
	v_ready();
	do {
		pid_t kid = vfork();
		int status = 0;

		V_CHECK(kid >= 0);
		if (kid == 0) {
			execl("/bin/true", "true", NULL);
			_exit(127);
		}
		V_EQ(waitpid(kid, &status, 0), kid);
		V_EQ(status, 0);
	} while (!v_go());
}

const struct victim victims_tree[] = {
	{ "tree-pipeline", run_pipeline },
	{ "tree-background", run_background },
	{ "tree-orphan", run_orphan },
	{ "tree-zombie", run_zombie },
	{ "tree-stopped", run_stopped },
	{ "tree-stop-report", run_stop_report },
	{ "tree-session", run_session },
	{ "tree-session-orphan", run_session_orphan },
	{ "tree-subreaper", run_subreaper },
	{ "tree-wait", run_wait },
	{ "tree-forks", run_forks },
	{ "tree-vforks", run_vforks },
	{ 0 },
};
