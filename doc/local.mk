# doc: what a reader of the code needs beside the headers.
EXTRA_DIST += doc/architecture.md
EXTRA_DIST += doc/api.md
EXTRA_DIST += doc/image.md
