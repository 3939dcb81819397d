# omsub: user commands and their client library.  No libcurl here: loading it costs more than all the rest (omsub/http.h).
noinst_LIBRARIES += omsub/libomsub.a
omsub_libomsub_a_SOURCES = \
	%D%/http.h %D%/http.c \
	%D%/client.h %D%/client.c \
	%D%/cmd.h %D%/cmd.c \
	%D%/out.h %D%/out.c \
	%D%/simple.h %D%/simple.c
omsub_libomsub_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)

# what a job can be told; only omsub and tests need it
noinst_LIBRARIES += omsub/libomjobspec.a
omsub_libomjobspec_a_SOURCES = \
	%D%/options.h %D%/options.c \
	%D%/values.h %D%/values.c \
	%D%/directive.h %D%/script.h %D%/script.c \
	%D%/slurm.c %D%/pbs.c \
	%D%/yaml.h %D%/yaml.c \
	%D%/spec.h %D%/spec.c
omsub_libomjobspec_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(YAML_CFLAGS)

OMSUB_LIBS = omsub/libomsub.a $(BASE_LIBS)
OMJOBSPEC_LIBS = omsub/libomjobspec.a $(YAML_LIBS)

bin_PROGRAMS += omsub/omsub omsub/omq omsub/omdel omsub/omhold omsub/omrelease omsub/omsig omsub/omwait omsub/omctl omsub/omckpt
omsub_omsub_SOURCES = %D%/omsub.c %D%/submit.h %D%/lines.c
omsub_omsub_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
omsub_omsub_LDADD = $(OMJOBSPEC_LIBS) $(OMSUB_LIBS)
omsub_omq_SOURCES = %D%/omq.c %D%/showjob.h %D%/showjob.c
omsub_omq_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SMARTCOLS_CFLAGS)
omsub_omq_LDADD = $(OMSUB_LIBS) $(SMARTCOLS_LIBS)
omsub_omdel_SOURCES = %D%/omdel.c
omsub_omdel_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
omsub_omdel_LDADD = $(OMSUB_LIBS)
omsub_omhold_SOURCES = %D%/omhold.c
omsub_omhold_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
omsub_omhold_LDADD = $(OMSUB_LIBS)
omsub_omrelease_SOURCES = %D%/omrelease.c
omsub_omrelease_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
omsub_omrelease_LDADD = $(OMSUB_LIBS)
omsub_omsig_SOURCES = %D%/omsig.c
omsub_omsig_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
omsub_omsig_LDADD = $(OMSUB_LIBS)
omsub_omwait_SOURCES = %D%/omwait.c
omsub_omwait_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
omsub_omwait_LDADD = $(OMSUB_LIBS)
omsub_omctl_SOURCES = %D%/omctl.c
omsub_omctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
omsub_omctl_LDADD = $(OMSUB_LIBS)
omsub_omckpt_SOURCES = %D%/omckpt.c
omsub_omckpt_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
omsub_omckpt_LDADD = $(OMSUB_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-omsub-options tests/unit/t-omsub-script tests/unit/t-omsub-yaml tests/unit/t-omsub-http tests/unit/t-omsub-out
TESTS += tests/unit/t-omsub-options tests/unit/t-omsub-script tests/unit/t-omsub-yaml tests/unit/t-omsub-http tests/unit/t-omsub-out
tests_unit_t_omsub_options_SOURCES = tests/unit/t-omsub-options.c
tests_unit_t_omsub_options_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_omsub_options_LDADD = $(OMJOBSPEC_LIBS) $(OMSUB_LIBS) $(CMOCKA_LIBS)
tests_unit_t_omsub_script_SOURCES = tests/unit/t-omsub-script.c
tests_unit_t_omsub_script_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_omsub_script_LDADD = $(OMJOBSPEC_LIBS) $(OMSUB_LIBS) $(CMOCKA_LIBS)
tests_unit_t_omsub_yaml_SOURCES = tests/unit/t-omsub-yaml.c
tests_unit_t_omsub_yaml_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_omsub_yaml_LDADD = $(OMJOBSPEC_LIBS) $(OMSUB_LIBS) $(CMOCKA_LIBS)
tests_unit_t_omsub_http_SOURCES = tests/unit/t-omsub-http.c
tests_unit_t_omsub_http_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_omsub_http_LDADD = $(OMSUB_LIBS) $(CMOCKA_LIBS)
tests_unit_t_omsub_out_SOURCES = tests/unit/t-omsub-out.c
tests_unit_t_omsub_out_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_omsub_out_LDADD = $(OMSUB_LIBS) $(CMOCKA_LIBS)
endif

EXTRA_DIST += omsub/completion.bash
completiondir = $(datadir)/bash-completion/completions
completion_commands = omq omdel omhold omrelease omsig omwait omctl omckpt
install-data-hook: install-completion
install-completion:
	$(MKDIR_P) "$(DESTDIR)$(completiondir)"
	$(INSTALL_DATA) $(top_srcdir)/omsub/completion.bash "$(DESTDIR)$(completiondir)/omsub"
	cd "$(DESTDIR)$(completiondir)" && for c in $(completion_commands); do ln -sf omsub $$c; done
uninstall-local: uninstall-completion
uninstall-completion:
	cd "$(DESTDIR)$(completiondir)" 2>/dev/null && rm -f omsub $(completion_commands) || :
.PHONY: install-completion uninstall-completion

OMSUB_T = tests/sys/t0010-man.t tests/sys/t0020-usage.t tests/sys/t0030-submit.t tests/sys/t0040-queue.t tests/sys/t0041-denied.t tests/sys/t0042-omckpt.t
OMSUB_UT = tests/sys/t0020-usage.ut tests/sys/t0030-submit.ut tests/sys/t0040-queue.ut tests/sys/t0042-omckpt.ut
TESTS += $(OMSUB_T) $(OMSUB_UT)
dist_check_SCRIPTS += $(OMSUB_T)
check_SCRIPTS += $(OMSUB_UT)

# what comes from outside: scripts, YAML files, answers of a daemon
if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-script tests/fuzz/fuzz-yaml tests/fuzz/fuzz-answer
tests_fuzz_fuzz_script_SOURCES = tests/fuzz/fuzz-script.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_script_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_script_LDADD = $(OMJOBSPEC_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_script_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_yaml_SOURCES = tests/fuzz/fuzz-yaml.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_yaml_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_yaml_LDADD = $(OMJOBSPEC_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_yaml_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_answer_SOURCES = tests/fuzz/fuzz-answer.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_answer_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_fuzz_answer_LDADD = $(OMSUB_LIBS)
tests_fuzz_fuzz_answer_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
endif
OMSUB_REPLAY = tests/fuzz/replay-script tests/fuzz/replay-yaml tests/fuzz/replay-answer
check_PROGRAMS += $(OMSUB_REPLAY)
TESTS += $(OMSUB_REPLAY)
tests_fuzz_replay_script_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz-script.c tests/fuzz/fuzz.h
tests_fuzz_replay_script_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_replay_script_LDADD = $(OMJOBSPEC_LIBS) $(BASE_LIBS)
tests_fuzz_replay_yaml_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz-yaml.c tests/fuzz/fuzz.h
tests_fuzz_replay_yaml_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_replay_yaml_LDADD = $(OMJOBSPEC_LIBS) $(BASE_LIBS)
tests_fuzz_replay_answer_SOURCES = tests/fuzz/replay.c tests/fuzz/fuzz-answer.c tests/fuzz/fuzz.h
tests_fuzz_replay_answer_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_replay_answer_LDADD = $(OMSUB_LIBS)
