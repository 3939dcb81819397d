/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The patterns of file names (%j ...). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "spool/spec-tables.h"

static const char letters[] = "jAanx%";

const char *spool_shown(const char *s, char dst[SPOOL_SHOWN_MAX])
{
	size_t i;

	for (i = 0; s[i] && i < SPOOL_SHOWN_MAX - 1; i++)
		dst[i] = s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?';
	dst[i] = 0;
	return dst;
}

int spool_pattern_check(const char *pattern, struct om_err *err)
{
	char shown[SPOOL_SHOWN_MAX];

	for (const char *s = pattern; *s; s++)
		if (*s == '%') {
			s++;
			if (!*s || !strchr(letters, *s))
				return om_err_set(err, -EINVAL, "unknown pattern '%s' (known: %%j %%A %%a %%n %%x %%%%)", spool_shown(s - 1, shown));
		}
	return 0;
}

/* A name as one component of a path. */
static int add_name(struct om_buf *b, const char *name)
{
	size_t at = b->len;
	int r = om_buf_add(b, name, strlen(name));

	for (; r == 0 && at < b->len; at++)
		if (b->data[at] == '/')
			b->data[at] = '_';
	return r;
}

static int add_letter(struct om_buf *b, char letter, const struct spool_names *names)
{
	char id[OM_JOB_ID_TEXT];

	switch (letter) {
	case 'j':
		return om_buf_addf(b, "%s", om_job_id_text(names->id, id, sizeof(id)));
	case 'A':
		return om_buf_addf(b, "%" PRIu64, names->id.id);
	case 'a':
		return names->id.elem == OM_ELEM_NONE ? 0 : om_buf_addf(b, "%" PRId32, names->id.elem);
	case 'n':
		return add_name(b, names->name);
	case 'x':
		return add_name(b, names->node);
	default:
		return om_buf_add(b, &letter, 1);	/* %% */
	}
}

int spool_spec_expand(const char *pattern, const struct spool_names *names, char *dst, size_t n, struct om_err *err)
{
	om_autobuf b = { 0 };
	int r = spool_pattern_check(pattern, err);

	if (r < 0)
		return r;
	for (const char *s = pattern; *s && r == 0; s++) {
		if (*s == '%')
			r = add_letter(&b, *++s, names);
		else
			r = om_buf_add(&b, s, 1);
	}
	if (r < 0)
		return om_err_set(err, r, "file name: out of memory");
	if (b.len >= n)
		return om_err_set(err, -ENAMETOOLONG, "file name of more than %zu bytes", n - 1);
	memcpy(dst, b.len ? b.data : "", b.len + 1);
	return 0;
}
