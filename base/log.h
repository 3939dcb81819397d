/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/log.h - one event, one line, key=value, to standard error (the journal under systemd adds time and unit).
 * Only omd/, omjob/ and omsub/ log above debug; library rooms return errors. */
#ifndef OM_BASE_LOG_H
#define OM_BASE_LOG_H

enum om_log_level { OM_LOG_ERR = 3, OM_LOG_WARNING = 4, OM_LOG_NOTICE = 5, OM_LOG_DEBUG = 7 };	/* syslog's numbers */

void om_log_init(const char *who, enum om_log_level most);
void om_log(enum om_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define om_log_err(...) om_log(OM_LOG_ERR, __VA_ARGS__)
#define om_log_warning(...) om_log(OM_LOG_WARNING, __VA_ARGS__)
#define om_log_notice(...) om_log(OM_LOG_NOTICE, __VA_ARGS__)
#define om_log_debug(...) om_log(OM_LOG_DEBUG, __VA_ARGS__)
#endif
