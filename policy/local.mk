# policy: pure decisions.  Its tests link libpolicy.a and libbase.a alone.
EXTRA_DIST += %D%/job.h %D%/queue.h %D%/period.h %D%/retention.h %D%/restart.h
