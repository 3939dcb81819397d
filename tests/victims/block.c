/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that block until something comes: begun before the checkpoint, answered after it, by another process of the job. */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child blocks in @wait(@arg); after the go the parent does @give(@arg) and the child must have got it. */
struct block {
	void (*wait)(int *fd);
	void (*give)(int *fd);
	int *fd;
	struct v_gate gate;
};

static void block_child(void *arg)
{
	struct block *b = arg;

	v_gate_pass(&b->gate);
	b->wait(b->fd);
}

static void block(void (*wait_fn)(int *), void (*give)(int *), int *fd)
{
	struct block b = { wait_fn, give, fd, v_gate_open() };
	pid_t kid = v_child(block_child, &b);

	v_gate_wait(&b.gate, 1);
	for (int i = 0; i < 200 && v_state(kid) != 'S'; i++)
		v_nap();
	v_ready();
	v_wait_go();
	give(fd);
	v_reap(kid);
}

static void get_byte(int *fd)
{
	char c = 0;

	V_EQ(read(fd[0], &c, 1), 1);
	V_EQ(c, 'x');
}

static void put_byte(int *fd)
{
	V_EQ(write(fd[1], "x", 1), 1);
}

static void run_read(void)
{
	int fd[2];

	V_CHECK(pipe(fd) == 0);
	block(get_byte, put_byte, fd);
}

static void run_read_socket(void)
{
	int fd[2];

	V_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	block(get_byte, put_byte, fd);
}

/* a writer that waits for room: nothing is lost, nothing is written twice (a write may end short, as after any stop) */
enum { BULK = 300000 };

static void write_bulk(int *fd)
{
	static char buf[BULK];

	v_fill(buf, BULK, 4);
	for (size_t n = 0; n < BULK;) {
		ssize_t r = write(fd[1], buf + n, BULK - n);

		V_CHECK(r > 0);
		n += (size_t)r;
	}
	close(fd[1]);
}

static void read_bulk(int *fd)
{
	static char buf[BULK + 1];
	size_t n = 0;
	ssize_t r;

	close(fd[1]);
	while ((r = read(fd[0], buf + n, sizeof(buf) - n)) > 0)
		n += (size_t)r;
	V_EQ(r, 0);
	V_EQ(n, BULK);
	V_CHECK(v_same(buf, BULK, 4));
}

static void run_write(void)
{
	int fd[2];

	V_CHECK(pipe(fd) == 0);
	block(write_bulk, read_bulk, fd);
}

static void run_write_socket(void)
{
	int fd[2];

	V_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	block(write_bulk, read_bulk, fd);
}

static void get_poll(int *fd)
{
	struct pollfd pfd = { .fd = fd[0], .events = POLLIN };

	V_EQ(poll(&pfd, 1, -1), 1);
	get_byte(fd);
}

static void run_poll(void)
{
	int fd[2];

	V_CHECK(pipe(fd) == 0);
	block(get_poll, put_byte, fd);
}

static void get_select(int *fd)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd[0], &set);
	V_EQ(select(fd[0] + 1, &set, NULL, NULL, NULL), 1);
	get_byte(fd);
}

static void run_select(void)
{
	int fd[2];

	V_CHECK(pipe(fd) == 0);
	block(get_select, put_byte, fd);
}

static void get_epoll(int *fd)
{
	struct epoll_event ev;

	V_EQ(epoll_wait(fd[2], &ev, 1, -1), 1);
	V_EQ(ev.data.u64, 0x1234567890ull);
	get_byte(fd);
}

static void run_epoll(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 0x1234567890ull };
	int fd[3];

	V_CHECK(pipe(fd) == 0);
	fd[2] = epoll_create1(EPOLL_CLOEXEC);
	V_CHECK(fd[2] >= 0 && epoll_ctl(fd[2], EPOLL_CTL_ADD, fd[0], &ev) == 0);
	block(get_epoll, put_byte, fd);
}

static void get_event(int *fd)
{
	uint64_t v = 0;

	V_EQ(read(fd[0], &v, sizeof(v)), sizeof(v));
	V_EQ(v, 5);
}

static void put_event(int *fd)
{
	uint64_t v = 5;

	V_EQ(write(fd[0], &v, sizeof(v)), sizeof(v));
}

static void run_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	V_CHECK(fd >= 0);
	block(get_event, put_event, &fd);
}

static void get_connection(int *fd)
{
	int c = accept(fd[0], NULL, NULL);
	char word = 0;

	V_CHECK(c >= 0);
	V_EQ(read(c, &word, 1), 1);
	V_EQ(word, 'x');
}

static void make_connection(int *fd)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);
	int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	V_CHECK(getsockname(fd[0], (struct sockaddr *)&sun, &len) == 0);
	V_CHECK(c >= 0 && connect(c, (struct sockaddr *)&sun, len) == 0);
	V_EQ(write(c, "x", 1), 1);
	close(c);
}

static void run_accept(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* no name given: the kernel chooses an abstract one */
	V_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&sun, sizeof(sa_family_t)) == 0 && listen(fd, 3) == 0);
	block(get_connection, make_connection, &fd);
}

static void get_lock(int *fd)
{
	int own = open(v_path("lock"), O_RDWR | O_CLOEXEC);

	(void)fd;
	V_CHECK(own >= 0);
	V_EQ(flock(own, LOCK_EX), 0);
}

static void drop_lock(int *fd)
{
	V_EQ(flock(fd[0], LOCK_UN), 0);
}

static void run_flock(void)
{
	int fd = open(v_path("lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	V_CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0);
	block(get_lock, drop_lock, &fd);
	unlink(v_path("lock"));
}

static void get_posix_lock(int *fd)
{
	struct flock fl = { .l_type = F_WRLCK };

	V_EQ(fcntl(fd[0], F_SETLKW, &fl), 0);
}

static void drop_posix_lock(int *fd)
{
	struct flock fl = { .l_type = F_UNLCK };

	V_EQ(fcntl(fd[0], F_SETLK, &fl), 0);
}

static void run_posix_lock(void)
{
	int fd = open(v_path("plock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct flock fl = { .l_type = F_WRLCK };

	V_CHECK(fd >= 0 && fcntl(fd, F_SETLK, &fl) == 0);
	block(get_posix_lock, drop_posix_lock, &fd);
	unlink(v_path("plock"));
}

struct message {
	long type;
	char c;
};

static void get_message(int *fd)
{
	struct message m;

	V_EQ(msgrcv(fd[0], &m, 1, 7, 0), 1);
	V_EQ(m.c, 'x');
}

static void put_message(int *fd)
{
	struct message m = { 7, 'x' };

	V_EQ(msgsnd(fd[0], &m, 1, 0), 0);
}

static void run_msgrcv(void)
{
	int id = msgget(IPC_PRIVATE, 0600);

	V_CHECK(id >= 0);
	block(get_message, put_message, &id);
	V_CHECK(msgctl(id, IPC_RMID, NULL) == 0);
}

static void sem_change(int id, short by)
{
	struct sembuf op = { .sem_op = by };

	V_EQ(semop(id, &op, 1), 0);
}

static void sem_down(int *fd)
{
	sem_change(fd[0], -3);
}

static void sem_up(int *fd)
{
	sem_change(fd[0], 3);
}

static void run_semop(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);

	V_CHECK(id >= 0);
	block(sem_down, sem_up, &id);
	V_CHECK(semctl(id, 0, IPC_RMID) == 0);
}

/* opening a fifo waits for the other side */
static void open_fifo(int *fd)
{
	int own = open(v_path("fifo"), O_RDONLY | O_CLOEXEC);
	char c = 0;

	(void)fd;
	V_CHECK(own >= 0);
	V_EQ(read(own, &c, 1), 1);
	V_EQ(c, 'x');
}

static void write_fifo(int *fd)
{
	int own = open(v_path("fifo"), O_WRONLY | O_CLOEXEC);

	(void)fd;
	V_CHECK(own >= 0);
	V_EQ(write(own, "x", 1), 1);
}

static void run_fifo_open(void)
{
	V_CHECK(mkfifo(v_path("fifo"), 0600) == 0);
	block(open_fifo, write_fifo, NULL);
	unlink(v_path("fifo"));
}

/* ---- waiting for a signal ---- */
static volatile sig_atomic_t caught;

static void on_usr1(int sig)
{
	caught = sig;
}

static void suspended(void *arg)
{
	struct sigaction sa = { .sa_handler = on_usr1 };
	sigset_t block_usr1, none;

	sigemptyset(&none);
	sigemptyset(&block_usr1);
	sigaddset(&block_usr1, SIGUSR1);
	sigaction(SIGUSR1, &sa, NULL);
	sigprocmask(SIG_BLOCK, &block_usr1, NULL);
	v_gate_pass(arg);
	V_EQ(sigsuspend(&none), -1);
	V_EQ(errno, EINTR);
	V_EQ(caught, SIGUSR1);
	sigprocmask(SIG_SETMASK, NULL, &none);
	V_EQ(sigismember(&none, SIGUSR1), 1);
}

static void sig_waiter(void *arg)
{
	sigset_t set;
	siginfo_t si;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	v_gate_pass(arg);
	V_EQ(sigwaitinfo(&set, &si), SIGUSR1);
	V_EQ(si.si_pid, getppid());
}

static void paused(void *arg)
{
	struct sigaction sa = { .sa_handler = on_usr1 };

	sigaction(SIGUSR1, &sa, NULL);
	v_gate_pass(arg);
	V_EQ(pause(), -1);
	V_EQ(errno, EINTR);
	V_EQ(caught, SIGUSR1);
}

static void signal_waiter(void (*fn)(void *))
{
	struct v_gate gate = v_gate_open();
	pid_t kid = v_child(fn, &gate);

	v_gate_wait(&gate, 1);
	while (v_state(kid) != 'S')
		v_nap();
	v_ready();
	v_wait_go();
	V_CHECK(kill(kid, SIGUSR1) == 0);
	v_reap(kid);
}

static void run_sigsuspend(void)
{
	signal_waiter(suspended);
}

static void run_sigwait(void)
{
	signal_waiter(sig_waiter);
}

static void run_pause(void)
{
	signal_waiter(paused);
}

const struct victim victims_block[] = {
	{ "block-read", run_read },
	{ "block-read-socket", run_read_socket },
	{ "block-write", run_write },
	{ "block-write-socket", run_write_socket },
	{ "block-poll", run_poll },
	{ "block-select", run_select },
	{ "block-epoll", run_epoll },
	{ "block-eventfd", run_eventfd },
	{ "block-accept", run_accept },
	{ "block-flock", run_flock },
	{ "block-posix-lock", run_posix_lock },
	{ "block-msgrcv", run_msgrcv },
	{ "block-semop", run_semop },
	{ "block-fifo-open", run_fifo_open },
	{ "block-sigsuspend", run_sigsuspend },
	{ "block-sigwait", run_sigwait },
	{ "block-pause", run_pause },
	{ 0 },
};
