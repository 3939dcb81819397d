# omjob: the keeper of one job.
noinst_LIBRARIES += omjob/libomjob.a
omjob_libomjob_a_SOURCES = \
	%D%/spec.h %D%/spec.c \
	%D%/report.h \
	%D%/init.h %D%/init.c \
	%D%/start.h %D%/start.c \
	%D%/filter.h %D%/filter.c \
	%D%/journal.h %D%/journal.c \
	%D%/places.h %D%/places.c \
	%D%/resolve.h %D%/resolve.c \
	%D%/watch.h %D%/watch.c \
	%D%/undo.h %D%/undo.c %D%/merge.h %D%/merge.c \
	%D%/sink.h %D%/sink.c \
	%D%/work.h %D%/work.c \
	%D%/verbs.h %D%/verbs.c %D%/trial.c \
	%D%/keeper.h %D%/keep.c %D%/tree.c %D%/link.c
omjob_libomjob_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SECCOMP_CFLAGS)

pkglibexec_PROGRAMS += omjob/omjob
omjob_omjob_SOURCES = %D%/main.c
omjob_omjob_CPPFLAGS = $(omjob_libomjob_a_CPPFLAGS)
# not SQLite (SPOOL_LIBS): what is loaded at start is paid for by every job
OMJOB_LIBS = omjob/libomjob.a checkpoint/libcheckpoint.a spool/libspool.a $(ZSTD_LIBS) $(XXHASH_LIBS) $(SECCOMP_LIBS) $(BASE_LIBS)
omjob_omjob_LDADD = $(OMJOB_LIBS)
omjob_omjob_LDFLAGS = $(AM_LDFLAGS) -Wl,--as-needed

check_PROGRAMS += tests/tool/omkeep
tests_tool_omkeep_SOURCES = tests/tool/omkeep.c
tests_tool_omkeep_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_tool_omkeep_LDADD = $(BASE_LIBS)

TESTS += tests/sys/t2100-keeper.t tests/sys/t2100-keeper.ut
dist_check_SCRIPTS += tests/sys/t2100-keeper.t
check_SCRIPTS += tests/sys/t2100-keeper.ut

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-omjob-spec
TESTS += tests/unit/t-omjob-spec
tests_unit_t_omjob_spec_SOURCES = tests/unit/t-omjob-spec.c
tests_unit_t_omjob_spec_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_omjob_spec_LDADD = $(OMJOB_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/t-omjob-journal
TESTS += tests/unit/t-omjob-journal
tests_unit_t_omjob_journal_SOURCES = tests/unit/t-omjob-journal.c
tests_unit_t_omjob_journal_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_omjob_journal_LDADD = $(OMJOB_LIBS) $(CMOCKA_LIBS)
endif

# fuzz targets; their corpus is an ordinary test
if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-journal tests/fuzz/fuzz-keeperspec
tests_fuzz_fuzz_journal_SOURCES = tests/fuzz/fuzz-journal.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_journal_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_journal_LDADD = $(OMJOB_LIBS)
tests_fuzz_fuzz_journal_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_keeperspec_SOURCES = tests/fuzz/fuzz-keeperspec.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_keeperspec_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_keeperspec_LDADD = $(OMJOB_LIBS)
tests_fuzz_fuzz_keeperspec_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
endif
check_PROGRAMS += tests/fuzz/replay-journal tests/fuzz/replay-keeperspec
TESTS += tests/fuzz/replay-journal tests/fuzz/replay-keeperspec
tests_fuzz_replay_journal_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz-journal.c tests/fuzz/fuzz.h
tests_fuzz_replay_journal_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_replay_journal_LDADD = $(OMJOB_LIBS)
tests_fuzz_replay_keeperspec_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz-keeperspec.c tests/fuzz/fuzz.h
tests_fuzz_replay_keeperspec_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_replay_keeperspec_LDADD = $(OMJOB_LIBS)

TESTS += tests/sys/t2110-undo.t tests/sys/t2110-undo.ut
dist_check_SCRIPTS += tests/sys/t2110-undo.t
check_SCRIPTS += tests/sys/t2110-undo.ut
TESTS += tests/sys/t2120-restore.t tests/sys/t2120-restore.ut
dist_check_SCRIPTS += tests/sys/t2120-restore.t
check_SCRIPTS += tests/sys/t2120-restore.ut
TESTS += tests/sys/t2130-helpers.t tests/sys/t2130-helpers.ut
dist_check_SCRIPTS += tests/sys/t2130-helpers.t
check_SCRIPTS += tests/sys/t2130-helpers.ut
