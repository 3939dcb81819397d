/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/dump_ipc.c - System V shared memory, semaphores and message queues of the job's IPC namespace.
 *
 * All objects of the namespace are the job's, mapped or not.  When there are any (asked by injection), a forked helper enters the namespace
 * and lists them, while everything stands still: what it says comes back as JSON text in a memfd, the content of shared memory in another
 * one, which is stored when the tree goes on.  What a process owes (SEM_UNDO) is found in item_ipc.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/dump.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/pages.h"
#include "checkpoint/sysv.h"

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

/* ---- the helper, inside the namespace ---- */

struct lister {
	json_t *out;
	int mem;				/* memfd for content */
	uint64_t at;				/* its end */
	struct om_err *err;
};

static json_t *perm_pack(int id, const struct ipc_perm *p)
{
	return json_pack("{si sI sI sI sI sI si}", "id", id, "key", (json_int_t)p->__key, "uid", (json_int_t)p->uid, "gid", (json_int_t)p->gid,
			 "cuid", (json_int_t)p->cuid, "cgid", (json_int_t)p->cgid, "mode", (int)p->mode);
}

/* Is part of segment @id on swap?  Then mincore() does not tell all of what is there. */
static bool shm_swapped(int id)
{
	om_autofree char *text = NULL;

	if (om_file_read("/proc/sysvipc/shm", 16 << 20, &text, NULL) < 0)
		return true;
	for (const char *l = strchr(text, '\n'); l; l = strchr(l + 1, '\n')) {
		unsigned long swap;
		int have;

		/* key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap */
		if (sscanf(l, "%*d %d %*o %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %lu", &have, &swap) == 2 && have == id)
			return swap != 0;
	}
	return true;
}

static int shm_copy(struct lister *s, int id, const char *p, uint64_t size)
{
	uint64_t pages = (size + CKPT_PAGE - 1) / CKPT_PAGE;
	om_autofree unsigned char *in = malloc(pages + 1);
	int r = 0;

	if (!in)
		return -ENOMEM;
	memset(in, 1, pages);
	if (!shm_swapped(id) && mincore((void *)(uintptr_t)p, size, in) < 0)
		return -errno;
	for (uint64_t i = 0, k; i < pages && r == 0; i = k) {
		uint64_t len;

		for (k = i + 1; k < pages && (in[k] & 1) == (in[i] & 1); k++)
			;
		len = (k < pages ? k * CKPT_PAGE : size) - i * CKPT_PAGE;
		if (in[i] & 1)
			r = om_fd_pwrite_all(s->mem, p + i * CKPT_PAGE, len, (off_t)(s->at + i * CKPT_PAGE));
	}
	return r;
}

static int shm_one(struct lister *s, json_t *list, int index)
{
	struct shmid_ds ds;
	int id = shmctl(index, SHM_STAT, &ds), r;
	json_t *o;
	char *p;

	if (id < 0)
		return errno == EINVAL || errno == EIDRM ? 0 : -errno;
	p = shmat(id, NULL, SHM_RDONLY);
	if (p == (void *)-1)
		return -errno;
	r = shm_copy(s, id, p, ds.shm_segsz);
	(void)shmdt(p);
	o = perm_pack(id, &ds.shm_perm);
	json_object_set_new(o, "size", json_integer((json_int_t)ds.shm_segsz));
	json_object_set_new(o, "at", json_integer((json_int_t)s->at));
	s->at += (ds.shm_segsz + CKPT_PAGE - 1) / CKPT_PAGE * CKPT_PAGE;
	return json_array_append_new(list, o) < 0 ? -ENOMEM : r;
}

static int sem_one(struct lister *s, json_t *list, int index)
{
	struct semid_ds ds;
	int id = semctl(index, 0, SEM_STAT, (union semun){ .buf = &ds });
	om_autofree unsigned short *v = NULL;
	json_t *o, *values;

	(void)s;
	if (id < 0)
		return errno == EINVAL || errno == EIDRM ? 0 : -errno;
	v = calloc(ds.sem_nsems + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	if (semctl(id, 0, GETALL, (union semun){ .array = v }) < 0)
		return -errno;
	o = perm_pack(id, &ds.sem_perm);
	values = json_array();
	for (unsigned long i = 0; i < ds.sem_nsems; i++)
		json_array_append_new(values, json_integer(v[i]));
	json_object_set_new(o, "values", values);
	json_object_set_new(o, "used", json_boolean(ds.sem_otime != 0));
	return json_array_append_new(list, o) < 0 ? -ENOMEM : 0;
}

static int messages_copy(int id, json_t *list, unsigned long n, size_t bytes)
{
	om_autofree struct { long type; char text[]; } *m = malloc(sizeof(*m) + bytes + 1);

	if (!m)
		return -ENOMEM;
	for (unsigned long i = 0; i < n; i++) {
		ssize_t len = msgrcv(id, m, bytes, (long)i, MSG_COPY | IPC_NOWAIT);
		json_t *o;

		if (len < 0)
			return -errno;
		o = json_pack("{sI}", "type", (json_int_t)m->type);
		json_object_set_new(o, "text", ckpt_json_from_bytes(m->text, (size_t)len));
		if (json_array_append_new(list, o) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int msg_one(struct lister *s, json_t *list, int index)
{
	struct msqid_ds ds;
	int id = msgctl(index, MSG_STAT, &ds);
	json_t *o, *messages = json_array();

	(void)s;
	if (id < 0) {
		json_decref(messages);
		return errno == EINVAL || errno == EIDRM ? 0 : -errno;
	}
	o = perm_pack(id, &ds.msg_perm);
	json_object_set_new(o, "qbytes", json_integer((json_int_t)ds.msg_qbytes));
	json_object_set_new(o, "messages", messages);
	if (json_array_append_new(list, o) < 0)
		return -ENOMEM;
	return messages_copy(id, messages, ds.msg_qnum, ds.__msg_cbytes);
}

static int by_id(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "id")), y = json_integer_value(json_object_get(*(json_t *const *)b, "id"));

	return (x > y) - (x < y);
}

static int kind_list(struct lister *s, const char *kind, int top, int (*one)(struct lister *, json_t *, int))
{
	json_t *list = json_array(), *sorted = json_array();
	om_autofree json_t **v = NULL;
	size_t n;
	int r = 0;

	for (int i = 0; i <= top && r == 0; i++)
		r = one(s, list, i);
	n = json_array_size(list);
	v = calloc(n + 1, sizeof(*v));
	for (size_t i = 0; i < n && v; i++)
		v[i] = json_array_get(list, i);
	if (v && n)
		qsort(v, n, sizeof(*v), by_id);
	for (size_t i = 0; i < n && v; i++)
		json_array_append(sorted, v[i]);
	json_decref(list);
	json_object_set_new(s->out, kind, sorted);
	return v ? om_err_sys(s->err, r, "System V %s", kind) : -ENOMEM;
}

static int all_list(struct lister *s)
{
	struct shm_info si;
	struct seminfo se;
	struct msginfo mi;
	int r = kind_list(s, "shm", shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&si), shm_one);

	if (r == 0)
		r = kind_list(s, "sem", semctl(0, 0, SEM_INFO, (union semun){ .info = &se }), sem_one);
	return r < 0 ? r : kind_list(s, "msg", msgctl(0, MSG_INFO, (struct msqid_ds *)(void *)&mi), msg_one);
}

static int namespace_enter(pid_t init, const char *name, int type)
{
	char theirs[64], ours[64], a[64] = "", b[64] = "";
	om_autofd int fd = -1;

	snprintf(theirs, sizeof(theirs), "/proc/%d/ns/%s", init, name);
	snprintf(ours, sizeof(ours), "/proc/self/ns/%s", name);
	if (readlink(theirs, a, sizeof(a) - 1) < 0 || readlink(ours, b, sizeof(b) - 1) < 0)
		return -errno;
	if (strcmp(a, b) == 0)
		return 0;
	fd = open(theirs, O_RDONLY | O_CLOEXEC);
	return fd < 0 || setns(fd, type) < 0 ? -errno : 0;
}

static int helper_main(pid_t init, int mem, int text, struct om_err *err)
{
	struct lister s = { json_object(), mem, 0, err };
	int ns[2], r;
	char *out;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = ns[0] = namespace_enter(init, "user", CLONE_NEWUSER);
	if (r == 0)
		r = ns[1] = namespace_enter(init, "ipc", CLONE_NEWIPC);
	if (r < 0)
		return om_err_sys(err, r, "enter the job's IPC namespace");
	r = all_list(&s);
	out = r == 0 ? json_dumps(s.out, JSON_COMPACT) : NULL;
	if (r == 0 && !out)
		r = -ENOMEM;
	return r == 0 ? om_err_sys(err, om_fd_pwrite_all(text, out, strlen(out), 0), "list of System V objects") : r;
}

/* ---- the dump's side ---- */

static int helper_run(struct ckpt_dump *dump, int mem, int text)
{
	struct om_err *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int st, r;

	if (shared == MAP_FAILED)
		return om_err_sys(dump->err, -errno, "shared memory");
	pid = fork();
	if (pid == 0) {
		r = helper_main(dump->opts->init, mem, text, shared);
		if (r < 0 && !shared->code)
			(void)om_err_sys(shared, r, "System V objects");
		_exit(r < 0);
	}
	r = pid < 0 || waitpid(pid, &st, 0) != pid ? om_err_sys(dump->err, -errno, "fork") : 0;
	if (r == 0 && st != 0)
		r = shared->code < 0 ? om_err_set(dump->err, shared->code, "%s", shared->text) :
			om_err_set(dump->err, -ECHILD, "System V objects: the helper ended with status %#x", st);
	(void)munmap(shared, sizeof(*shared));
	return r;
}

/* Ask one process of the job whether there is anything. */
static int any(struct ckpt_dump *dump, bool *ret)
{
	struct ckpt_batch *b = &dump->batch;
	struct ckpt_proc *p = NULL;
	uint64_t shm, sem, msg;
	int r;

	*ret = false;
	for (unsigned i = 0; i < dump->tree.n && !p; i++)
		p = dump->tree.procs[i].nthreads && dump->tree.procs[i].threads[0].remote.begun ? &dump->tree.procs[i] : NULL;
	if (!p)
		return 0;
	b->base = p->threads[0].remote.base;
	ckpt_batch_reset(b);
	shm = ckpt_batch_out(b, sizeof(struct shm_info));
	sem = ckpt_batch_out(b, sizeof(struct seminfo));
	msg = ckpt_batch_out(b, sizeof(struct msginfo));
	(void)ckpt_call(b, SYS_shmctl, 0, SHM_INFO, shm);
	(void)ckpt_call(b, SYS_semctl, 0, 0, SEM_INFO, sem);
	(void)ckpt_call(b, SYS_msgctl, 0, MSG_INFO, msg);
	r = ckpt_batch_run(&p->threads[0].remote, b, dump->err);
	*ret = r == 0 && (((struct shm_info *)ckpt_batch_at(b, shm))->used_ids || ((struct seminfo *)ckpt_batch_at(b, sem))->semusz ||
			  ((struct msginfo *)ckpt_batch_at(b, msg))->msgpool);
	return r;
}

/* Every area named /SYSV... must be one of the segments we have. */
static int areas_check(struct ckpt_dump *dump, dev_t dev)
{
	for (unsigned i = 0; i < dump->tree.n; i++) {
		struct ckpt_proc *p = &dump->tree.procs[i];

		for (size_t k = 0; k < p->maps.n; k++) {
			struct ckpt_area *a = &p->maps.area[k];
			const json_t *o = a->kind == CKPT_AREA_SYSV ? ckpt_sysv_find(dump->ipc, "shm", (int64_t)a->ino) : NULL;

			if (a->kind != CKPT_AREA_SYSV)
				continue;
			if (!o || a->dev != dev)
				return ckpt_refuse(dump->why, p, a->name, "System V shared memory of another IPC namespace is mapped");
			a->shm = (uint32_t)a->ino;
			a->size = (uint64_t)json_integer_value(json_object_get(o, "size"));
		}
	}
	return 0;
}

int ckpt_dump_ipc(struct ckpt_dump *dump)
{
	om_autofd int mem = -1, text = -1;
	om_autofree char *s = NULL;
	struct stat st;
	bool have;
	int r = any(dump, &have);

	mem = memfd_create("checkpoint", MFD_CLOEXEC);
	text = memfd_create("checkpoint", MFD_CLOEXEC);
	if (r == 0 && (mem < 0 || text < 0 || fstat(mem, &st) < 0))
		r = om_err_sys(dump->err, -errno, "memfd");
	if (r == 0 && have)
		r = helper_run(dump, mem, text);
	if (r < 0 || !have)
		return r < 0 ? r : areas_check(dump, st.st_dev);
	dump->ipc = json_loadfd(text, 0, NULL);
	if (!dump->ipc || lseek(text, 0, SEEK_CUR) == 0)
		return om_err_set(dump->err, -EBADMSG, "list of System V objects");
	dump->ipc_mem = om_fd_steal(&mem);
	r = areas_check(dump, st.st_dev);
	for (unsigned i = 0; i < dump->tree.n && r == 0; i++)
		r = ckpt_semundo_dump(dump, &dump->tree.procs[i]);
	return r;
}

/* ---- storing, the tree runs ---- */

static int segment_store(struct ckpt_dump *dump, json_t *o, const char *map)
{
	uint64_t base = (uint64_t)json_integer_value(json_object_get(o, "at")), size = (uint64_t)json_integer_value(json_object_get(o, "size"));
	uint64_t len = (size + CKPT_PAGE - 1) / CKPT_PAGE * CKPT_PAGE;
	off_t at = (off_t)base, end;
	struct ckpt_packer k;
	json_t *table;
	int r = ckpt_packer_init(&k, dump->sink, getpid());

	while (r == 0 && (at = lseek(dump->ipc_mem, at, SEEK_DATA)) >= 0 && (uint64_t)at < base + len) {
		end = lseek(dump->ipc_mem, at, SEEK_HOLE);
		if (end < 0 || (uint64_t)end > base + len)
			end = (off_t)(base + len);
		end = (end + CKPT_PAGE - 1) / CKPT_PAGE * CKPT_PAGE;
		r = ckpt_packer_add_at(&k, (uintptr_t)map + (uint64_t)at, (uint64_t)at - base, (uint64_t)end - base, false, dump->err);
		at = end;
	}
	if (r == 0)
		r = ckpt_packer_finish(&k, &table, dump->err);
	dump->stats->pages += k.pages;
	dump->stats->bytes += k.bytes;
	ckpt_packer_done(&k);
	json_object_del(o, "at");
	return r == 0 ? json_object_set_new(o, "memory", table) : r;
}

int ckpt_dump_ipc_store(struct ckpt_dump *dump)
{
	json_t *o;
	struct stat st;
	size_t i;
	char *map;
	int r = 0;

	if (!dump->ipc)
		return 0;
	if (fstat(dump->ipc_mem, &st) < 0)
		return om_err_sys(dump->err, -errno, "memfd");
	/* whole pages: behind the end of a file there is nothing to read */
	st.st_size = (st.st_size + CKPT_PAGE - 1) / CKPT_PAGE * CKPT_PAGE;
	if (ftruncate(dump->ipc_mem, st.st_size) < 0)
		return om_err_sys(dump->err, -errno, "memfd");
	map = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, dump->ipc_mem, 0) : NULL;
	if (map == MAP_FAILED)
		return om_err_sys(dump->err, -errno, "copy of System V shared memory");
	json_array_foreach(json_object_get(dump->ipc, "shm"), i, o) {
		if (r == 0)
			r = segment_store(dump, o, map);
	}
	if (map)
		(void)munmap(map, (size_t)st.st_size);
	return r < 0 ? om_err_wrap(dump->err, r, "System V shared memory") : 0;
}

void ckpt_dump_ipc_done(struct ckpt_dump *dump)
{
	json_decref(dump->ipc);
	if (dump->ipc_mem > 0)
		om_fd_close(dump->ipc_mem);
}
