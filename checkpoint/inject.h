/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/inject.h - make a stopped task run system calls for us.  Promise: between ckpt_remote_begin() and _end() the task
 * dies with us (PTRACE_O_EXITKILL); after _end() its registers, signal mask and memory are its own again.
 *
 * Calls are collected in a batch, run in one go (0.2 us each) and looked at afterwards:
 *	i = ckpt_call(b, SYS_prctl, PR_GET_TID_ADDRESS, (out = ckpt_batch_out(b, 8)));
 *	ckpt_batch_run(r, b, err);  b->call[i].ret;  *(uint64_t *)ckpt_batch_at(b, out);
 * Callers: dump and restore items.  Injected code is never single-stepped. */
#ifndef OM_CHECKPOINT_INJECT_H
#define OM_CHECKPOINT_INJECT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>
struct om_err;

enum {
	CKPT_CALLS_MAX = 2048,			/* calls in one batch */
	CKPT_DATA_MAX = 512 * 1024,		/* bytes of arguments and answers in one batch */
};

struct ckpt_call {				/* known to pie/batch.S */
	uint64_t nr, arg[6];
	int64_t ret;
	uint64_t must;				/* a failure ends the batch */
	uint64_t dst[2];			/* the result is stored there too: e.g. an argument of a later call */
};
struct ckpt_batch {
	uint64_t base;				/* of the scratch area in the task */
	struct ckpt_call *call;
	const char **what;			/* per call: for error texts, borrowed */
	char *data;
	unsigned n;
	size_t len;
	bool full;				/* something did not fit: the run fails with -E2BIG */
};
struct ckpt_sigaction {				/* as the kernel has it */
	uint64_t handler, flags, restorer, mask;
};
struct ckpt_remote {
	pid_t tid;
	uint64_t gadget;			/* a syscall instruction in the task's memory */
	uint64_t base;				/* scratch area, 0 = none */
	bool owns;				/* the area was mapped through this thread */
	bool begun;
	int stop_sig;				/* a stop signal met on the way, to be given back */
	pid_t born;				/* task made by a clone call of the last batch, stopped and seized */
	struct user_regs_struct regs;		/* the task's own */
	uint64_t sigmask;			/* the task's own */
	struct ckpt_sigaction trap;		/* the process's own for SIGTRAP, of the thread that owns the area */
};

/* Block the task's signals and map a scratch area at @at (0: the kernel chooses), or use @share, the area of another thread.
 * The task must be stopped by us. */
int ckpt_remote_begin(struct ckpt_remote *r, pid_t tid, uint64_t gadget, uint64_t at, uint64_t share, struct om_err *err);
/* Unmap the area, give registers and mask back; the task stays stopped, where signals and restarts are looked at. */
int ckpt_remote_end(struct ckpt_remote *r, struct om_err *err);
/* One call by the gadget, before there is a scratch area or after it. */
int ckpt_remote_call(struct ckpt_remote *r, uint64_t nr, const uint64_t arg[6], int64_t *ret, struct om_err *err);
/* One instruction of the task's own program; r->regs follow. */
int ckpt_remote_step(struct ckpt_remote *r, struct om_err *err);
/* The address of a syscall instruction in executable memory of process @pid. */
int ckpt_remote_gadget(pid_t pid, uint64_t *ret, struct om_err *err);
/* Bring a running or stopped-by-signal task into a stop where its registers may be set for good. */
int ckpt_remote_settle(struct ckpt_remote *r, struct om_err *err);

int ckpt_batch_init(struct ckpt_batch *b, uint64_t base);
void ckpt_batch_done(struct ckpt_batch *b);
void ckpt_batch_reset(struct ckpt_batch *b);
/* Whether @calls and @bytes still fit. */
bool ckpt_batch_room(const struct ckpt_batch *b, unsigned calls, size_t bytes);
/* Queue a call; its index. */
unsigned ckpt_call6(struct ckpt_batch *b, const char *what, bool must, uint64_t nr, const uint64_t arg[6]);
#define ckpt_call_args_(...) ((const uint64_t[6]){ __VA_ARGS__ })
/* A call whose failure is looked at by the caller / ends the batch with an error that says @what. */
#define ckpt_call(b, nr, ...) ckpt_call6(b, #nr, false, nr, ckpt_call_args_(__VA_ARGS__))
#define ckpt_must(b, what, nr, ...) ckpt_call6(b, what, true, nr, ckpt_call_args_(__VA_ARGS__))
/* The result of call @from becomes argument @arg of the later call @to; a result may be fed to two places. */
void ckpt_batch_feed(struct ckpt_batch *b, unsigned from, unsigned to, unsigned arg);
void ckpt_batch_feed_at(struct ckpt_batch *b, unsigned from, uint64_t addr);	/* ... becomes 8 bytes of data */
/* Put bytes into the task, or make room for an answer; the address in the task. */
uint64_t ckpt_batch_in(struct ckpt_batch *b, const void *p, size_t n);
uint64_t ckpt_batch_out(struct ckpt_batch *b, size_t n);
/* Our copy of what is at @addr; after the run: the answer. */
void *ckpt_batch_at(const struct ckpt_batch *b, uint64_t addr);
int ckpt_batch_run(struct ckpt_remote *r, struct ckpt_batch *b, struct om_err *err);
/* Run and make empty when fewer than @calls or @bytes fit (for lists of calls nobody looks at again). */
int ckpt_batch_flush(struct ckpt_remote *r, struct ckpt_batch *b, unsigned calls, size_t bytes, struct om_err *err);

/* Memory of a stopped task; whole or -EFAULT. */
int ckpt_mem_read(pid_t pid, uint64_t addr, void *buf, size_t n);
/* The same for much: by a descriptor of ckpt_mem_open(), which may be negative.  process_vm_readv() would break copy-on-write: it pins pages, and
 * the kernel gives the task a copy of its own of every page it shares, which costs its memory and twice the time. */
int ckpt_mem_open(pid_t pid);
int ckpt_mem_fetch(int fd, pid_t pid, uint64_t addr, void *buf, size_t n);
int ckpt_mem_write(pid_t pid, uint64_t addr, const void *buf, size_t n);
#endif
