/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_process.c - limits, and what prctl() can read and set: dumpable, sub-reaper, no_new_privs, timer slack, death signal. */
#include <errno.h>
#include <linux/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"

/* ---- limits ---- */

int ckpt_item_rlimit_ask(struct ckpt_item_dump *d)
{
	d->slot[0] = ckpt_batch_out(d->b, RLIM_NLIMITS * sizeof(struct rlimit64));
	for (unsigned i = 0; i < RLIM_NLIMITS; i++)
		(void)ckpt_call(d->b, SYS_prlimit64, 0, i, 0, d->slot[0] + i * sizeof(struct rlimit64));
	return 0;
}

int ckpt_item_rlimit_answer(struct ckpt_item_dump *d)
{
	const struct rlimit64 *l = ckpt_batch_at(d->b, d->slot[0]);
	json_t *list = json_array();

	for (unsigned i = 0; i < RLIM_NLIMITS; i++)
		json_array_append_new(list, json_pack("[II]", (json_int_t)l[i].rlim_cur, (json_int_t)l[i].rlim_max));
	json_object_set_new(d->obj, "rlimits", list);
	return 0;
}

/* Not raised above what this process has: the image gives no rights.  The soft limit of open files must not stand in the way now. */
int ckpt_item_rlimit_restore(struct ckpt_item_restore *r)
{
	const json_t *list, *v;
	size_t i;
	int e = ckpt_json_list(r->obj, "rlimits", RLIM_NLIMITS, &list, r->err);

	if (e < 0)
		return e;
	json_array_foreach(list, i, v) {
		const json_t *cur = json_array_get(v, 0), *max = json_array_get(v, 1);
		struct rlimit64 l, have;

		if (!json_is_integer(cur) || !json_is_integer(max))
			return om_err_set(r->err, -EUCLEAN, "the image's description: limits");
		l = (struct rlimit64){ (uint64_t)json_integer_value(cur), (uint64_t)json_integer_value(max) };
		if (prlimit64(r->p->pid, (int)i, NULL, &have) == 0) {
			l.rlim_max = l.rlim_max < have.rlim_max ? l.rlim_max : have.rlim_max;
			l.rlim_cur = l.rlim_cur < l.rlim_max ? l.rlim_cur : l.rlim_max;
		}
		(void)ckpt_call(r->b, SYS_prlimit64, 0, i, ckpt_batch_in(r->b, &l, sizeof(l)), 0);
	}
	return 0;
}

/* ---- prctl ---- */

struct option {
	const char *name;
	int get, set;
	bool by_pointer;
	int64_t max;
};
static const struct option process_options[] = {
	{ "dumpable", PR_GET_DUMPABLE, 0, false, 2 },	/* set at the very end: we would lock ourselves out */
	{ "subreaper", PR_GET_CHILD_SUBREAPER, PR_SET_CHILD_SUBREAPER, true, 1 },
	{ "thp_disable", PR_GET_THP_DISABLE, PR_SET_THP_DISABLE, false, 1 },
	{ NULL, 0, 0, false, 0 },
};
static const struct option thread_options[] = {
	{ "no_new_privs", PR_GET_NO_NEW_PRIVS, PR_SET_NO_NEW_PRIVS, false, 1 },
	{ "timerslack", PR_GET_TIMERSLACK, PR_SET_TIMERSLACK, false, INT64_MAX },
	{ "pdeathsig", PR_GET_PDEATHSIG, PR_SET_PDEATHSIG, true, 64 },
	{ NULL, 0, 0, false, 0 },
};

static int options_ask(const struct option *o, struct ckpt_item_dump *d)
{
	for (size_t i = 0; o[i].name; i++) {
		d->slot[2 * i] = o[i].by_pointer ? ckpt_batch_out(d->b, 8) : 0;
		d->slot[2 * i + 1] = ckpt_call(d->b, SYS_prctl, (uint64_t)o[i].get, d->slot[2 * i]);
	}
	return 0;
}

static int options_answer(const struct option *o, struct ckpt_item_dump *d)
{
	for (size_t i = 0; o[i].name; i++) {
		int64_t v = d->b->call[d->slot[2 * i + 1]].ret;

		if (v < 0)
			continue;
		if (o[i].by_pointer)
			v = *(int32_t *)ckpt_batch_at(d->b, d->slot[2 * i]);
		if (o[i].get == PR_GET_DUMPABLE && d->p->undumpable)
			v = 0;			/* as it was before dump.c looked into it */
		json_object_set_new(d->obj, o[i].name, json_integer(v));
	}
	return 0;
}

static int options_restore(const struct option *o, struct ckpt_item_restore *r)
{
	for (size_t i = 0; o[i].name; i++) {
		int64_t v = -1;
		int e = ckpt_json_int_opt(r->obj, o[i].name, 0, o[i].max, &v, r->err);

		if (e < 0)
			return e;
		/* what is off already is left alone (no_new_privs 0 is refused) */
		if (v > 0 && o[i].set)
			(void)ckpt_must(r->b, o[i].name, SYS_prctl, (uint64_t)o[i].set, (uint64_t)v);
	}
	return 0;
}

int ckpt_item_prctl_ask(struct ckpt_item_dump *d)
{
	return options_ask(process_options, d);
}

int ckpt_item_prctl_answer(struct ckpt_item_dump *d)
{
	return options_answer(process_options, d);
}

int ckpt_item_prctl_restore(struct ckpt_item_restore *r)
{
	int64_t v = 1;
	int e = ckpt_json_int_opt(r->obj, "dumpable", 0, 2, &v, r->err);

	r->p->dumpable = (int)v;
	return e == 0 ? options_restore(process_options, r) : e;
}

int ckpt_item_late_ask(struct ckpt_item_dump *d)
{
	return options_ask(thread_options, d);
}

int ckpt_item_late_answer(struct ckpt_item_dump *d)
{
	return options_answer(thread_options, d);
}

int ckpt_item_late_restore(struct ckpt_item_restore *r)
{
	return options_restore(thread_options, r);
}

/* Changes of identity have made it what the system's default says.  2 cannot be asked for by anybody: 0 is no less strict. */
int ckpt_item_dumpable_finish(struct ckpt_item_restore *r)
{
	const uint64_t arg[6] = { PR_SET_DUMPABLE, r->p->dumpable == 1 };
	int64_t ret;
	int e;

	if (r->t != &r->p->threads[0])
		return 0;			/* the leader is the last */
	e = ckpt_remote_call(&r->t->remote, SYS_prctl, arg, &ret, r->err);
	return e == 0 && ret < 0 ? om_err_sys(r->err, (int)ret, "dumpable") : e;
}
