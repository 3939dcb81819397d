/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob - the keeper of one job and its helpers.  `omjob keep` is executed by omd (doc/architecture.md); nobody else calls it. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "omjob/keeper.h"
#include "omjob/verbs.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} verbs[] = {
	{ "keep", omj_keep_main }, { "list", omj_list_main }, { "show", omj_show_main }, { "verify", omj_verify_main },
	{ "export", omj_export_main }, { "import", omj_import_main }, { "prune", omj_prune_main },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < OM_ARRAY_SIZE(verbs); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].main(argc - 1, argv + 1);
	fprintf(stderr, "omjob: run by omd; see omckpt(1) for what it does\n");
	return OMJ_EXIT_USAGE;
}
