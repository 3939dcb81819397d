/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd/setup.h - what omd needs before it can serve.  Promise: after omd_setup_spool() the folder is ours alone (locked); after
 * omd_setup_socket() commands can connect. */
#ifndef OMD_SETUP_H
#define OMD_SETUP_H
struct om_err;
struct omd;

/* Exit codes of omd, fixed (man page). */
enum omd_exit { OMD_EXIT_OK = 0, OMD_EXIT_FAILED = 1, OMD_EXIT_USAGE = 2, OMD_EXIT_DENIED = 4, OMD_EXIT_RUNS_ALREADY = 5 };

/* Make and open the folders, take omd.lock.  -EBUSY when another omd has it. */
int omd_setup_spool(struct omd *omd, struct om_err *err);
/* The listening socket (systemd's when it gave one). */
int omd_setup_socket(struct omd *omd, struct om_err *err);
/* Descriptors and the like: as much as the limits allow. */
void omd_setup_limits(struct omd *omd);
void omd_setup_close(struct omd *omd);

/* Fork into the background.  In the child: returns 0 with the descriptor to report to; in the parent: does not return (it exits
 * with the child's report when that says it serves, or ended). */
int omd_daemonize(int *ret_report);
/* Child: tell the parent that all is well (@code 0) or what failed, and leave the terminal: standard error becomes omd.log. */
void omd_daemonize_report(int report, int code, const char *text);
int omd_setup_log(struct omd *omd, struct om_err *err);
#endif
