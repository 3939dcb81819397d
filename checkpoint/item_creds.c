/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/item_creds.c - identity and capabilities of a thread.
 *
 * Rights are only ever given up here: a restored task runs with the restoring user's ids as the namespace maps them, and with
 * those of the image's capabilities that it has.  A job in a user namespace had none. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "checkpoint/item.h"
#include "checkpoint/json.h"
#include "checkpoint/procfs.h"

enum { CAPS = 64 };

struct ids {
	uint32_t ruid, euid, suid, rgid, egid, sgid;
};

int ckpt_item_creds_ask(struct ckpt_item_dump *d)
{
	uint64_t at = d->slot[0] = ckpt_batch_out(d->b, sizeof(struct ids));

	(void)ckpt_call(d->b, SYS_getresuid, at, at + 4, at + 8);
	(void)ckpt_call(d->b, SYS_getresgid, at + 12, at + 16, at + 20);
	d->slot[1] = ckpt_call(d->b, SYS_prctl, PR_GET_SECUREBITS);
	return 0;
}

int ckpt_item_creds_answer(struct ckpt_item_dump *d)
{
	const struct ids *i = ckpt_batch_at(d->b, d->slot[0]);
	struct ckpt_status st;
	json_t *o;
	int r = ckpt_status_read(d->t->tid, &st);

	if (r < 0)
		return om_err_sys(d->err, r, "task %d", d->t->tid);
	o = json_pack("{s[III] s[III] sI}", "uid", (json_int_t)i->ruid, (json_int_t)i->euid, (json_int_t)i->suid,
		      "gid", (json_int_t)i->rgid, (json_int_t)i->egid, (json_int_t)i->sgid,
		      "securebits", (json_int_t)d->b->call[d->slot[1]].ret);
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
	if (e < 0)
		return e;
	for (unsigned c = 0; c < CAPS; c++)
		if ((st.cap_bnd & ~bnd) >> c & 1)
			(void)ckpt_call(r->b, SYS_prctl, PR_CAPBSET_DROP, c);
	/* changing ids keeps the capabilities, which are set right after */
	(void)ckpt_must(r->b, "securebits", SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS);
	(void)ckpt_must(r->b, "group ids", SYS_setresgid, gid[0], gid[1], gid[2]);
	(void)ckpt_must(r->b, "user ids", SYS_setresuid, uid[0], uid[1], uid[2]);
	(void)ckpt_must(r->b, "securebits", SYS_prctl, PR_SET_SECUREBITS, (uint64_t)sec & ~(uint64_t)SECBIT_KEEP_CAPS);
	prm &= st.cap_prm;
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
