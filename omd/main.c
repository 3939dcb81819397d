/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd - the node daemon: options, and the order of start and end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "config.h"
#include "omd/omd.h"
#include "omd/setup.h"

static const char usage_text[] =
	"usage: omd [options]\n"
	"The daemon of the batch queue: keeps the jobs, starts, checkpoints and restarts them.\n"
	"      --user             for the calling user (default); omsub starts it when it is needed\n"
	"      --system           for all users of this machine; needs root\n"
	"      --spool DIR        folder of everything durable\n"
	"      --socket PATH      where the commands connect\n"
	"      --foreground       stay in the foreground, log to standard error (default)\n"
	"      --daemonize        go to the background when the socket answers, log to DIR/omd.log\n"
	"      --idle-exit SECONDS  end when no job waits or runs and nobody asked for so long\n"
	"                         (0: never; default: 600 with --daemonize --user, else never)\n"
	"      --version          print the version and exit\n"
	"  -h, --help             print this text and exit\n";

enum { IDLE_EXIT_DEFAULT_S = 600 };

struct options {
	bool daemonize, idle_given;
};

static int usage_error(const char *option, const char *arg, const char *why)
{
	fprintf(stderr, "omd: %s%s: %s; try omd --help\n", option, arg, why);
	return OMD_EXIT_USAGE;
}

static int set_path(char *dst, size_t n, const char *arg)
{
	char cwd[PATH_MAX];

	if (arg[0] == '/')
		return om_str_copy(dst, n, arg);
	if (!getcwd(cwd, sizeof(cwd)))
		return -errno;
	return snprintf(dst, n, "%s/%s", cwd, arg) >= (int)n ? -ENAMETOOLONG : 0;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct omd *omd, struct options *o)
{
	enum { USER = 256, SYSTEM, SPOOL, SOCKET, FOREGROUND, DAEMONIZE, IDLE, VERSION_ };
	static const struct option longs[] = {
		{ "user", no_argument, NULL, USER }, { "system", no_argument, NULL, SYSTEM },
		{ "spool", required_argument, NULL, SPOOL }, { "socket", required_argument, NULL, SOCKET },
		{ "foreground", no_argument, NULL, FOREGROUND }, { "daemonize", no_argument, NULL, DAEMONIZE },
		{ "idle-exit", required_argument, NULL, IDLE }, { "version", no_argument, NULL, VERSION_ },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		switch (c) {
		case USER: omd->system = false; break;
		case SYSTEM: omd->system = true; break;
		case SPOOL:
			if (set_path(omd->spool, sizeof(omd->spool), optarg) < 0)
				return usage_error("--spool ", optarg, "the name is too long");
			break;
		case SOCKET:
			if (set_path(omd->socket, sizeof(omd->socket), optarg) < 0)
				return usage_error("--socket ", optarg, "the name is too long");
			break;
		case FOREGROUND: o->daemonize = false; break;
		case DAEMONIZE: o->daemonize = true; break;
		case IDLE:
			if (om_str_duration(optarg, 1, &omd->idle_exit_s) < 0 || omd->idle_exit_s > 100000000)
				return usage_error("--idle-exit ", optarg, "not a time");
			o->idle_given = true;
			break;
		case VERSION_:
			printf("omd (openmosix) %s\n", VERSION);
			return OMD_EXIT_OK;
		case 'h':
			fputs(usage_text, stdout);
			return OMD_EXIT_OK;
		default:
			fprintf(stderr, "try omd --help\n");
			return OMD_EXIT_USAGE;
		}
	}
	if (optind < argc)
		return usage_error("", argv[optind], "no argument is expected");
	return -1;
}

/* -1: go on; else the exit code. */
static int default_paths(struct omd *omd)
{
	int r = 0;

	if (omd->system && geteuid() != 0) {
		fprintf(stderr, "omd: --system needs root: jobs of several users are started as these users\n");
		return OMD_EXIT_DENIED;
	}
	if (!omd->spool[0])
		r = omd->system ? om_str_copy(omd->spool, sizeof(omd->spool), om_path_system_spool()) :
				  om_path_user_spool(omd->spool, sizeof(omd->spool));
	if (r < 0) {
		fprintf(stderr, "omd: no place for the spool: set HOME, or give one with --spool\n");
		return OMD_EXIT_USAGE;
	}
	if (omd->socket[0])
		return -1;
	if (omd->system && strcmp(omd->spool, om_path_system_spool()) == 0)
		r = om_str_copy(omd->socket, sizeof(omd->socket), om_path_system_socket());
	else
		r = snprintf(omd->socket, sizeof(omd->socket), "%s/omd.sock", omd->spool) >= (int)sizeof(omd->socket) ? -ENAMETOOLONG : 0;
	return r < 0 ? usage_error("", omd->spool, "the name of the spool is too long") : -1;
}

/* everything up to "the socket answers" */
static int start(struct omd *omd, const struct options *o, struct om_err *err)
{
	int r;

	omd_setup_limits(omd);
	r = omd_setup_spool(omd, err);
	if (r >= 0 && o->daemonize)
		r = omd_setup_log(omd, err);
	if (r >= 0)
		r = omd_loop_create(omd, err);
	return r;
}

static void stdio_open(void)
{
	/* descriptors 0 to 2 exist in every process we start: nothing of ours may land there */
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	static struct omd omd = { .spool_fd = -1, .jobs_fd = -1, .lock_fd = -1, .listen_fd = -1 };
	struct options o = { 0 };
	struct om_err err = { 0 };
	int report = -1, r, code;

	stdio_open();
	om_log_init("omd", OM_LOG_NOTICE);
	code = parse(argc, argv, &omd, &o);
	if (code >= 0)
		return code;
	/* one that nobody started by hand need not stay for ever */
	if (o.daemonize && !o.idle_given && !omd.system)
		omd.idle_exit_s = IDLE_EXIT_DEFAULT_S;
	code = default_paths(&omd);
	if (code >= 0)
		return code;
	if (o.daemonize) {
		r = omd_daemonize(&report);
		if (r < 0) {
			fprintf(stderr, "omd: go to the background: %s\n", strerror(-r));
			return OMD_EXIT_FAILED;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	umask(0077);
	r = start(&omd, &o, &err);
	if (r < 0) {
		code = r == -EBUSY && omd.lock_fd < 0 ? OMD_EXIT_RUNS_ALREADY : OMD_EXIT_FAILED;
		om_log_err("start failed: %s", om_err_text(&err, r));
		if (o.daemonize)
			omd_daemonize_report(report, code, om_err_text(&err, r));
		omd_loop_destroy(&omd);
		omd_setup_close(&omd);
		return code;
	}
	omd_daemonize_report(report, 0, NULL);
	sd_notify(0, "READY=1");
	om_log_notice("serving mode=%s spool=%s socket=%s version=%s", omd.system ? "system" : "user", omd.spool, omd.socket, VERSION);
	r = omd_loop_run(&omd);
	sd_notify(0, "STOPPING=1");
	omd_loop_destroy(&omd);
	omd_setup_close(&omd);
	om_log_notice("ended code=%d", r < 0 ? 1 : 0);
	return r < 0 ? OMD_EXIT_FAILED : OMD_EXIT_OK;
}
