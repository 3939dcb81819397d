/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omkeep - plays omd for one keeper, for tests:  omkeep FOLDER STEP...
 * Starts `omjob keep` in FOLDER (a step "connect" first: connects to a keeper that is there instead) and does the steps:
 *   {"op":...}      send this message
 *   wait:EV         receive until a message has "ev" EV (120 s, then exit code 99); each message received is printed
 *   until:FILE      wait until FILE exists
 *   kill            SIGKILL to the keeper
 *   close           drop the connection
 *   exit            wait for the keeper's end
 * At the end: its exit code when it was waited for, 98 when it was killed by a signal. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/msg.h"
#include "base/paths.h"

enum { DEADLINE_S = 120, EXIT_TIMEOUT = 99, EXIT_SIGNAL = 98, EXIT_BROKEN = 97 };

static int conn = -1;
static pid_t keeper;

static void die(const char *what)
{
	fprintf(stderr, "omkeep: %s: %s\n", what, strerror(errno));
	exit(EXIT_BROKEN);
}

static void start(const char *dir)
{
	char prog[4096];
	int sv[2];

	if (om_path_program(prog, sizeof(prog), "omjob") < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		die("start");
	keeper = fork();
	if (keeper == 0) {
		int log;

		if (chdir(dir) < 0)
			die(dir);
		log = open("keeper.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
		if (log < 0 || dup2(sv[1], 3) < 0 || dup2(log, 2) < 0 || (sv[1] == 3 && fcntl(3, F_SETFD, 0) < 0))
			die("start");
		execl(prog, "omjob", "keep", NULL);
		die(prog);
	}
	close(sv[1]);
	conn = sv[0];
}

static void connect_to(const char *dir)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int d = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/keeper.sock", d);
	conn = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (d < 0 || conn < 0 || connect(conn, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die("connect");
	close(d);
}

static void send_text(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);
	int r = o ? om_msg_send(conn, o) : -EINVAL;

	if (r < 0) {
		errno = -r;
		die(text);
	}
}

static void wait_event(const char *ev)
{
	for (;;) {
		struct pollfd p = { .fd = conn, .events = POLLIN };
		json_t *o;
		int r, hit;

		if (poll(&p, 1, DEADLINE_S * 1000) == 0) {
			fprintf(stderr, "omkeep: no '%s'\n", ev);
			exit(EXIT_TIMEOUT);
		}
		r = om_msg_recv(conn, &o);
		if (r < 0) {
			int status;

			fprintf(stderr, "omkeep: waiting for '%s': %s\n", ev, strerror(-r));
			usleep(200000);
			if (keeper > 0 && waitpid(keeper, &status, WNOHANG) > 0)
				fprintf(stderr, "omkeep: the keeper has ended, wait status %#x\n", status);
			exit(EXIT_BROKEN);
		}
		json_dumpf(o, stdout, JSON_COMPACT | JSON_SORT_KEYS);
		putchar('\n');
		fflush(stdout);
		hit = strcmp(json_string_value(json_object_get(o, "ev")), ev) == 0;
		json_decref(o);
		if (hit)
			return;
	}
}

static void wait_file(const char *path)
{
	for (int i = 0; access(path, F_OK) < 0; i++) {
		if (i > DEADLINE_S * 100)
			exit(EXIT_TIMEOUT);
		usleep(10000);
	}
}

static int wait_exit(void)
{
	int status;

	if (keeper <= 0 || waitpid(keeper, &status, 0) < 0)
		die("wait");
	keeper = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL;
}

int main(int argc, char **argv)
{
	int code = 0, i = 2;

	if (argc < 3) {
		fprintf(stderr, "usage: omkeep FOLDER STEP...\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (strcmp(argv[2], "connect") == 0) {
		connect_to(argv[1]);
		i++;
	} else {
		start(argv[1]);
	}
	for (; i < argc; i++) {
		if (argv[i][0] == '{')
			send_text(argv[i]);
		else if (strncmp(argv[i], "wait:", 5) == 0)
			wait_event(argv[i] + 5);
		else if (strncmp(argv[i], "until:", 6) == 0)
			wait_file(argv[i] + 6);
		else if (strcmp(argv[i], "kill") == 0)
			kill(keeper, SIGKILL);
		else if (strcmp(argv[i], "close") == 0)
			close(conn);
		else if (strcmp(argv[i], "exit") == 0)
			code = wait_exit();
		else
			return 2;
	}
	return code;
}
