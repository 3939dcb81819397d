/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/restore_ipc.c - in pid 1: System V objects with the ids they had.
 *
 * An id is asked for by /proc/sys/kernel/{shm,sem,msg}_next_id; where that may not be written, objects are made and removed until it comes: a new
 * namespace gives ids in rising order.  The creator of an object cannot be set, so a child takes on his identity to create it. */
#include <errno.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/json.h"
#include "checkpoint/maps.h"
#include "checkpoint/pages.h"
#include "checkpoint/restore.h"
#include "checkpoint/sysv.h"

enum {
	TRIES_MAX = 1 << 16,			/* objects made in vain for one id */
	SEMS_MAX = 1 << 16,
	MESSAGES_MAX = 1 << 24,
	MESSAGE_MAX = 16 << 20,			/* above every sensible msgmax */
	MODE = 0777,
};
#ifndef SHM_DEST
#define SHM_DEST 01000
#endif

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

struct object {
	const char *kind;			/* shm, sem, msg */
	int64_t id, key, uid, gid, cuid, cgid, mode, size;
};

static int object_read(const json_t *o, struct object *x, struct om_err *err)
{
	int r = ckpt_json_int(o, "id", 0, INT32_MAX, &x->id, err);

	if (r == 0)
		r = ckpt_json_int(o, "key", INT32_MIN, UINT32_MAX, &x->key, err);
	if (r == 0)
		r = ckpt_json_int(o, "uid", 0, UINT32_MAX - 1, &x->uid, err);
	if (r == 0)
		r = ckpt_json_int(o, "gid", 0, UINT32_MAX - 1, &x->gid, err);
	if (r == 0)
		r = ckpt_json_int(o, "cuid", 0, UINT32_MAX - 1, &x->cuid, err);
	if (r == 0)
		r = ckpt_json_int(o, "cgid", 0, UINT32_MAX - 1, &x->cgid, err);
	return r < 0 ? r : ckpt_json_int(o, "mode", 0, 07777, &x->mode, err);
}

static int get(const struct object *x)
{
	int flags = IPC_CREAT | IPC_EXCL | (int)(x->mode & MODE), id;

	if (x->kind[1] == 'h')
		id = shmget((key_t)x->key, (size_t)x->size, flags);
	else if (x->kind[1] == 'e')
		id = semget((key_t)x->key, (int)x->size, flags);
	else
		id = msgget((key_t)x->key, flags);
	return id < 0 ? -errno : id;
}

static void drop(const struct object *x, int id)
{
	if (x->kind[1] == 'h')
		(void)shmctl(id, IPC_RMID, NULL);
	else if (x->kind[1] == 'e')
		(void)semctl(id, 0, IPC_RMID);
	else
		(void)msgctl(id, IPC_RMID, NULL);
}

/* As the creator. */
static int get_as(const struct object *x)
{
	int *ret, r;
	pid_t pid;

	if ((uid_t)x->cuid == geteuid() && (gid_t)x->cgid == getegid())
		return get(x);
	ret = mmap(NULL, sizeof(*ret), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ret == MAP_FAILED)
		return -errno;
	*ret = -ECHILD;
	pid = fork();
	if (pid == 0) {
		if (syscall(SYS_setresgid, -1, x->cgid, -1) < 0 || syscall(SYS_setresuid, -1, x->cuid, -1) < 0)
			*ret = -errno;
		else
			*ret = get(x);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		*ret = -errno;
	r = *ret;
	(void)munmap(ret, sizeof(*ret));
	return r;
}

static int object_make(const struct object *x, struct om_err *err)
{
	char path[48], text[16];

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s_next_id", x->kind);
	snprintf(text, sizeof(text), "%d", (int)x->id);
	for (int i = 0; i < TRIES_MAX; i++) {
		int id;

		(void)om_file_poke(path, text);	/* where it may not be written the id comes when its turn is */
		id = get_as(x);
		if (id == (int)x->id)
			return 0;
		if (id < 0)
			return om_err_sys(err, id, "make System V %s %lld again (size %lld, user %lld)", x->kind, (long long)x->id,
					  (long long)x->size, (long long)x->cuid);
		drop(x, id);
	}
	return om_err_set(err, -EOPNOTSUPP, "this kernel does not give a System V %s the number %lld", x->kind, (long long)x->id);
}

/* ---- shared memory ---- */

static int segment_fill(const struct ckpt_source *src, const json_t *o, char *p, uint64_t size, struct om_err *err)
{
	uint64_t limit = (size + CKPT_PAGE - 1) / CKPT_PAGE * CKPT_PAGE;
	om_autofree struct ckpt_extent *x = NULL;
	om_autofree char *buf = malloc(CKPT_BLOCK_MAX);
	size_t n, len;
	int r = ckpt_extents_read(src, json_object_get(o, "memory"), limit, &x, &n, err);

	for (size_t i = 0; i < n && r == 0; i++) {
		r = buf ? src->block(src->ctx, x[i].block, buf, &len, err) : -ENOMEM;
		if (r == 0 && (x[i].first + (uint64_t)x[i].pages) * CKPT_PAGE > len)
			r = om_err_set(err, -EUCLEAN, "the image: block %u is too short", x[i].block);
		if (r == 0)		/* segments are mapped in whole pages */
			memcpy(p + x[i].addr, buf + x[i].first * (size_t)CKPT_PAGE, x[i].pages * (size_t)CKPT_PAGE);
	}
	return r;
}

static int segment_make(struct ckpt_image *im, const json_t *o, struct om_err *err)
{
	struct object x = { .kind = "shm" };
	struct shmid_ds ds = { 0 };
	int r = object_read(o, &x, err);
	char *p;

	if (r == 0)
		r = ckpt_json_int(o, "size", 1, INT64_MAX - CKPT_PAGE, &x.size, err);
	if (r == 0)
		r = object_make(&x, err);
	if (r < 0)
		return r;
	ds.shm_perm.uid = (uid_t)x.uid;
	ds.shm_perm.gid = (gid_t)x.gid;
	ds.shm_perm.mode = x.mode & MODE;
	if (shmctl((int)x.id, IPC_SET, &ds) < 0)
		return om_err_sys(err, -errno, "owner of System V shared memory %d", (int)x.id);
	p = shmat((int)x.id, NULL, 0);
	if (p == (void *)-1)
		return om_err_sys(err, -errno, "System V shared memory %d", (int)x.id);
	r = segment_fill(im->src, o, p, (uint64_t)x.size, err);
	if (r < 0 || !(x.mode & SHM_DEST)) {
		(void)shmdt(p);
		return r;
	}
	im->held[im->nheld++] = p;
	if (shmctl((int)x.id, IPC_RMID, NULL) < 0)
		return om_err_sys(err, -errno, "System V shared memory %d", (int)x.id);
	return 0;
}

void ckpt_ipc_release(struct ckpt_image *im)
{
	for (unsigned i = 0; i < im->nheld; i++)
		(void)shmdt(im->held[i]);
	free(im->held);
	im->held = NULL;
	im->nheld = 0;
}

/* ---- semaphores ---- */

static int set_make(struct ckpt_image *im, const json_t *o, struct om_err *err)
{
	struct object x = { .kind = "sem" };
	struct sembuf touch[2] = { { 0, 1, IPC_NOWAIT }, { 0, -1, IPC_NOWAIT } };
	om_autofree unsigned short *v = NULL;
	struct semid_ds ds = { 0 };
	const json_t *list, *n;
	size_t i;
	int r = object_read(o, &x, err);

	(void)im;
	if (r == 0)
		r = ckpt_json_list(o, "values", SEMS_MAX, &list, err);
	if (r < 0)
		return r;
	x.size = (int64_t)json_array_size(list);
	v = calloc((size_t)x.size + 1, sizeof(*v));
	if (!v || !x.size)
		return om_err_set(err, x.size ? -ENOMEM : -EUCLEAN, "semaphores %d", (int)x.id);
	json_array_foreach(list, i, n) {
		if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > CKPT_SEM_VALUE_MAX)
			return om_err_set(err, -EUCLEAN, "the image's description: semaphores %d", (int)x.id);
		v[i] = (unsigned short)json_integer_value(n);
	}
	r = object_make(&x, err);
	if (r < 0)
		return r;
	ds.sem_perm.uid = (uid_t)x.uid;
	ds.sem_perm.gid = (gid_t)x.gid;
	ds.sem_perm.mode = x.mode & MODE;
	/* programs take a time of the last operation for "it has been set up" */
	if (v[0] == CKPT_SEM_VALUE_MAX) {
		touch[0].sem_op = -1;
		touch[1].sem_op = 1;
	}
	if (semctl((int)x.id, 0, SETALL, (union semun){ .array = v }) < 0 ||
	    (json_is_true(json_object_get(o, "used")) && semop((int)x.id, touch, 2) < 0) ||
	    semctl((int)x.id, 0, IPC_SET, (union semun){ .buf = &ds }) < 0)
		return om_err_sys(err, -errno, "semaphores %d", (int)x.id);
	return 0;
}

/* ---- message queues ---- */

static int message_send(int id, const json_t *o, struct om_err *err)
{
	om_autofree void *text = NULL;
	om_autofree struct { long type; char text[]; } *m = NULL;
	int64_t type;
	size_t n;
	int r = ckpt_json_int(o, "type", 1, INT64_MAX, &type, err);

	if (r == 0)
		r = ckpt_json_bytes(o, "text", 0, MESSAGE_MAX, &text, &n, err);
	m = r == 0 ? malloc(sizeof(*m) + n + 1) : NULL;
	if (r == 0 && !m)
		r = om_err_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		return r;
	m->type = (long)type;
	if (n)
		memcpy(m->text, text, n);
	return msgsnd(id, m, n, IPC_NOWAIT) < 0 ? om_err_sys(err, -errno, "message queue %d: put a message of %zu bytes back", id, n) : 0;
}

static int queue_make(struct ckpt_image *im, const json_t *o, struct om_err *err)
{
	struct object x = { .kind = "msg" };
	struct msqid_ds ds = { 0 }, have;
	const json_t *list, *m;
	int64_t qbytes;
	size_t i;
	int r = object_read(o, &x, err);

	(void)im;
	if (r == 0)
		r = ckpt_json_int(o, "qbytes", 0, INT64_MAX, &qbytes, err);
	if (r == 0)
		r = ckpt_json_list(o, "messages", MESSAGES_MAX, &list, err);
	if (r == 0)
		r = object_make(&x, err);
	if (r < 0)
		return r;
	if (msgctl((int)x.id, IPC_STAT, &have) < 0)
		return om_err_sys(err, -errno, "message queue %d", (int)x.id);
	ds.msg_perm.uid = (uid_t)x.uid;
	ds.msg_perm.gid = (gid_t)x.gid;
	ds.msg_perm.mode = x.mode & MODE;
	ds.msg_qbytes = have.msg_qbytes;
	/* the size may have been made smaller when more was in it already: last */
	json_array_foreach(list, i, m) {
		r = message_send((int)x.id, m, err);
		if (r < 0)
			return r;
	}
	ds.msg_qbytes = (msglen_t)qbytes;
	if (msgctl((int)x.id, IPC_SET, &ds) < 0)
		return om_err_sys(err, -errno, "message queue %d: owner, or size of %lld bytes", (int)x.id, (long long)qbytes);
	return 0;
}

static int kind_make(struct ckpt_image *im, const json_t *ipc, const char *kind, int (*one)(struct ckpt_image *, const json_t *, struct om_err *),
		     struct om_err *err)
{
	const json_t *list, *o;
	size_t i;
	int r = ckpt_json_list(ipc, kind, CKPT_SYSV_MAX, &list, err);

	json_array_foreach(r == 0 ? list : NULL, i, o)
		if (r == 0)
			r = one(im, o, err);
	return r;
}

int ckpt_ipc_make(struct ckpt_image *im, struct om_err *err)
{
	const json_t *ipc = json_object_get(im->meta, "ipc");
	int r;

	if (!ipc)
		return 0;
	im->held = calloc(json_array_size(json_object_get(ipc, "shm")) + 1, sizeof(*im->held));
	if (!im->held)
		return om_err_set(err, -ENOMEM, "out of memory");
	r = kind_make(im, ipc, "shm", segment_make, err);
	if (r == 0)
		r = kind_make(im, ipc, "sem", set_make, err);
	return r < 0 ? r : kind_make(im, ipc, "msg", queue_make, err);
}
