# spool: what must survive.
noinst_LIBRARIES += spool/libspool.a
spool_libspool_a_SOURCES =
spool_libspool_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(ZSTD_CFLAGS) $(XXHASH_CFLAGS) $(SQLITE_CFLAGS)
# what a program that links libspool.a needs besides
SPOOL_LIBS = spool/libspool.a $(ZSTD_LIBS) $(XXHASH_LIBS) $(SQLITE_LIBS) $(BASE_LIBS)

# durable files
spool_libspool_a_SOURCES += %D%/file.h %D%/file.c
# checkpoint store
spool_store_files = \
	%D%/store.h %D%/store.c \
	%D%/check.h %D%/xxh.h \
	%D%/pack.h %D%/pack.c %D%/packer.c %D%/block.c \
	%D%/manifest.h %D%/manifest.c %D%/meta.c \
	%D%/index.h %D%/index.c \
	%D%/set.h %D%/set.c %D%/compact.c \
	%D%/image.h %D%/image.c \
	%D%/writer.h %D%/writer.c \
	%D%/stream.h %D%/export.c %D%/import.c
spool_libspool_a_SOURCES += $(spool_store_files)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-spool-file
TESTS += tests/unit/t-spool-file
tests_unit_t_spool_file_SOURCES = tests/unit/t-spool-file.c
tests_unit_t_spool_file_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_spool_file_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)
tests_unit_t_spool_file_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fsync -Wl,--wrap=renameat

check_PROGRAMS += tests/unit/t-spool-store
TESTS += tests/unit/t-spool-store
tests_unit_t_spool_store_SOURCES = tests/unit/t-spool-store.c tests/unit/spool-help.h
tests_unit_t_spool_store_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(XXHASH_CFLAGS)
tests_unit_t_spool_store_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/t-spool-export
TESTS += tests/unit/t-spool-export
tests_unit_t_spool_export_SOURCES = tests/unit/t-spool-export.c tests/unit/spool-help.h
tests_unit_t_spool_export_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(XXHASH_CFLAGS)
tests_unit_t_spool_export_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/t-spool-crash
TESTS += tests/unit/t-spool-crash
tests_unit_t_spool_crash_SOURCES = tests/unit/t-spool-crash.c tests/unit/spool-help.h
tests_unit_t_spool_crash_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_spool_crash_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)
tests_unit_t_spool_crash_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fsync -Wl,--wrap=renameat -Wl,--wrap=unlinkat
endif

# fuzz targets of the store; their corpus is an ordinary test
if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-manifest tests/fuzz/fuzz-import
tests_fuzz_fuzz_manifest_SOURCES = tests/fuzz/fuzz-manifest.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_manifest_LDADD = $(SPOOL_LIBS)
tests_fuzz_fuzz_manifest_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_import_SOURCES = tests/fuzz/fuzz-import.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_import_LDADD = $(SPOOL_LIBS)
tests_fuzz_fuzz_import_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
endif
# the store as the fuzzers have it: a corpus file that they found needs it
check_LIBRARIES += tests/fuzz/libspoolfuzz.a
tests_fuzz_libspoolfuzz_a_SOURCES = %D%/file.h %D%/file.c $(spool_store_files)
tests_fuzz_libspoolfuzz_a_CPPFLAGS = $(spool_libspool_a_CPPFLAGS) -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
check_PROGRAMS += tests/fuzz/replay-manifest tests/fuzz/replay-import
TESTS += tests/fuzz/replay-manifest tests/fuzz/replay-import
tests_fuzz_replay_manifest_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz-manifest.c tests/fuzz/fuzz.h
tests_fuzz_replay_manifest_LDADD = tests/fuzz/libspoolfuzz.a $(SPOOL_LIBS)
tests_fuzz_replay_import_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz-import.c tests/fuzz/fuzz.h
tests_fuzz_replay_import_LDADD = tests/fuzz/libspoolfuzz.a $(SPOOL_LIBS)
EXTRA_DIST += tests/fuzz/corpus

# job description and records
spool_libspool_a_SOURCES += %D%/indices.h %D%/indices.c %D%/spec.h %D%/spec-tables.h %D%/spec.c \
	%D%/spec-value.c %D%/spec-fields.c %D%/spec-out.c %D%/names.c
spool_libspool_a_SOURCES += %D%/job.h %D%/job-db.h %D%/job-db.c %D%/job.c %D%/job-query.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-spool-spec
TESTS += tests/unit/t-spool-spec
tests_unit_t_spool_spec_SOURCES = tests/unit/t-spool-spec.c
tests_unit_t_spool_spec_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_spool_spec_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)
endif

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-spool-job
TESTS += tests/unit/t-spool-job
tests_unit_t_spool_job_SOURCES = tests/unit/t-spool-job.c tests/unit/spool-job.h
tests_unit_t_spool_job_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_spool_job_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/t-spool-damage
TESTS += tests/unit/t-spool-damage
tests_unit_t_spool_damage_SOURCES = tests/unit/t-spool-damage.c tests/unit/spool-job.h
tests_unit_t_spool_damage_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS) $(SQLITE_CFLAGS)
tests_unit_t_spool_damage_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)
endif

if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-spec
tests_fuzz_fuzz_spec_SOURCES = tests/fuzz/fuzz-spec.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_spec_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_spec_LDADD = $(SPOOL_LIBS)
tests_fuzz_fuzz_spec_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
endif
check_PROGRAMS += tests/fuzz/replay-spec
TESTS += tests/fuzz/replay-spec
tests_fuzz_replay_spec_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz-spec.c tests/fuzz/fuzz.h
tests_fuzz_replay_spec_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_replay_spec_LDADD = $(SPOOL_LIBS)
