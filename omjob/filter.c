/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table and a handful of BPF instructions: no library whose start every job would pay for.  The opens come first, they are by far the most
 * frequent of those that are looked at; their flags are looked at here, so that opening for reading costs no message. */
#include "omjob/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#ifndef __x86_64__
#error "the filter knows the system call numbers of x86-64 only"
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static const int told[] = {
	SYS_openat2, SYS_creat, SYS_unlink, SYS_unlinkat, SYS_rename, SYS_renameat, SYS_renameat2, SYS_mkdir, SYS_mkdirat,
	SYS_rmdir, SYS_link, SYS_linkat, SYS_symlink, SYS_symlinkat, SYS_mknod, SYS_mknodat, SYS_truncate, SYS_ftruncate,
	SYS_chmod, SYS_fchmod, SYS_fchmodat, SYS_fchmodat2, SYS_chown, SYS_lchown, SYS_fchown, SYS_fchownat, SYS_bind,
};

enum {
	OPEN_BITS = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC,
	HEAD = 8,				/* instructions before the table */
	N_TOLD = OM_ARRAY_SIZE(told),
	TAIL = 8,
	X32_BIT = 0x40000000,
};

#define DATA(field) ((uint32_t)offsetof(struct seccomp_data, field))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define JUMP(op, k, yes, no) BPF_JUMP(BPF_JMP | (op) | BPF_K, k, yes, no)

/* jump distances are counted from the instruction after the jump */
static size_t program(struct sock_filter *f)
{
	enum { OPEN = HEAD + N_TOLD + 1, OPENAT = OPEN + 2, FCNTL = OPENAT + 2, ALLOW = FCNTL + 4, TELL = ALLOW + 1 };
	size_t n = 0;

#define TO(label) ((uint8_t)((label) - n - 1))
#define ADD(...) do { const struct sock_filter i_ = __VA_ARGS__; f[n++] = i_; } while (0)
	ADD(LOAD(DATA(arch)));
	ADD(JUMP(BPF_JEQ, AUDIT_ARCH_X86_64, 0, TO(ALLOW)));
	ADD(LOAD(DATA(nr)));
	ADD(JUMP(BPF_JGE, X32_BIT, TO(ALLOW), 0));
	ADD(JUMP(BPF_JEQ, SYS_openat, TO(OPENAT), 0));
	ADD(JUMP(BPF_JEQ, SYS_open, TO(OPEN), 0));
	ADD(JUMP(BPF_JEQ, SYS_fcntl, TO(FCNTL), 0));
	ADD(JUMP(BPF_JGT, SYS_fchmodat2, TO(ALLOW), 0));
	for (size_t i = 0; i < N_TOLD; i++)
		ADD(JUMP(BPF_JEQ, (uint32_t)told[i], TO(TELL), 0));
	ADD(JUMP(BPF_JA, 0, 0, 0));
	f[n - 1].k = (uint32_t)(ALLOW - n);
	ADD(LOAD(DATA(args[1])));			/* OPEN */
	ADD(JUMP(BPF_JSET, OPEN_BITS, TO(TELL), TO(ALLOW)));
	ADD(LOAD(DATA(args[2])));			/* OPENAT */
	ADD(JUMP(BPF_JSET, OPEN_BITS, TO(TELL), TO(ALLOW)));
	ADD(LOAD(DATA(args[1])));			/* FCNTL: O_APPEND may go */
	ADD(JUMP(BPF_JEQ, F_SETFL, 0, TO(ALLOW)));
	ADD(LOAD(DATA(args[2])));
	ADD(JUMP(BPF_JSET, O_APPEND, TO(ALLOW), TO(TELL)));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
#undef ADD
#undef TO
	return n;
}

int omj_filter_install(int *ret_listener, struct om_err *err)
{
	struct sock_filter f[HEAD + N_TOLD + TAIL + 8];
	struct sock_fprog prog = { .filter = f };
	int fd;

	prog.len = (unsigned short)program(f);
	/* killable only: a call that was told is not told again because of a signal */
	fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog);
	if (fd < 0)
		return om_err_sys(err, -errno, "cannot watch the job's files (seccomp user notification, Linux 5.19 or newer)");
	*ret_listener = fd;
	return 0;
}
