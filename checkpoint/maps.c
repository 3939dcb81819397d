/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "checkpoint/json.h"

void ckpt_maps_done(struct ckpt_maps *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->area[i].name);
	free(m->area);
	*m = (struct ckpt_maps){ 0 };
}

static struct ckpt_area *area_add(struct ckpt_maps *m)
{
	if ((m->n & (m->n - 1)) == 0) {		/* at powers of two */
		size_t room = m->n ? m->n * 2 : 1;
		struct ckpt_area *p = m->n < CKPT_AREAS_MAX ? reallocarray(m->area, room, sizeof(*p)) : NULL;

		if (!p)
			return NULL;
		m->area = p;
	}
	m->area[m->n] = (struct ckpt_area){ 0 };
	return &m->area[m->n++];
}

/* ---- /proc/PID/maps and smaps ---- */

static const struct { char name[3]; uint32_t flag; } vm_flags[] = {
	{ "gd", CKPT_AREA_GROWSDOWN }, { "nr", CKPT_AREA_NORESERVE }, { "lo", CKPT_AREA_LOCKED }, { "mw", CKPT_AREA_MAYWRITE },
	{ "dc", CKPT_AREA_DONTFORK }, { "dd", CKPT_AREA_DONTDUMP }, { "wf", CKPT_AREA_WIPEONFORK }, { "hg", CKPT_AREA_HUGE },
	{ "nh", CKPT_AREA_NOHUGE }, { "mg", CKPT_AREA_MERGE }, { "sr", CKPT_AREA_SEQ }, { "rr", CKPT_AREA_RAND },
};
/* device memory, raw page frames, huge pages of hugetlbfs, userfaultfd, shadow stack */
static const char vm_refused[][3] = { "io", "pf", "mm", "ht", "um", "ui", "ss" };

static void vm_flags_parse(struct ckpt_area *a, const char *l)
{
	char f[3] = "";

	while (sscanf(l, " %2s", f) == 1 && strlen(f) == 2) {
		for (size_t i = 0; i < OM_ARRAY_SIZE(vm_flags); i++)
			if (strcmp(f, vm_flags[i].name) == 0)
				a->flags |= vm_flags[i].flag;
		for (size_t i = 0; i < OM_ARRAY_SIZE(vm_refused) && a->kind != CKPT_AREA_KERNEL; i++)
			if (strcmp(f, vm_refused[i]) == 0)
				snprintf(a->refuse, sizeof(a->refuse), "%s", f);
		while (*l == ' ')
			l++;
		l += 2;
		if (*l != ' ')
			break;
	}
}

/* Names in maps have \012 for a newline. */
static char *name_copy(const char *s, size_t n)
{
	char *t = malloc(n + 1), *w = t;

	for (size_t i = 0; t && i < n; i++) {
		if (n - i >= 4 && memcmp(s + i, "\\012", 4) == 0) {
			*w++ = '\n';
			i += 3;
		} else {
			*w++ = s[i];
		}
	}
	if (t)
		*w = 0;
	return t;
}

static bool ends(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

/* What lies behind the area; a file is looked at by its name, from within the job's root. */
static void area_classify(struct ckpt_area *a, pid_t pid)
{
	char path[PATH_MAX + 32];
	struct stat st;

	if ((a->flags & CKPT_AREA_SHARED) && a->name && strncmp(a->name, "/SYSV", 5) == 0 && ends(a->name, " (deleted)")) {
		a->kind = CKPT_AREA_SYSV;	/* its inode number is the id, which may be 0 */
		return;
	}
	if (!a->ino) {
		a->kind = CKPT_AREA_ANON;
		if (a->name && (strncmp(a->name, "[vvar", 5) == 0 || strcmp(a->name, "[vdso]") == 0))
			a->kind = CKPT_AREA_KERNEL;
		if (a->name && strcmp(a->name, "[stack]") == 0)
			a->flags |= CKPT_AREA_GROWSDOWN;
		return;
	}
	if ((a->flags & CKPT_AREA_SHARED) && a->name && ends(a->name, " (deleted)")) {
		a->kind = CKPT_AREA_SHM;
		return;
	}
	a->kind = CKPT_AREA_FILE;
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, a->name ? a->name : "");
	if (!a->name || ends(a->name, " (deleted)") || stat(path, &st) < 0 || st.st_ino != a->ino) {
		a->gone = true;
		return;
	}
	a->size = (uint64_t)st.st_size;
	a->mtime_ns = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec;
	if (S_ISCHR(st.st_mode)) {
		if (st.st_rdev == makedev(1, 5) && !(a->flags & CKPT_AREA_SHARED))	/* /dev/zero */
			a->kind = CKPT_AREA_ANON;
		else
			snprintf(a->refuse, sizeof(a->refuse), "dev");
	}
}

static int line_parse(struct ckpt_maps *m, const char *l, size_t n)
{
	unsigned long from, to, off, ino;
	unsigned maj, min;
	struct ckpt_area *a;
	char perm[5];
	int at = 0;

	if (sscanf(l, "%lx-%lx %4s %lx %x:%x %lu%n", &from, &to, perm, &off, &maj, &min, &ino, &at) != 7)
		return 0;			/* another line of smaps */
	if (from >= CKPT_TASK_SIZE)
		return 0;			/* [vsyscall] */
	a = area_add(m);
	if (!a)
		return -ENOMEM;
	*a = (struct ckpt_area){ .from = from, .to = to, .off = off, .ino = ino, .dev = makedev(maj, min) };
	a->prot = (perm[0] == 'r' ? PROT_READ : 0) | (perm[1] == 'w' ? PROT_WRITE : 0) | (perm[2] == 'x' ? PROT_EXEC : 0);
	a->flags = perm[3] == 's' ? CKPT_AREA_SHARED : 0;
	while ((size_t)at < n && l[at] == ' ')
		at++;
	if ((size_t)at < n) {
		a->name = name_copy(l + at, n - (size_t)at);
		if (!a->name)
			return -ENOMEM;
	}
	return 0;
}

int ckpt_maps_read(pid_t pid, bool flags, struct ckpt_maps *ret, struct om_err *err)
{
	om_autofree char *text = NULL;
	struct ckpt_maps m = { 0 };
	char path[40];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, flags ? "smaps" : "maps");
	r = om_file_read(path, 1 << 30, &text, NULL);
	if (r < 0)
		return om_err_sys(err, r, "%s", path);
	for (const char *l = text, *e; *l && r == 0; l = *e ? e + 1 : e) {
		size_t had = m.n;

		e = strchrnul(l, '\n');
		if (m.n && strncmp(l, "VmFlags:", 8) == 0)
			vm_flags_parse(&m.area[m.n - 1], l + 8);
		else if ((*l >= '0' && *l <= '9') || (*l >= 'a' && *l <= 'f'))
			r = line_parse(&m, l, (size_t)(e - l));
		if (m.n > had)
			area_classify(&m.area[had], pid);
	}
	if (r < 0) {
		ckpt_maps_done(&m);
		return om_err_sys(err, r, "%s", path);
	}
	*ret = m;
	return 0;
}

/* The end of the area of @m that overlaps from..to, 0 if none does. */
static uint64_t overlap(const struct ckpt_maps *m, uint64_t from, uint64_t to)
{
	for (size_t i = 0; m && i < m->n; i++)
		if (m->area[i].from < to && from < m->area[i].to)
			return m->area[i].to;
	return 0;
}

uint64_t ckpt_maps_gap(const struct ckpt_maps *a, const struct ckpt_maps *b, uint64_t from, uint64_t len)
{
	uint64_t at = from, hit;

	while (at + len < CKPT_TASK_SIZE - (1ULL << 30)) {
		hit = overlap(a, at, at + len);
		if (!hit)
			hit = overlap(b, at, at + len);
		if (!hit)
			return at;
		at = hit;
	}
	return 0;
}

const struct ckpt_area *ckpt_maps_at(const struct ckpt_maps *m, uint64_t addr)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->area[mid].to <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->n && m->area[lo].from <= addr ? &m->area[lo] : NULL;
}

bool ckpt_maps_hides_file(const struct ckpt_maps *m, uint64_t addr)
{
	const struct ckpt_area *a = ckpt_maps_at(m, addr);

	return !a || a->kind == CKPT_AREA_FILE;
}

int ckpt_maps_insert(struct ckpt_maps *m, uint64_t from, uint64_t to, uint32_t prot)
{
	size_t i;

	if (!area_add(m))
		return -ENOMEM;
	for (i = m->n - 1; i > 0 && m->area[i - 1].from > from; i--)
		m->area[i] = m->area[i - 1];
	m->area[i] = (struct ckpt_area){ .from = from, .to = to, .prot = prot, .kind = CKPT_AREA_ANON };
	return 0;
}

/* ---- the description ---- */

json_t *ckpt_maps_pack(const struct ckpt_maps *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n; i++) {
		const struct ckpt_area *a = &m->area[i];
		json_t *o = json_pack("{sI sI si si si}", "from", (json_int_t)a->from, "to", (json_int_t)a->to, "prot", (int)a->prot,
				      "flags", (int)a->flags, "kind", (int)a->kind);

		if (a->name)
			json_object_set_new(o, "name", ckpt_json_from_name(a->name));
		if (a->off)
			json_object_set_new(o, "off", json_integer((json_int_t)a->off));
		if (a->kind == CKPT_AREA_FILE && !a->gone) {
			json_object_set_new(o, "size", json_integer((json_int_t)a->size));
			json_object_set_new(o, "mtime_ns", json_integer(a->mtime_ns));
		}
		if (a->gone)
			json_object_set_new(o, "gone", json_true());
		if (a->kind == CKPT_AREA_SHM || a->kind == CKPT_AREA_SYSV)
			json_object_set_new(o, "shm", json_integer(a->shm));
		if (a->kind == CKPT_AREA_SYSV)
			json_object_set_new(o, "size", json_integer((json_int_t)a->size));
		if (json_array_append_new(list, o) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int area_unpack(const json_t *o, struct ckpt_area *a, struct om_err *err)
{
	int64_t from, to, prot, flags, kind, off = 0, size = 0, shm = 0;
	int r = ckpt_json_int(o, "from", 4096, (int64_t)CKPT_TASK_SIZE, &from, err);

	if (r == 0)
		r = ckpt_json_int(o, "to", from + CKPT_PAGE, (int64_t)CKPT_TASK_SIZE, &to, err);
	if (r == 0)
		r = ckpt_json_int(o, "prot", 0, 7, &prot, err);
	if (r == 0)
		r = ckpt_json_int(o, "flags", 0, 8191, &flags, err);
	if (r == 0)
		r = ckpt_json_int(o, "kind", CKPT_AREA_ANON, CKPT_AREA_SYSV, &kind, err);
	if (r == 0)
		r = ckpt_json_int_opt(o, "off", 0, INT64_MAX, &off, err);
	if (r == 0)
		r = ckpt_json_int_opt(o, "size", 0, INT64_MAX, &size, err);
	if (r == 0)
		r = ckpt_json_int_opt(o, "mtime_ns", INT64_MIN, INT64_MAX, &a->mtime_ns, err);
	if (r == 0)
		r = ckpt_json_int_opt(o, "shm", 0, INT32_MAX, &shm, err);
	if (r == 0 && json_object_get(o, "name"))
		r = ckpt_json_name(o, "name", PATH_MAX + 16, &a->name, err);
	if (r < 0)
		return r;
	if ((from | to | off) % CKPT_PAGE)
		return om_err_set(err, -EUCLEAN, "the image's description: a memory area is not of whole pages");
	if (kind == CKPT_AREA_SYSV && (off > from || size > INT64_MAX / 2 || !(flags & CKPT_AREA_SHARED)))
		return om_err_set(err, -EUCLEAN, "the image's description: System V shared memory is mapped at no place");
	a->gone = json_is_true(json_object_get(o, "gone"));
	if (kind == CKPT_AREA_FILE && !a->gone && (!a->name || a->name[0] != '/'))
		return om_err_set(err, -EUCLEAN, "the image's description: a mapped file without a name");
	a->from = (uint64_t)from;
	a->to = (uint64_t)to;
	a->prot = (uint32_t)prot;
	a->flags = (uint32_t)flags;
	a->kind = (enum ckpt_area_kind)kind;
	a->off = (uint64_t)off;
	a->size = (uint64_t)size;
	a->shm = (uint32_t)shm;
	return 0;
}

int ckpt_maps_unpack(const json_t *list, struct ckpt_maps *ret, struct om_err *err)
{
	struct ckpt_maps m = { 0 };
	uint64_t end = 0;
	const json_t *o;
	size_t i;
	int r = 0;

	if (!json_is_array(list) || json_array_size(list) > CKPT_AREAS_MAX)
		return om_err_set(err, -EUCLEAN, "the image's description: no list of memory areas");
	json_array_foreach(list, i, o) {
		struct ckpt_area *a = area_add(&m);

		r = a ? area_unpack(o, a, err) : -ENOMEM;
		if (r == 0 && a->from < end)
			r = om_err_set(err, -EUCLEAN, "the image's description: memory areas overlap");
		if (r < 0)
			break;
		end = a->to;
	}
	if (r < 0) {
		ckpt_maps_done(&m);
		return r;
	}
	*ret = m;
	return 0;
}
