/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/continue.c - see continue.h.
 *
 * Where it is enough, registers are set so that the same call is made again.  A call with a time limit is made again by a stub
 * (pie/stub.S) that knows the deadline: it is left in a page of the task, is dumped and restored with it, and works for as many checkpoints as the
 * call lasts.  A slot is free again when its thread is gone, or has left it and returned above the stack it was called on (a signal handler
 * may have interrupted it). */
#include "checkpoint/continue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/procfs.h"

enum {
	ERESTART_RESTARTBLOCK = 516,		/* the kernel's own */
	SLOT = 256, SLOT_DATA = 160, SLOTS = CKPT_PAGE / SLOT,	/* slot 0 is the page's head */
	FRAME = 512,				/* what a stub takes of the stack */
	STEPS_MAX = 800,			/* of all threads of a process; 6 us each */
};
static const char magic[16] = "om stub page 1\n";

struct data {					/* at SLOT_DATA; the first seven are known to pie/stub.S */
	uint64_t deadline, nr, arg, rip, done, buf, len;
	uint64_t rsp;
	uint32_t tid, kind;			/* tid 0: free; kind: index in stubs, + 1 */
};
_Static_assert(sizeof(struct data) <= SLOT - SLOT_DATA, "a slot");

#define STUB(name) extern const char ckpt_stub_##name[], ckpt_stub_##name##_after[], ckpt_stub_##name##_end[]
STUB(ms_rdx); STUB(ms_r10); STUB(ts_rdi); STUB(ts_rdx); STUB(ts_r10); STUB(rest);
#undef STUB

enum stub { MS_RDX, MS_R10, TS_RDI, TS_RDX, TS_R10, REST, STUBS };
static const struct { const char *code, *after, *end; } stubs[STUBS] = {
#define STUB(name) { ckpt_stub_##name, ckpt_stub_##name##_after, ckpt_stub_##name##_end }
	STUB(ms_rdx), STUB(ms_r10), STUB(ts_rdi), STUB(ts_rdx), STUB(ts_r10), STUB(rest),
#undef STUB
};
/* calls whose time limit is relative and does not come back */
static const struct { unsigned nr; enum stub stub; } timed[] = {
	{ SYS_poll, MS_RDX }, { SYS_epoll_wait, MS_R10 }, { SYS_epoll_pwait, MS_R10 }, { SYS_nanosleep, TS_RDI },
	{ SYS_clock_nanosleep, TS_RDX }, { SYS_futex, TS_R10 }, { SYS_semtimedop, TS_R10 }, { SYS_rt_sigtimedwait, TS_RDX },
	{ 441 /* epoll_pwait2 */, TS_R10 },
};

struct page {					/* a page of slots in the task, and our copy */
	uint64_t addr;
	char text[CKPT_PAGE];
	bool fresh;
};
struct fixer {
	struct ckpt_proc *p;
	struct ckpt_batch *b;
	struct page *page;
	unsigned npages;
	int mem;				/* /proc/PID/mem */
	struct om_err *err;
};

static struct data *slot_data(struct page *pg, unsigned i)
{
	return (struct data *)(void *)(pg->text + i * SLOT + SLOT_DATA);
}

/* ---- pages ---- */

static int page_add(struct fixer *f, uint64_t addr, bool fresh)
{
	struct page *pg = reallocarray(f->page, f->npages + 1, sizeof(*pg));

	if (!pg)
		return om_err_set(f->err, -ENOMEM, "out of memory");
	f->page = pg;
	pg += f->npages++;
	*pg = (struct page){ .addr = addr, .fresh = fresh };
	if (fresh)
		memcpy(pg->text, magic, sizeof(magic));
	else if (ckpt_mem_read(f->p->pid, addr, pg->text, CKPT_PAGE) < 0)
		f->npages--;
	return 0;
}

static int pages_find(struct fixer *f)
{
	int r = 0;

	for (size_t i = 0; i < f->p->maps.n && r == 0; i++) {
		const struct ckpt_area *a = &f->p->maps.area[i];

		/* neighbours of the same kind may have been joined */
		if (a->kind != CKPT_AREA_ANON || a->prot != (PROT_READ | PROT_EXEC) || a->name)
			continue;
		for (uint64_t at = a->from; at < a->to && at < a->from + 64 * CKPT_PAGE && r == 0; at += CKPT_PAGE) {
			char head[sizeof(magic)];

			if (ckpt_mem_read(f->p->pid, at, head, sizeof(head)) == 0 && memcmp(head, magic, sizeof(magic)) == 0)
				r = page_add(f, at, false);
		}
	}
	return r;
}

static int page_make(struct fixer *f)
{
	struct ckpt_remote *r = &f->p->threads[0].remote;
	uint64_t addr;
	unsigned m;
	int e;

	ckpt_batch_reset(f->b);
	m = ckpt_must(f->b, "page for an interrupted call", SYS_mmap, 0, CKPT_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		      (uint64_t)-1, 0);
	e = ckpt_batch_run(r, f->b, f->err);
	if (e < 0)
		return e;
	addr = (uint64_t)f->b->call[m].ret;
	e = ckpt_maps_insert(&f->p->maps, addr, addr + CKPT_PAGE, PROT_READ | PROT_EXEC);
	return e < 0 ? om_err_sys(f->err, e, "memory areas") : page_add(f, addr, true);
}

static void slots_free(struct fixer *f)
{
	for (unsigned g = 0; g < f->npages; g++) {
		for (unsigned i = 1; i < SLOTS; i++) {
			struct data *d = slot_data(&f->page[g], i);
			const struct ckpt_thread *t = NULL;
			uint64_t at = f->page[g].addr + i * SLOT;

			for (unsigned k = 0; k < f->p->nthreads && d->tid && !t; k++)
				if ((uint32_t)f->p->threads[k].vtid == d->tid)
					t = &f->p->threads[k];
			if (d->tid && t && (t->remote.regs.rip - at < SLOT || t->remote.regs.rsp < d->rsp || t->remote.regs.rsp - d->rsp > 1 << 20))
				continue;
			d->tid = 0;
		}
	}
}

static int slot_take(struct fixer *f, unsigned *ret_page, unsigned *ret_slot)
{
	for (int tries = 0; tries < 2; tries++) {
		for (unsigned g = 0; g < f->npages; g++) {
			for (unsigned i = 1; i < SLOTS; i++) {
				if (slot_data(&f->page[g], i)->tid)
					continue;
				*ret_page = g;
				*ret_slot = i;
				return 0;
			}
		}
		if (tries == 0) {
			int r = page_make(f);

			if (r < 0)
				return r;
		}
	}
	return om_err_set(f->err, -ENOSPC, "no slot for an interrupted call");
}

static int slot_write(struct fixer *f, unsigned g, unsigned i)
{
	struct page *pg = &f->page[g];
	int r = 0;

	if (pg->fresh)
		r = om_fd_pwrite_all(f->mem, pg->text, SLOT, (off_t)pg->addr);
	pg->fresh = false;
	if (r == 0)
		r = om_fd_pwrite_all(f->mem, pg->text + i * SLOT, SLOT, (off_t)(pg->addr + i * SLOT));
	return r < 0 ? om_err_sys(f->err, r, "write to the memory of process %d", f->p->vpid) : 0;
}

/* Let @t go on in a new slot with stub @s; @d is filled but for rip, rsp, tid and kind. */
static int slot_enter(struct fixer *f, struct ckpt_thread *t, enum stub s, struct data *d)
{
	struct user_regs_struct *regs = &t->remote.regs;
	unsigned g = 0, i = 0;
	int r = slot_take(f, &g, &i);

	if (r < 0)
		return r;
	d->rip = regs->rip;
	d->rsp = regs->rsp;
	d->tid = (uint32_t)t->vtid;
	d->kind = s + 1;
	memset(f->page[g].text + i * SLOT, 0, SLOT);
	memcpy(f->page[g].text + i * SLOT, stubs[s].code, (size_t)(stubs[s].end - stubs[s].code));
	*slot_data(&f->page[g], i) = *d;
	r = slot_write(f, g, i);
	if (r == 0) {
		regs->rip = f->page[g].addr + i * SLOT;
		regs->rax = d->nr;
		regs->orig_rax = (uint64_t)-1;
	}
	return r;
}

/* ---- threads ---- */

static void again(struct user_regs_struct *regs)
{
	regs->rax = regs->orig_rax;
	regs->rip -= 2;
	regs->orig_rax = (uint64_t)-1;
}

/* Is a signal waiting that will be taken as soon as the task goes on?  Then EINTR is its doing. */
static bool signal_waits(const struct ckpt_thread *t)
{
	struct ckpt_status st;

	return ckpt_status_read(t->tid, &st) < 0 || ((st.sig_pnd | st.shd_pnd) & ~t->remote.sigmask);
}

/* The time limit of the call in ns; false: it has none that runs. */
static bool limit_of(struct fixer *f, const struct user_regs_struct *regs, enum stub s, uint64_t *ret_arg, uint64_t *ret_ns)
{
	uint64_t arg = s == TS_RDI ? regs->rdi : s == MS_RDX || s == TS_RDX ? regs->rdx : regs->r10;
	struct timespec ts;

	*ret_arg = arg;
	if (s == MS_RDX || s == MS_R10) {
		*ret_ns = (int32_t)arg > 0 ? (uint64_t)(int32_t)arg * 1000000 : 0;
		return (int32_t)arg > 0;
	}
	if (!arg || ckpt_mem_read(f->p->pid, arg, &ts, sizeof(ts)) < 0 || ts.tv_sec < 0 || ts.tv_sec > INT32_MAX)
		return false;			/* so long that it is as good as for ever */
	*ret_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	return true;
}

static int timed_again(struct fixer *f, struct ckpt_thread *t)
{
	struct user_regs_struct *regs = &t->remote.regs;
	size_t i = 0;
	struct data d = { .nr = regs->orig_rax };
	uint64_t ns;

	/* the kernel has written what is left to where the call wants it */
	if (regs->orig_rax == SYS_nanosleep && regs->rsi)
		return (void)(regs->rdi = regs->rsi), again(regs), 0;
	if (regs->orig_rax == SYS_clock_nanosleep && regs->r10)
		return (void)(regs->rdx = regs->r10), again(regs), 0;
	while (i < OM_ARRAY_SIZE(timed) && timed[i].nr != regs->orig_rax)
		i++;
	if (i == OM_ARRAY_SIZE(timed) || (regs->orig_rax == SYS_futex && (regs->rsi & FUTEX_CMD_MASK) != FUTEX_WAIT) ||
	    !limit_of(f, regs, timed[i].stub, &d.arg, &ns)) {
		again(regs);
		return 0;
	}
	d.deadline = f->p->mono_ns + ns;
	return slot_enter(f, t, timed[i].stub, &d);
}

static bool cut_short(const struct user_regs_struct *regs)
{
	return (regs->orig_rax == SYS_write || regs->orig_rax == SYS_sendto) && (int64_t)regs->rax > 0 && regs->rax < regs->rdx;
}

/* Stopped in a stub: at its call, or anywhere else. */
static int stub_again(struct fixer *f, struct ckpt_thread *t, unsigned g, unsigned i, bool interrupted)
{
	struct user_regs_struct *regs = &t->remote.regs;
	struct data *d = slot_data(&f->page[g], i);
	uint64_t at = f->page[g].addr + i * SLOT;
	bool more;

	if (!d->kind || d->kind > STUBS || regs->rip != at + (uint64_t)(stubs[d->kind - 1].after - stubs[d->kind - 1].code))
		return 0;
	more = d->kind - 1 == REST && cut_short(regs);
	if (!more && !interrupted)
		return 0;
	if (more)
		d->done += regs->rax;
	regs->rip = at;
	regs->rsp += FRAME;
	regs->orig_rax = (uint64_t)-1;
	return more ? slot_write(f, g, i) : 0;
}

static int thread_fix(struct fixer *f, struct ckpt_thread *t)
{
	struct user_regs_struct *regs = &t->remote.regs;
	int64_t rax = (int64_t)regs->rax;
	/* close() must not be repeated: it has closed */
	bool interrupted = rax == -ERESTART_RESTARTBLOCK || (rax == -EINTR && regs->orig_rax != SYS_close);

	if ((int64_t)regs->orig_rax < 0 || (!interrupted && !cut_short(regs)))
		return 0;
	if (signal_waits(t))
		return 0;			/* a handler is called: the kernel answers EINTR, as ever */
	for (unsigned g = 0; g < f->npages; g++)
		if (regs->rip - f->page[g].addr < CKPT_PAGE)
			return stub_again(f, t, g, (unsigned)((regs->rip - f->page[g].addr) / SLOT), interrupted);
	if (!interrupted) {
		struct data d = { .nr = regs->orig_rax, .done = regs->rax, .buf = regs->rsi, .len = regs->rdx };

		return slot_enter(f, t, REST, &d);
	}
	/* stopped by somebody before us: which call it was is known to the kernel only */
	return regs->orig_rax == SYS_restart_syscall ? 0 : timed_again(f, t);
}

/* A thread inside the vdso is led out of it, as far as the budget goes: on another kernel that code has no data.  It has been made to die with
 * us (ckpt_remote_begin), so the trap flag cannot stay behind. */
static int vdso_leave(struct fixer *f, struct ckpt_thread *t, unsigned *steps)
{
	const struct ckpt_area *v = ckpt_maps_at(&f->p->maps, t->remote.regs.rip);

	while (v && v->kind == CKPT_AREA_KERNEL && t->remote.regs.rip - v->from < v->to - v->from &&
	       (int64_t)t->remote.regs.orig_rax < 0 && *steps < STEPS_MAX) {
		int r = ckpt_remote_step(&t->remote, f->err);

		if (r < 0)
			return r;
		++*steps;
	}
	return 0;
}

int ckpt_continue(struct ckpt_proc *p, struct ckpt_batch *b, struct om_err *err)
{
	unsigned steps = 0;
	struct fixer f = { .p = p, .b = b, .err = err, .mem = -1 };
	char path[40];
	int r = pages_find(&f);

	snprintf(path, sizeof(path), "/proc/%d/mem", p->pid);
	f.mem = open(path, O_RDWR | O_CLOEXEC);
	if (f.mem < 0)
		r = om_err_sys(err, -errno, "%s", path);
	slots_free(&f);
	for (unsigned i = 0; i < p->nthreads && r == 0; i++) {
		r = thread_fix(&f, &p->threads[i]);
		if (r == 0)
			r = vdso_leave(&f, &p->threads[i], &steps);
	}
	om_fd_close(f.mem);
	free(f.page);
	return r;
}
