/* The system call filter of a sandbox, built once and loaded by each child. */
#pragma once

#include <linux/filter.h>

/* Builds the filter: all calls allowed but the ones that reach beyond a sandbox (the table is in
 * os_seccomp.c, each row with its reason). prog->filter is malloc'd, the caller owns it.
 * 0 or a negative errno. */
int sysfilter_build(struct sock_fprog *prog);

/* Loads it for the calling thread; safe between fork and exec. Needs CAP_SYS_ADMIN in the caller's
 * user namespace instead of no_new_privs, which would break sudo. 0 or a negative errno. */
int sysfilter_load(const struct sock_fprog *prog);
