/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers and what else belongs to a processor: the pattern stays in the registers between two looks. */
#include "tests/victims/victim.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { SPIN = 20000000 };		/* some 10 ms between two looks */

#define TURN_LOOP "1: dec %%rcx\n\tjnz 1b\n\t"

static void run_gpr(void)
{
	v_ready();
	do {
		uint64_t bad = 0;

		__asm__ volatile(
			"mov $0x1111111111111111, %%rax\n\tmov $0x2222222222222222, %%rdx\n\tmov $0x3333333333333333, %%rsi\n\t"
			"mov $0x4444444444444444, %%rdi\n\tmov $0x5555555555555555, %%r8\n\tmov $0x6666666666666666, %%r9\n\t"
			"mov $0x7777777777777777, %%r10\n\tmov $0x1888888888888888, %%r11\n\tmov $0x1999999999999999, %%r12\n\t"
			"mov $0x1aaaaaaaaaaaaaaa, %%r13\n\tmov $0x1bbbbbbbbbbbbbbb, %%r14\n\tmov $0x1ccccccccccccccc, %%r15\n\t"
			"mov %1, %%rcx\n\t" TURN_LOOP
			/* all multiples of the repeated digit: their sum is known only if none has changed */
			"mov %%rax, %0\n\tadd %%rdx, %0\n\trol $7, %0\n\tadd %%rsi, %0\n\trol $7, %0\n\tadd %%rdi, %0\n\trol $7, %0\n\t"
			"add %%r8, %0\n\trol $7, %0\n\tadd %%r9, %0\n\trol $7, %0\n\tadd %%r10, %0\n\trol $7, %0\n\tadd %%r11, %0\n\t"
			"rol $7, %0\n\tadd %%r12, %0\n\trol $7, %0\n\tadd %%r13, %0\n\trol $7, %0\n\tadd %%r14, %0\n\trol $7, %0\n\tadd %%r15, %0"
			: "=&b"(bad) : "i"(SPIN)
			: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc");
		static const uint64_t v[12] = {
			0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444, 0x5555555555555555,
			0x6666666666666666, 0x7777777777777777, 0x1888888888888888, 0x1999999999999999, 0x1aaaaaaaaaaaaaaa,
			0x1bbbbbbbbbbbbbbb, 0x1ccccccccccccccc,
		};
		uint64_t want = v[0] + v[1];

		for (int i = 2; i < 12; i++)
			want = (want << 7 | want >> 57) + v[i];
		V_EQ(bad, want);
	} while (!v_go());
}

/* ---- vector registers ---- */
static void fill_and_check(void (*turn)(const void *in, void *out), size_t bytes)
{
	static unsigned char in[2048] __attribute__((aligned(64))), out[2048] __attribute__((aligned(64)));
	uint64_t seed = 77;

	v_ready();
	do {
		v_fill(in, bytes, ++seed);
		memset(out, 0, bytes);
		turn(in, out);
		V_CHECK(memcmp(in, out, bytes) == 0);
	} while (!v_go());
}

__attribute__((target("sse2"))) static void turn_xmm(const void *in, void *out)
{
#define L(n) "movdqa " #n "*16(%0), %%xmm" #n "\n\t"
#define S(n) "movdqa %%xmm" #n ", " #n "*16(%1)\n\t"
	__asm__ volatile(
		L(0) L(1) L(2) L(3) L(4) L(5) L(6) L(7) L(8) L(9) L(10) L(11) L(12) L(13) L(14) L(15) "mov %2, %%rcx\n\t" TURN_LOOP
		S(0) S(1) S(2) S(3) S(4) S(5) S(6) S(7) S(8) S(9) S(10) S(11) S(12) S(13) S(14) S(15)
		: : "r"(in), "r"(out), "i"(SPIN)
		: "rcx", "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
		  "xmm12", "xmm13", "xmm14", "xmm15");
#undef L
#undef S
}

static void run_xmm(void)
{
	fill_and_check(turn_xmm, 256);
}

__attribute__((target("avx"))) static void turn_ymm(const void *in, void *out)
{
#define L(n) "vmovdqa " #n "*32(%0), %%ymm" #n "\n\t"
#define S(n) "vmovdqa %%ymm" #n ", " #n "*32(%1)\n\t"
	__asm__ volatile(
		L(0) L(1) L(2) L(3) L(4) L(5) L(6) L(7) L(8) L(9) L(10) L(11) L(12) L(13) L(14) L(15) "mov %2, %%rcx\n\t" TURN_LOOP
		S(0) S(1) S(2) S(3) S(4) S(5) S(6) S(7) S(8) S(9) S(10) S(11) S(12) S(13) S(14) S(15) "vzeroupper"
		: : "r"(in), "r"(out), "i"(SPIN)
		: "rcx", "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
		  "xmm12", "xmm13", "xmm14", "xmm15");
#undef L
#undef S
}

static void run_ymm(void)
{
	if (!__builtin_cpu_supports("avx"))
		v_skip("this processor has no AVX");
	fill_and_check(turn_ymm, 512);
}

/* 32 registers of 64 bytes and 7 masks of 8 */
__attribute__((target("avx512f,avx512bw"))) static void turn_zmm(const void *in, void *out)
{
#define L(n) "vmovdqa64 " #n "*64(%0), %%zmm" #n "\n\t"
#define S(n) "vmovdqa64 %%zmm" #n ", " #n "*64(%1)\n\t"
	__asm__ volatile(
		L(0) L(1) L(2) L(3) L(4) L(5) L(6) L(7) L(8) L(9) L(10) L(11) L(12) L(13) L(14) L(15)
		L(16) L(17) L(18) L(19) L(20) L(21) L(22) L(23) L(24) L(25) L(26) L(27) L(28) L(29)
		"kmovq 1920(%0), %%k1\n\tkmovq 1928(%0), %%k3\n\tkmovq 1936(%0), %%k7\n\tmov %2, %%rcx\n\t" TURN_LOOP
		S(0) S(1) S(2) S(3) S(4) S(5) S(6) S(7) S(8) S(9) S(10) S(11) S(12) S(13) S(14) S(15)
		S(16) S(17) S(18) S(19) S(20) S(21) S(22) S(23) S(24) S(25) S(26) S(27) S(28) S(29)
		"kmovq %%k1, 1920(%1)\n\tkmovq %%k3, 1928(%1)\n\tkmovq %%k7, 1936(%1)\n\tvzeroupper"
		: : "r"(in), "r"(out), "i"(SPIN)
		: "rcx", "cc", "memory", "k1", "k3", "k7", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
		  "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
		  "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29");
#undef L
#undef S
}

static void run_zmm(void)
{
	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw"))
		v_skip("this processor has no AVX-512");
	fill_and_check(turn_zmm, 1944);
}

/* ---- x87: stack, control word; SSE control word ---- */
static void run_x87(void)
{
	unsigned short cw = 0x0c7f, got;	/* round to zero, double precision */
	double in[3] = { 1.5, -2.25, 1e300 }, out[3];

	v_ready();
	do {
		__asm__ volatile(
			"fninit\n\tfldcw %3\n\tfldl 0(%0)\n\tfldl 8(%0)\n\tfldl 16(%0)\n\tmov %4, %%rcx\n\t" TURN_LOOP
			"fnstcw %2\n\tfstpl 16(%1)\n\tfstpl 8(%1)\n\tfstpl 0(%1)\n\tfninit"
			: : "r"(in), "r"(out), "m"(got), "m"(cw), "i"(SPIN) : "rcx", "cc", "memory", "st", "st(1)", "st(2)");
		V_EQ(got, cw);
		V_CHECK(memcmp(in, out, sizeof(in)) == 0);
	} while (!v_go());
}

static void run_mxcsr(void)
{
	unsigned set = 0xff80 & ~0x2000u, now;	/* round up, flush to zero, all masked */

	_mm_setcsr(set);
	v_ready();
	do {
		for (volatile int i = 0; i < 1000000; i++)
			;
		now = _mm_getcsr() & ~0x3fu;
		V_EQ(now, set);
	} while (!v_go());
}

/* ---- segment bases: thread-local storage, and gs set by hand ---- */
static __thread uint64_t local[64];

static void *tls_thread(void *arg)
{
	uint64_t own[4] = { (uintptr_t)arg, 2, 3, 4 }, via_gs;
	unsigned long base = 0;

	v_fill(local, sizeof(local), (uintptr_t)arg);
	V_CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, own) == 0);
	while (!v_go()) {
		for (volatile int i = 0; i < 100000; i++)
			;
		V_CHECK(v_same(local, sizeof(local), (uintptr_t)arg));
		__asm__ volatile("mov %%gs:0, %0" : "=r"(via_gs));
		V_EQ(via_gs, (uintptr_t)arg);
	}
	V_CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0);
	V_CHECK(base == (uintptr_t)own);
	return NULL;
}

static void run_tls(void)
{
	pthread_t t[4];

	for (uintptr_t i = 0; i < 4; i++)
		V_CHECK(pthread_create(&t[i], NULL, tls_thread, (void *)(i + 100)) == 0);
	v_ready();
	for (int i = 0; i < 4; i++)
		V_CHECK(pthread_join(t[i], NULL) == 0);
}

/* ---- rseq as glibc registers it: the kernel keeps the processor number there ---- */
static volatile struct rseq *rseq_area(void)
{
	return (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void run_rseq(void)
{
	cpu_set_t all, one;

	if (__rseq_size == 0)
		v_skip("glibc has not registered rseq");
	V_CHECK(sched_getaffinity(0, sizeof(all), &all) == 0);
	v_ready();
	v_wait_go();
	for (int cpu = 0, n = 0; cpu < CPU_SETSIZE && n < 8; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		n++;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		V_CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
		V_EQ(rseq_area()->cpu_id, cpu);
		V_EQ(sched_getcpu(), cpu);
	}
	/* registered still: a second registration of the same place is refused as such */
	V_CHECK(syscall(SYS_rseq, rseq_area(), 32, 0, RSEQ_SIG) < 0);
	V_EQ(errno, EBUSY);
}

/* ---- the vdso in a tight loop, by several threads ---- */
static void *vdso_thread(void *arg)
{
	struct timeval tv, last = { 0, 0 };
	uint64_t mono = 0, now;

	for (unsigned i = 0; i % 65536 || !v_go(); i++) {
		now = v_clock_ns(CLOCK_MONOTONIC);
		V_CHECK(now >= mono);
		mono = now;
		V_CHECK(gettimeofday(&tv, NULL) == 0 && tv.tv_sec >= last.tv_sec - 1);
		last = tv;
		V_CHECK(time(NULL) >= last.tv_sec - 1);
	}
	return arg;
}

static void run_vdso(void)
{
	pthread_t t;

	V_CHECK(pthread_create(&t, NULL, vdso_thread, NULL) == 0);
	v_ready();
	vdso_thread(NULL);
	V_CHECK(pthread_join(t, NULL) == 0);
}

/* ---- nothing but system calls: none may be lost, doubled or end in a strange way ---- */
static void run_syscalls(void)
{
	pid_t pid = getpid();
	int p[2];
	char c;

	V_CHECK(pipe(p) == 0);
	v_ready();
	for (unsigned i = 0; i % 4096 || !v_go(); i++) {
		V_EQ(syscall(SYS_getpid), pid);
		c = (char)i;
		V_EQ(write(p[1], &c, 1), 1);
		V_EQ(read(p[0], &c, 1), 1);
		V_EQ(c, (char)i);
		V_CHECK(close(-1) < 0 && errno == EBADF);
	}
}

const struct victim victims_cpu[] = {
	{ "cpu-gpr", run_gpr },
	{ "cpu-xmm", run_xmm },
	{ "cpu-ymm", run_ymm },
	{ "cpu-zmm", run_zmm },
	{ "cpu-x87", run_x87 },
	{ "cpu-mxcsr", run_mxcsr },
	{ "cpu-tls", run_tls },
	{ "cpu-rseq", run_rseq },
	{ "cpu-vdso", run_vdso },
	{ "cpu-syscalls", run_syscalls },
	{ 0 },
};
