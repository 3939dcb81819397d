/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FAULT_ERROR, FAULT_KILL, FAULT_STOP };

static int fault_ready, fault_id, fault_how, fault_code;
static unsigned long fault_nth, fault_met;
static const char *fault_log;

static const struct {
	int id;
	const char *name;
} fault_names[] = {
#define X(id, nr, name) { id, name },
	OM_FAULT_POINTS(X)
#undef X
};

static const struct {
	const char *name;
	int how, code;
} fault_hows[] = {
	{ "EIO", FAULT_ERROR, -EIO }, { "ENOSPC", FAULT_ERROR, -ENOSPC }, { "ENOMEM", FAULT_ERROR, -ENOMEM },
	{ "EPERM", FAULT_ERROR, -EPERM }, { "EAGAIN", FAULT_ERROR, -EAGAIN },
	{ "kill", FAULT_KILL, 0 }, { "stop", FAULT_STOP, 0 },
};

static void bad(const char *text)
{
	fprintf(stderr, "OM_FAULT='%s': not NAME[:NTH[:HOW]] with a known name\n", text);
	abort();		/* a test that asks for nothing must not pass */
}

static void fault_init(void)
{
	const char *text = getenv("OM_FAULT");
	char name[64], how[16] = "EIO";
	size_t i;

	fault_ready = 1;
	fault_log = getenv("OM_FAULT_LOG");
	if (!text || !text[0])
		return;
	fault_nth = 1;
	if (sscanf(text, "%63[a-z0-9_]:%lu:%15s", name, &fault_nth, how) < 1)
		bad(text);
	for (i = 0; i < sizeof(fault_names) / sizeof(fault_names[0]); i++)
		if (strcmp(fault_names[i].name, name) == 0)
			fault_id = fault_names[i].id;
	for (i = 0; i < sizeof(fault_hows) / sizeof(fault_hows[0]); i++)
		if (strcmp(fault_hows[i].name, how) == 0) {
			fault_how = fault_hows[i].how;
			fault_code = fault_hows[i].code;
			break;
		}
	if (!fault_id || i == sizeof(fault_hows) / sizeof(fault_hows[0]))
		bad(text);
}

static void note(int id)
{
	char line[96];
	int fd = open(fault_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666), n;

	if (fd < 0)
		return;
	for (size_t i = 0; i < sizeof(fault_names) / sizeof(fault_names[0]); i++)
		if (fault_names[i].id == id) {
			n = snprintf(line, sizeof(line), "%s\n", fault_names[i].name);
			if (write(fd, line, (size_t)n) != n)
				abort();
		}
	close(fd);
}

int om_fault(enum om_fault_id id)
{
	if (!fault_ready)
		fault_init();
	if (fault_log)
		note((int)id);
	if ((int)id != fault_id || ++fault_met != fault_nth)
		return 0;
	if (fault_how == FAULT_KILL) {
		kill(getpid(), SIGKILL);
		_exit(137);		/* pid 1 of a namespace does not die of its own signal */
	}
	if (fault_how == FAULT_STOP) {
		kill(getpid(), SIGSTOP);
		return 0;
	}
	return fault_code;
}
