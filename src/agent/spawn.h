/* Starting a command: clone(2) with a shared address space, then, in the child and by raw system
 * calls only, cgroup, session, rights, directory, descriptors, exec. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "agent/user.h"

struct spawn_spec {
    char *const *argv;  /* argv[0] is what the command sees */
    char *const *paths; /* candidates for the program, tried in turn; NULL-terminated */
    char *const *envp;
    const char *cwd;
    const struct user *user;
    int fds[3];          /* become 0, 1, 2; close-on-exec ones */
    bool tty;            /* fds[0] becomes the controlling terminal */
    struct rlimit files; /* RLIMIT_NOFILE of the command */
    int cgroup_fds;      /* AGENT_CGROUP_FD and following: "0" is written to each */
};

struct spawn_failure {
    const char *step; /* "exec", "chdir", "setuid" ... */
    int err;
};

/* The pid, or a negative errno with *why telling the step that failed; the child is reaped then. */
pid_t spawn_start(const struct spawn_spec *spec, struct spawn_failure *why);

/* In a child: leaves the agent's cgroups for those of commands, and its place before the OOM
 * killer. By raw system calls only. */
void spawn_child_cgroups(int cgroup_fds);
