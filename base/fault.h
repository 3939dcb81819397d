/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/fault.h - deliberate failures for tests.  Promise: without OM_FAULT in the environment a point costs one load.
 *
 * OM_FAULT="NAME[:NTH[:HOW]]" (NAME as in the table below, NTH from 1, 1 by default): the NTH passage fails.  HOW: an errno
 * name of {EIO, ENOSPC, ENOMEM, EPERM, EAGAIN} (default EIO); "kill": SIGKILL to ourselves; "stop": SIGSTOP to ourselves.
 * OM_FAULT_LOG=FILE appends the name of each point that was met: so a test knows that its point was really passed.
 * Numbers are fixed: never reuse one. */
#ifndef OM_BASE_FAULT_H
#define OM_BASE_FAULT_H

/* id, name.  tests/fault runs every victim under every one of them. */
#define OM_FAULT_POINTS(X) \
	X(OM_FI_DUMP_SEIZE, 1, "dump_seize") \
	X(OM_FI_DUMP_INJECT, 2, "dump_inject") \
	X(OM_FI_DUMP_TASK, 3, "dump_task") \
	X(OM_FI_DUMP_FILES, 4, "dump_files") \
	X(OM_FI_DUMP_TWIN, 5, "dump_twin") \
	X(OM_FI_DUMP_RESUME, 6, "dump_resume") \
	X(OM_FI_DUMP_PAGES, 7, "dump_pages") \
	X(OM_FI_DUMP_META, 8, "dump_meta") \
	X(OM_FI_STORE_BLOCK, 20, "store_block") \
	X(OM_FI_STORE_FSYNC, 21, "store_fsync") \
	X(OM_FI_STORE_COMMIT, 22, "store_commit") \
	X(OM_FI_STORE_PRUNE, 23, "store_prune") \
	X(OM_FI_REST_READ, 40, "rest_read") \
	X(OM_FI_REST_NAMESPACE, 41, "rest_namespace") \
	X(OM_FI_REST_FORK, 42, "rest_fork") \
	X(OM_FI_REST_FILES, 43, "rest_files") \
	X(OM_FI_REST_PAGES, 44, "rest_pages") \
	X(OM_FI_REST_RESUME, 45, "rest_resume") \
	X(OM_FI_KEEPER_START, 60, "keeper_start") \
	X(OM_FI_KEEPER_EXIT, 61, "keeper_exit") \
	X(OM_FI_KEEPER_BIND, 62, "keeper_bind") \
	X(OM_FI_UNDO_RECORD, 63, "undo_record") \
	X(OM_FI_UNDO_APPLY, 64, "undo_apply") \
	X(OM_FI_DB_COMMIT, 80, "db_commit") \
	X(OM_FI_OMD_SPAWN, 81, "omd_spawn") \
	X(OM_FI_OMD_REPLY, 82, "omd_reply")

enum om_fault_id {
#define X(id, nr, name) id = nr,
	OM_FAULT_POINTS(X)
#undef X
};

/* 0, or a negative errno when this passage is to fail (does not return with HOW = kill). */
int om_fault(enum om_fault_id id);
#endif
