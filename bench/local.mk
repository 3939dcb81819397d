# bench
noinst_PROGRAMS += bench/store
bench_store_SOURCES = %D%/store.c
bench_store_LDADD = $(SPOOL_LIBS)
