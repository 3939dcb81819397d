/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench/tool.c - the measured programs and the clients of bench/run.  Each prints numbers, one a line.
 *
 *   hold MIB PERCENT            touched memory; a line "ready" on standard output; SIGUSR1 changes PERCENT of it ("dirty N"),
 *                               SIGUSR2 reads all of it ("sum N MS")
 *   work MIB MIB_PER_S SECONDS LOOPS  reads and computes, and changes so much memory a second; prints the ns it took.
 *                               LOOPS is the computing of 10 ms; 0: prints how many that are here
 *   syscall|malloc|launch N     so many of them; prints the ns it took
 *   spawn N COMMAND...          start it N times; prints the median ns from start to end
 *   readcopy FILE...            read them into memory and copy that once; prints ns
 *   submit SOCKET N CONNECTIONS jobs that are held, one after another on each connection; prints ns */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096 };
extern char **environ;

static void die(const char *what)
{
	fprintf(stderr, "bench/tool: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* real time: the monotonic clock of a job does not count its checkpoints' stops */
static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t rng_state = 88172645463325252;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	return rng_state ^= rng_state << 17;
}

static uint64_t *memory(size_t len)
{
	uint64_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("memory");
	for (size_t i = 0; i < len / 8; i++)
		p[i] = rng();		/* incompressible */
	return p;
}

/* ---- hold ---- */
static volatile sig_atomic_t want_dirty, want_sum;

static void on_usr(int sig)
{
	if (sig == SIGUSR1)
		want_dirty = 1;
	else
		want_sum = 1;
}

static void hold_dirty(uint64_t *p, size_t pages, unsigned percent)
{
	size_t n = pages * percent / 100;

	for (size_t i = 0; i < n; i++)
		p[rng() % pages * (PAGE / 8) + 7] = rng();
	printf("dirty %zu\n", n);
}

static void hold_sum(const uint64_t *p, size_t len)
{
	uint64_t from = now_ns(), sum = 0;

	for (size_t i = 0; i < len / 8; i++)
		sum += p[i];
	printf("sum %llu %llu\n", (unsigned long long)sum, (unsigned long long)(now_ns() - from) / 1000000);
}

static int __attribute__((noreturn)) cmd_hold(char **argv)
{
	size_t len = strtoul(argv[0], NULL, 10) * MIB;
	unsigned percent = (unsigned)strtoul(argv[1], NULL, 10);
	struct sigaction sa = { .sa_handler = on_usr };
	sigset_t both, none;
	uint64_t *p;

	sigemptyset(&none);
	sigemptyset(&both);
	sigaddset(&both, SIGUSR1);
	sigaddset(&both, SIGUSR2);
	sigprocmask(SIG_BLOCK, &both, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	p = memory(len);
	puts("ready");
	for (;;) {
		fflush(stdout);
		sigsuspend(&none);
		if (want_dirty)
			hold_dirty(p, len / PAGE, percent);
		if (want_sum)
			hold_sum(p, len);
		want_dirty = want_sum = 0;
	}
}

/* ---- work: a fixed amount of it, changing memory at the rate asked for as long as nothing slows it down ---- */
static int cmd_work(char **argv)
{
	size_t len = strtoul(argv[0], NULL, 10) * MIB, pages = len / PAGE, at = 0;
	size_t rate = strtoul(argv[1], NULL, 10) * MIB / PAGE / 100;
	unsigned turns = (unsigned)strtoul(argv[2], NULL, 10) * 100;
	unsigned long cal = strtoul(argv[3], NULL, 10);
	uint64_t *p = memory(len), sum = 0, from;

	if (cal == 0) {
		for (from = now_ns(); now_ns() - from < 1000000000; cal++)
			for (int i = 0; i < 1000; i++)
				sum += p[rng() % (len / 8)];
		printf("%lu\n", cal / 100 + (sum == 1));
		return 0;
	}
	from = now_ns();
	for (unsigned t = 0; t < turns; t++) {
		for (size_t i = 0; i < rate; i++, at = (at + 1) % pages)
			p[at * (PAGE / 8) + t % 512] = t;
		for (unsigned long l = 0; l < cal; l++)
			for (int i = 0; i < 1000; i++)
				sum += p[rng() % (len / 8)];
	}
	printf("%llu\n", (unsigned long long)(now_ns() - from) + (sum == 1));
	return 0;
}

/* ---- small things, many times ---- */
static int cmd_syscall(char **argv)
{
	unsigned long n = strtoul(argv[0], NULL, 10);
	uint64_t from = now_ns();
	char c;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	for (unsigned long i = 0; i < n; i++) {
		syscall(SYS_getppid);
		if (read(fd, &c, 1) != 1)
			die("read");
	}
	printf("%llu\n", (unsigned long long)(now_ns() - from));
	return 0;
}

static int cmd_malloc(char **argv)
{
	unsigned long n = strtoul(argv[0], NULL, 10);
	uint64_t from = now_ns();
	static char *keep[1024];

	for (unsigned long i = 0; i < n; i++) {
		size_t slot = rng() % 1024;

		free(keep[slot]);
		keep[slot] = malloc(16 + rng() % (slot % 64 == 0 ? 300000 : 2000));
		if (!keep[slot])
			die("malloc");
		keep[slot][0] = 1;
	}
	printf("%llu\n", (unsigned long long)(now_ns() - from));
	return 0;
}

static uint64_t start_once(char **argv)
{
	uint64_t from = now_ns();
	int status;
	pid_t pid;

	errno = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (errno || waitpid(pid, &status, 0) != pid || status != 0)
		die(argv[0]);
	return now_ns() - from;
}

static int cmd_launch(char **argv)
{
	unsigned long n = strtoul(argv[0], NULL, 10);
	char path[] = "/bin/true";
	char *child[] = { path, NULL };
	uint64_t from = now_ns();

	for (unsigned long i = 0; i < n; i++)
		start_once(child);
	printf("%llu\n", (unsigned long long)(now_ns() - from));
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int cmd_spawn(char **argv)
{
	size_t n = strtoul(argv[0], NULL, 10);
	uint64_t *t = calloc(n + 1, sizeof(*t));

	for (size_t i = 0; t && i < n; i++)
		t[i] = start_once(argv + 1);
	if (!t || !n)
		die("spawn");
	qsort(t, n, sizeof(*t), compare);
	printf("%llu\n", (unsigned long long)t[n / 2]);
	free(t);
	return 0;
}

static int cmd_readcopy(char **argv)
{
	size_t size = 0, at = 0;
	char *a, *b;
	uint64_t from;
	struct stat st;

	for (char **f = argv; *f; f++)
		if (stat(*f, &st) == 0)
			size += (size_t)st.st_size;
	a = malloc(size + 1);
	b = malloc(size + 1);
	if (!a || !b)
		die("memory");
	from = now_ns();
	for (char **f = argv; *f; f++) {
		int fd = open(*f, O_RDONLY | O_CLOEXEC);
		ssize_t r;

		while (fd >= 0 && at < size && (r = read(fd, a + at, size - at < MIB ? size - at : MIB)) > 0)
			at += (size_t)r;
		if (fd >= 0)
			close(fd);
	}
	memcpy(b, a, at);
	printf("%llu\n", (unsigned long long)(now_ns() - from));
	if (b[at / 2] != a[at / 2])
		die("copy");
	free(a);
	free(b);
	return 0;
}

/* ---- submissions ---- */
static const char *submit_socket;
static size_t submit_each;

static int submit_connect(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(submit_socket) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		die(submit_socket);
	}
	memcpy(sun.sun_path, submit_socket, strlen(submit_socket));
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		die(submit_socket);
	return fd;
}

/* one answer: head, and as many bytes as it says */
static void submit_answer(int fd)
{
	char buf[4096];
	size_t n = 0, want = 0;

	for (;;) {
		ssize_t r = read(fd, buf + n, sizeof(buf) - 1 - n);
		char *body, *len;

		if (r <= 0)
			die("answer");
		n += (size_t)r;
		buf[n] = 0;
		body = strstr(buf, "\r\n\r\n");
		len = strcasestr(buf, "content-length:");
		if (!body || !len)
			continue;
		want = (size_t)(body + 4 - buf) + strtoul(len + 15, NULL, 10);
		if (n >= want)
			break;
	}
	if (strncmp(buf, "HTTP/1.1 201", 12) != 0) {
		fprintf(stderr, "bench/tool: refused: %s\n", buf);
		exit(1);
	}
}

static void *submit_thread(void *arg)
{
	static const char body[] = "{\"argv\":[\"/bin/true\"],\"chdir\":\"/\",\"env\":{\"PATH\":\"/bin\"},\"stdout\":\"/dev/null\",\"hold\":true}";
	char request[512];
	int fd = submit_connect();
	int len = snprintf(request, sizeof(request),
			   "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			   sizeof(body) - 1, body);

	for (size_t i = 0; i < submit_each; i++) {
		if (write(fd, request, (size_t)len) != len)
			die("request");
		submit_answer(fd);
	}
	close(fd);
	return arg;
}

static int cmd_submit(char **argv)
{
	size_t n = strtoul(argv[1], NULL, 10), conns = strtoul(argv[2], NULL, 10);
	pthread_t thread[64];
	uint64_t from;

	if (conns < 1 || conns > 64)
		return 2;
	submit_socket = argv[0];
	submit_each = n / conns;
	from = now_ns();
	for (size_t i = 0; i < conns; i++)
		if (pthread_create(&thread[i], NULL, submit_thread, NULL) != 0)
			die("thread");
	for (size_t i = 0; i < conns; i++)
		pthread_join(thread[i], NULL);
	printf("%llu\n", (unsigned long long)(now_ns() - from));
	return 0;
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **argv);
} commands[] = {
	{ "hold", 2, cmd_hold }, { "work", 4, cmd_work }, { "syscall", 1, cmd_syscall }, { "malloc", 1, cmd_malloc },
	{ "launch", 1, cmd_launch }, { "spawn", 2, cmd_spawn }, { "readcopy", 1, cmd_readcopy }, { "submit", 3, cmd_submit },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].args)
			return commands[i].run(argv + 2);
	fprintf(stderr, "bench/tool: see the top of bench/tool.c\n");
	return 2;
}
