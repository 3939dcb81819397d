/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omd/kmsg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/str.h"

static const char *const kind_names[OMD_K_KINDS] = {
	[OMD_K_HELLO] = "hello", [OMD_K_STARTED] = "started", [OMD_K_EXITED] = "exited", [OMD_K_LOST] = "lost",
	[OMD_K_CHECKPOINT] = "checkpoint", [OMD_K_SUSPENDED] = "suspended", [OMD_K_PRUNED] = "pruned", [OMD_K_USAGE] = "usage",
	[OMD_K_CANNOT] = "cannot", [OMD_K_ERROR] = "error",
};

/* larger than any real one (292 years in ns), small enough to be added up */
static const int64_t NUMBER_MAX = INT64_MAX / 1024;

static int bad(struct om_err *err, const char *what)
{
	return om_err_set(err, -EBADMSG, "keeper message: %s", what);
}

/* An optional whole number of 0 to @max (real numbers of JSON are cut). */
static int number(const json_t *o, const char *name, int64_t max, uint64_t *ret, struct om_err *err)
{
	const json_t *v = json_object_get(o, name);
	double d;

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_number(v))
		return bad(err, name);
	d = json_number_value(v);
	if (!(d >= 0) || d > (double)max)
		return bad(err, name);
	*ret = json_is_integer(v) ? (uint64_t)json_integer_value(v) : (uint64_t)d;
	return 0;
}

static int number32(const json_t *o, const char *name, int64_t max, uint32_t *ret, struct om_err *err)
{
	uint64_t v = *ret;
	int r = number(o, name, max, &v, err);

	*ret = (uint32_t)v;
	return r;
}

/* Cut a text that is too long at a character, and make what is not printable '?'. */
static void tidy(char *dst, size_t n, const char *src)
{
	size_t len = strlen(src);

	if (len >= n) {
		len = n - 1;
		while (len && ((unsigned char)src[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(dst, src, len);
	dst[len] = 0;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)dst[i] < 0x20 || dst[i] == 0x7f)
			dst[i] = '?';
	if (!om_str_is_text(dst, false))
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)dst[i] >= 0x7f)
				dst[i] = '?';
}

static int text(const json_t *o, const char *name, char *dst, size_t n, struct om_err *err)
{
	const json_t *v = json_object_get(o, name);

	if (!v || json_is_null(v))
		return 0;
	if (json_is_integer(v)) {	/* "process": 17 */
		snprintf(dst, n, "%lld", (long long)json_integer_value(v));
		return 0;
	}
	if (!json_is_string(v))
		return bad(err, name);
	tidy(dst, n, json_string_value(v));
	return 0;
}

static int word(const json_t *o, const char *name, const char *const *words, unsigned int n, unsigned int *ret, struct om_err *err)
{
	const char *s = json_string_value(json_object_get(o, name));

	for (unsigned int i = 0; s && i < n; i++)
		if (strcmp(s, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	return bad(err, name);
}

static int one_ckpt(const json_t *v, struct omd_kmsg_ckpt *c, struct om_err *err)
{
	uint64_t n = 0, ns = 0;
	const json_t *t = json_object_get(v, "time");
	int r = 0;

	if (json_is_integer(v)) {
		if (json_integer_value(v) < 1 || json_integer_value(v) > OMD_KMSG_N_MAX)
			return bad(err, "checkpoint number");
		c->n = (uint32_t)json_integer_value(v);
		return 0;
	}
	if (!json_is_object(v))
		return bad(err, "checkpoints");
	r = number(v, "n", OMD_KMSG_N_MAX, &n, err);
	r = r < 0 ? r : number(v, "time_ns", INT64_MAX / 2, &ns, err);
	r = r < 0 ? r : number(v, "bytes", NUMBER_MAX, &c->bytes, err);
	r = r < 0 ? r : number(v, "stored", NUMBER_MAX, &c->stored, err);
	if (r < 0)
		return r;
	if (n == 0)
		return bad(err, "checkpoint number");
	c->n = (uint32_t)n;
	c->time = ns ? (double)ns / 1e9 : json_is_number(t) ? json_number_value(t) : 0;
	if (!(c->time >= 0 && c->time < 1e11))
		c->time = 0;
	return 0;
}

static int ckpts(const json_t *o, const char *name, struct omd_kmsg *m, struct om_err *err)
{
	const json_t *a = json_object_get(o, name), *v;
	size_t i;

	if (!a || json_is_null(a))
		return 0;
	if (!json_is_array(a) || json_array_size(a) > OMD_KMSG_CKPTS)
		return bad(err, name);
	json_array_foreach(a, i, v) {
		int r = one_ckpt(v, &m->ckpts[i], err);

		if (r < 0)
			return r;
	}
	m->has_ckpts = true;
	m->n_ckpts = (uint32_t)json_array_size(a);
	return 0;
}

static int usage(const json_t *o, struct omd_kmsg *m, struct om_err *err)
{
	int r = number(o, "cpu_ns", NUMBER_MAX, &m->cpu_ns, err);

	r = r < 0 ? r : number(o, "maxrss", NUMBER_MAX, &m->maxrss, err);
	r = r < 0 ? r : number(o, "rss", NUMBER_MAX, &m->rss, err);
	r = r < 0 ? r : number(o, "wall_ns", NUMBER_MAX, &m->wall_ns, err);
	return r < 0 ? r : number32(o, "processes", INT32_MAX, &m->processes, err);
}

static int exited(const json_t *o, struct omd_kmsg *m, struct om_err *err)
{
	static const char *const whys[] = { [OMD_KW_EXIT] = "exit", [OMD_KW_CANCELLED] = "cancelled", [OMD_KW_TIMEOUT] = "timeout" };
	const json_t *st = json_object_get(o, "status");
	unsigned int why = 0;
	int r;

	if (!json_is_integer(st) || json_integer_value(st) < 0 || json_integer_value(st) > 0xffff)
		return bad(err, "status");
	m->status = (int)json_integer_value(st);
	if (!WIFEXITED(m->status) && !WIFSIGNALED(m->status))
		return bad(err, "status");
	r = word(o, "why", whys, 3, &why, err);
	m->why = (enum omd_kmsg_why)why;
	r = r < 0 ? r : number32(o, "leg", INT32_MAX, &m->leg, err);
	r = r < 0 ? r : text(o, "reason", m->reason, sizeof(m->reason), err);
	return r < 0 ? r : usage(o, m, err);
}

static int refusal(const json_t *o, struct omd_kmsg *m, struct om_err *err)
{
	int r = text(o, "reason", m->reason, sizeof(m->reason), err);

	r = r < 0 ? r : text(o, "object", m->object, sizeof(m->object), err);
	r = r < 0 ? r : text(o, "process", m->process, sizeof(m->process), err);
	m->given = m->reason[0] != 0;
	return r;
}

static int lost(const json_t *o, struct omd_kmsg *m, struct om_err *err)
{
	m->temporary = json_is_true(json_object_get(o, "temporary"));
	return refusal(o, m, err);
}

static int hello(const json_t *o, struct omd_kmsg *m, struct om_err *err)
{
	static const char *const states[] = { [OMD_KS_STARTING] = "starting", [OMD_KS_RUNNING] = "running", [OMD_KS_ENDED] = "ended" };
	unsigned int st = 0;
	uint64_t pid = 0;
	int r = text(o, "job", m->job, sizeof(m->job), err);

	r = r < 0 ? r : word(o, "state", states, 3, &st, err);
	r = r < 0 ? r : number32(o, "leg", INT32_MAX, &m->leg, err);
	r = r < 0 ? r : number(o, "pid", INT32_MAX, &pid, err);
	r = r < 0 ? r : ckpts(o, "checkpoints", m, err);
	if (r < 0)
		return r;
	m->pid = (int64_t)pid;
	m->state = (enum omd_kmsg_state)st;
	if (m->state != OMD_KS_ENDED)
		return usage(o, m, err);
	if (json_object_get(o, "status"))
		return exited(o, m, err);
	if (json_object_get(o, "n")) {
		m->suspended = true;
		r = number32(o, "n", OMD_KMSG_N_MAX, &m->n, err);
		return r < 0 ? r : m->n ? usage(o, m, err) : bad(err, "n");
	}
	m->lost = true;
	return lost(o, m, err);
}

static int checkpoint(const json_t *o, struct omd_kmsg *m, struct om_err *err)
{
	const json_t *ok = json_object_get(o, "ok");
	int r;

	if (!json_is_boolean(ok))
		return bad(err, "ok");
	m->ok = json_is_true(ok);
	r = text(o, "ref", m->ref, sizeof(m->ref), err);
	r = r < 0 ? r : refusal(o, m, err);
	r = r < 0 ? r : number32(o, "n", OMD_KMSG_N_MAX, &m->n, err);
	r = r < 0 ? r : number(o, "stop_ns", NUMBER_MAX, &m->stop_ns, err);
	r = r < 0 ? r : number(o, "bytes", NUMBER_MAX, &m->bytes, err);
	r = r < 0 ? r : number(o, "stored", NUMBER_MAX, &m->stored, err);
	r = r < 0 ? r : usage(o, m, err);
	if (r >= 0 && m->ok && m->n == 0)
		return bad(err, "n");
	return r;
}

static int fields(const json_t *o, struct omd_kmsg *m, struct om_err *err)
{
	switch (m->kind) {
	case OMD_K_HELLO:
		return hello(o, m, err);
	case OMD_K_STARTED:
		return number32(o, "restored", OMD_KMSG_N_MAX, &m->restored, err);
	case OMD_K_EXITED:
		return exited(o, m, err);
	case OMD_K_LOST:
		return lost(o, m, err);
	case OMD_K_CHECKPOINT:
		return checkpoint(o, m, err);
	case OMD_K_SUSPENDED: {
		int r = number32(o, "n", OMD_KMSG_N_MAX, &m->n, err);

		return r < 0 ? r : m->n ? usage(o, m, err) : bad(err, "n");
	}
	case OMD_K_PRUNED:
		return ckpts(o, "dropped", m, err);
	case OMD_K_USAGE:
		return usage(o, m, err);
	case OMD_K_CANNOT:
		return refusal(o, m, err);
	case OMD_K_ERROR:
		return text(o, "text", m->reason, sizeof(m->reason), err);
	case OMD_K_KINDS:
		break;
	}
	return bad(err, "ev");
}

int omd_kmsg_parse(const json_t *o, struct omd_kmsg *m, struct om_err *err)
{
	struct omd_kmsg t = { 0 };
	unsigned int kind = 0;
	int r = word(o, "ev", kind_names, OMD_K_KINDS, &kind, err);

	if (r < 0)
		return r;
	t.kind = (enum omd_kmsg_kind)kind;
	r = fields(o, &t, err);
	if (r < 0)
		return r;
	*m = t;
	return 0;
}
