/* Users and groups of the sandbox's root file system, read from /etc/passwd and /etc/group by hand:
 * a static program has no NSS. The files are tenants' bytes: any of it may be nonsense. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/str.h"

#define USER_GROUPS 64 /* supplementary groups that are honoured */

struct user {
    struct str name, home, shell; /* terminated */
    uid_t uid;
    gid_t gid;
    gid_t groups[USER_GROUPS];
    uint32_t group_count;
};

enum { USER_FOUND = 0, USER_UNKNOWN = 1 };

/* USER_FOUND, USER_UNKNOWN, or -ENOMEM. Strings live in the arena. */
int user_find(struct arena *a, struct str name, struct user *out);

/* Both files held for a run of lookups, with the last answers. */
struct user_names {
    struct arena *mem;
    struct str passwd, group;
    struct {
        uint32_t id;
        struct str name;
    } last[2]; /* name.p NULL: none yet */
};

void user_names_init(struct user_names *n, struct arena *a);
/* The name, or the number as text. Terminated, in the arena; empty when memory is out. */
struct str user_names_user(struct user_names *n, uid_t uid);
struct str user_names_group(struct user_names *n, gid_t gid);
