/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct victim *const victim_tables[] = {
	victims_tree, victims_family, victims_memory, victims_shared, victims_cpu, victims_futex, victims_sleep, victims_block, victims_file,
	victims_lock, victims_special, victims_socket, victims_inet, victims_signal, victims_timer, victims_refuse,
};

static const char *victim_name, *ready_path, *go_path;
static char start_folder[400];
static uint64_t rounds_end_ns;

uint64_t v_clock_ns(int clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void say(const char *line, int len)
{
	if (len > 0 && write(1, line, (size_t)len) != len)
		_exit(3);
}

void v_bad(const char *file, int line, const char *fmt, ...)
{
	char text[400], all[500];
	va_list ap;
	int n;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = snprintf(all, sizeof(all), "bad %s: %s:%d: %s\n", victim_name, file, line, text);
	say(all, n);
	_exit(1);
}

void v_skip(const char *why)
{
	char line[300];
	int n = snprintf(line, sizeof(line), "skip %s: %s\n", victim_name, why);

	say(line, n);
	_exit(77);
}

void v_ready(void)
{
	int fd = ready_path ? open(ready_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;

	if (ready_path)
		V_CHECK(fd >= 0 && close(fd) == 0);
}

bool v_go(void)
{
	if (rounds_end_ns)
		return v_clock_ns(CLOCK_MONOTONIC) >= rounds_end_ns;
	return access(go_path, F_OK) == 0;
}

void v_nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

void v_wait_go(void)
{
	while (!v_go())
		v_nap();
}

long v_outage_ms(void)
{
	char text[32] = "";
	int fd = go_path ? open(go_path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = 0;
		close(fd);
	}
	return strtol(text, NULL, 10);
}

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

void v_fill(void *buf, size_t len, uint64_t seed)
{
	unsigned char *p = buf;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = mix(seed + i);

		memcpy(p + i, &v, len - i < 8 ? len - i : 8);
	}
}

bool v_same(const void *buf, size_t len, uint64_t seed)
{
	const unsigned char *p = buf;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = mix(seed + i);

		if (memcmp(p + i, &v, len - i < 8 ? len - i : 8) != 0)
			return false;
	}
	return true;
}

void *v_map(size_t len, int flags)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	V_CHECK(p != MAP_FAILED);
	return p;
}

pid_t v_child(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();

	V_CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	fn(arg);
	_exit(0);
}

void v_reap(pid_t pid)
{
	int status = -1;

	V_EQ(waitpid(pid, &status, 0), pid);
	V_EQ(status, 0);
}

struct v_gate v_gate_open(void)
{
	struct v_gate gate;

	V_CHECK(pipe2(gate.fd, O_CLOEXEC) == 0);
	return gate;
}

void v_gate_pass(struct v_gate *gate)
{
	V_CHECK(write(gate->fd[1], "", 1) == 1);
	close(gate->fd[0]);
	close(gate->fd[1]);
}

void v_gate_wait(struct v_gate *gate, unsigned n)
{
	char c;

	close(gate->fd[1]);
	while (n--)
		V_CHECK(read(gate->fd[0], &c, 1) == 1);
	close(gate->fd[0]);
}

const char *v_path(const char *suffix)
{
	static char paths[8][512];
	static unsigned next;
	char *path = paths[next++ % 8];
	int n = snprintf(path, sizeof(paths[0]), "%s%s.%s", ready_path ? "" : start_folder, ready_path ? ready_path : "/victim", suffix);

	V_CHECK(n > 0 && (size_t)n < sizeof(paths[0]));
	return path;
}

long v_status(pid_t pid, const char *field)
{
	char path[64], line[512];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtol(line + strlen(field), NULL, 10);
	if (f)
		fclose(f);
	return value;
}

char v_state(pid_t pid)
{
	char path[64], line[512] = "";
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, line, sizeof(line) - 1);
		close(fd);
	}
	if (n <= 0 || !strrchr(line, ')'))
		return '?';
	return strrchr(line, ')')[2];
}

bool v_smaps(const void *addr, const char *field, char *ret, size_t len)
{
	char line[1024];
	bool inside = false, found = false;
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from == (uintptr_t)addr;
		else if (inside && strncmp(line, field, strlen(field)) == 0) {
			snprintf(ret, len, "%s", line + strlen(field));
			found = true;
		}
	}
	if (f)
		fclose(f);
	return found;
}

static const struct victim *find(const char *name)
{
	for (size_t t = 0; t < sizeof(victim_tables) / sizeof(victim_tables[0]); t++)
		for (const struct victim *v = victim_tables[t]; v->name; v++) {
			if (!name)
				puts(v->name);
			else if (strcmp(v->name, name) == 0)
				return v;
		}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct victim *v;
	char line[128];

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		find(NULL);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	v = argc > 1 ? find(argv[1]) : NULL;
	ready_path = getenv("VICTIM_READY");
	go_path = getenv("VICTIM_GO");
	if (argc == 4 && strcmp(argv[2], "--rounds") == 0)
		rounds_end_ns = v_clock_ns(CLOCK_MONOTONIC) + strtoul(argv[3], NULL, 10) * 100000000;
	if (!v || (!go_path && !rounds_end_ns)) {
		fprintf(stderr, "usage: victim NAME [--rounds N] (without it VICTIM_GO=FILE must be set); victim --list\n");
		return 2;
	}
	victim_name = v->name;
	V_CHECK(getcwd(start_folder, sizeof(start_folder)));
	v->run();
	say(line, snprintf(line, sizeof(line), "ok %s\n", v->name));
	return 0;
}
