/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *log_who = "openmosix";
static enum om_log_level log_most = OM_LOG_NOTICE;
static int log_journal;		/* standard error goes to the journal: it wants <N>, and has the time */

void om_log_init(const char *who, enum om_log_level most)
{
	log_who = who;
	log_most = getenv("OM_DEBUG") ? OM_LOG_DEBUG : most;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
}

void om_log(enum om_log_level level, const char *fmt, ...)
{
	char line[1024];
	size_t n;
	va_list ap;

	if (level > log_most)
		return;
	if (log_journal) {
		n = (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	} else {
		struct timespec t;
		struct tm tm;

		clock_gettime(CLOCK_REALTIME, &t);
		localtime_r(&t.tv_sec, &tm);
		n = strftime(line, sizeof(line), "%F %T", &tm);
		n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03ld %s[%d] %s: ", t.tv_nsec / 1000000, log_who,
				      (int)getpid(), level <= OM_LOG_ERR ? "err" : level == OM_LOG_WARNING ? "warning" :
				      level == OM_LOG_NOTICE ? "notice" : "debug");
	}
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	n = strlen(line);
	for (size_t i = 0; i < n; i++)		/* one event is one line, whatever a user's text holds */
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	if (write(2, line, n) < 0)		/* nobody to tell */
		return;
}
