# build-aux: scripts the build and the two commands use.
EXTRA_DIST += build-aux/check-deps build-aux/packages.txt build-aux/install-packages
