/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single values of the job description: what each may be, and the text when it is not. */
#include "spool/spec-tables.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/err.h"

const struct spool_limit_name spool_limit_names[SPOOL_RLIMITS_MAX] = {
	{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE }, { "locks", RLIMIT_LOCKS }, { "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE },
	{ "nice", RLIMIT_NICE }, { "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "rss", RLIMIT_RSS },
	{ "rtprio", RLIMIT_RTPRIO }, { "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING }, { "stack", RLIMIT_STACK },
};
/* in the order of their enums */
const char *const spool_open_mode_names[] = { "truncate", "append", NULL };
const char *const spool_period_names[] = { "off", "auto", NULL };
const char *const spool_restart_names[] = { "checkpoint", "only-checkpoint", "never", NULL };
const char *const spool_net_names[] = { "refuse", "reset", NULL };
const char *const spool_files_names[] = { "all", "open", NULL };
const char *const spool_dep_names[] = { "afterok", "afterany", "afternotok", NULL };

int spec_bad(const struct spec_parse *p, const char *fmt, ...)
{
	char text[192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return om_err_set(p->err, -EINVAL, "%s: %s", p->field, text);
}

int spec_too_big(const struct spec_parse *p, uint64_t most, const char *of_what)
{
	return om_err_set(p->err, -E2BIG, "%s: more than %" PRIu64 " %s", p->field, most, of_what);
}

int spec_no_memory(const struct spec_parse *p)
{
	return om_err_set(p->err, -ENOMEM, "%s: out of memory", p->field);
}

/* A string without a zero byte, at most @most bytes; borrowed. */
int spec_string(const struct spec_parse *p, const json_t *v, size_t most, const char **ret)
{
	const char *s = json_string_value(v);

	if (!s)
		return spec_bad(p, "must be a string");
	if (strlen(s) != json_string_length(v))
		return spec_bad(p, "has a zero byte in it");
	if (strlen(s) > most)
		return spec_too_big(p, most, "bytes");
	*ret = s;
	return 0;
}

int spec_set_string(const struct spec_parse *p, size_t most, char **dst)
{
	const char *s;
	int r = spec_string(p, p->v, most, &s);

	if (r < 0)
		return r;
	if (!*s)
		return spec_bad(p, "must not be empty");
	*dst = strdup(s);
	return *dst ? 0 : spec_no_memory(p);
}

int spec_integer(const struct spec_parse *p, const json_t *v, int64_t least, int64_t most, int64_t *ret)
{
	int64_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < least || n > most)
		return spec_bad(p, "must be an integer from %" PRId64 " to %" PRId64, least, most);
	*ret = n;
	return 0;
}

int spec_seconds(const struct spec_parse *p, double least, double most, double *ret)
{
	double d = json_number_value(p->v);

	if (!json_is_number(p->v) || !isfinite(d) || d < least || d > most)
		return spec_bad(p, "must be a number of seconds from %.0f to %.0f", least, most);
	*ret = d;
	return 0;
}

int spec_one_of(const struct spec_parse *p, const json_t *v, const char *const *names, int *ret)
{
	const char *s = json_string_value(v);
	char all[128] = "";
	size_t n = 0;

	for (int i = 0; s && names[i]; i++)
		if (strcmp(s, names[i]) == 0) {
			*ret = i;
			return 0;
		}
	for (int i = 0; names[i]; i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s\"%s\"", i ? ", " : "", names[i]);
	return spec_bad(p, "must be one of %s", all);
}

void spec_strv_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

/* An array of strings, together at most SPOOL_ARGV_MAX bytes. */
int spec_words(const struct spec_parse *p, char ***dst)
{
	size_t n = json_array_size(p->v), bytes = 0, i;
	char **v;

	if (!json_is_array(p->v))
		return spec_bad(p, "must be an array of strings");
	if (n > SPOOL_WORDS_MAX)
		return spec_too_big(p, SPOOL_WORDS_MAX, "words");
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return spec_no_memory(p);
	*dst = v;			/* freed with the description */
	for (i = 0; i < n; i++) {
		const char *s;
		int r = spec_string(p, json_array_get(p->v, i), SPOOL_ARGV_MAX, &s);

		if (r < 0)
			return om_err_wrap(p->err, r, "word %zu", i);
		bytes += strlen(s) + 1;
		if (bytes > SPOOL_ARGV_MAX)
			return spec_too_big(p, SPOOL_ARGV_MAX, "bytes");
		v[i] = strdup(s);
		if (!v[i])
			return spec_no_memory(p);
	}
	return 0;
}
