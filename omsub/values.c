/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omsub/values.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/job.h"
#include "base/mem.h"
#include "base/str.h"

enum {
	DEPENDS_MAX = 1000,		/* of one job; also the daemon's */
};

/* exactly @n digits at *@s, moved behind them */
static bool digits(const char **s, int n, int *ret)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (!isdigit((unsigned char)(*s)[i]))
			return false;
		v = v * 10 + ((*s)[i] - '0');
	}
	*s += n;
	*ret = v;
	return true;
}

/* mktime() mends 31 April to 1 May; here it is an error */
static int exact_time(const struct tm *want, time_t *ret)
{
	struct tm tm = *want;
	time_t t;

	tm.tm_isdst = -1;
	t = mktime(&tm);
	if (t == (time_t)-1 || tm.tm_mday != want->tm_mday || tm.tm_mon != want->tm_mon || tm.tm_year != want->tm_year)
		return -EINVAL;
	*ret = t;
	return 0;
}

/* H:MM, HH:MM, HH:MM:SS at *@s; also an am/pm would be something else */
static bool clock_time(const char **s, struct tm *tm)
{
	int two = isdigit((unsigned char)(*s)[0]) && isdigit((unsigned char)(*s)[1]) ? 2 : 1;

	tm->tm_sec = 0;
	if (!digits(s, two, &tm->tm_hour) || **s != ':')
		return false;
	(*s)++;
	if (!digits(s, 2, &tm->tm_min))
		return false;
	if (**s == ':') {
		(*s)++;
		if (!digits(s, 2, &tm->tm_sec))
			return false;
	}
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60;
}

/* the next time the clock shows what @tm says */
static int next_clock(struct tm *tm, time_t now, time_t *ret)
{
	time_t t;

	tm->tm_isdst = -1;
	t = mktime(tm);
	if (t != (time_t)-1 && t <= now) {
		tm->tm_mday++;	/* mktime() mends the 32nd here */
		tm->tm_isdst = -1;
		t = mktime(tm);
	}
	if (t == (time_t)-1)
		return -EINVAL;
	*ret = t;
	return 0;
}

/* "2h", "60", "1hour", "3 days" behind a plus sign */
static int offset(const char *s, uint64_t *ret)
{
	static const struct { const char *name; unsigned s; } units[] = {
		{ "second", 1 }, { "minute", 60 }, { "hour", 3600 }, { "day", 86400 }, { "week", 7 * 86400 },
	};
	size_t n = strspn(s, "0123456789"), len;
	char number[21];
	const char *u = s + n;
	uint64_t v;

	if (om_str_duration(s, 1, ret) == 0)
		return 0;
	if (n == 0 || n >= sizeof(number))
		return -EINVAL;
	memcpy(number, s, n);
	number[n] = 0;
	if (om_str_u64(number, &v) < 0 || v > 100ull * 366 * 86400)
		return -EINVAL;
	while (*u == ' ')
		u++;
	for (size_t i = 0; i < OM_ARRAY_SIZE(units); i++) {
		len = strlen(units[i].name);
		if (strncmp(u, units[i].name, len) == 0 && (!u[len] || strcmp(u + len, "s") == 0)) {
			*ret = v * units[i].s;
			return 0;
		}
	}
	return -EINVAL;
}

static int begin_words(const char *s, time_t now, struct tm *tm, time_t *ret)
{
	static const struct { const char *name; int hour, day; } words[] = {
		{ "midnight", 0, 0 }, { "noon", 12, 0 }, { "fika", 15, 0 }, { "teatime", 16, 0 },
	};
	uint64_t off;

	if (strcmp(s, "now") == 0 || strcmp(s, "today") == 0) {
		*ret = now;
		return 0;
	}
	if (om_str_starts(s, "now+"))
		s += 3;
	if (*s == '+') {
		if (offset(s + 1, &off) < 0 || off > 100ull * 366 * 86400)
			return -EINVAL;
		*ret = now + (time_t)off;
		return 0;
	}
	tm->tm_min = tm->tm_sec = 0;
	if (strcmp(s, "tomorrow") == 0) {
		tm->tm_hour = 0;
		tm->tm_mday++;
		tm->tm_isdst = -1;
		*ret = mktime(tm);
		return *ret == (time_t)-1 ? -EINVAL : 0;
	}
	for (size_t i = 0; i < OM_ARRAY_SIZE(words); i++)
		if (strcmp(s, words[i].name) == 0) {
			tm->tm_hour = words[i].hour;
			return next_clock(tm, now, ret);
		}
	return -EINVAL;
}

/* 2026-12-24, 2026-12-24T16:30, 2026-12-24 16:30:00 */
static int begin_date(const char *s, time_t *ret)
{
	struct tm tm = { 0 };
	int year, mon;

	if (!digits(&s, 4, &year) || *s++ != '-' || !digits(&s, 2, &mon) || *s++ != '-' || !digits(&s, 2, &tm.tm_mday))
		return -EINVAL;
	tm.tm_year = year - 1900;
	tm.tm_mon = mon - 1;
	if (*s == 'T' || *s == ' ') {
		s++;
		if (!clock_time(&s, &tm))
			return -EINVAL;
	}
	return *s ? -EINVAL : exact_time(&tm, ret);
}

int val_begin(const char *s, time_t now, time_t *ret, struct om_err *err)
{
	const char *p = s;
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return om_err_set(err, -EINVAL, "the clock cannot be read");
	if (strlen(s) >= 10 && s[4] == '-') {
		if (begin_date(s, ret) == 0)
			return 0;
	} else if (isdigit((unsigned char)s[0])) {
		if (clock_time(&p, &tm) && !*p && next_clock(&tm, now, ret) == 0)
			return 0;
	} else if (begin_words(s, now, &tm, ret) == 0) {
		return 0;
	}
	return om_err_set(err, -EINVAL, "'%.60s' is no time: HH:MM, YYYY-MM-DD[THH:MM[:SS]] or +DURATION", s);
}

int val_begin_pbs(const char *s, time_t now, time_t *ret, struct om_err *err)
{
	size_t n = strspn(s, "0123456789");
	const char *p = s;
	struct tm tm;
	int cc, yy;
	bool good;

	if (!localtime_r(&now, &tm))
		return om_err_set(err, -EINVAL, "the clock cannot be read");
	good = (n == 4 || n == 6 || n == 8 || n == 10 || n == 12);
	if (good && n == 12 && (good = digits(&p, 2, &cc) && digits(&p, 2, &yy)))
		tm.tm_year = cc * 100 + yy - 1900;
	if (good && n == 10 && (good = digits(&p, 2, &yy)))
		tm.tm_year = 100 + yy;
	if (good && n >= 8 && (good = digits(&p, 2, &tm.tm_mon)))
		tm.tm_mon--;
	if (good && n >= 6)
		good = digits(&p, 2, &tm.tm_mday);
	good = good && digits(&p, 2, &tm.tm_hour) && digits(&p, 2, &tm.tm_min);
	tm.tm_sec = 0;
	if (good && *p == '.') {
		p++;
		good = digits(&p, 2, &tm.tm_sec);
	}
	if (!good || *p || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59 ||
	    (n == 4 ? next_clock(&tm, now, ret) : exact_time(&tm, ret)) < 0)
		return om_err_set(err, -EINVAL, "'%.60s' is no time: [[[[CC]YY]MM]DD]hhmm[.SS]", s);
	return 0;
}

/* One job id up to ':' or ',' or the end; "17.server" (PBS) counts as 17. */
static int depend_id(const char **s, char *dst, size_t n)
{
	size_t len = strspn(*s, "0123456789_"), skip = len;

	if (len == 0 || len >= n || !isdigit((unsigned char)**s))
		return -EINVAL;
	if ((*s)[len] == '.')
		skip += strcspn(*s + len, ":,");
	memcpy(dst, *s, len);
	dst[len] = 0;
	*s += skip;
	return **s == ':' || **s == ',' || !**s ? 0 : -EINVAL;
}

static int depend_group(const char **s, json_t *list)
{
	static const char *const types[] = { "afterok", "afterany", "afternotok" };
	size_t len = strcspn(*s, ":");
	const char *type = NULL;
	char id[40];

	for (size_t i = 0; i < OM_ARRAY_SIZE(types); i++)
		if (strlen(types[i]) == len && strncmp(*s, types[i], len) == 0)
			type = types[i];
	*s += len;
	if (!type || **s != ':')
		return -EINVAL;
	while (**s == ':') {
		(*s)++;
		if (depend_id(s, id, sizeof(id)) < 0 || json_array_size(list) >= DEPENDS_MAX ||
		    json_array_append_new(list, json_pack("{s:s,s:s}", "type", type, "job", id)) < 0)
			return -EINVAL;
	}
	return 0;
}

int val_depends(const char *s, json_t **ret, struct om_err *err)
{
	json_t *list = json_array();
	const char *p = s;

	if (!list)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (;;) {
		if (depend_group(&p, list) < 0 || (*p && *p != ',')) {
			json_decref(list);
			return om_err_set(err, -EINVAL, "'%.80s' is no dependency: afterok:ID[:ID..], afterany:ID, afternotok:ID, separated by commas (at most %d)",
					  s, DEPENDS_MAX);
		}
		if (!*p)
			break;
		p++;
	}
	*ret = list;
	return 0;
}

static bool index_number(const char **s, long *ret)
{
	size_t n = strspn(*s, "0123456789");
	long v = 0;

	if (n == 0 || n > 9)
		return false;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + ((*s)[i] - '0');
	*s += n;
	*ret = v;
	return v <= OM_ELEM_MAX;
}

/* N, N-M, N-M:STEP at *@s */
static bool index_range(const char **s)
{
	long a, b, step;

	if (!index_number(s, &a))
		return false;
	if (**s != '-')
		return true;
	(*s)++;
	if (!index_number(s, &b) || b < a)
		return false;
	if (**s != ':')
		return true;
	(*s)++;
	return index_number(s, &step) && step > 0;
}

int val_array(const char *s, json_t **ret, struct om_err *err)
{
	const char *p = s;
	size_t len;
	long cap = 0;
	bool good = index_range(&p);

	while (good && *p == ',') {
		p++;
		good = index_range(&p);
	}
	len = (size_t)(p - s);
	if (good && *p == '%') {
		p++;
		good = index_number(&p, &cap) && cap > 0;
	}
	if (!good || *p)
		return om_err_set(err, -EINVAL, "'%.60s' is no list of array indices: 0-99, 1-9:2, 1,5,7 and %%N behind it for at most N at once (an index is at most %d)",
				  s, OM_ELEM_MAX);
	*ret = cap ? json_pack("{s:s%,s:i}", "indices", s, len, "cap", (int)cap) : json_pack("{s:s%}", "indices", s, len);
	return *ret ? 0 : om_err_set(err, -ENOMEM, "out of memory");
}
