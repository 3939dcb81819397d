/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/procfs.h - one task's /proc files, parsed. */
#ifndef OM_CHECKPOINT_PROCFS_H
#define OM_CHECKPOINT_PROCFS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
struct om_err;

struct ckpt_status {
	char comm[32];
	char state;				/* R S D T t Z X */
	pid_t ppid, tracer;			/* as we see them */
	pid_t vpid, vpgid, vsid;		/* innermost pid namespace; 0 = from outside of it */
	unsigned levels;			/* pid namespaces, ours counted */
	unsigned seccomp, seccomp_filters;
	unsigned no_new_privs;
	unsigned umask;
	uint32_t uid[4], gid[4];
	uint64_t cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb;
	uint64_t sig_pnd, shd_pnd, sig_blk;
	uint64_t locked_kb;			/* VmLck */
};
int ckpt_status_read(pid_t tid, struct ckpt_status *ret);
/* Fields of /proc/PID/stat by their number in proc(5) (from 3 on); 0 = not there. */
enum { CKPT_STAT_FIELDS = 53 };
int ckpt_stat_read(pid_t pid, uint64_t ret[CKPT_STAT_FIELDS]);
/* The list of numbers in a file like children, or the names of a folder like task: heap array, its length. */
int ckpt_children_read(pid_t pid, pid_t tid, pid_t **ret, unsigned *ret_n);
int ckpt_tasks_read(pid_t pid, pid_t **ret, unsigned *ret_n);
/* Pages of private memory that the process has of its own (an estimate from status), 0 if it is not there. */
uint64_t ckpt_anon_pages(pid_t pid);
/* readlink of /proc/@pid/@what to a heap string. */
int ckpt_link_read(pid_t pid, const char *what, char **ret);
#endif
