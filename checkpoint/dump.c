/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/dump.c - one checkpoint, in order: look, freeze, inject and ask, files, twins, thaw; then copy from the twins. */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/ckpt.h"
#include "checkpoint/continue.h"
#include "checkpoint/dump.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/pages.h"
#include "checkpoint/procfs.h"
#include "checkpoint/track.h"
#include "checkpoint/twin.h"

/* ---- asking ---- */

static int items_ask(const struct ckpt_item *items, struct ckpt_item_dump *d, uint64_t slot[][CKPT_ITEM_SLOTS])
{
	int r = 0;

	for (size_t i = 0; items[i].name && r == 0; i++) {
		d->slot = slot[i];
		r = items[i].ask ? items[i].ask(d) : 0;
	}
	return r;
}

static int items_answer(const struct ckpt_item *items, struct ckpt_item_dump *d, uint64_t slot[][CKPT_ITEM_SLOTS])
{
	int r = 0;

	for (size_t i = 0; items[i].name && r == 0; i++) {
		d->slot = slot[i];
		r = items[i].answer ? items[i].answer(d) : 0;
	}
	return r;
}

enum { ITEMS_MAX = 32 };

static int thread_ask(struct ckpt_dump *dump, struct ckpt_proc *p, struct ckpt_thread *t)
{
	uint64_t pslot[ITEMS_MAX][CKPT_ITEM_SLOTS], tslot[ITEMS_MAX][CKPT_ITEM_SLOTS];
	struct ckpt_item_dump d = { p, t, dump->opts, &dump->batch, NULL, p->desc, dump->why, dump->err };
	bool leader = t == &p->threads[0];
	int r = om_fault(OM_FI_DUMP_TASK);

	if (r < 0)
		return om_err_sys(dump->err, r, "examine task %d", t->vtid);
	ckpt_batch_reset(d.b);
	t->desc = json_pack("{si}", "tid", (int)t->vtid);
	r = leader ? items_ask(ckpt_proc_items, &d, pslot) : 0;
	d.obj = t->desc;
	if (r == 0)
		r = items_ask(ckpt_thread_items, &d, tslot);
	if (r == 0)
		r = ckpt_batch_run(&t->remote, d.b, dump->err);
	if (r == 0)
		r = items_answer(ckpt_thread_items, &d, tslot);
	d.obj = p->desc;
	if (r == 0 && leader)
		r = items_answer(ckpt_proc_items, &d, pslot);
	return r;
}

static json_t *proc_desc(const struct ckpt_proc *p, uint64_t exit_signal)
{
	json_t *o = json_pack("{si si si si ss}", "pid", (int)p->vpid, "ppid", (int)p->vppid, "pgid", (int)p->vpgid, "sid", (int)p->vsid,
			      "state", p->zombie ? "zombie" : p->job_stop ? "stopped" : "running");

	json_object_set_new(o, "name", ckpt_json_from_name(p->comm));
	json_object_set_new(o, "exit_signal", json_integer((json_int_t)exit_signal));
	if (!p->zombie && p->job_stop)
		json_object_set_new(o, "stop_signal", json_integer(p->stop_signal));
	if (p->zombie)
		json_object_set_new(o, "exit_code", json_integer(p->exit_code));
	return o;
}

static int dumpable_set(struct ckpt_dump *dump, struct ckpt_proc *p, bool on)
{
	struct ckpt_batch *b = &dump->batch;
	unsigned get;
	int r;

	b->base = p->threads[0].remote.base;
	ckpt_batch_reset(b);
	get = ckpt_call(b, SYS_prctl, PR_GET_DUMPABLE);
	if (!on)
		(void)ckpt_call(b, SYS_prctl, PR_SET_DUMPABLE, 0);
	r = ckpt_batch_run(&p->threads[0].remote, b, dump->err);
	if (r < 0 || !on || b->call[get].ret != 0)
		return r;
	ckpt_batch_reset(b);
	(void)ckpt_call(b, SYS_prctl, PR_SET_DUMPABLE, 1);
	p->undumpable = true;
	return ckpt_batch_run(&p->threads[0].remote, b, dump->err);
}

static int proc_ask(struct ckpt_dump *dump, struct ckpt_proc *p)
{
	uint64_t stat[CKPT_STAT_FIELDS];
	json_t *list = json_array();
	int r = ckpt_stat_read(p->pid, stat);

	if (r < 0)
		return om_err_sys(dump->err, r, "process %d", p->vpid);
	p->desc = proc_desc(p, stat[38]);
	json_object_set_new(p->desc, "threads", list);
	if (p->zombie)
		return 0;
	r = ckpt_remote_gadget(p->pid, &p->gadget, dump->err);
	if (r == 0)
		r = ckpt_dump_maps(dump, p);
	if (r == 0)
		r = om_err_sys(dump->err, om_fault(OM_FI_DUMP_INJECT), "inject into process %d", p->vpid);
	if (r == 0)
		r = ckpt_remote_begin(&p->threads[0].remote, p->pid, p->gadget, 0, 0, dump->err);
	dump->batch.base = p->threads[0].remote.base;
	p->mono_ns = dump->mono_ns;
	for (unsigned i = 1; i < p->nthreads && r == 0; i++)
		r = ckpt_remote_begin(&p->threads[i].remote, p->threads[i].tid, p->gadget, 0, dump->batch.base, dump->err);
	if (r == 0)
		r = dumpable_set(dump, p, true);
	if (r == 0)
		r = ckpt_continue(p, &dump->batch, dump->err);
	for (unsigned i = 0; i < p->nthreads && r == 0; i++) {
		r = thread_ask(dump, p, &p->threads[i]);
		if (r == 0)
			json_array_append(list, p->threads[i].desc);
	}
	return r;
}

/* Has the parent of a stopped process already been told so by a wait?  Asked in the parent, without taking it away. */
static int stops_ask(struct ckpt_dump *dump)
{
	struct ckpt_batch *b = &dump->batch;
	int r = 0;

	for (unsigned i = 0; i < dump->tree.n && r == 0; i++) {
		struct ckpt_proc *p = &dump->tree.procs[i], *pp = ckpt_tree_find(&dump->tree, p->vppid);
		siginfo_t none = { 0 };
		uint64_t si;

		if (!p->job_stop || p->zombie || !pp || pp->zombie)
			continue;
		b->base = pp->threads[0].remote.base;
		ckpt_batch_reset(b);
		si = ckpt_batch_in(b, &none, sizeof(none));
		(void)ckpt_call(b, SYS_waitid, P_PID, (uint64_t)p->vpid, si, WSTOPPED | WNOHANG | WNOWAIT, 0);
		r = ckpt_batch_run(&pp->threads[0].remote, b, dump->err);
		if (r == 0 && ((siginfo_t *)ckpt_batch_at(b, si))->si_pid != p->vpid)
			json_object_set_new(p->desc, "stop_reported", json_true());
	}
	return r;
}

/* Registers, masks and memory of all tasks are their own again; also after a failure half-way. */
static int remotes_end(struct ckpt_dump *dump)
{
	struct ckpt_tree *tree = &dump->tree;
	struct om_err *err = dump->err;
	int r = 0;

	for (unsigned i = 0; i < tree->n; i++) {
		struct ckpt_proc *p = &tree->procs[i];

		if (p->undumpable && p->nthreads && p->threads[0].remote.begun)
			r = dumpable_set(dump, p, false);

		/* the leader last: it owns the area */
		for (unsigned k = p->nthreads; k-- > 0;) {
			int e = ckpt_remote_end(&p->threads[k].remote, r == 0 ? err : NULL);

			r = r == 0 ? e : r;
		}
	}
	return r;
}

/* What the time namespace of @pid (a number, or "self") adds to clock @name, in ns. */
static int64_t clock_offset(const char *pid, const char *name)
{
	om_autofree char *text = NULL;
	long long sec = 0, nsec = 0;
	char path[48], *line;

	snprintf(path, sizeof(path), "/proc/%s/timens_offsets", pid);
	if (om_file_read(path, 4096, &text, NULL) < 0)
		return 0;			/* a kernel without time namespaces */
	line = strstr(text, name);
	if (line && sscanf(line + strlen(name), "%lld %lld", &sec, &nsec) == 2)
		return sec * 1000000000LL + nsec;
	return 0;
}

/* The clocks as the job sees them. */
static void clocks_read(struct ckpt_dump *dump)
{
	char init[16];

	snprintf(init, sizeof(init), "%d", dump->opts->init);
	dump->mono_ns = om_clock_mono_ns() + (uint64_t)(clock_offset(init, "monotonic") - clock_offset("self", "monotonic"));
	dump->boot_ns = om_clock_boot_ns() + (uint64_t)(clock_offset(init, "boottime") - clock_offset("self", "boottime"));
}

/* Everything that must be done while the tree stands still. */
static int stand_still(struct ckpt_dump *dump)
{
	int r = 0;

	clocks_read(dump);
	r = ckpt_kin_check(&dump->tree, dump->why);
	if (r == -ENOMEM)
		r = om_err_set(dump->err, r, "out of memory");
	for (unsigned i = 0; i < dump->tree.n && r == 0; i++)
		r = proc_ask(dump, &dump->tree.procs[i]);
	/* again: a thread that was led out of the vdso has read them since, and they must not go back */
	clocks_read(dump);
	if (r == 0)
		r = stops_ask(dump);
	if (r == 0)
		r = ckpt_dump_ipc(dump);
	if (r == 0)
		r = ckpt_dump_shm_find(dump);
	if (r == 0)
		r = ckpt_dump_files(dump);
	if (r == 0 && dump->opts->frozen)
		r = dump->opts->frozen(dump->opts->arg, dump->err);
	if (r == 0)
		r = ckpt_dump_shm_still(dump);
	if (r == 0)
		r = ckpt_dump_still_memory(dump);
	return r;
}

static void tree_kill(struct ckpt_dump *dump)
{
	/* init goes on and tells the keeper that all is over */
	for (unsigned i = 0; i < dump->tree.n; i++)
		(void)kill(dump->tree.procs[i].pid, SIGKILL);	/* zombies are among them */
}

static int describe(struct ckpt_dump *dump)
{
	json_t *procs = json_array(), *meta;
	struct utsname u;
	char *text;
	int r;

	for (unsigned i = 0; i < dump->tree.n; i++)
		json_array_append(procs, dump->tree.procs[i].desc);
	(void)uname(&u);			/* cannot fail */
	meta = json_pack("{si ss ss sI sI sI so sO}", "format", 1, "machine", u.machine, "kernel", u.release,
			 "mono_ns", (json_int_t)dump->mono_ns, "boot_ns", (json_int_t)dump->boot_ns,
			 "time_ns", (json_int_t)dump->real_ns, "processes", procs, "shm", dump->shm);
	if (!meta)
		return om_err_set(dump->err, -ENOMEM, "out of memory");
	json_object_set_new(meta, "id", ckpt_json_from_hex(dump->id));
	if (dump->files_desc)
		json_object_set(meta, "files", dump->files_desc);
	if (dump->ipc)
		json_object_set(meta, "ipc", dump->ipc);
	if (dump->vdso)
		json_object_set(meta, "vdso", dump->vdso);
	text = json_dumps(meta, JSON_COMPACT);
	json_decref(meta);
	if (!text)
		return om_err_set(dump->err, -ENOMEM, "out of memory");
	r = om_fault(OM_FI_DUMP_META);
	if (r < 0)
		r = om_err_sys(dump->err, r, "write the description");
	else
		r = dump->sink->commit(dump->sink->ctx, text, strlen(text), dump->err);
	free(text);
	return r;
}

static void dump_done(struct ckpt_dump *dump)
{
	for (unsigned i = 0; i < dump->tree.n; i++)
		ckpt_twin_destroy(&dump->tree.procs[i]);
	ckpt_batch_done(&dump->batch);
	ckpt_dump_files_done(dump);
	ckpt_dump_shm_done(dump);
	ckpt_dump_ipc_done(dump);
	json_decref(dump->files_desc);
	json_decref(dump->vdso);
	json_decref(dump->shm);
	ckpt_tree_done(&dump->tree);
	ckpt_tree_done(&dump->look);
	ckpt_track_done(dump);
	free(dump->kept);
}

/* All that can be done while the job runs. */
static int prepare(struct ckpt_dump *dump)
{
	int r = ckpt_look_tree(&dump->look, dump->opts->init, dump->opts->net_reset, dump->why, dump->err);

	if (r == 0)
		r = om_err_sys(dump->err, ckpt_batch_init(&dump->batch, 0), "dump");
	if (r == 0 && getrandom(&dump->id, sizeof(dump->id), 0) != sizeof(dump->id))
		r = om_err_sys(dump->err, -errno, "getrandom");
	dump->id |= 1;				/* 0: none */
	if (r == 0)
		r = ckpt_track_take(dump);
	return r == 0 ? ckpt_track_before(dump) : r;
}

int ckpt_dump(const struct ckpt_dump_opts *opts, const struct ckpt_sink *sink, struct ckpt_stats *stats, struct ckpt_why *why, struct om_err *err)
{
	struct ckpt_dump dump = { .opts = opts, .sink = sink, .stats = stats, .why = why, .err = err, .real_ns = om_clock_real_ns() };
	uint64_t start = om_clock_mono_ns(), stop;
	int r, e;

	*stats = (struct ckpt_stats){ 0 };
	dump.shm = json_array();
	r = prepare(&dump);
	if (r < 0) {
		dump_done(&dump);
		return r;
	}
	stop = om_clock_mono_ns();
	r = ckpt_tree_freeze(&dump.tree, opts->init, why, err);
	if (r == 0) {
		r = om_err_sys(err, om_fault(OM_FI_DUMP_SEIZE), "seize");
		r = r < 0 ? r : stand_still(&dump);
		if (r == 0)
			r = om_err_sys(err, om_fault(OM_FI_DUMP_RESUME), "resume");
		if (r == 0 && opts->and_stop)
			;			/* held until all is durable */
		else {
			dump.err = r < 0 ? NULL : err;
			e = remotes_end(&dump);
			dump.err = err;
			r = r < 0 ? r : e;
			ckpt_tree_thaw(&dump.tree);
			stats->stop_ns = om_clock_mono_ns() - stop + dump.pre_stop_ns;
			if (r == 0 && opts->resumed)
				opts->resumed(opts->arg);
		}
	}
	stats->processes = dump.tree.n;
	stats->threads = dump.tree.nthreads;
	if (r == 0)
		r = ckpt_dump_memory(&dump);
	if (r == 0)
		r = ckpt_dump_shm_store(&dump);
	if (r == 0)
		r = ckpt_dump_ipc_store(&dump);
	if (r == 0)
		r = ckpt_dump_files_finish(&dump);
	if (r == 0)
		r = describe(&dump);
	if (r == 0 && !opts->and_stop)
		ckpt_track_leave(&dump);
	if (opts->and_stop && stats->stop_ns == 0 && dump.tree.n) {
		if (r == 0)
			tree_kill(&dump);
		dump.err = NULL;
		e = r == 0 ? 0 : remotes_end(&dump);
		(void)e;			/* who cannot be given back has been killed by then */
		ckpt_tree_thaw(&dump.tree);
		stats->stop_ns = om_clock_mono_ns() - stop;
	}
	dump_done(&dump);
	stats->wall_ns = om_clock_mono_ns() - start;
	return r;
}
