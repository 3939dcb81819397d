# omd: the node daemon.
noinst_LIBRARIES += omd/libomd.a
omd_libomd_a_SOURCES = \
	%D%/omd.h \
	%D%/setup.h %D%/setup.c \
	%D%/loop.c %D%/batch.c \
	%D%/http.h %D%/http.c \
	%D%/spawn.h %D%/spawn.c \
	%D%/helper.h %D%/helper.c \
	%D%/kmsg.h %D%/kmsg.c \
	%D%/job.c %D%/act.c %D%/start.c %D%/keeper.c %D%/recover.c %D%/timers.c %D%/wait.c %D%/notify.c \
	%D%/stream.h %D%/stream.c %D%/ckpts.h \
	%D%/api.c %D%/api-submit.c %D%/api-jobs.c %D%/api-ckpt.c %D%/api-restore.c %D%/api-admin.c
omd_libomd_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(MHD_CFLAGS) $(SYSTEMD_CFLAGS) $(SQLITE_CFLAGS)
# what a program that links libomd.a needs besides
OMD_LIBS = omd/libomd.a $(POLICY_LIBS) $(SPOOL_LIBS) $(MHD_LIBS) $(SYSTEMD_LIBS)

sbin_PROGRAMS += omd/omd
omd_omd_SOURCES = %D%/main.c
omd_omd_CPPFLAGS = $(omd_libomd_a_CPPFLAGS)
omd_omd_LDADD = $(OMD_LIBS)
omd_omd_LDFLAGS = $(AM_LDFLAGS) -Wl,--as-needed

check_PROGRAMS += tests/tool/omflood
tests_tool_omflood_SOURCES = tests/tool/omflood.c
tests_tool_omflood_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_tool_omflood_LDADD = $(BASE_LIBS)

# systemd: the unit for the system mode
systemdsystemunitdir = $(prefix)/lib/systemd/system
nodist_systemdsystemunit_DATA = omd/openmosix.service
EXTRA_DIST += %D%/openmosix.service.in
CLEANFILES += omd/openmosix.service
omd/openmosix.service: %D%/openmosix.service.in Makefile
	@mkdir -p omd
	$(AM_V_GEN)sed 's|@sbindir[@]|$(sbindir)|g' $(srcdir)/omd/openmosix.service.in >$@.tmp && mv $@.tmp $@

# notifications: a process of its own, so omd neither waits for a server nor loads libcurl
pkglibexec_PROGRAMS += omd/omd-notify
omd_omd_notify_SOURCES = %D%/notify-main.c
omd_omd_notify_CPPFLAGS = $(AM_CPPFLAGS) $(CURL_CFLAGS) $(JANSSON_CFLAGS)
omd_omd_notify_LDADD = $(BASE_LIBS) $(CURL_LIBS)

OMD_TESTS = tests/sys/t0050-omd-api.t tests/sys/t0060-omd-spool.t tests/sys/t2050-omd-jobs.t tests/sys/t2070-omd-checkpoint.t
# root only: omd becomes the users
TESTS += $(OMD_TESTS) $(OMD_TESTS:.t=.ut) tests/sys/t2060-omd-system.t
dist_check_SCRIPTS += $(OMD_TESTS) tests/sys/t2060-omd-system.t tests/sys/omd.sh
check_SCRIPTS += $(OMD_TESTS:.t=.ut)

dist_man_MANS += man/omd.8

# what keepers say
if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-keeper-msg
tests_fuzz_fuzz_keeper_msg_SOURCES = tests/fuzz/fuzz-keeper-msg.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_keeper_msg_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_keeper_msg_LDADD = omd/libomd.a $(BASE_LIBS)
tests_fuzz_fuzz_keeper_msg_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
endif
check_PROGRAMS += tests/fuzz/replay-keeper-msg
TESTS += tests/fuzz/replay-keeper-msg
tests_fuzz_replay_keeper_msg_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz-keeper-msg.c tests/fuzz/fuzz.h
tests_fuzz_replay_keeper_msg_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_replay_keeper_msg_LDADD = omd/libomd.a $(BASE_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-omd-kmsg
TESTS += tests/unit/t-omd-kmsg
tests_unit_t_omd_kmsg_SOURCES = tests/unit/t-omd-kmsg.c
tests_unit_t_omd_kmsg_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_omd_kmsg_LDADD = omd/libomd.a $(BASE_LIBS) $(CMOCKA_LIBS)
endif
