/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/mem.h - heap memory that frees itself at the end of a scope.  Header only. */
#ifndef OM_BASE_MEM_H
#define OM_BASE_MEM_H
#include <stdlib.h>

static inline void om_free_cleanup(void *p)
{
	free(*(void **)p);
}

#define om_autofree __attribute__((cleanup(om_free_cleanup)))

/* Give @p away: the value, with the variable set to NULL. */
#define om_steal(p) (__extension__({ __typeof__(p) om_steal_v_ = (p); (p) = NULL; om_steal_v_; }))

/* Use om_autoptr(name) after OM_DEFINE_AUTOPTR(name, destroy): struct name * destroyed at the end of the scope. */
#define OM_DEFINE_AUTOPTR(name, destroy) \
	static inline void om_auto_##name(struct name **p) { if (*p) destroy(*p); } \
	struct om_swallow_semicolon_
#define om_autoptr(name) __attribute__((cleanup(om_auto_##name))) struct name *

#define OM_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif
