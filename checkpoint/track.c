/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/track.c - see track.h. */
#include "checkpoint/track.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "checkpoint/json.h"
#include "checkpoint/procfs.h"
#include "checkpoint/uapi.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define FEATURE_WP_UNPOPULATED	(1ULL << 13)
#define FEATURE_WP_ASYNC	(1ULL << 15)

enum {
	BIG_PAGES = 4096,			/* below, a process is copied whole in the freeze: 16 MiB take 3 ms */
	ROUNDS = 3,				/* before the freeze */
	STOP_MS = 2000,				/* a thread that does not stop for the injection is left alone */
};

struct ckpt_track {
	int sock[2];				/* what lies in it between two dumps: struct note with a userfaultfd each */
};
struct note {
	pid_t pid;
	uint64_t start, id;			/* of the process; of the checkpoint it goes with */
};

int ckpt_track_create(struct ckpt_track **ret, struct om_err *err)
{
	struct ckpt_track *t = calloc(1, sizeof(*t));

	if (!t)
		return om_err_set(err, -ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, t->sock) < 0) {
		free(t);
		return om_err_sys(err, -errno, "socketpair");
	}
	*ret = t;
	return 0;
}

void ckpt_track_destroy(struct ckpt_track *t)
{
	if (!t)
		return;
	om_fd_close(t->sock[0]);
	om_fd_close(t->sock[1]);
	free(t);
}

static uint64_t start_of(pid_t pid)
{
	uint64_t stat[CKPT_STAT_FIELDS];

	return ckpt_stat_read(pid, stat) < 0 ? 0 : stat[22];
}

static void shot_init(struct ckpt_shot *sh)
{
	*sh = (struct ckpt_shot){ .uffd = -1, .pagemap = -1 };
}

void ckpt_shot_done(struct ckpt_shot *sh)
{
	om_fd_close(sh->uffd);
	om_fd_close(sh->pagemap);
	if (sh->stage)
		(void)munmap(sh->stage, sh->staged.pages * CKPT_PAGE);
	ckpt_ranges_done(&sh->dirty);
	ckpt_ranges_done(&sh->clean);
	ckpt_ranges_done(&sh->guards);
	ckpt_ranges_done(&sh->staged);
	ckpt_ranges_done(&sh->later);
	ckpt_known_done(&sh->known);
	shot_init(sh);
}

/* ---- scanning ---- */

static int range_put(struct ckpt_shot *sh, const struct page_region *reg, uint64_t *end)
{
	/* a restart inside the kernel may give a range twice */
	uint64_t from = reg->start > *end ? reg->start : *end;

	if (from >= reg->end)
		return 0;
	*end = reg->end;
	if (reg->categories & PAGE_IS_GUARD)
		return ckpt_ranges_add(&sh->guards, from, reg->end);
	return ckpt_ranges_add(reg->categories & PAGE_IS_WRITTEN ? &sh->dirty : &sh->clean, from, reg->end);
}

/* The pages of one area that may be protected.  @ret_any: there were some. */
static int area_scan(struct ckpt_shot *sh, const struct ckpt_area *a, bool arm, bool *ret_any)
{
	struct page_region reg[512];
	struct pm_scan_arg s = {
		.size = sizeof(s), .flags = arm ? PM_SCAN_WP_MATCHING : 0, .start = a->from, .end = a->to,
		.vec = (uintptr_t)reg, .vec_len = OM_ARRAY_SIZE(reg),
		.category_inverted = PAGE_IS_FILE | PAGE_IS_PFNZERO,
		.category_mask = PAGE_IS_FILE | PAGE_IS_PFNZERO | PAGE_IS_WPALLOWED,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_WRITTEN | PAGE_IS_PRESENT | ckpt_pages_guard_bit(),
	};
	uint64_t end = a->from;

	while (s.start < a->to) {
		int n = ioctl(sh->pagemap, PAGEMAP_SCAN, &s), r = 0;

		if (n < 0)
			return -errno;
		*ret_any |= n > 0;
		for (int i = 0; i < n && r == 0; i++)
			r = range_put(sh, &reg[i], &end);
		if (r < 0 || s.walk_end <= s.start)
			return r;
		s.start = s.walk_end;
	}
	return 0;
}

static int dirty_add(void *arg, uint64_t from, uint64_t to, bool guard)
{
	struct ckpt_shot *sh = arg;

	return ckpt_ranges_add(guard ? &sh->guards : &sh->dirty, from, to);
}

/* All of an area whose file cannot be mapped again, but the guard pages. */
static int gone_add(struct ckpt_shot *sh, const struct ckpt_area *a, struct om_err *err)
{
	size_t had = sh->guards.n;
	uint64_t at = a->from;
	int r = ckpt_pages_guards(sh->pagemap, a->from, a->to, dirty_add, sh, err);

	for (size_t i = had ? had - 1 : 0; i < sh->guards.n && r == 0; i++) {
		const struct ckpt_range g = sh->guards.r[i];

		if (g.to <= at)
			continue;
		if (g.from > at)
			r = ckpt_ranges_add(&sh->dirty, at, g.from);
		at = g.to;
	}
	return r == 0 && at < a->to ? ckpt_ranges_add(&sh->dirty, at, a->to) : r;
}

static int scan(const struct ckpt_maps *maps, struct ckpt_shot *sh, bool arm, struct om_err *err)
{
	int r = 0;

	ckpt_ranges_done(&sh->dirty);
	ckpt_ranges_done(&sh->clean);
	ckpt_ranges_done(&sh->guards);
	for (size_t i = 0; i < maps->n && r == 0; i++) {
		const struct ckpt_area *a = &maps->area[i];
		bool any = false;

		if (a->kind == CKPT_AREA_KERNEL)
			continue;
		if (a->flags & CKPT_AREA_SHARED) {
			r = ckpt_pages_guards(sh->pagemap, a->from, a->to, dirty_add, sh, err);
			continue;
		}
		if (a->gone) {
			r = gone_add(sh, a, err);
			continue;
		}
		if (sh->uffd >= 0)
			r = area_scan(sh, a, arm, &any);
		if (r == 0 && !any)
			r = ckpt_pages_scan(sh->pagemap, a->from, a->to, dirty_add, sh, err);
	}
	return r < 0 ? om_err_sys(err, r, "scan pages") : 0;
}

static void areas_register(int uffd, const struct ckpt_maps *maps)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct ckpt_area *a = &maps->area[i];
		struct uffdio_register reg = { .range = { a->from, a->to - a->from }, .mode = UFFDIO_REGISTER_MODE_WP };

		/* what cannot be registered counts as written */
		if (a->kind != CKPT_AREA_KERNEL && !(a->flags & CKPT_AREA_SHARED))
			(void)ioctl(uffd, UFFDIO_REGISTER, &reg);
	}
}

int ckpt_track_scan(const struct ckpt_maps *maps, struct ckpt_shot *sh, struct om_err *err)
{
	int r;

	if (sh->uffd >= 0)
		areas_register(sh->uffd, maps);
	r = scan(maps, sh, true, err);
	return r == 0 ? om_err_sys(err, ckpt_known_cut(&sh->known, &sh->clean), "pages") : r;
}

/* ---- before the freeze ---- */

static int leader_stop(pid_t pid)
{
	uint64_t until = om_clock_mono_ns() + STOP_MS * 1000000ULL;
	struct ckpt_status status;
	int st;

	/* it may wait for a vforked child for long, and must stop to be let go again */
	if (ckpt_status_read(pid, &status) < 0 || status.state == 'D')
		return -EAGAIN;
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) < 0)
		return -errno;
	(void)ptrace(PTRACE_INTERRUPT, pid, 0, 0);	/* fails when it has ended: wait tells */
	for (;;) {
		pid_t r = waitpid(pid, &st, __WALL | WNOHANG);

		if (r < 0 || (r > 0 && !WIFSTOPPED(st)))
			return -ESRCH;
		if (r > 0 && st >> 16 == PTRACE_EVENT_STOP)
			return WSTOPSIG(st) == SIGTRAP ? 0 : -EAGAIN;
		if (r > 0 && ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(st)) < 0)
			return -ESRCH;
		if (r == 0 && om_clock_mono_ns() > until)
			return -EAGAIN;		/* it must stop to be let go: seized until the freeze, or our end */
		if (r == 0)
			usleep(20);
	}
}

static int uffd_inject(struct ckpt_remote *r, struct ckpt_batch *b, int pidfd, struct om_err *err)
{
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURE_WP_UNPOPULATED | FEATURE_WP_ASYNC };
	unsigned c;
	int fd, theirs, e;

	b->base = r->base;
	ckpt_batch_reset(b);
	c = ckpt_call(b, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	e = ckpt_batch_run(r, b, err);
	theirs = (int)b->call[c].ret;
	if (e < 0 || theirs < 0)
		return e < 0 ? e : theirs;
	fd = om_pidfd_getfd(pidfd, theirs);
	ckpt_batch_reset(b);
	(void)ckpt_call(b, SYS_close, (uint64_t)theirs);
	e = ckpt_batch_run(r, b, err);
	if (fd >= 0 && (e < 0 || ioctl(fd, UFFDIO_API, &api) < 0)) {
		e = e < 0 ? e : -errno;
		om_fd_close(fd);
		return e;
	}
	return fd;
}

/* A userfaultfd of process @p, or a negative number: then it is not tracked. */
static int uffd_make(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	struct ckpt_remote r = { .tid = 0 };
	uint64_t gadget, from = om_clock_mono_ns();
	int fd, e = ckpt_remote_gadget(p->pid, &gadget, NULL);

	if (e < 0)
		return e;
	fd = leader_stop(p->pid);
	if (fd == 0) {
		fd = ckpt_remote_begin(&r, p->pid, gadget, 0, 0, NULL);
		if (fd == 0)
			fd = uffd_inject(&r, &dump->batch, p->pidfd, NULL);
		e = ckpt_remote_end(&r, NULL);
	}
	(void)ptrace(PTRACE_DETACH, p->pid, 0, 0);	/* it may have ended */
	if (r.stop_sig)
		(void)kill(p->pid, r.stop_sig);
	dump->pre_stop_ns += om_clock_mono_ns() - from;
	return fd < 0 ? fd : e < 0 ? (om_fd_close(fd), e) : fd;
}

static struct ckpt_pre *pre_add(struct ckpt_dump *dump, pid_t pid, uint64_t start)
{
	struct ckpt_pre *p = reallocarray(dump->pre, dump->npre + 1, sizeof(*p));

	if (!p)
		return NULL;
	dump->pre = p;
	p = &dump->pre[dump->npre++];
	*p = (struct ckpt_pre){ .pid = pid, .start = start };
	shot_init(&p->shot);
	return p;
}

static struct ckpt_pre *pre_find(struct ckpt_dump *dump, pid_t pid)
{
	for (unsigned i = 0; i < dump->npre; i++)
		if (dump->pre[i].pid == pid)
			return &dump->pre[i];
	return NULL;
}

static int by_addr(const void *a, const void *b)
{
	const struct ckpt_extent *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* The extents the base checkpoint has for process @vpid. */
static int known_load(struct ckpt_dump *dump, pid_t vpid, struct ckpt_known *k)
{
	const json_t *list = json_object_get(dump->base_meta, "processes"), *o;
	size_t i;

	json_array_foreach(list, i, o) {
		int r;

		if (json_integer_value(json_object_get(o, "pid")) != vpid)
			continue;
		r = ckpt_extents_read(dump->opts->base, json_object_get(o, "memory"), CKPT_TASK_SIZE, &k->x, &k->n, dump->err);
		if (r < 0)
			return r;
		qsort(k->x, k->n, sizeof(*k->x), by_addr);
		for (size_t x = 0; x < k->n; x++)
			k->x[x].zero = 1;
		return 0;
	}
	return -ENOENT;
}

/* Arm and store everything that was written. */
static int round_do(struct ckpt_dump *dump, struct ckpt_proc *p, struct ckpt_shot *sh)
{
	struct ckpt_known fresh = { 0 };
	struct ckpt_packer k;
	int r;

	r = ckpt_track_scan(&p->maps, sh, dump->err);
	if (r == 0)
		r = ckpt_packer_init(&k, dump->sink, p->pid);
	if (r < 0)
		return r;
	k.runs = true;
	for (size_t i = 0; i < sh->dirty.n && r == 0; i++)
		r = ckpt_packer_add(&k, sh->dirty.r[i].from, sh->dirty.r[i].to,
				    ckpt_maps_hides_file(&p->maps, sh->dirty.r[i].from), dump->err);
	if (r == 0)
		r = ckpt_packer_extents(&k, &fresh.x, &fresh.n, dump->err);
	dump->stats->pages += k.pages;
	dump->stats->bytes += k.bytes;
	ckpt_packer_done(&k);
	if (r == 0)
		r = om_err_sys(dump->err, ckpt_known_overlay(&sh->known, &fresh), "pages");
	ckpt_known_done(&fresh);
	return r;
}

static int rounds(struct ckpt_dump *dump, struct ckpt_proc *p, struct ckpt_shot *sh)
{
	uint64_t last = UINT64_MAX;
	int r = 0;

	for (int i = 0; i < ROUNDS && r == 0; i++) {
		/* only counted: nothing is armed, so nothing is forgotten */
		r = scan(&p->maps, sh, false, dump->err);
		if (r < 0 || sh->dirty.pages <= BIG_PAGES / 2 || sh->dirty.pages > last / 2)
			break;
		last = sh->dirty.pages;
		r = round_do(dump, p, sh);
	}
	return r;
}

static int proc_before(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	struct ckpt_pre *t = pre_find(dump, p->pid);
	int r = 0, fd;

	if (!t) {
		uint64_t start = start_of(p->pid);

		if (ckpt_anon_pages(p->pid) < BIG_PAGES || !start)
			return 0;
		fd = uffd_make(dump, p);
		if (fd < 0)
			return fd == -ENOMEM ? fd : 0;
		t = pre_add(dump, p->pid, start);
		if (!t) {
			om_fd_close(fd);
			return om_err_set(dump->err, -ENOMEM, "out of memory");
		}
		t->shot.uffd = fd;
	} else {
		r = known_load(dump, p->vpid, &t->shot.known);
		if (r < 0)			/* without it all is dirty */
			ckpt_shot_done(&t->shot);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
	}
	t->shot.pagemap = ckpt_pagemap_open(p->pid, dump->err);
	if (t->shot.pagemap < 0)
		return t->shot.pagemap;
	areas_register(t->shot.uffd, &p->maps);
	return rounds(dump, p, &t->shot);
}

int ckpt_track_before(struct ckpt_dump *dump)
{
	int r = 0;

	if (!ckpt_pages_can_track())
		return 0;
	for (unsigned i = 0; i < dump->look.n && r == 0; i++) {
		struct ckpt_proc *p = &dump->look.procs[i];

		if (p->zombie)
			continue;
		r = proc_before(dump, p);
		if (r < 0 && om_pidfd_ended(p->pidfd)) {
			struct ckpt_pre *t = pre_find(dump, p->pid);

			if (t)
				ckpt_shot_done(&t->shot);
			r = 0;
		}
	}
	return r;
}

/* Does what we have noted still speak of the memory the process has?  After an execve(2) the old one is gone, and its pagemap
 * says nothing more (fs/proc/task_mmu.c: reads end at once), which must not be taken for "nothing was written". */
static bool memory_is_the_same(const struct ckpt_shot *sh)
{
	uint64_t entry;

	return sh->pagemap < 0 || pread(sh->pagemap, &entry, sizeof(entry), 0x10000 / CKPT_PAGE * sizeof(entry)) == sizeof(entry);
}

int ckpt_track_find(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	struct ckpt_pre *t = pre_find(dump, p->pid);

	p->shot = calloc(1, sizeof(*p->shot));
	if (!p->shot)
		return om_err_set(dump->err, -ENOMEM, "out of memory");
	shot_init(p->shot);
	if (t && t->shot.uffd >= 0 && start_of(p->pid) == t->start && memory_is_the_same(&t->shot)) {
		*p->shot = t->shot;		/* moves */
		shot_init(&t->shot);
	}
	if (p->shot->pagemap < 0)
		p->shot->pagemap = ckpt_pagemap_open(p->pid, dump->err);
	return p->shot->pagemap < 0 ? p->shot->pagemap : 0;
}

/* ---- between two dumps ---- */

int ckpt_track_take(struct ckpt_dump *dump)
{
	uint64_t id = 0;
	const void *text;
	size_t len;
	int r = 0;

	if (dump->opts->base) {
		r = dump->opts->base->meta(dump->opts->base->ctx, &text, &len, dump->err);
		if (r < 0)
			return r;
		dump->base_meta = json_loadb(text, len, 0, NULL);
		if (ckpt_json_hex(dump->base_meta, "id", &id, NULL) < 0)
			id = 0;
	}
	while (dump->opts->track) {
		struct note n;
		struct ckpt_pre *t;
		int fd = -1, nfds = 1;

		if (om_fd_recv(dump->opts->track->sock[0], &n, sizeof(n), &fd, &nfds) != (ssize_t)sizeof(n))
			break;
		if (nfds != 1)
			continue;
		t = id && n.id == id && start_of(n.pid) == n.start ? pre_add(dump, n.pid, n.start) : NULL;
		if (t)
			t->shot.uffd = fd;
		else
			om_fd_close(fd);
	}
	return 0;
}

void ckpt_track_leave(struct ckpt_dump *dump)
{
	for (unsigned i = 0; i < dump->tree.n && dump->opts->track; i++) {
		const struct ckpt_proc *p = &dump->tree.procs[i];
		const struct note n = { p->pid, p->zombie ? 0 : start_of(p->pid), dump->id };

		/* when it does not fit the next dump of that process is whole */
		if (p->shot && p->shot->uffd >= 0)
			(void)om_fd_send(dump->opts->track->sock[1], &n, sizeof(n), &p->shot->uffd, 1);
	}
}

void ckpt_track_done(struct ckpt_dump *dump)
{
	for (unsigned i = 0; i < dump->npre; i++)
		ckpt_shot_done(&dump->pre[i].shot);
	free(dump->pre);
	dump->pre = NULL;
	dump->npre = 0;
	json_decref(dump->base_meta);
	dump->base_meta = NULL;
}
