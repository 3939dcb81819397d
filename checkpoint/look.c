/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/look.c - what stands in the way of a checkpoint, found without stopping anything. */
#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/proc.h"
#include "checkpoint/dump.h"
#include "checkpoint/procfs.h"
#include "checkpoint/tree.h"

enum { LOOKS = 10, LOOK_AGAIN_US = 3000 };

static const struct { const char *flag, *object, *reason; } vm_reasons[] = {
	{ "io", "device memory", "memory of a device is mapped" },
	{ "pf", "device memory", "raw memory of a driver is mapped" },
	{ "mm", "device memory", "memory of a driver is mapped" },
	{ "ht", "huge pages", "huge pages of hugetlbfs are mapped" },
	{ "um", "userfaultfd", "its page faults are served by a userfaultfd" },
	{ "ui", "userfaultfd", "its page faults are served by a userfaultfd" },
	{ "ss", "shadow stack", "it uses a shadow stack" },
	{ "dev", "device", "a device is mapped" },
};

static int areas_look(struct ckpt_proc *p, struct ckpt_why *why, struct om_err *err)
{
	int r = ckpt_maps_read(p->pid, true, &p->maps, err);

	for (size_t i = 0; i < p->maps.n && r == 0; i++) {
		const struct ckpt_area *a = &p->maps.area[i];

		for (size_t k = 0; a->refuse[0] && k < OM_ARRAY_SIZE(vm_reasons); k++)
			if (strcmp(a->refuse, vm_reasons[k].flag) == 0)
				r = ckpt_refuse(why, p, a->name ? a->name : vm_reasons[k].object, "%s", vm_reasons[k].reason);
	}
	return r;
}

static const char *const namespaces[] = { "pid_for_children", "ipc", "mnt", "user", "time_for_children", "net", "uts", "cgroup" };

static int namespaces_look(struct ckpt_proc *p, pid_t init, struct ckpt_why *why)
{
	for (size_t i = 0; i < OM_ARRAY_SIZE(namespaces); i++) {
		om_autofree char *a = NULL, *b = NULL;
		char what[40];

		snprintf(what, sizeof(what), "ns/%s", namespaces[i]);
		if (ckpt_link_read(p->pid, what, &a) == 0 && ckpt_link_read(init, what, &b) == 0 && strcmp(a, b) != 0)
			return ckpt_refuse(why, p, namespaces[i], "it has a namespace of its own (a container?)");
	}
	return 0;
}

static int proc_look(struct ckpt_proc *p, pid_t init, const struct ckpt_status *of_init, struct ckpt_why *why, struct om_err *err)
{
	struct ckpt_status st;
	int r = ckpt_status_read(p->pid, &st);

	if (r < 0 || p->zombie)
		return 0;			/* ended meanwhile */
	if (st.tracer && st.tracer != getpid())
		return ckpt_refuse(why, p, "trace", "it is traced by another process (a debugger, strace)");
	if (st.state == 'Z')
		return ckpt_refuse(why, p, "thread", "its first thread has ended while others run on");
	if (st.levels != of_init->levels)
		return ckpt_refuse(why, p, "pid namespace", "it has a namespace of its own (a container?)");
	if (st.seccomp_filters > of_init->seccomp_filters || st.seccomp == 1)
		return ckpt_refuse(why, p, "seccomp", "it has a seccomp filter of its own");
	r = namespaces_look(p, init, why);
	return r < 0 ? r : areas_look(p, why, err);
}

/* Descriptors, of processes that run: what is gone when it is looked at stands in nobody's way. */
static int files_look(const struct ckpt_tree *tree, bool net_reset, struct ckpt_why *why, struct om_err *err)
{
	const struct ckpt_files_opts o = { .init = tree->init, .net_reset = net_reset };
	om_autofree struct ckpt_files_proc *list = calloc(tree->n + 1, sizeof(*list));
	struct ckpt_files *files = NULL;
	json_t *desc = NULL;
	unsigned n = 0;
	int r = list ? ckpt_files_create(&o, &files, err) : -ENOMEM;

	for (unsigned i = 0; i < tree->n && r == 0; i++) {
		const struct ckpt_proc *p = &tree->procs[i];

		if (p->zombie)
			continue;
		list[n] = (struct ckpt_files_proc){ p->pid, p->vpid, p->pidfd, json_object() };
		r = list[n++].desc ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = ckpt_files_dump(files, list, n, &desc, why, err);
	json_decref(desc);
	for (unsigned i = 0; i < n; i++)
		json_decref(list[i].desc);
	if (files)
		ckpt_files_destroy(files);
	/* EACCES: of a process that is not dumpable; the dump itself makes it so */
	return r == -ESRCH || r == -ENOENT || r == -EACCES ? 0 : r;
}

static int look_once(struct ckpt_tree *tree, pid_t init, bool net_reset, struct ckpt_why *why, struct om_err *err)
{
	struct ckpt_status of_init;
	int r = ckpt_status_read(init, &of_init);

	if (r < 0)
		return om_err_sys(err, r, "the job's init");
	r = ckpt_tree_list(tree, init, err);
	for (unsigned i = 0; i < tree->n && r == 0; i++) {
		r = proc_look(&tree->procs[i], init, &of_init, why, err);
		if (r < 0 && r != -EOPNOTSUPP && om_pidfd_ended(tree->procs[i].pidfd))
			r = 0;			/* it ended while it was looked at */
	}
	if (r == 0)
		r = ckpt_kin_check(tree, why);
	return r == 0 ? files_look(tree, net_reset, why, err) : r;
}

/* The processes run while they are looked at: one end of a pipe is seen, the other was made where the look had been already; a child is about
 * to execute its program.  What really stands in the way is still there a moment later. */
int ckpt_look_tree(struct ckpt_tree *tree, pid_t init, bool net_reset, struct ckpt_why *why, struct om_err *err)
{
	struct ckpt_why before = { 0 };
	int r = -EOPNOTSUPP;

	for (int i = 0; i < LOOKS && r == -EOPNOTSUPP; i++) {
		if (i) {
			before = *why;
			ckpt_tree_done(tree);
			*tree = (struct ckpt_tree){ 0 };
			(void)usleep(LOOK_AGAIN_US);	/* cut short is as good */
		}
		r = look_once(tree, init, net_reset, why, err);
		if (i && why->pid == before.pid && !strcmp(why->object, before.object) && !strcmp(why->reason, before.reason))
			break;
	}
	return r;
}

int ckpt_look(pid_t init, bool net_reset, struct ckpt_why *why, struct om_err *err)
{
	struct ckpt_tree tree = { 0 };
	int r = ckpt_look_tree(&tree, init, net_reset, why, err);

	ckpt_tree_done(&tree);
	return r;
}
