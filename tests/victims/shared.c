/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that several processes share: anonymous, memfd, files, copy-on-write, System V and POSIX objects. */
#include "tests/victims/victim.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096 };

/* ---- two processes count alternately in shared memory: whoever is behind moves ---- */
struct pair {
	volatile uint64_t *mem;
	struct v_gate *gate;
	int nr;
};

static void take_turns(volatile uint64_t *mem, int nr)
{
	/* seen from 0: mem[0] - mem[512] is 0 or 1; seen from 1 too: each writes its own number only */
	for (unsigned round = 0; round % 256 || !v_go(); round++) {
		uint64_t mine = mem[nr * 512], other = mem[!nr * 512];

		V_CHECK(nr == 0 ? mine - other <= 1 : other - mine <= 1);
		if (nr == 0 ? mine == other : mine < other)
			mem[nr * 512] = mine + 1;
		else
			usleep(50);
	}
}

static void pair_member(void *arg)
{
	struct pair *p = arg;

	v_gate_pass(p->gate);
	take_turns(p->mem, p->nr);
}

static void two_on(char *mem, size_t len)
{
	struct v_gate gate = v_gate_open();
	struct pair p[2] = { { (void *)mem, &gate, 0 }, { (void *)mem, &gate, 1 } };
	pid_t kid[2];

	v_fill(mem + 2 * PAGE, len - 2 * PAGE, 21);
	for (int i = 0; i < 2; i++)
		kid[i] = v_child(pair_member, &p[i]);
	v_gate_wait(&gate, 2);
	v_ready();
	v_wait_go();
	for (int i = 0; i < 2; i++)
		v_reap(kid[i]);
	V_CHECK(((uint64_t *)mem)[0] > 0);
	V_CHECK(v_same(mem + 2 * PAGE, len - 2 * PAGE, 21));
}

static void run_anon(void)
{
	two_on(v_map(4 * MIB, MAP_SHARED), 4 * MIB);
}

static void run_memfd(void)
{
	int fd = memfd_create("victim shared", MFD_CLOEXEC);
	char *p, buf[PAGE];

	V_CHECK(fd >= 0 && ftruncate(fd, 3 * MIB) == 0);
	p = mmap(NULL, 3 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V_CHECK(p != MAP_FAILED);
	two_on(p, 3 * MIB);
	p[MIB] = 77;			/* the descriptor and the mapping still are one thing */
	V_EQ(pread(fd, buf, PAGE, MIB), PAGE);
	V_EQ(buf[0], 77);
}

static void run_memfd_sealed(void)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	static char buf[MIB];
	char link[64], path[32];

	v_fill(buf, MIB, 22);
	V_CHECK(fd >= 0 && write(fd, buf, MIB) == MIB && lseek(fd, 12345, SEEK_SET) == 12345);
	V_CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
	v_ready();
	v_wait_go();
	V_EQ(fcntl(fd, F_GET_SEALS), seals);
	V_EQ(lseek(fd, 0, SEEK_CUR), 12345);
	V_EQ(pread(fd, buf, MIB, 0), MIB);
	V_CHECK(v_same(buf, MIB, 22));
	V_CHECK(write(fd, "x", 1) < 0 && errno == EPERM);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	V_CHECK(readlink(path, link, sizeof(link)) >= 13 && memcmp(link, "/memfd:sealed", 13) == 0);
}

static void run_file_shared(void)
{
	const char *path = v_path("shared");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *p, buf[PAGE];

	V_CHECK(fd >= 0 && ftruncate(fd, MIB) == 0);
	p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V_CHECK(p != MAP_FAILED && close(fd) == 0);
	two_on(p, MIB);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	V_CHECK(fd >= 0);
	p[9 * PAGE] ^= 1;
	V_EQ(pread(fd, buf, PAGE, 9 * PAGE), PAGE);
	V_CHECK(memcmp(buf, p + 9 * PAGE, PAGE) == 0);
	unlink(path);
}

static void run_dev_zero(void)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	V_CHECK(p != MAP_FAILED);
	two_on(p, MIB);
}

/* ---- copy-on-write: relatives share what none of them has changed ---- */
struct cow {
	char *mem;
	size_t len;
	struct v_gate *gate;
	int nr;
};

static void cow_member(void *arg)
{
	struct cow *c = arg;
	size_t own = (size_t)c->nr * MIB, shared = 0;
	char text[64] = "";

	v_fill(c->mem + own, MIB / 2, (uint64_t)c->nr + 100);	/* changed by this one only */
	v_gate_pass(c->gate);
	v_wait_go();
	V_CHECK(v_same(c->mem + own, MIB / 2, (uint64_t)c->nr + 100));
	for (size_t at = 0; at < c->len; at += MIB)
		if (at != own)
			V_CHECK(v_same(c->mem + at, MIB, at));
	V_CHECK(v_smaps(c->mem, "Shared_Dirty:", text, sizeof(text)));
	shared = strtoul(text, NULL, 10);
	V_CHECK(v_smaps(c->mem, "Shared_Clean:", text, sizeof(text)));
	shared += strtoul(text, NULL, 10);
	if (shared * 1024 < c->len * 8 / 10)
		v_bad(__FILE__, __LINE__, "only %zu KiB of %zu are still shared with relatives", shared, c->len / 1024);
}

static void run_cow(void)
{
	struct v_gate gate = v_gate_open();
	struct cow c[4];
	size_t len = 16 * MIB;
	char *p = v_map(len, MAP_PRIVATE);
	pid_t kid[4];

	for (size_t at = 0; at < len; at += MIB)
		v_fill(p + at, MIB, at);
	for (int i = 0; i < 4; i++) {
		c[i] = (struct cow){ p, len, &gate, i };
		kid[i] = v_child(cow_member, &c[i]);
	}
	v_gate_wait(&gate, 4);
	v_ready();
	v_wait_go();
	for (int i = 0; i < 4; i++)
		v_reap(kid[i]);
	for (size_t at = 0; at < len; at += MIB)
		V_CHECK(v_same(p + at, MIB, at));
}

/* ---- System V ---- */
static void run_shm(void)
{
	int id = shmget(0x4f4d0001, 2 * MIB, IPC_CREAT | IPC_EXCL | 0640), gone = shmget(IPC_PRIVATE, MIB, 0600);
	struct shmid_ds ds;
	char *p, *q;

	V_CHECK(id >= 0 && gone >= 0);
	p = shmat(id, NULL, 0);
	q = shmat(gone, NULL, 0);
	V_CHECK(p != (void *)-1 && q != (void *)-1 && shmctl(gone, IPC_RMID, NULL) == 0);
	v_fill(q, MIB, 31);
	two_on(p, 2 * MIB);
	V_EQ(shmget(0x4f4d0001, 0, 0), id);
	V_CHECK(shmctl(id, IPC_STAT, &ds) == 0);
	V_EQ(ds.shm_nattch, 1);
	V_EQ(ds.shm_perm.mode & 0777, 0640);
	V_CHECK(v_same(q, MIB, 31));
	V_CHECK(shmdt(q) == 0 && shmdt(p) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
}

static void run_sem(void)
{
	int id = semget(0x4f4d0002, 3, IPC_CREAT | IPC_EXCL | 0600);
	unsigned short v[3] = { 5, 0, 32000 };
	struct sembuf op = { .sem_num = 0, .sem_op = -2, .sem_flg = 0 };

	V_CHECK(id >= 0 && semctl(id, 0, SETALL, v) == 0);
	V_CHECK(semop(id, &op, 1) == 0);
	v_ready();
	v_wait_go();
	V_EQ(semget(0x4f4d0002, 3, 0), id);
	V_CHECK(semctl(id, 0, GETALL, v) == 0);
	V_EQ(v[0], 3);
	V_EQ(v[1], 0);
	V_EQ(v[2], 32000);
	V_CHECK(semctl(id, 0, IPC_RMID) == 0);
}

struct message {
	long type;
	char text[600];
};

static void run_msg(void)
{
	int id = msgget(0x4f4d0003, IPC_CREAT | IPC_EXCL | 0600);
	struct message m;
	struct msqid_ds ds;

	V_CHECK(id >= 0);
	for (int i = 1; i <= 9; i++) {
		m.type = i % 3 + 1;
		v_fill(m.text, sizeof(m.text), (uint64_t)i);
		V_CHECK(msgsnd(id, &m, (size_t)i * 60, 0) == 0);
	}
	v_ready();
	v_wait_go();
	V_EQ(msgget(0x4f4d0003, 0), id);
	V_CHECK(msgctl(id, IPC_STAT, &ds) == 0);
	V_EQ(ds.msg_qnum, 9);
	for (int i = 1; i <= 9; i++) {
		V_EQ(msgrcv(id, &m, sizeof(m.text), 0, IPC_NOWAIT), i * 60);
		V_EQ(m.type, i % 3 + 1);
		V_CHECK(v_same(m.text, (size_t)i * 60, (uint64_t)i));
	}
	V_CHECK(msgctl(id, IPC_RMID, NULL) == 0);
}

/* ---- POSIX shared memory and semaphores: files in /dev/shm ---- */
static void run_posix_shm(void)
{
	char name[64];
	int fd;
	char *p;

	snprintf(name, sizeof(name), "/victim-%d-%llx", getpid(), (unsigned long long)v_clock_ns(CLOCK_REALTIME));
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	V_CHECK(fd >= 0 && ftruncate(fd, MIB) == 0);
	p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V_CHECK(p != MAP_FAILED && close(fd) == 0 && shm_unlink(name) == 0);
	two_on(p, MIB);
}

static void sem_member(void *arg)
{
	sem_t *s = arg;

	while (!v_go()) {
		V_CHECK(sem_wait(s) == 0);
		V_CHECK(sem_post(s) == 0);
		usleep(200);
	}
}

static void run_posix_sem(void)
{
	char name[64];
	sem_t *s;
	pid_t kid[3];
	int v;

	snprintf(name, sizeof(name), "/victim-%d-%llx", getpid(), (unsigned long long)v_clock_ns(CLOCK_REALTIME));
	s = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
	V_CHECK(s != SEM_FAILED && sem_unlink(name) == 0);
	for (int i = 0; i < 3; i++)
		kid[i] = v_child(sem_member, s);
	v_ready();
	for (int i = 0; i < 3; i++)
		v_reap(kid[i]);
	V_CHECK(sem_getvalue(s, &v) == 0);
	V_EQ(v, 1);
}

const struct victim victims_shared[] = {
	{ "shm-anon", run_anon },
	{ "shm-memfd", run_memfd },
	{ "shm-memfd-sealed", run_memfd_sealed },
	{ "shm-file", run_file_shared },
	{ "shm-dev-zero", run_dev_zero },
	{ "shm-cow", run_cow },
	{ "shm-sysv", run_shm },
	{ "shm-posix", run_posix_shm },
	{ "ipc-sem", run_sem },
	{ "ipc-msg", run_msg },
	{ "ipc-posix-sem", run_posix_sem },
	{ 0 },
};
