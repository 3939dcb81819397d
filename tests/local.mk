# tests: what tests share.  A room's own unit tests are listed in the room's local.mk.
EXTRA_DIST += tests/watchdog tests/lib.sh tests/source-check

include %D%/victims/local.mk
