/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omjob/report.h - what the keeper and the job's init say to each other over their SOCK_SEQPACKET pair.  Both ends are forks of one
 * program: fixed structures, no versions.  The job's processes never hold this socket. */
#ifndef OM_OMJOB_REPORT_H
#define OM_OMJOB_REPORT_H
#include <stdint.h>

enum omj_report_kind {		/* init to keeper */
	OMJ_R_STARTED = 1,	/* value: pid (inside) of the root, 0: it had ended before */
	OMJ_R_FAILED,		/* the root could not be started or restored: text */
	OMJ_R_ROOT,		/* value: wait status of the root */
	OMJ_R_SYNCED,		/* all that was reaped before OMJ_O_SYNC has been reported */
	OMJ_R_LISTENER,		/* carries the seccomp listener */
	OMJ_R_OPENED,		/* the root has its output files: from now on it is the job that changes files */
};

enum { OMJ_REPORT_TEXT = 256 };

struct omj_report {
	uint32_t kind;
	int32_t value;
	char text[OMJ_REPORT_TEXT];
};

enum omj_order_kind {		/* keeper to init */
	OMJ_O_GO = 1,		/* everything is written down: begin */
	OMJ_O_SIGNAL,		/* value: to every process but init, at once */
	OMJ_O_SYNC,
};

struct omj_order {
	uint32_t kind;
	int32_t value;
};
#endif
