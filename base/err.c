/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int om_err_set(struct om_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

int om_err_sys(struct om_err *err, int code, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	snprintf(err->text + n, sizeof(err->text) - n, ": %s", strerror(-code));
	return code;
}

int om_err_wrap(struct om_err *err, int code, const char *fmt, ...)
{
	char old[OM_ERR_TEXT_MAX];
	va_list ap;
	size_t n;

	if (!err)
		return code;
	memcpy(old, om_err_text(err, code), strlen(om_err_text(err, code)) + 1);
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	/* the cause is worth more than the frame: cut is only what does not fit behind it */
	snprintf(err->text + n, sizeof(err->text) - n, ": %.*s", (int)(sizeof(err->text) - n), old);
	err->code = code;
	return code;
}

const char *om_err_text(const struct om_err *err, int code)
{
	if (err && err->text[0])
		return err->text;
	return strerror(code < 0 ? -code : code);
}
