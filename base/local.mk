# base: the leaf every room stands on.
noinst_LIBRARIES += base/libbase.a
base_libbase_a_SOURCES = \
	%D%/banned.h \
	%D%/err.h %D%/err.c \
	%D%/log.h %D%/log.c \
	%D%/fd.h %D%/fd.c \
	%D%/mem.h \
	%D%/buf.h %D%/buf.c \
	%D%/str.h %D%/str.c \
	%D%/clock.h %D%/clock.c \
	%D%/file.h %D%/file.c \
	%D%/proc.h %D%/proc.c \
	%D%/msg.h %D%/msg.c \
	%D%/paths.h %D%/paths.c \
	%D%/job.h %D%/job.c \
	%D%/fault.h %D%/fault.c
base_libbase_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
# what a program that links libbase.a needs besides
BASE_LIBS = base/libbase.a $(JANSSON_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-base
TESTS += tests/unit/t-base
tests_unit_t_base_SOURCES = tests/unit/t-base.c
tests_unit_t_base_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_base_LDADD = $(BASE_LIBS) $(CMOCKA_LIBS)
endif
