/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "checkpoint/vdso.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

enum { JUMP_LEN = 12, SYMBOLS_MAX = 1024 };

struct table {					/* the dynamic symbols of one vdso, all within it */
	const char *base;
	size_t len;
	uint64_t sym, nsym, str, nstr;		/* offsets, numbers, bytes */
};

static bool within(size_t len, uint64_t at, uint64_t n)
{
	return at <= len && n <= len - at;
}

static int table_find(const char *base, size_t len, struct table *t)
{
	Elf64_Ehdr eh;

	*t = (struct table){ .base = base, .len = len };
	if (len < sizeof(eh))
		return -EUCLEAN;
	memcpy(&eh, base, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_shentsize != sizeof(Elf64_Shdr))
		return -EUCLEAN;
	for (unsigned i = 0; i < eh.e_shnum; i++) {
		Elf64_Shdr sh, link;

		if (!within(len, eh.e_shoff, (i + 1) * sizeof(sh)))
			return -EUCLEAN;
		memcpy(&sh, base + eh.e_shoff + i * sizeof(sh), sizeof(sh));
		if (sh.sh_type != SHT_DYNSYM)
			continue;
		if (sh.sh_link >= eh.e_shnum || !within(len, eh.e_shoff, (sh.sh_link + 1) * sizeof(link)))
			return -EUCLEAN;
		memcpy(&link, base + eh.e_shoff + sh.sh_link * sizeof(link), sizeof(link));
		if (!within(len, sh.sh_offset, sh.sh_size) || !within(len, link.sh_offset, link.sh_size) || !link.sh_size ||
		    base[link.sh_offset + link.sh_size - 1] != 0 || sh.sh_size / sizeof(Elf64_Sym) > SYMBOLS_MAX)
			return -EUCLEAN;
		t->sym = sh.sh_offset;
		t->nsym = sh.sh_size / sizeof(Elf64_Sym);
		t->str = link.sh_offset;
		t->nstr = link.sh_size;
		return 0;
	}
	return -EUCLEAN;
}

/* Function number @i: its name, or NULL when it is none. */
static const char *function(const struct table *t, uint64_t i, uint64_t *ret_at)
{
	Elf64_Sym s;

	memcpy(&s, t->base + t->sym + i * sizeof(s), sizeof(s));
	if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || s.st_shndx == SHN_UNDEF || s.st_name >= t->nstr || !within(t->len, s.st_value, JUMP_LEN))
		return NULL;
	*ret_at = s.st_value;
	return t->base + t->str + s.st_name;
}

static uint64_t lookup(const struct table *t, const char *name)
{
	uint64_t at;

	for (uint64_t i = 0; i < t->nsym; i++) {
		const char *n = function(t, i, &at);

		if (n && strcmp(n, name) == 0)
			return at;
	}
	return 0;
}

int ckpt_vdso_patch(char *old, size_t old_len, const char *now, size_t now_len, uint64_t addr, struct om_err *err)
{
	static const char enosys[] = "\x48\xc7\xc0\xda\xff\xff\xff\xc3";	/* mov $-ENOSYS, %rax; ret */
	uint64_t at[SYMBOLS_MAX], to[SYMBOLS_MAX], n = 0;
	struct table o, t;

	if (table_find(old, old_len, &o) < 0)
		return om_err_set(err, -EUCLEAN, "the image: its vdso cannot be read");
	if (table_find(now, now_len, &t) < 0)
		return om_err_set(err, -EOPNOTSUPP, "this kernel's vdso cannot be read");
	/* all is read before anything is written over it */
	for (uint64_t i = 0; i < o.nsym; i++) {
		const char *name = function(&o, i, &at[n]);

		if (name)
			to[n++] = lookup(&t, name);
	}
	for (uint64_t i = 0; i < n; i++) {
		char *p = old + at[i];

		if (!to[i]) {
			memcpy(p, enosys, sizeof(enosys) - 1);
			continue;
		}
		p[0] = 0x48;			/* movabs $function, %rax */
		p[1] = (char)0xb8;
		le64_put(p + 2, addr + to[i]);
		p[10] = (char)0xff;		/* jmp *%rax */
		p[11] = (char)0xe0;
	}
	return 0;
}
