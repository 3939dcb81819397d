/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/inject.c - see inject.h.
 *
 * Bootstrap: the task's registers are set to a syscall instruction that it has anyway (the vdso has one), and PTRACE_SYSCALL runs
 * exactly that call.  Two calls map a code page (r-x, written through ptrace) and a data area.  From then on a batch is one
 * PTRACE_CONT until int3.  The scratch area of one process serves all its threads, one after another. */
#include "checkpoint/inject.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

_Static_assert(sizeof(struct ckpt_call) == 88, "pie/batch.S knows the layout");
extern const char ckpt_batch_code[], ckpt_batch_code_end[];

enum {
	PAGE = 4096,
	CALLS_LEN = (CKPT_CALLS_MAX * sizeof(struct ckpt_call) + PAGE - 1) / PAGE * PAGE,
	AREA_LEN = PAGE + CALLS_LEN + CKPT_DATA_MAX,	/* code, calls, data */
};

int ckpt_mem_read(pid_t pid, uint64_t addr, void *buf, size_t n)
{
	struct iovec l = { buf, n }, r = { (void *)addr, n };

	char path[40];
	ssize_t got;
	int fd;

	if (process_vm_readv(pid, &l, 1, &r, 1, 0) == (ssize_t)n)
		return 0;
	/* not readable for the task itself (PROT_NONE): through mem, which asks for less */
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	got = pread(fd, buf, n, (off_t)addr);
	close(fd);
	return got == (ssize_t)n ? 0 : -EFAULT;
}

int ckpt_mem_open(pid_t pid)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int ckpt_mem_fetch(int fd, pid_t pid, uint64_t addr, void *buf, size_t n)
{
	size_t at = 0;

	if (pid == getpid()) {
		memcpy(buf, (const void *)addr, n);
		return 0;
	}
	if (fd < 0)
		return ckpt_mem_read(pid, addr, buf, n);
	while (at < n) {
		ssize_t got = pread(fd, (char *)buf + at, n - at, (off_t)(addr + at));

		if (got <= 0)
			return got < 0 ? -errno : -ENODATA;	/* 0: its memory is gone */
		at += (size_t)got;
	}
	return 0;
}

int ckpt_mem_write(pid_t pid, uint64_t addr, const void *buf, size_t n)
{
	struct iovec l = { (void *)(uintptr_t)buf, n }, r = { (void *)addr, n };

	return process_vm_writev(pid, &l, 1, &r, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}

static int find_in(pid_t pid, uint64_t from, uint64_t to, uint64_t *ret)
{
	char buf[PAGE + 1];

	for (uint64_t a = from; a < to; a += PAGE) {
		if (ckpt_mem_read(pid, a, buf, PAGE) < 0)
			continue;
		for (size_t i = 0; i + 1 < PAGE; i++) {
			if (buf[i] != 0x0f || buf[i + 1] != 0x05)
				continue;
			*ret = a + i;
			return 0;
		}
	}
	return -ENOENT;
}

int ckpt_remote_gadget(pid_t pid, uint64_t *ret, struct om_err *err)
{
	om_autofree char *maps = NULL;
	char path[32], perm[5];
	unsigned long from, to;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	r = om_file_read(path, 64 << 20, &maps, NULL);
	if (r < 0)
		return om_err_sys(err, r, "%s", path);
	/* the vdso first: it is small, and every ordinary process has it */
	for (int pass = 0; pass < 2; pass++) {
		for (const char *l = maps, *e; *l; l = *e ? e + 1 : e) {
			e = strchrnul(l, '\n');
			if (sscanf(l, "%lx-%lx %4s", &from, &to, perm) != 3 || perm[0] != 'r' || perm[2] != 'x' ||
			    memmem(l, (size_t)(e - l), "[vsyscall]", 10) ||
			    (pass == 0 && !memmem(l, (size_t)(e - l), "[vdso]", 6)))
				continue;
			if (find_in(pid, from, to, ret) == 0)
				return 0;
		}
	}
	return om_err_set(err, -ENOEXEC, "process %d: no system call instruction in its memory", pid);
}

/* ---- waiting ---- */

/* Wait for the next stop of @r's task that is for us: 0 with the wait status. Clone events and stray stops are dealt with; behind them
 * it goes on in the way @how as before. */
static int wait_stop(struct ckpt_remote *r, enum __ptrace_request how, int *ret, struct om_err *err)
{
	int st;

	for (;;) {
		if (waitpid(r->tid, &st, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return om_err_sys(err, -errno, "wait for task %d", r->tid);
		}
		if (!WIFSTOPPED(st))
			return om_err_set(err, -ESRCH, "task %d has ended while it was examined", r->tid);
		if (st >> 16 == PTRACE_EVENT_CLONE || st >> 16 == PTRACE_EVENT_FORK || st >> 16 == PTRACE_EVENT_VFORK) {
			unsigned long msg = 0;

			if (ptrace(PTRACE_GETEVENTMSG, r->tid, 0, &msg) < 0 || waitpid((pid_t)msg, &st, __WALL) < 0)
				return om_err_sys(err, -errno, "new task of %d", r->tid);
			r->born = (pid_t)msg;
		} else if (st >> 16 != PTRACE_EVENT_STOP && WSTOPSIG(st) == SIGSTOP) {
			r->stop_sig = SIGSTOP;		/* cannot be blocked: given back in ckpt_remote_end() */
		} else if (st >> 16 != PTRACE_EVENT_STOP) {
			*ret = st;
			return 0;
		}
		if (ptrace(how, r->tid, 0, 0) < 0)
			return om_err_sys(err, -errno, "continue task %d", r->tid);
	}
}

static int cont(struct ckpt_remote *r, enum __ptrace_request how, int *st, struct om_err *err)
{
	if (ptrace(how, r->tid, 0, 0) < 0)
		return om_err_sys(err, -errno, "continue task %d", r->tid);
	return wait_stop(r, how, st, err);
}

int ckpt_remote_settle(struct ckpt_remote *r, struct om_err *err)
{
	int st;

	if (ptrace(PTRACE_INTERRUPT, r->tid, 0, 0) < 0 || ptrace(PTRACE_CONT, r->tid, 0, 0) < 0)
		return om_err_sys(err, -errno, "interrupt task %d", r->tid);
	if (waitpid(r->tid, &st, __WALL) < 0)
		return om_err_sys(err, -errno, "wait for task %d", r->tid);
	if (!WIFSTOPPED(st))
		return om_err_set(err, -ESRCH, "task %d has ended", r->tid);
	return 0;
}

/* ---- single calls ---- */

static int regs_set(struct ckpt_remote *r, const struct user_regs_struct *regs, struct om_err *err)
{
	struct iovec v = { (void *)(uintptr_t)regs, sizeof(*regs) };

	return ptrace(PTRACE_SETREGSET, r->tid, NT_PRSTATUS, &v) < 0 ? om_err_sys(err, -errno, "registers of task %d", r->tid) : 0;
}

static int regs_get(struct ckpt_remote *r, struct user_regs_struct *regs, struct om_err *err)
{
	struct iovec v = { regs, sizeof(*regs) };

	return ptrace(PTRACE_GETREGSET, r->tid, NT_PRSTATUS, &v) < 0 ? om_err_sys(err, -errno, "registers of task %d", r->tid) : 0;
}

int ckpt_remote_call(struct ckpt_remote *r, uint64_t nr, const uint64_t arg[6], int64_t *ret, struct om_err *err)
{
	struct user_regs_struct regs = r->regs;
	int st, e;

	regs.rax = nr;
	regs.orig_rax = (uint64_t)-1;		/* no restart of the call that was interrupted */
	regs.rip = r->gadget;
	regs.rdi = arg[0];
	regs.rsi = arg[1];
	regs.rdx = arg[2];
	regs.r10 = arg[3];
	regs.r8 = arg[4];
	regs.r9 = arg[5];
	e = regs_set(r, &regs, err);
	if (e < 0)
		return e;
	for (int i = 0; i < 2; i++) {		/* stop before the call, stop behind it */
		e = cont(r, PTRACE_SYSCALL, &st, err);
		if (e < 0)
			return e;
		if (WSTOPSIG(st) != (SIGTRAP | 0x80))
			return om_err_set(err, -EFAULT, "task %d got signal %d during an injected call", r->tid, WSTOPSIG(st));
	}
	e = regs_get(r, &regs, err);
	*ret = (int64_t)regs.rax;
	return e;
}

int ckpt_remote_step(struct ckpt_remote *r, struct om_err *err)
{
	int st, e = regs_set(r, &r->regs, err);

	if (e == 0)
		e = cont(r, PTRACE_SINGLESTEP, &st, err);
	if (e == 0 && WSTOPSIG(st) != SIGTRAP)
		e = om_err_set(err, -EFAULT, "task %d got signal %d when it was stepped", r->tid, WSTOPSIG(st));
	return e < 0 ? e : regs_get(r, &r->regs, err);
}

static int map_area(struct ckpt_remote *r, uint64_t at, struct om_err *err)
{
	const uint64_t area[6] = { at, AREA_LEN, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0), (uint64_t)-1, 0 };
	uint64_t prot[6] = { 0, PAGE, PROT_READ | PROT_EXEC }, trap[6] = { SIGTRAP, 0, 0, 8 };
	int64_t ret;
	int e = ckpt_remote_call(r, SYS_mmap, area, &ret, err);

	if (e < 0)
		return e;
	if (ret < 0 && ret > -4096)
		return om_err_sys(err, (int)ret, "scratch memory in task %d", r->tid);
	r->base = prot[0] = (uint64_t)ret;
	r->owns = true;
	if (ckpt_mem_write(r->tid, r->base, ckpt_batch_code, (size_t)(ckpt_batch_code_end - ckpt_batch_code)) < 0)
		return om_err_set(err, -EFAULT, "cannot write to the memory of task %d", r->tid);
	e = ckpt_remote_call(r, SYS_mprotect, prot, &ret, err);
	if (e == 0 && ret < 0)
		return om_err_sys(err, (int)ret, "executable memory in task %d", r->tid);
	trap[2] = r->base + PAGE;
	if (e == 0)
		e = ckpt_remote_call(r, SYS_rt_sigaction, trap, &ret, err);
	if (e == 0 && ckpt_mem_read(r->tid, r->base + PAGE, &r->trap, sizeof(r->trap)) < 0)
		return om_err_set(err, -EFAULT, "cannot read the memory of task %d", r->tid);
	return e;
}

/* int3 made the kernel forget that SIGTRAP was ignored. */
static int trap_restore(struct ckpt_remote *r, struct om_err *err)
{
	const uint64_t arg[6] = { SIGTRAP, r->base + PAGE, 0, 8 };
	int64_t ret;

	if (r->trap.handler != (uintptr_t)SIG_IGN)
		return 0;
	if (ckpt_mem_write(r->tid, r->base + PAGE, &r->trap, sizeof(r->trap)) < 0)
		return om_err_set(err, -EFAULT, "cannot write to the memory of task %d", r->tid);
	return ckpt_remote_call(r, SYS_rt_sigaction, arg, &ret, err);
}

int ckpt_remote_begin(struct ckpt_remote *r, pid_t tid, uint64_t gadget, uint64_t at, uint64_t share, struct om_err *err)
{
	const long opts = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL;
	uint64_t all = ~(1ULL << (SIGTRAP - 1));	/* int3 while blocked would reset its handler */
	int e;

	*r = (struct ckpt_remote){ .tid = tid, .gadget = gadget, .base = share };
	e = regs_get(r, &r->regs, err);
	if (e < 0)
		return e;
	if (ptrace(PTRACE_GETSIGMASK, tid, 8, &r->sigmask) < 0 || ptrace(PTRACE_SETOPTIONS, tid, 0, opts) < 0 ||
	    ptrace(PTRACE_SETSIGMASK, tid, 8, &all) < 0)
		return om_err_sys(err, -errno, "task %d", tid);
	r->begun = true;
	return share ? 0 : map_area(r, at, err);
}

int ckpt_remote_end(struct ckpt_remote *r, struct om_err *err)
{
	const uint64_t arg[6] = { r->base, AREA_LEN };
	int64_t ret;
	int e = 0;

	if (!r->begun)
		return 0;
	if (r->owns)
		e = trap_restore(r, err);
	if (r->owns && e == 0)
		e = ckpt_remote_call(r, SYS_munmap, arg, &ret, err);
	/* back into the kernel's signal handling: only there an interrupted call is restarted */
	if (e == 0)
		e = ckpt_remote_settle(r, err);
	if (e == 0)
		e = regs_set(r, &r->regs, err);
	if (e < 0)
		return e;
	if (ptrace(PTRACE_SETSIGMASK, r->tid, 8, &r->sigmask) < 0 || ptrace(PTRACE_SETOPTIONS, r->tid, 0, PTRACE_O_TRACESYSGOOD) < 0)
		return om_err_sys(err, -errno, "task %d", r->tid);
	r->begun = r->owns = false;
	return 0;
}

/* ---- batches ---- */

int ckpt_batch_init(struct ckpt_batch *b, uint64_t base)
{
	*b = (struct ckpt_batch){ .base = base };
	b->call = calloc(CKPT_CALLS_MAX, sizeof(*b->call));
	b->what = calloc(CKPT_CALLS_MAX, sizeof(*b->what));
	b->data = malloc(CKPT_DATA_MAX);
	if (b->call && b->what && b->data)
		return 0;
	ckpt_batch_done(b);
	return -ENOMEM;
}

void ckpt_batch_done(struct ckpt_batch *b)
{
	free(b->call);
	free(b->what);
	free(b->data);
	*b = (struct ckpt_batch){ 0 };
}

void ckpt_batch_reset(struct ckpt_batch *b)
{
	b->n = 0;
	b->len = 0;
	b->full = false;
}

bool ckpt_batch_room(const struct ckpt_batch *b, unsigned calls, size_t bytes)
{
	return b->n + calls <= CKPT_CALLS_MAX && bytes < CKPT_DATA_MAX - 64 && b->len + bytes + 64 <= CKPT_DATA_MAX;
}

unsigned ckpt_call6(struct ckpt_batch *b, const char *what, bool must, uint64_t nr, const uint64_t arg[6])
{
	struct ckpt_call *c;

	if (b->n == CKPT_CALLS_MAX) {
		b->full = true;
		return b->n - 1;
	}
	c = &b->call[b->n];
	*c = (struct ckpt_call){ .nr = nr, .must = must };
	memcpy(c->arg, arg, sizeof(c->arg));
	b->what[b->n] = what;
	return b->n++;
}

void ckpt_batch_feed_at(struct ckpt_batch *b, unsigned from, uint64_t addr)
{
	b->call[from].dst[b->call[from].dst[0] != 0] = addr;
}

void ckpt_batch_feed(struct ckpt_batch *b, unsigned from, unsigned to, unsigned arg)
{
	ckpt_batch_feed_at(b, from, b->base + PAGE + to * sizeof(struct ckpt_call) + offsetof(struct ckpt_call, arg) + 8 * arg);
}

uint64_t ckpt_batch_out(struct ckpt_batch *b, size_t n)
{
	size_t at = (b->len + 15) & ~(size_t)15;

	if (n > CKPT_DATA_MAX || at + n > CKPT_DATA_MAX) {
		b->full = true;
		at = 0;
		n = 0;
	}
	memset(b->data + at, 0, n);
	if (n)
		b->len = at + n;
	return b->base + PAGE + CALLS_LEN + at;
}

uint64_t ckpt_batch_in(struct ckpt_batch *b, const void *p, size_t n)
{
	uint64_t addr = ckpt_batch_out(b, n);

	if (!b->full)
		memcpy(ckpt_batch_at(b, addr), p, n);
	return addr;
}

void *ckpt_batch_at(const struct ckpt_batch *b, uint64_t addr)
{
	return b->data + (addr - b->base - PAGE - CALLS_LEN);
}

static int batch_write(struct ckpt_remote *r, struct ckpt_batch *b)
{
	int e = ckpt_mem_write(r->tid, r->base + PAGE, b->call, b->n * sizeof(*b->call));

	return e == 0 && b->len ? ckpt_mem_write(r->tid, r->base + PAGE + CALLS_LEN, b->data, b->len) : e;
}

static int batch_read(struct ckpt_remote *r, struct ckpt_batch *b)
{
	int e = ckpt_mem_read(r->tid, r->base + PAGE, b->call, b->n * sizeof(*b->call));

	return e == 0 && b->len ? ckpt_mem_read(r->tid, r->base + PAGE + CALLS_LEN, b->data, b->len) : e;
}

int ckpt_batch_run(struct ckpt_remote *r, struct ckpt_batch *b, struct om_err *err)
{
	struct user_regs_struct regs = r->regs;
	int st, e;

	if (b->full)
		return om_err_set(err, -E2BIG, "too many system calls for task %d at once", r->tid);
	if (b->n == 0)
		return 0;
	regs.orig_rax = (uint64_t)-1;
	regs.rip = r->base;
	regs.r15 = r->base + PAGE;
	regs.r14 = b->n;
	r->born = 0;
	if (batch_write(r, b) < 0)
		return om_err_set(err, -EFAULT, "cannot write to the memory of task %d", r->tid);
	e = regs_set(r, &regs, err);
	if (e == 0)
		e = cont(r, PTRACE_CONT, &st, err);
	if (e == 0)
		e = regs_get(r, &regs, err);
	if (e < 0)
		return e;
	if (WSTOPSIG(st) != SIGTRAP || regs.rip - 1 - r->base >= (uint64_t)(ckpt_batch_code_end - ckpt_batch_code))
		return om_err_set(err, -EFAULT, "task %d got signal %d at %#llx during injected calls", r->tid, WSTOPSIG(st), regs.rip);
	if (batch_read(r, b) < 0)
		return om_err_set(err, -EFAULT, "cannot read the memory of task %d", r->tid);
	if (regs.r14 > 0 && regs.r14 <= b->n) {
		unsigned i = b->n - (unsigned)regs.r14;

		return om_err_sys(err, (int)b->call[i].ret, "task %d: %s", r->tid, b->what[i]);
	}
	return 0;
}

int ckpt_batch_flush(struct ckpt_remote *r, struct ckpt_batch *b, unsigned calls, size_t bytes, struct om_err *err)
{
	int e = 0;

	if (!ckpt_batch_room(b, calls, bytes)) {
		e = ckpt_batch_run(r, b, err);
		ckpt_batch_reset(b);
	}
	return e;
}
