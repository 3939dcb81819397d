/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/err.h - what failed, as a code and a text.  Promise: no allocation; every function here may get a NULL err. */
#ifndef OM_BASE_ERR_H
#define OM_BASE_ERR_H

enum { OM_ERR_TEXT_MAX = 256 };	/* one line of a log; longer texts are cut */

struct om_err {
	int code;			/* negative errno of the first om_err_set() */
	char text[OM_ERR_TEXT_MAX];	/* always terminated */
};

/* Set @err to @code (negative errno) and the text.  Where @code is an errno of a system call its strerror() is appended
 * by om_err_sys().  Returns @code. */
int om_err_set(struct om_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same with ": strerror(-code)" behind the text. */
int om_err_sys(struct om_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put "text: " before what @err says.  Returns @code. */
int om_err_wrap(struct om_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The text of @err, or strerror(-code) where nothing was set. */
const char *om_err_text(const struct om_err *err, int code);
#endif
