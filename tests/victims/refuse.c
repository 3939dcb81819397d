/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What cannot be carried: a checkpoint of these is refused by name, and they go on unharmed. */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* a filter of its own that allows everything */
static void run_seccomp(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = { 1, &allow };

	V_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
		v_skip("no seccomp filters here");
	v_ready();
	v_wait_go();
	V_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
}

static void run_io_uring(void)
{
	struct io_uring_params p = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	void *ring;

	if (fd < 0)
		v_skip("no io_uring here");
	ring = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	V_CHECK(ring != MAP_FAILED);
	v_ready();
	v_wait_go();
	V_EQ(syscall(SYS_io_uring_enter, fd, 0, 0, 0, NULL, 0), 0);
}

static void run_perf(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1 };
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	uint64_t v;

	if (fd < 0)
		v_skip("no perf events here");
	v_ready();
	v_wait_go();
	V_EQ(read(fd, &v, sizeof(v)), sizeof(v));
}

static void run_userfaultfd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (fd < 0)
		v_skip("no userfaultfd here");
	reg.range.start = (uintptr_t)v_map(65536, MAP_PRIVATE);
	reg.range.len = 65536;
	V_CHECK(ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &reg) == 0);
	v_ready();
	v_wait_go();
	V_CHECK(ioctl(fd, UFFDIO_UNREGISTER, &reg.range) == 0);
}

/* ---- relatives that share more than a fork does ---- */
static int child_waits(void *arg)
{
	(void)arg;
	while (!v_go())
		v_nap();
	return 0;
}

static void relative(int flags)
{
	char *stack = v_map(65536, MAP_PRIVATE);
	pid_t kid = clone(child_waits, stack + 65536, flags | SIGCHLD, NULL);

	V_CHECK(kid > 0);
	v_ready();
	v_wait_go();
	v_reap(kid);
}

static void run_clone_vm(void)
{
	relative(CLONE_VM);
}

static void run_clone_files(void)
{
	relative(CLONE_FILES);
}

/* ---- a child that is traced by its parent ---- */
static void run_ptrace(void)
{
	pid_t kid = fork();
	int status;

	V_CHECK(kid >= 0);
	if (kid == 0)
		_exit(child_waits(NULL));
	V_CHECK(ptrace(PTRACE_SEIZE, kid, NULL, NULL) == 0);
	v_ready();
	v_wait_go();
	V_EQ(waitpid(kid, &status, 0), kid);
	V_EQ(status, 0);
}

static void run_packet(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (fd < 0)
		v_skip("no right to packet sockets");
	v_ready();
	v_wait_go();
	V_CHECK(fcntl(fd, F_GETFD) == 0);
}

/* a parent whose vforked child does not end */
static void run_vfork(void)
{
	pid_t kid;
	int status;

	v_ready();
	kid = vfork();
	if (kid == 0) {
		while (!v_go())
			v_nap();
		_exit(0);
	}
	V_EQ(waitpid(kid, &status, 0), kid);
	V_EQ(status, 0);
}

/* one thread with another effective group than its process (the raw call changes the caller only) */
static void run_thread_creds(void)
{
	char *stack = v_map(65536, MAP_PRIVATE);
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

	if (getuid() != 0 || syscall(SYS_setresgid, -1, 1001, -1) < 0)
		v_skip("needs root with more than one group");
	V_CHECK(syscall(SYS_setresgid, -1, 0, -1) == 0);
	V_CHECK(clone(child_waits, stack + 65536, flags, NULL) > 0);
	V_CHECK(syscall(SYS_setresgid, -1, 1001, -1) == 0);
	v_ready();
	v_wait_go();
	V_EQ(getegid(), 1001);
}

/* what a client has sent before it was accepted cannot be seen by anybody */
static void early(int family, struct sockaddr *sa, socklen_t len)
{
	int l = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), c = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), a;
	char buf[8];

	V_CHECK(bind(l, sa, len) == 0 && listen(l, 3) == 0);
	len = sizeof(struct sockaddr_storage);
	V_CHECK(getsockname(l, sa, &len) == 0);
	V_CHECK(connect(c, sa, len) == 0 && write(c, "early", 5) == 5);
	v_ready();
	v_wait_go();
	a = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	V_EQ(read(a, buf, sizeof(buf)), 5);
}

static void run_early_unix(void)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNIX };

	early(AF_UNIX, (struct sockaddr *)&sa, sizeof(sa_family_t));	/* the kernel names it */
}

static void run_early_tcp(void)
{
	struct sockaddr_storage sa = { 0 };

	*(struct sockaddr_in *)&sa = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	early(AF_INET, (struct sockaddr *)&sa, sizeof(struct sockaddr_in));
}

static void run_lease(void)
{
	int fd = open(v_path("leased"), O_RDONLY | O_CREAT | O_CLOEXEC, 0600);

	V_CHECK(fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0);
	v_ready();
	v_wait_go();
	V_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
	unlink(v_path("leased"));
}

const struct victim victims_refuse[] = {
	{ "refuse-seccomp", run_seccomp },
	{ "refuse-io-uring", run_io_uring },
	{ "refuse-perf", run_perf },
	{ "refuse-userfaultfd", run_userfaultfd },
	{ "refuse-clone-vm", run_clone_vm },
	{ "refuse-clone-files", run_clone_files },
	{ "refuse-ptrace", run_ptrace },
	{ "refuse-packet", run_packet },
	{ "refuse-early-unix", run_early_unix },
	{ "refuse-early-tcp", run_early_tcp },
	{ "refuse-lease", run_lease },
	{ "refuse-vfork", run_vfork },
	{ "refuse-thread-creds", run_thread_creds },
	{ 0 },
};
