/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/fuzz/replay.c - feeds every file of a corpus to a fuzz target: an ordinary test (TAP).  The corpus is $OM_SRC/tests/fuzz/corpus/NAME
 * with NAME from the program's name "replay-NAME"; or the folder or files that are given. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

enum { INPUT_MAX = 64 << 20 };

static int feed(const char *path)
{
	om_autofree char *data = NULL;
	size_t len;
	int r = om_file_read(path, INPUT_MAX, &data, &len);
	om_autofree uint8_t *exact = NULL;

	if (r < 0) {
		printf("# %s: %s\n", path, strerror(-r));
		return r;
	}
	/* a copy without the 0 behind it, so that valgrind and sanitizers see a read beyond */
	exact = malloc(len ? len : 1);
	if (!exact)
		return -ENOMEM;
	memcpy(exact, data, len);
	LLVMFuzzerTestOneInput(exact, len);
	return 0;
}

static int feed_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0, bad = 0;

	if (!d)
		return feed(path) < 0 ? -1 : 1;
	while ((e = readdir(d))) {
		char file[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		bad |= feed(file) < 0;
		n++;
	}
	closedir(d);
	return bad ? -1 : n;
}

int main(int argc, char **argv)
{
	const char *src = getenv("OM_SRC"), *name = strstr(argv[0], "replay-");
	char path[4096];
	int n = 0;

	if (argc > 1) {
		for (int i = 1; i < argc && n >= 0; i++)
			n = feed_folder(argv[i]);
	} else if (name) {
		snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", src ? src : ".", name + strlen("replay-"));
		n = feed_folder(path);
	}
	/* a crash ends the program before this line; an empty corpus is no test */
	printf("%sok 1 - %d inputs\n1..1\n", n > 0 ? "" : "not ", n);
	return n > 0 ? 0 : 1;
}
