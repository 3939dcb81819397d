/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/files.h - a small job that sets descriptors up, is captured, killed, made again, and looks at its descriptors.
 * Each case runs as whoever runs the test, and from root as an ordinary user too. */
#ifndef OM_TESTS_UNIT_FILES_H
#define OM_TESTS_UNIT_FILES_H
#include <jansson.h>
#include <stdbool.h>

enum { CASE_PROCS = 4 };

struct files_case {
	const char *name;
	/* In process 2 of a new job, an empty own folder as working directory, descriptors 0-2 = /dev/null.  May fork with files_fork().
	 * Then every process stops. */
	void (*setup)(void);
	/* Between the kill and the restore, as the user, same folder.  May be NULL. */
	void (*between)(void);
	/* In restored process @vpid.  Says what is wrong through files_bad(). */
	void (*verify)(int vpid);
	const char *refused;	/* not NULL: the dump must be refused with a reason that has this text */
	bool net_reset;
	bool want_root;		/* cannot be done by an ordinary user */
	unsigned damaged;	/* instead: this many damaged images of it, which must be refused or restored, but harm nothing */
};

/* A child that runs @setup and stops. */
void files_fork(void (*setup)(void));
/* Record what is wrong and end the process. */
void files_bad(const char *file, int line, const char *what) __attribute__((noreturn));
#define CHECK(x) do { if (!(x)) files_bad(__FILE__, __LINE__, #x); } while (0)
#define CHECK_IS(a, b) do { long a_ = (long)(a), b_ = (long)(b); if (a_ != b_) files_bad_is(__FILE__, __LINE__, #a, a_, b_); } while (0)
void files_bad_is(const char *file, int line, const char *what, long got, long want) __attribute__((noreturn));
/* @fd moved to number @to. */
void files_at(int fd, int to);
/* A counter that is kept over the restore, for telling verify() something. */
extern volatile long *files_note;
/* A TCP port on which the test itself listens, outside of the job. */
extern int files_outside_port;

/* NULL or what was wrong. @user: as an ordinary user. */
const char *files_run(const struct files_case *c, bool user);
int files_main(const struct files_case *cases, size_t n);
#endif
