# policy: pure decisions.  Its tests link libpolicy.a and libbase.a alone: a use of any other room does not link.
noinst_LIBRARIES += policy/libpolicy.a
policy_libpolicy_a_SOURCES = \
	%D%/job.h %D%/job.c \
	%D%/period.h %D%/period.c \
	%D%/retention.h %D%/retention.c \
	%D%/restart.h %D%/restart.c \
	%D%/heap.h %D%/heap.c \
	%D%/map.h %D%/map.c \
	%D%/queue.h %D%/queue-parts.h %D%/queue.c %D%/queue-pick.c %D%/queue-dep.c
# what a program that links libpolicy.a needs besides
POLICY_LIBS = policy/libpolicy.a base/libbase.a -lm

if HAVE_CMOCKA
POLICY_TESTS = tests/unit/t-policy-job tests/unit/t-policy-period tests/unit/t-policy-retention tests/unit/t-policy-restart \
	tests/unit/t-policy-queue
check_PROGRAMS += $(POLICY_TESTS)
TESTS += $(POLICY_TESTS)
tests_unit_t_policy_job_SOURCES = tests/unit/t-policy-job.c
tests_unit_t_policy_job_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_policy_job_LDADD = $(POLICY_LIBS) $(CMOCKA_LIBS)
tests_unit_t_policy_period_SOURCES = tests/unit/t-policy-period.c
tests_unit_t_policy_period_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_policy_period_LDADD = $(POLICY_LIBS) $(CMOCKA_LIBS)
tests_unit_t_policy_retention_SOURCES = tests/unit/t-policy-retention.c
tests_unit_t_policy_retention_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_policy_retention_LDADD = $(POLICY_LIBS) $(CMOCKA_LIBS)
tests_unit_t_policy_restart_SOURCES = tests/unit/t-policy-restart.c
tests_unit_t_policy_restart_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_policy_restart_LDADD = $(POLICY_LIBS) $(CMOCKA_LIBS)
tests_unit_t_policy_queue_SOURCES = tests/unit/t-policy-queue.c
tests_unit_t_policy_queue_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_policy_queue_LDADD = $(POLICY_LIBS) $(CMOCKA_LIBS)
tests_unit_t_policy_queue_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=calloc -Wl,--wrap=reallocarray
endif
