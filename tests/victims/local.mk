# tests/victims: one program, many victims (tests/victims/victim.h); a static one too.
check_PROGRAMS += tests/bin/victim tests/bin/victim-static
victim_sources = \
	%D%/victim.h %D%/victim.c %D%/tree.c %D%/family.c %D%/memory.c %D%/shared.c %D%/cpu.c %D%/futex.c %D%/sleep.c \
	%D%/block.c %D%/file.c %D%/lock.c %D%/special.c %D%/socket.c %D%/inet.c %D%/signal.c %D%/timer.c %D%/refuse.c
tests_bin_victim_SOURCES = $(victim_sources)
tests_bin_victim_CFLAGS = -std=gnu11 $(WARN_CFLAGS) -pthread
tests_bin_victim_LDADD = -lutil
tests_bin_victim_static_SOURCES = $(victim_sources)
tests_bin_victim_static_CFLAGS = -std=gnu11 $(WARN_CFLAGS) -pthread
tests_bin_victim_static_LDFLAGS = -static
EXTRA_DIST += %D%/list
EXTRA_DIST += %D%/run.sh
TESTS += tests/sys/t2300-victims-alone.t tests/sys/t2300-victims-alone.ut
dist_check_SCRIPTS += tests/sys/t2300-victims-alone.t
check_SCRIPTS += tests/sys/t2300-victims-alone.ut
EXTRA_DIST += tests/kernel/boot.sh tests/kernel/init tests/kernel/second \
	tests/programs/run.sh tests/programs/kills.py tests/programs/steps.sh tests/programs/steps.pl tests/programs/steps.py \
	tests/programs/python.py tests/programs/numpy.py tests/programs/multiprocessing.py tests/programs/perl.pl \
	tests/programs/pipeline.sh tests/programs/build.sh tests/programs/xz.sh tests/programs/sqlite.sh tests/programs/openssl.sh \
	tests/programs/node.js tests/programs/Java.java tests/programs/golang.go tests/programs/stress.sh
victim_scripts = tests/sys/t2400-victims.t tests/sys/t2410-faults.t tests/sys/t2500-scripts.t tests/sys/t2501-python.t \
	tests/sys/t2502-build.t tests/sys/t2503-data.t tests/sys/t2504-runtimes.t tests/sys/t2505-stress.t tests/sys/t2800-bench.t \
	tests/sys/t2900-kills.t tests/sys/t3000-kernel61.t
victim_user_scripts = tests/sys/t2400-victims.ut tests/sys/t2500-scripts.ut tests/sys/t2501-python.ut tests/sys/t2900-kills.ut
TESTS += $(victim_scripts) $(victim_user_scripts)
dist_check_SCRIPTS += $(victim_scripts)
check_SCRIPTS += $(victim_user_scripts)
