/* Confinement of our own unprivileged services (control, edge). */
#pragma once

#include <sys/types.h>

/* Becomes `uid` and `gid` with no other groups and no capabilities, cannot gain privileges again,
 * and ends when the parent does (PR_SET_PDEATHSIG, which a change of uid would clear: so here).
 * For a child that is about to exec: no allocation, no logging. 0 or a negative errno. */
int os_service_drop(uid_t uid, gid_t gid);

/* From now on only the system calls that a server of sockets and files needs; others fail with
 * EPERM. Needs no_new_privs, which os_service_drop set; sets it otherwise. 0 or a negative errno.
 */
int os_service_seccomp(void);
