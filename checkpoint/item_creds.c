/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_creds.c - identity, groups and capabilities of a thread.
 *
 * Rights are only ever given up here: the kernel lets the task take the image's ids, groups and capabilities from those it begins with,
 * which are those of the job's first process.  What it could not have is refused by name.  In a user namespace of an ordinary user
 * (setgroups denied) the groups are his own whatever the image says. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/procfs.h"

enum { CAPS = 64, GROUPS_MAX = 65536 };	/* NGROUPS_MAX */

struct ids {
	uint32_t ruid, euid, suid, rgid, egid, sgid;
};

/* How many groups it has: words in a line of status. */
static unsigned groups_count(pid_t tid)
{
	om_autofree char *text = NULL;
	const char *at;
	char path[32];
	unsigned n = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	if (om_file_read(path, 4 << 20, &text, NULL) < 0)
		return GROUPS_MAX + 1;
	at = strstr(text, "\nGroups:");
	for (at = at ? at + strlen("\nGroups:") : ""; *at && *at != '\n'; at++)
		n += at[0] >= '0' && at[0] <= '9' && (at[1] < '0' || at[1] > '9');
	return n;
}

int ckpt_item_creds_ask(struct ckpt_item_dump *d)
{
	uint64_t at = d->slot[0] = ckpt_batch_out(d->b, sizeof(struct ids));

	(void)ckpt_call(d->b, SYS_getresuid, at, at + 4, at + 8);
	(void)ckpt_call(d->b, SYS_getresgid, at + 12, at + 16, at + 20);
	d->slot[1] = ckpt_call(d->b, SYS_prctl, PR_GET_SECUREBITS);
	d->slot[2] = groups_count(d->t->tid);
	if (d->slot[2] > GROUPS_MAX)
		return om_err_set(d->err, -EBADMSG, "groups of task %d", d->t->vtid);
	d->slot[3] = ckpt_batch_out(d->b, d->slot[2] * sizeof(gid_t) + 1);
	d->slot[4] = ckpt_must(d->b, "getgroups", SYS_getgroups, d->slot[2], d->slot[3]);
	return 0;
}

int ckpt_item_creds_answer(struct ckpt_item_dump *d)
{
	const struct ids *i = ckpt_batch_at(d->b, d->slot[0]);
	struct ckpt_status st;
	json_t *o, *groups;
	int r = ckpt_status_read(d->t->tid, &st);

	if (r < 0)
		return om_err_sys(d->err, r, "task %d", d->t->tid);
	o = json_pack("{s[III] s[III] sI}", "uid", (json_int_t)i->ruid, (json_int_t)i->euid, (json_int_t)i->suid,
		      "gid", (json_int_t)i->rgid, (json_int_t)i->egid, (json_int_t)i->sgid,
		      "securebits", (json_int_t)d->b->call[d->slot[1]].ret);
	groups = json_array();
	for (uint64_t k = 0; k < d->slot[2]; k++)
		json_array_append_new(groups, json_integer(((gid_t *)ckpt_batch_at(d->b, d->slot[3]))[k]));
	json_object_set_new(o, "groups", groups);
	json_object_set_new(o, "inh", ckpt_json_from_hex(st.cap_inh));
	json_object_set_new(o, "prm", ckpt_json_from_hex(st.cap_prm));
	json_object_set_new(o, "eff", ckpt_json_from_hex(st.cap_eff));
	json_object_set_new(o, "bnd", ckpt_json_from_hex(st.cap_bnd));
	json_object_set_new(o, "amb", ckpt_json_from_hex(st.cap_amb));
	json_object_set_new(o, "filters", json_integer(st.seccomp_filters));
	json_object_set_new(d->obj, "creds", o);
	/* not possible by setuid() and the like of any C library, which change all threads */
	if (!json_equal(o, json_object_get(d->p->threads[0].desc, "creds")))
		return ckpt_refuse(d->why, d->p, "thread", "thread %d has other credentials (ids, capabilities, seccomp filters) than its process",
				   d->t->vtid);
	return 0;
}

static int ids_read(const json_t *o, const char *key, uint64_t ret[3], struct om_err *err)
{
	const json_t *list, *v;
	size_t i;
	int e = ckpt_json_list(o, key, 3, &list, err);

	if (e < 0)
		return e;
	json_array_foreach(list, i, v) {
		ret[i] = (uint64_t)json_integer_value(v);
		if (!json_is_integer(v) || ret[i] > UINT32_MAX)
			i = 3;
	}
	return i == 3 ? 0 : om_err_set(err, -EUCLEAN, "the image's description: field '%s'", key);
}

static bool groups_denied(pid_t pid)
{
	om_autofree char *text = NULL;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
	return om_file_read(path, 16, &text, NULL) == 0 && strncmp(text, "deny", 4) == 0;
}

static int groups_restore(struct ckpt_item_restore *r, const json_t *o)
{
	const json_t *list, *v;
	om_autofree gid_t *gid = NULL;
	size_t i;
	int e = ckpt_json_list(o, "groups", GROUPS_MAX, &list, r->err);

	if (e < 0 || groups_denied(r->p->pid))
		return e;
	gid = calloc(json_array_size(list) + 1, sizeof(*gid));
	if (!gid)
		return om_err_set(r->err, -ENOMEM, "out of memory");
	json_array_foreach(list, i, v) {
		if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT32_MAX)
			return om_err_set(r->err, -EUCLEAN, "the image's description: groups");
		gid[i] = (gid_t)json_integer_value(v);
	}
	e = ckpt_batch_flush(&r->t->remote, r->b, 256, i * sizeof(*gid), r->err);
	(void)ckpt_must(r->b, "supplementary groups that this user may not have", SYS_setgroups, i, ckpt_batch_in(r->b, gid, i * sizeof(*gid)));
	return e;
}

int ckpt_item_creds_restore(struct ckpt_item_restore *r)
{
	const json_t *o = json_object_get(r->obj, "creds");
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	uint64_t uid[3], gid[3], inh, prm, eff, bnd, amb;
	struct ckpt_status st;
	int64_t sec;
	int e = ids_read(o, "uid", uid, r->err);

	if (e == 0)
		e = ids_read(o, "gid", gid, r->err);
	if (e == 0)
		e = ckpt_json_int(o, "securebits", 0, 0xff, &sec, r->err);
	if (e == 0)
		e = ckpt_json_hex(o, "inh", &inh, r->err);
	if (e == 0)
		e = ckpt_json_hex(o, "prm", &prm, r->err);
	if (e == 0)
		e = ckpt_json_hex(o, "eff", &eff, r->err);
	if (e == 0)
		e = ckpt_json_hex(o, "bnd", &bnd, r->err);
	if (e == 0)
		e = ckpt_json_hex(o, "amb", &amb, r->err);
	if (e == 0)
		e = om_err_sys(r->err, ckpt_status_read(r->t->tid, &st), "task %d", r->t->vtid);
	if (e == 0 && (prm & ~st.cap_prm))
		e = om_err_set(r->err, -EPERM, "task %d had capability %d, which this user may not have here", r->t->vtid,
			       __builtin_ctzll(prm & ~st.cap_prm));
	if (e == 0)
		e = groups_restore(r, o);
	if (e < 0)
		return e;
	for (unsigned c = 0; c < CAPS; c++)
		if ((st.cap_bnd & ~bnd) >> c & 1)
			(void)ckpt_call(r->b, SYS_prctl, PR_CAPBSET_DROP, c);
	/* changing ids keeps the capabilities, which are set right after */
	(void)ckpt_must(r->b, "securebits", SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS);
	(void)ckpt_must(r->b, "group ids that this user may not have", SYS_setresgid, gid[0], gid[1], gid[2]);
	(void)ckpt_must(r->b, "user ids that this user may not have", SYS_setresuid, uid[0], uid[1], uid[2]);
	(void)ckpt_must(r->b, "securebits", SYS_prctl, PR_SET_SECUREBITS, (uint64_t)sec);
	eff &= prm;
	inh &= prm | st.cap_inh;
	for (int i = 0; i < 2; i++)
		d[i] = (struct __user_cap_data_struct){ .effective = (uint32_t)(eff >> 32 * i), .permitted = (uint32_t)(prm >> 32 * i),
							.inheritable = (uint32_t)(inh >> 32 * i) };
	(void)ckpt_must(r->b, "capabilities", SYS_capset, ckpt_batch_in(r->b, &h, sizeof(h)), ckpt_batch_in(r->b, d, sizeof(d)));
	amb &= prm & inh;
	for (unsigned c = 0; c < CAPS; c++)
		if (amb >> c & 1)
			(void)ckpt_call(r->b, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
	return 0;
}
