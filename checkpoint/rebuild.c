/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/rebuild.c - an empty shell becomes the process of the image, all by injected calls:
 * scratch area where both address spaces have a gap; the kernel's own areas (vdso, vvar) aside; everything else unmapped; vdso to its
 * old place; areas mapped writable; content; final protections; threads; items; registers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/restore.h"
#include "checkpoint/sink.h"
#include "checkpoint/vdso.h"
#include "checkpoint/uapi.h"

enum {
	SCRATCH_LEN = 4 << 20,			/* more than the scratch area has */
	ASIDE_LEN = 1 << 20,			/* for vdso and vvar on their way */
	KERNEL_AREAS_MAX = 8,
};

struct rebuild {
	const struct ckpt_image *im;
	const struct ckpt_image_proc *ip;
	struct ckpt_proc *p;
	struct ckpt_maps was;			/* the shell's areas */
	const struct ckpt_cow *cow;
	bool *loaded;				/* per area: its content lies in the zone */
	struct ckpt_batch b;
	uint64_t base;
	char *vdso;				/* the image's, patched if foreign */
	size_t vdso_len;
	bool foreign;				/* it comes from another kernel */
	struct om_err *err;
};

#define REMOTE(r) (&(r)->p->threads[0].remote)

/* What the thread library registered must not be written to any more. */
static void forget_library(struct rebuild *r)
{
	struct __ptrace_rseq_configuration c = { 0 };

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, r->p->pid, sizeof(c), &c) == sizeof(c) && c.rseq_abi_pointer)
		(void)ckpt_must(&r->b, "unregister rseq", SYS_rseq, c.rseq_abi_pointer, c.rseq_abi_size, 1, c.signature);
	(void)ckpt_must(&r->b, "robust list", SYS_set_robust_list, 0, 24);
	(void)ckpt_must(&r->b, "tid address", SYS_set_tid_address, 0);
}

static unsigned kernel_areas(const struct ckpt_maps *m, const struct ckpt_area *ret[KERNEL_AREAS_MAX])
{
	unsigned n = 0;

	for (size_t i = 0; i < m->n && n < KERNEL_AREAS_MAX; i++)
		if (m->area[i].kind == CKPT_AREA_KERNEL)
			ret[n++] = &m->area[i];
	return n;
}

static void move(struct rebuild *r, uint64_t from, uint64_t to, uint64_t len)
{
	(void)ckpt_must(&r->b, "move the vdso", SYS_mremap, from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
}

static void unmap(struct rebuild *r, uint64_t from, uint64_t to)
{
	if (from < to)
		(void)ckpt_must(&r->b, "unmap", SYS_munmap, from, to - from);
}

/* All but our scratch area, which ends at @end, and the zone. */
static void unmap_most(struct rebuild *r, uint64_t end)
{
	uint64_t z = r->cow->zone, zend = z + r->cow->len;

	if (!z || z > r->base) {
		unmap(r, 0, r->base);
		unmap(r, end, z ? z : CKPT_TASK_SIZE);
		unmap(r, z ? zend : CKPT_TASK_SIZE, CKPT_TASK_SIZE);
	} else {
		unmap(r, 0, z);
		unmap(r, zend, r->base);
		unmap(r, end, CKPT_TASK_SIZE);
	}
}

/* The shell's part of the zone that begins at or behind @at: where it can be written, content was loaded. */
static const struct ckpt_area *zone_part(const struct rebuild *r, uint64_t at)
{
	const struct ckpt_area *a = ckpt_maps_at(&r->was, at);

	return a && (a->prot & PROT_WRITE) && a->kind == CKPT_AREA_ANON ? a : NULL;
}

static bool area_loaded(const struct rebuild *r, const struct ckpt_area *a)
{
	uint64_t at = a->kind == CKPT_AREA_ANON ? ckpt_cow_at(r->cow, a->from) : 0, end = at + (a->to - a->from);
	const struct ckpt_area *part;

	if (!at || !r->cow->proc[r->ip - r->im->proc].pick[a - r->p->maps.area])
		return false;
	for (; at < end; at = part->to) {
		part = zone_part(r, at);
		if (!part)
			return false;
	}
	return true;
}

/* Out of the zone to its place, by the pieces it consists of. */
static int area_fetch(struct rebuild *r, const struct ckpt_area *a)
{
	uint64_t at = ckpt_cow_at(r->cow, a->from), end = at + (a->to - a->from), to = a->from;
	int e = 0;

	while (at < end && e == 0) {
		uint64_t stop = zone_part(r, at)->to, len = (stop < end ? stop : end) - at;

		e = ckpt_batch_flush(REMOTE(r), &r->b, 1, 0, r->err);
		if (e == 0)
			(void)ckpt_must(&r->b, "move memory", SYS_mremap, at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		at += len;
		to += len;
	}
	return e;
}

/* The image's vdso in @ret (heap), if it is another one than ours. */
static int vdso_load(struct rebuild *r, const struct ckpt_area *v)
{
	const json_t *o = json_object_get(r->im->meta, "vdso");
	om_autofree char *own = malloc(CKPT_BLOCK_MAX);
	size_t want = v->to - v->from;
	int64_t block;
	int e = ckpt_json_int(o, "block", 0, UINT32_MAX, &block, r->err);

	if (e < 0)
		return e;
	r->vdso = malloc(CKPT_BLOCK_MAX);
	if (!r->vdso || !own || want > CKPT_BLOCK_MAX)
		return om_err_set(r->err, -ENOMEM, "out of memory");
	e = r->im->src->block(r->im->src->ctx, (uint32_t)block, r->vdso, &r->vdso_len, r->err);
	if (e == 0 && r->vdso_len != want)
		e = om_err_set(r->err, -EUCLEAN, "the image: its vdso has another size than its area");
	return e;
}

static const struct ckpt_area *vdso_of(const struct ckpt_area *const list[], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i]->name && strcmp(list[i]->name, "[vdso]") == 0)
			return list[i];
	return NULL;
}

/* Are the kernel's areas here what they were there?  If not the functions of the old vdso will lead to ours, which stays at @aside. */
static int vdso_compare(struct rebuild *r, const struct ckpt_area *const have[], unsigned nh, const struct ckpt_area *const want[], unsigned nw,
			uint64_t aside)
{
	const struct ckpt_area *w = vdso_of(want, nw), *h = vdso_of(have, nh);
	om_autofree char *own = NULL;
	bool same = nw == nh;
	int e;

	if (!w)
		return 0;			/* the program has unmapped it */
	if (!h)
		return om_err_set(r->err, -EOPNOTSUPP, "this kernel has no vdso");
	e = vdso_load(r, w);
	if (e < 0)
		return e;
	own = malloc(h->to - h->from);
	if (!own)
		return om_err_set(r->err, -ENOMEM, "out of memory");
	e = ckpt_mem_read(r->p->pid, h->from, own, h->to - h->from);
	if (e < 0)
		return om_err_sys(r->err, e, "read the vdso");
	for (unsigned i = 0; i < nw && same; i++)
		same = have[i]->to - have[i]->from == want[i]->to - want[i]->from && have[i]->name && want[i]->name &&
			strcmp(have[i]->name, want[i]->name) == 0 && have[i]->from - have[0]->from == want[i]->from - want[0]->from;
	if (same && memcmp(r->vdso, own, r->vdso_len) == 0)
		return 0;
	r->foreign = true;
	r->p->old_vdso = w->from;
	r->p->old_vdso_end = w->to;
	return ckpt_vdso_patch(r->vdso, r->vdso_len, own, h->to - h->from, aside + (h->from - have[0]->from), r->err);
}

static int empty_and_vdso(struct rebuild *r)
{
	const struct ckpt_area *have[KERNEL_AREAS_MAX], *want[KERNEL_AREAS_MAX];
	unsigned nh = kernel_areas(&r->was, have), nw = kernel_areas(&r->p->maps, want);
	uint64_t aside = r->base + SCRATCH_LEN, end = aside + ASIDE_LEN;
	int e = vdso_compare(r, have, nh, want, nw, aside);

	if (e < 0)
		return e;
	forget_library(r);
	/* children that stand stopped already, as its own wait had been told */
	for (unsigned i = 0; i < r->im->n; i++)
		if (r->im->proc[i].ppid == r->ip->pid && r->im->proc[i].stop_reported && ckpt_batch_room(&r->b, 64, 0))
			(void)ckpt_call(&r->b, SYS_waitid, P_PID, (uint64_t)r->im->proc[i].pid, 0, WSTOPPED | WNOHANG, 0);
	for (unsigned i = 0; i < nh; i++) {
		if (have[i]->to - have[0]->from > ASIDE_LEN)
			return om_err_set(r->err, -EOPNOTSUPP, "this kernel's vdso is too far from its data");
		move(r, have[i]->from, aside + (have[i]->from - have[0]->from), have[i]->to - have[i]->from);
	}
	unmap_most(r, end);
	if (!r->foreign) {
		for (unsigned i = 0; i < nw && nw == nh; i++)
			move(r, aside + (have[i]->from - have[0]->from), want[i]->from, want[i]->to - want[i]->from);
		(void)ckpt_must(&r->b, "unmap", SYS_munmap, aside, ASIDE_LEN);
	}
	return ckpt_batch_run(REMOTE(r), &r->b, r->err);
}

static bool is_foreign_vdso(const struct rebuild *r, const struct ckpt_area *a)
{
	return r->foreign && a->kind == CKPT_AREA_KERNEL && a->name && strcmp(a->name, "[vdso]") == 0;
}

static int file_check(struct rebuild *r, const struct ckpt_area *a)
{
	char path[PATH_MAX + 64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/root%s", r->p->pid, a->name);
	if (stat(path, &st) < 0)
		return om_err_sys(r->err, -errno, "mapped file '%s'", a->name);
	if (!S_ISREG(st.st_mode))
		return om_err_set(r->err, -EUCLEAN, "mapped file '%s' is no regular file", a->name);
	if (a->flags & CKPT_AREA_SHARED)
		return 0;			/* its content is put back with the other files */
	if ((uint64_t)st.st_size != a->size || st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec != a->mtime_ns)
		return om_err_set(r->err, -ESTALE, "'%s' has been changed since the checkpoint (program or library upgraded?)", a->name);
	return 0;
}

static int area_map(struct rebuild *r, const struct ckpt_area *a)
{
	bool shm = a->kind == CKPT_AREA_SHM, file = shm || (a->kind == CKPT_AREA_FILE && !a->gone), shared = a->flags & CKPT_AREA_SHARED;
	char held[40];
	const char *name = shm ? held : a->name;
	uint64_t prot = file && shared ? a->prot : (a->prot | PROT_READ | PROT_WRITE) & ~(uint64_t)(file ? 0 : PROT_EXEC);
	uint64_t flags = MAP_FIXED_NOREPLACE | (shared ? MAP_SHARED : MAP_PRIVATE) | (file ? 0 : MAP_ANONYMOUS) |
		(a->flags & CKPT_AREA_GROWSDOWN ? MAP_GROWSDOWN | MAP_STACK : 0) | (a->flags & CKPT_AREA_NORESERVE ? MAP_NORESERVE : 0);
	unsigned o = 0, m, c;
	int e;

	if ((a->kind == CKPT_AREA_KERNEL && !is_foreign_vdso(r, a)) || a->kind == CKPT_AREA_SYSV)
		return 0;
	if (shm && (a->shm >= r->im->nshm || !shared))
		return om_err_set(r->err, -EUCLEAN, "the image's description: shared memory %u", a->shm);
	if (shm)				/* pid 1 holds the objects; it is our own kind, so it may be looked into */
		snprintf(held, sizeof(held), "/proc/1/fd/%d", r->im->shm_fd[a->shm]);
	e = ckpt_batch_flush(REMOTE(r), &r->b, 8, PATH_MAX + 64, r->err);
	if (e == 0 && file && !shm)
		e = file_check(r, a);
	if (e < 0)
		return e;
	if (file)
		o = ckpt_must(&r->b, "open a mapped file", SYS_open, ckpt_batch_in(&r->b, name, strlen(name) + 1),
			      (shared && (shm || (a->flags & CKPT_AREA_MAYWRITE)) ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	m = ckpt_must(&r->b, "map memory", SYS_mmap, a->from, a->to - a->from, prot, flags, (uint64_t)-1, file ? a->off : 0);
	if (file) {
		ckpt_batch_feed(&r->b, o, m, 4);
		c = ckpt_must(&r->b, "close a mapped file", SYS_close, 0);
		ckpt_batch_feed(&r->b, o, c, 0);
	}
	return 0;
}

static const struct { uint32_t flag; int advice; } advices[] = {
	{ CKPT_AREA_DONTFORK, MADV_DONTFORK }, { CKPT_AREA_DONTDUMP, MADV_DONTDUMP }, { CKPT_AREA_WIPEONFORK, MADV_WIPEONFORK },
	{ CKPT_AREA_HUGE, MADV_HUGEPAGE }, { CKPT_AREA_NOHUGE, MADV_NOHUGEPAGE }, { CKPT_AREA_MERGE, MADV_MERGEABLE },
	{ CKPT_AREA_SEQ, MADV_SEQUENTIAL }, { CKPT_AREA_RAND, MADV_RANDOM },
};

/* Before the content comes: only what changes how pages are made. */
static int area_advise(struct rebuild *r, const struct ckpt_area *a, bool early)
{
	int e = ckpt_batch_flush(REMOTE(r), &r->b, OM_ARRAY_SIZE(advices), 0, r->err);

	for (size_t i = 0; i < OM_ARRAY_SIZE(advices) && a->kind != CKPT_AREA_KERNEL; i++) {
		bool pages = advices[i].flag == CKPT_AREA_HUGE || advices[i].flag == CKPT_AREA_NOHUGE;

		if ((a->flags & advices[i].flag) && pages == early)
			(void)ckpt_call(&r->b, SYS_madvise, a->from, a->to - a->from, (uint64_t)advices[i].advice);
	}
	return e;
}

static int area_finish(struct rebuild *r, const struct ckpt_area *a)
{
	bool file_shared = a->flags & CKPT_AREA_SHARED;	/* mapped with its protection */
	int e = ckpt_batch_flush(REMOTE(r), &r->b, 8, 0, r->err);

	if (a->kind == CKPT_AREA_KERNEL && !is_foreign_vdso(r, a))
		return e;
	if (e == 0 && (!file_shared || a->kind == CKPT_AREA_SYSV) && a->prot != (PROT_READ | PROT_WRITE))
		(void)ckpt_must(&r->b, "protect memory", SYS_mprotect, a->from, a->to - a->from, a->prot);
	if (e == 0)
		e = area_advise(r, a, false);
	if (e == 0 && (a->flags & CKPT_AREA_LOCKED))
		(void)ckpt_must(&r->b, "lock memory", SYS_mlock, a->from, a->to - a->from);
	return e;
}

static int vdso_write(struct rebuild *r)
{
	for (size_t i = 0; i < r->p->maps.n; i++) {
		const struct ckpt_area *a = &r->p->maps.area[i];

		if (is_foreign_vdso(r, a) && ckpt_mem_write(r->p->pid, a->from, r->vdso, r->vdso_len) < 0)
			return om_err_set(r->err, -EFAULT, "cannot write the vdso of process %d", r->ip->pid);
	}
	return 0;
}

static int areas_each(struct rebuild *r, int (*f)(struct rebuild *, const struct ckpt_area *))
{
	int e = 0;

	ckpt_batch_reset(&r->b);
	for (size_t i = 0; i < r->p->maps.n && e == 0; i++)
		e = f(r, &r->p->maps.area[i]);
	return e == 0 ? ckpt_batch_run(REMOTE(r), &r->b, r->err) : e;
}

/* Pages that no access may reach, inside of areas; not in locked memory, which is not locked yet. */
static int guards_make(struct rebuild *r)
{
	const json_t *list = json_object_get(r->ip->obj, "guards"), *o;
	size_t i;
	int e = 0;

	ckpt_batch_reset(&r->b);
	json_array_foreach(list, i, o) {
		int64_t from, to;

		e = ckpt_json_int(o, "from", CKPT_PAGE, (int64_t)CKPT_TASK_SIZE, &from, r->err);
		if (e == 0)
			e = ckpt_json_int(o, "to", from, (int64_t)CKPT_TASK_SIZE, &to, r->err);
		if (e == 0)
			e = ckpt_batch_flush(REMOTE(r), &r->b, 1, 0, r->err);
		if (e < 0)
			return e;
		/* its own areas, never our scratch area, which lies in a gap */
		if (!ckpt_maps_at(&r->p->maps, (uint64_t)from) || !ckpt_maps_at(&r->p->maps, (uint64_t)to - 1))
			return om_err_set(r->err, -EUCLEAN, "the image's description: guard pages outside of an area");
		(void)ckpt_must(&r->b, "guard pages", SYS_madvise, (uint64_t)from, (uint64_t)(to - from), MADV_GUARD_INSTALL);
	}
	return ckpt_batch_run(REMOTE(r), &r->b, r->err);
}

static int area_make(struct rebuild *r, const struct ckpt_area *a)
{
	bool *loaded = &r->loaded[a - r->p->maps.area];
	int e;

	*loaded = area_loaded(r, a);
	if (*loaded)
		return area_fetch(r, a);
	e = area_map(r, a);

	return e == 0 ? area_advise(r, a, true) : e;
}

/* System V shared memory is attached whole, before anything else may be where the program had unmapped parts of it. */
static int area_attach(struct rebuild *r, const struct ckpt_area *a)
{
	const struct ckpt_area *all = r->p->maps.area, *last = all + r->p->maps.n;
	uint64_t base = a->from - a->off, at = base, end = base + (a->size + CKPT_PAGE - 1) / CKPT_PAGE * CKPT_PAGE;
	int e = 0;

	if (a->kind != CKPT_AREA_SYSV)
		return 0;
	for (const struct ckpt_area *c = all; c < a; c++)
		if (c->kind == a->kind && c->shm == a->shm && c->from - c->off == base)
			return 0;		/* another piece of the same */
	if (base == 0)
		return om_err_set(r->err, -EUCLEAN, "the image's description: System V shared memory is mapped at no place");
	e = ckpt_batch_flush(REMOTE(r), &r->b, 8, 0, r->err);
	(void)ckpt_must(&r->b, "attach System V shared memory", SYS_shmat, a->shm, base, a->flags & CKPT_AREA_MAYWRITE ? 0 : SHM_RDONLY);
	for (const struct ckpt_area *c = a; c < last && e == 0 && c->from < end; c++) {
		if (c->kind != a->kind || c->shm != a->shm || c->from - c->off != base)
			continue;
		if (c->from > at)
			(void)ckpt_must(&r->b, "unmap", SYS_munmap, at, c->from - at);
		at = c->to;
		e = ckpt_batch_flush(REMOTE(r), &r->b, 8, 0, r->err);
	}
	if (at < end)
		(void)ckpt_must(&r->b, "unmap", SYS_munmap, at, end - at);
	return e;
}

/* ---- threads ---- */

static int thread_make(struct rebuild *r, unsigned i)
{
	struct clone_args ca = { .flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, .set_tid_size = 1 };
	struct ckpt_thread *t = &r->p->threads[i];
	uint32_t tid = (uint32_t)json_integer_value(json_object_get(json_array_get(r->ip->threads, i), "tid"));
	int e;

	ckpt_batch_reset(&r->b);
	ca.set_tid = ckpt_batch_in(&r->b, &tid, sizeof(tid));
	(void)ckpt_must(&r->b, "make a thread", SYS_clone3, ckpt_batch_in(&r->b, &ca, sizeof(ca)), sizeof(ca));
	e = ckpt_batch_run(REMOTE(r), &r->b, r->err);
	if (e < 0)
		return e;
	if (!REMOTE(r)->born)
		return om_err_set(r->err, -ESRCH, "thread %u was not born", tid);
	*t = (struct ckpt_thread){ .tid = REMOTE(r)->born, .vtid = (pid_t)tid, .stopped = true };
	r->p->nthreads = i + 1;
	return ckpt_remote_begin(&t->remote, t->tid, r->p->gadget, 0, r->base, r->err);
}

static int threads_make(struct rebuild *r)
{
	struct ckpt_thread *t = reallocarray(r->p->threads, r->ip->nthreads, sizeof(*t));
	int e = t ? 0 : om_err_set(r->err, -ENOMEM, "out of memory");

	if (t)
		r->p->threads = t;
	for (unsigned i = 1; i < r->ip->nthreads && e == 0; i++)
		e = thread_make(r, i);
	return e;
}

/* ---- items ---- */

static int items_restore(struct rebuild *r, const struct ckpt_item *items, struct ckpt_thread *t, const json_t *obj)
{
	struct ckpt_item_restore ir = { r->p, t, &r->b, obj, r->err };
	int e = 0;

	ckpt_batch_reset(&r->b);
	for (size_t i = 0; items[i].name && e == 0; i++) {
		e = ckpt_batch_flush(&t->remote, &r->b, 256, 65536, r->err);
		if (e == 0 && items[i].restore)
			e = items[i].restore(&ir);
	}
	return e == 0 ? ckpt_batch_run(&t->remote, &r->b, r->err) : e;
}

static int thread_finish(struct rebuild *r, struct ckpt_thread *t, const json_t *obj)
{
	struct ckpt_item_restore ir = { r->p, t, NULL, obj, r->err };
	int e = 0;

	for (size_t i = 0; ckpt_thread_items[i].name && e == 0; i++)
		e = ckpt_thread_items[i].finish ? ckpt_thread_items[i].finish(&ir) : 0;
	return e == 0 ? ckpt_remote_end(&t->remote, r->err) : e;
}

static int threads_finish(struct rebuild *r)
{
	uint64_t gadget;
	int e = items_restore(r, ckpt_proc_items, &r->p->threads[0], r->ip->obj);

	for (unsigned i = 0; i < r->p->nthreads && e == 0; i++)
		e = items_restore(r, ckpt_thread_items, &r->p->threads[i], json_array_get(r->ip->threads, i));
	if (e == 0)
		e = ckpt_remote_gadget(r->p->pid, &gadget, r->err);
	/* the leader last: it owns the scratch area */
	for (unsigned i = r->p->nthreads; i-- > 0 && e == 0;) {
		r->p->threads[i].remote.gadget = gadget;
		e = thread_finish(r, &r->p->threads[i], json_array_get(r->ip->threads, i));
	}
	return e;
}

static int zone_end(struct rebuild *r)
{
	ckpt_batch_reset(&r->b);
	unmap(r, r->cow->zone, r->cow->zone + r->cow->len * (r->cow->zone != 0));
	return ckpt_batch_run(REMOTE(r), &r->b, r->err);
}

static int steps(struct rebuild *r, struct ckpt_stats *stats)
{
	int e = empty_and_vdso(r);

	if (e == 0)
		e = areas_each(r, area_attach);
	if (e == 0)
		e = areas_each(r, area_make);
	if (e == 0)
		e = zone_end(r);
	if (e == 0)
		e = om_err_sys(r->err, om_fault(OM_FI_REST_PAGES), "load memory");
	if (e == 0)
		e = ckpt_fill(r->im, r->ip, r->p, r->loaded, stats, r->err);
	if (e == 0)
		e = guards_make(r);
	if (e == 0)
		e = vdso_write(r);
	if (e == 0)
		e = areas_each(r, area_finish);
	if (e == 0)
		e = threads_make(r);
	return e == 0 ? threads_finish(r) : e;
}

int ckpt_rebuild(const struct ckpt_image *im, const struct ckpt_cow *cow, const struct ckpt_image_proc *ip, struct ckpt_proc *p,
		 struct ckpt_stats *stats, struct om_err *err)
{
	struct rebuild r = { .im = im, .cow = cow, .ip = ip, .p = p, .err = err };
	int e;

	if (p->nthreads != 1)
		return om_err_set(err, -EINVAL, "a shell with %u threads", p->nthreads);
	e = ckpt_maps_unpack(json_object_get(ip->obj, "areas"), &p->maps, err);
	if (e == 0) {
		r.loaded = calloc(p->maps.n + 1, sizeof(*r.loaded));
		e = r.loaded ? 0 : om_err_set(err, -ENOMEM, "out of memory");
	}
	if (e == 0)
		e = ckpt_maps_read(p->pid, false, &r.was, err);
	if (e == 0)
		e = ckpt_remote_gadget(p->pid, &p->gadget, err);
	if (e == 0) {
		r.base = ckpt_maps_gap(&p->maps, &r.was, 1ULL << 32, SCRATCH_LEN + ASIDE_LEN);
		e = r.base ? 0 : om_err_set(err, -ENOMEM, "no gap in the address space");
	}
	if (e == 0)
		e = ckpt_remote_begin(&p->threads[0].remote, p->pid, p->gadget, r.base, 0, err);
	if (e == 0)
		e = om_err_sys(err, ckpt_batch_init(&r.b, r.base), "restore");
	if (e == 0)
		e = steps(&r, stats);
	ckpt_batch_done(&r.b);
	ckpt_maps_done(&r.was);
	free(r.loaded);
	free(r.vdso);
	return e;
}
