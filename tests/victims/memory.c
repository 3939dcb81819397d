/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory of one process: contents, layout, protection, advice, growth. */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096 };

static void run_private(void)
{
	size_t len = 32 * MIB;
	char *p = v_map(len, MAP_PRIVATE);

	v_fill(p, len, 1);
	v_ready();
	v_wait_go();
	V_CHECK(v_same(p, len, 1));
	memset(p, 7, len);
	V_CHECK(p[len - 1] == 7);
}

/* a page here and there: what was never touched is zero and stays unallocated */
static void run_holes(void)
{
	size_t len = 512ul * MIB, step = 4 * MIB + PAGE;
	char *p = v_map(len, MAP_PRIVATE | MAP_NORESERVE), rss[64] = "";

	for (size_t i = 0; i + PAGE <= len; i += step)
		v_fill(p + i, PAGE, i);
	V_CHECK(p[PAGE] == 0);		/* the zero page */
	v_ready();
	v_wait_go();
	for (size_t i = 0; i + PAGE <= len; i += step)
		V_CHECK(v_same(p + i, PAGE, i));
	V_CHECK(v_smaps(p, "Rss:", rss, sizeof(rss)));
	V_CHECK(strtol(rss, NULL, 10) < 40000);
	V_CHECK(p[3 * PAGE] == 0);
}

/* memory that is written all the time: page @i never is ahead of page @i - 1 */
static void run_dirty(void)
{
	enum { PAGES = 8192 };
	volatile uint64_t *p = v_map((size_t)PAGES * PAGE, MAP_PRIVATE);
	uint64_t round = 0, seen;

	v_ready();
	do {
		round++;
		for (size_t i = 0; i < PAGES; i++)
			p[i * 512] = round;
		seen = p[0];
		for (size_t i = 0; i < PAGES; i++)
			V_EQ(p[i * 512], seen);
	} while (round % 8 || !v_go());
}

static void run_thp(void)
{
	size_t len = 8 * MIB;
	char *raw = v_map(len + 2 * MIB, MAP_PRIVATE), flags[256] = "";
	char *p = (char *)(((uintptr_t)raw + 2 * MIB - 1) & ~(uintptr_t)(2 * MIB - 1));

	V_CHECK(madvise(p, len, MADV_HUGEPAGE) == 0);
	v_fill(p, len, 9);
	v_ready();
	v_wait_go();
	V_CHECK(v_same(p, len, 9));
	V_CHECK(v_smaps(p, "VmFlags:", flags, sizeof(flags)) && strstr(flags, " hg"));
}

/* ---- stacks ---- */
static uint64_t deep(unsigned level, void (*at_bottom)(void))
{
	unsigned char frame[8192];
	uint64_t sum;

	v_fill(frame, sizeof(frame), level);
	if (level == 0) {
		at_bottom();
		return 1;
	}
	sum = deep(level - 1, at_bottom) + 1;
	V_CHECK(v_same(frame, sizeof(frame), level));
	return sum;
}

static void nothing(void)
{
}

static void ready_and_go(void)
{
	v_ready();
	v_wait_go();
	V_EQ(deep(200, nothing), 201);	/* and still deeper afterwards */
}

static void run_stack(void)
{
	V_EQ(deep(500, ready_and_go), 501);
}

static void run_growsdown(void)
{
	size_t len = 64 * PAGE;
	char *base = v_map(256ul * PAGE + len, MAP_PRIVATE), *p;

	V_CHECK(munmap(base, 256ul * PAGE + len) == 0);
	p = mmap(base + 256 * PAGE, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	V_CHECK(p != MAP_FAILED);
	v_fill(p, len, 3);
	p[-PAGE] = 5;			/* it grows now ... */
	v_ready();
	v_wait_go();
	V_CHECK(v_same(p, len, 3) && p[-PAGE] == 5);
	for (int i = 2; i < 32; i++)	/* ... and later */
		p[-i * PAGE] = (char)i;
	for (int i = 2; i < 32; i++)
		V_EQ(p[-i * PAGE], i);
}

/* ---- protection ---- */
static sigjmp_buf fault_jump;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	siglongjmp(fault_jump, sig == SIGSEGV && si->si_code == SEGV_ACCERR ? 1 : 2);
}

static int try_read(volatile char *p)
{
	int r = sigsetjmp(fault_jump, 1);

	if (r == 0)
		(void)*p;
	return r;
}

static int try_write(volatile char *p)
{
	int r = sigsetjmp(fault_jump, 1);

	if (r == 0)
		*p = 1;
	return r;
}

static void run_protect(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	char *none = v_map(MIB, MAP_PRIVATE), *ro = v_map(MIB, MAP_PRIVATE), *shared = v_map(MIB, MAP_SHARED);

	sigaction(SIGSEGV, &sa, NULL);
	v_fill(none, MIB, 1);
	v_fill(ro, MIB, 2);
	v_fill(shared, MIB, 3);
	V_CHECK(mprotect(none, MIB, PROT_NONE) == 0);
	V_CHECK(mprotect(ro, MIB, PROT_READ) == 0);
	V_CHECK(mprotect(shared, MIB, PROT_NONE) == 0);
	v_ready();
	v_wait_go();
	V_EQ(try_read(none), 1);
	V_EQ(try_write(ro), 1);
	V_EQ(try_read(ro), 0);
	V_EQ(try_write(shared), 1);
	V_CHECK(mprotect(none, MIB, PROT_READ) == 0 && v_same(none, MIB, 1));
	V_CHECK(v_same(ro, MIB, 2));
	V_CHECK(mprotect(shared, MIB, PROT_READ | PROT_WRITE) == 0 && v_same(shared, MIB, 3));
}

/* code made at run time */
static void run_code(void)
{
	static const unsigned char add3[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0x8d, 0x47, 0x03, 0xc3 };	/* lea eax, [rdi + 3]; ret */
	unsigned char *p = v_map(PAGE, MAP_PRIVATE), *x, *w;
	int (*fn)(int), fd = memfd_create("code", MFD_CLOEXEC);

	memcpy(p, add3, sizeof(add3));
	V_CHECK(mprotect(p, PAGE, PROT_READ | PROT_EXEC) == 0);
	V_CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	w = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	x = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	V_CHECK(w != MAP_FAILED && x != MAP_FAILED && close(fd) == 0);
	memcpy(w, add3, sizeof(add3));
	v_ready();
	v_wait_go();
	memcpy(&fn, &p, sizeof(fn));
	V_EQ(fn(39), 42);
	w[6] = 5;			/* seen through the other mapping */
	memcpy(&fn, &x, sizeof(fn));
	V_EQ(fn(37), 42);
}

/* ---- advice: the flags of each area are what they were ---- */
static const int advices[] = {
	MADV_DONTFORK, MADV_WIPEONFORK, MADV_DONTDUMP, MADV_SEQUENTIAL, MADV_RANDOM, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE,
};
enum { ADVICES = sizeof(advices) / sizeof(advices[0]) };

static void run_madvise(void)
{
	char *p[ADVICES], before[ADVICES][128], after[128];
	int status;
	pid_t kid;

	for (int i = 0; i < ADVICES; i++) {
		char *area = v_map(6 * PAGE, MAP_PRIVATE);	/* guard pages round it, so that no areas grow together */

		V_CHECK(mprotect(area, PAGE, PROT_NONE) == 0 && mprotect(area + 5 * PAGE, PAGE, PROT_NONE) == 0);
		p[i] = area + PAGE;
		if (madvise(p[i], 4 * PAGE, advices[i]) < 0)
			V_EQ(errno, EINVAL);			/* this kernel has no such thing (KSM, THP) */
		v_fill(p[i], 4 * PAGE, (uint64_t)i);
		V_CHECK(v_smaps(p[i], "VmFlags:", before[i], sizeof(before[i])));
	}
	v_ready();
	v_wait_go();
	for (int i = 0; i < ADVICES; i++) {
		V_CHECK(v_same(p[i], 4 * PAGE, (uint64_t)i));
		V_CHECK(v_smaps(p[i], "VmFlags:", after, sizeof(after)));
		if (strcmp(before[i], after) != 0)
			v_bad(__FILE__, __LINE__, "advice %d: flags were %s now %s", advices[i], before[i], after);
	}
	kid = fork();
	if (kid == 0) {
		V_CHECK(p[1][0] == 0 && p[1][4 * PAGE - 1] == 0);
		(void)*(volatile char *)p[0];
		_exit(0);
	}
	V_EQ(waitpid(kid, &status, 0), kid);
	V_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void run_mlock(void)
{
	char *p = v_map(16 * PAGE, MAP_PRIVATE), flags[128];
	long locked;

	V_CHECK(mlock(p, 8 * PAGE) == 0);
	v_fill(p, 16 * PAGE, 4);
	locked = v_status(getpid(), "VmLck:");
	V_CHECK(locked >= 32);
	v_ready();
	v_wait_go();
	V_CHECK(v_same(p, 16 * PAGE, 4));
	V_EQ(v_status(getpid(), "VmLck:"), locked);
	V_CHECK(v_smaps(p, "VmFlags:", flags, sizeof(flags)) && strstr(flags, " lo"));
}

static void run_brk(void)
{
	char *start = sbrk(3 * MIB), *end = sbrk(0), *more;

	V_CHECK(start != (void *)-1);
	v_fill(start, 3 * MIB, 5);
	v_ready();
	v_wait_go();
	V_CHECK(sbrk(0) == end);
	V_CHECK(v_same(start, 3 * MIB, 5));
	more = sbrk(MIB);
	V_CHECK(more == end);
	memset(more, 1, MIB);
	V_CHECK(sbrk(-2 * MIB) == end + MIB && sbrk(0) == end - MIB);
	V_CHECK(v_same(start, 2 * MIB, 5));
}

/* ---- very many areas: the same list before and after ---- */
static char *maps_text(void)
{
	size_t size = 4 * MIB, n = 0;
	char *text = v_map(size, MAP_PRIVATE);
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	ssize_t r;

	V_CHECK(fd >= 0);
	while ((r = read(fd, text + n, size - 1 - n)) > 0)
		n += (size_t)r;
	close(fd);
	return text;
}

static bool maps_have(const char *maps, const char *from, size_t len, const char *prot)
{
	char line[80];

	snprintf(line, sizeof(line), "%lx-%lx %sp", (unsigned long)from, (unsigned long)from + len, prot);
	return strstr(maps, line);
}

static void run_areas(void)
{
	enum { AREAS = 3000 };
	static const int prots[3] = { PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE };
	static const char *const texts[3] = { "r--", "rw-", "---" };
	char *p = v_map((size_t)AREAS * PAGE, MAP_PRIVATE), *maps;

	v_fill(p, (size_t)AREAS * PAGE, 8);
	for (int i = 0; i < AREAS; i++)
		V_CHECK(mprotect(p + i * PAGE, PAGE, prots[i % 3]) == 0);
	v_ready();
	v_wait_go();
	maps = maps_text();
	for (int i = 0; i < AREAS; i++)
		V_CHECK(maps_have(maps, p + i * PAGE, PAGE, texts[i % 3]));
	V_CHECK(mprotect(p, (size_t)AREAS * PAGE, PROT_READ) == 0 && v_same(p, (size_t)AREAS * PAGE, 8));
}

/* areas come and go while it is looked at */
static void run_churn(void)
{
	unsigned round = 0;

	v_ready();
	do {
		size_t len = (1 + round % 37) * PAGE;
		char *p = v_map(len, MAP_PRIVATE);

		v_fill(p, len, round);
		p = mremap(p, len, len + 16 * PAGE, MREMAP_MAYMOVE);
		V_CHECK(p != MAP_FAILED && v_same(p, len, round) && p[len + 15 * PAGE] == 0);
		V_CHECK(munmap(p, len + 16 * PAGE) == 0);
		round++;
	} while (round % 64 || !v_go());
}

/* ---- files mapped privately: changed pages are ours, the others the file's ---- */
static void run_file_private(void)
{
	size_t len = 4 * MIB;
	const char *path = v_path("map");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *p = v_map(len, MAP_PRIVATE), *m;

	v_fill(p, len, 11);
	V_CHECK(fd >= 0 && write(fd, p, len) == (ssize_t)len);
	m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	V_CHECK(m != MAP_FAILED && close(fd) == 0);
	for (size_t i = 0; i < len; i += 16 * PAGE)
		v_fill(m + i, PAGE, i + 1);
	v_ready();
	v_wait_go();
	for (size_t i = 0; i < len; i += 16 * PAGE) {
		V_CHECK(v_same(m + i, PAGE, i + 1));
		V_CHECK(memcmp(m + i + PAGE, p + i + PAGE, 15 * PAGE) == 0);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	V_CHECK(fd >= 0 && read(fd, m, len) == (ssize_t)len && v_same(m, len, 11));
	unlink(path);
}

static void run_file_unlinked(void)
{
	size_t len = MIB;
	const char *path = v_path("gone");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *p, *s;

	V_CHECK(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
	s = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V_CHECK(s != MAP_FAILED);
	v_fill(s, len, 12);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	V_CHECK(p != MAP_FAILED && close(fd) == 0 && unlink(path) == 0);
	v_fill(p, PAGE, 13);
	v_ready();
	v_wait_go();
	V_CHECK(v_same(s, len, 12));
	V_CHECK(v_same(p, PAGE, 13) && memcmp(p + PAGE, s + PAGE, len - PAGE) == 0);
	s[5 * PAGE] ^= 1;		/* the unchanged pages still are the file's */
	V_EQ(p[5 * PAGE], s[5 * PAGE]);
}

static void run_names(void)
{
	char *p = v_map(4 * PAGE, MAP_PRIVATE), want[64], *maps;

	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, 4 * PAGE, "victim area") < 0)
		v_skip("this kernel does not name areas");
	v_fill(p, 4 * PAGE, 6);
	v_ready();
	v_wait_go();
	maps = maps_text();
	snprintf(want, sizeof(want), "%lx-%lx ", (unsigned long)p, (unsigned long)p + 4 * PAGE);
	V_CHECK(strstr(maps, want) && strstr(strstr(maps, want), "[anon:victim area]"));
	V_CHECK(v_same(p, 4 * PAGE, 6));
}

/* pages thrown away come back as zero or as the file's, not as what they were in an older checkpoint */
static void run_dontneed(void)
{
	enum { LEN = 64 * PAGE };
	const char *path = v_path("base");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *anon = v_map(LEN, MAP_PRIVATE), *m;
	unsigned round = 0;

	v_fill(anon, LEN, 99);
	V_CHECK(fd >= 0 && write(fd, anon, LEN) == LEN);
	m = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	V_CHECK(m != MAP_FAILED && close(fd) == 0);
	v_ready();
	do {
		for (int at = 0; at < LEN; at += PAGE) {
			v_fill(anon + at, PAGE, round);
			v_fill(m + at, PAGE, round);
		}
		v_nap();
		V_CHECK(madvise(anon, LEN, MADV_DONTNEED) == 0 && madvise(m, LEN, MADV_DONTNEED) == 0);
		v_nap();
		V_CHECK(anon[0] == 0 && memcmp(anon, anon + 1, LEN - 1) == 0);
		V_CHECK(v_same(m, LEN, 99));
		round++;
	} while (!v_go());
	unlink(path);
}

/* guard pages inside an area (Linux 6.13) */
static void run_guard(void)
{
	enum { GUARD_INSTALL = 102 };
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	char *p = v_map(16 * PAGE, MAP_PRIVATE);

	sigaction(SIGSEGV, &sa, NULL);
	v_fill(p, 16 * PAGE, 5);
	if (madvise(p + 4 * PAGE, 2 * PAGE, GUARD_INSTALL) < 0)
		v_skip("this kernel has no guard pages");
	v_ready();
	v_wait_go();
	V_CHECK(v_same(p, 4 * PAGE, 5));
	V_CHECK(memcmp(p, p + 6 * PAGE, PAGE) != 0);
	V_CHECK(try_read(p + 4 * PAGE) != 0 && try_read(p + 5 * PAGE) != 0);
	V_EQ(try_read(p + 6 * PAGE), 0);
}

/* reads that go past the page cache straight into memory */
static void run_direct(void)
{
	enum { LEN = 1024 * PAGE };
	const char *path = v_path("direct");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *in = v_map(LEN, MAP_PRIVATE), *out = v_map(LEN, MAP_PRIVATE);

	v_fill(in, LEN, 6);
	V_CHECK(fd >= 0 && write(fd, in, LEN) == LEN && fsync(fd) == 0 && close(fd) == 0);
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		v_skip("no direct reads on this filesystem");
	v_ready();
	do {
		memset(out, 0, LEN);
		V_EQ(pread(fd, out, LEN, 0), LEN);
		V_CHECK(memcmp(in, out, LEN) == 0);
	} while (!v_go());
	unlink(path);
}

const struct victim victims_memory[] = {
	{ "mem-private", run_private },
	{ "mem-holes", run_holes },
	{ "mem-dirty", run_dirty },
	{ "mem-thp", run_thp },
	{ "mem-stack", run_stack },
	{ "mem-growsdown", run_growsdown },
	{ "mem-protect", run_protect },
	{ "mem-code", run_code },
	{ "mem-madvise", run_madvise },
	{ "mem-mlock", run_mlock },
	{ "mem-brk", run_brk },
	{ "mem-areas", run_areas },
	{ "mem-churn", run_churn },
	{ "mem-file-private", run_file_private },
	{ "mem-file-unlinked", run_file_unlinked },
	{ "mem-names", run_names },
	{ "mem-dontneed", run_dontneed },
	{ "mem-guard", run_guard },
	{ "mem-direct", run_direct },
	{ 0 },
};
