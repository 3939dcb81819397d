/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/paths.h - where things are.  One place for the names that the daemon and the commands must agree on. */
#ifndef OM_BASE_PATHS_H
#define OM_BASE_PATHS_H
#include <stdbool.h>
#include <stddef.h>

/* System mode (omd runs as root with --system): OM_LOCALSTATEDIR/lib/openmosix, OM_RUNSTATEDIR/openmosix/omd.sock.
 * User mode: $OM_HOME, else $XDG_STATE_HOME/openmosix, else ~/.local/state/openmosix; the socket is omd.sock in it
 * (a path longer than a socket address allows is refused with a text that says so).
 * The environment variable OM_SOCKET overrides the socket a command talks to.  Buffers are of PATH_MAX bytes. */
int om_path_user_spool(char *dst, size_t n);
int om_path_user_socket(char *dst, size_t n);
const char *om_path_system_spool(void);
const char *om_path_system_socket(void);
/* A program of ours: $OM_LIBEXEC/NAME when set (tests), beside our own executable when it is there (build tree), else the installed one. */
int om_path_program(char *dst, size_t n, const char *name);
#endif
