#include "agent/user.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"

#define FILE_MAX (1u << 20) /* more of /etc/passwd is not looked at */

/* The whole file; empty when there is none. */
static struct str read_file(struct arena *a, const char *path)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char *p = NULL;
    size_t n = 0, room = 0;
    for (size_t cap = 4000; fd >= 0 && cap <= FILE_MAX; cap *= 4) {
        char *more = arena_alloc(a, cap);
        if (!more)
            break;
        if (n)
            memcpy(more, p, n);
        p = more;
        room = cap;
        ssize_t got = 1;
        while (n < room && (got = read(fd, p + n, room - n)) > 0)
            n += (size_t)got;
        if (got <= 0)
            break;
    }
    return str_make(p, n);
}

/* Cuts the next line into its fields, separated by ':'. False at the end. */
static bool next_line(struct str *rest, struct str *fields, size_t count)
{
    struct str line;
    if (rest->n == 0)
        return false;
    (void)str_cut(*rest, '\n', &line, rest);
    for (size_t i = 0; i < count; i++) {
        struct str tail = STR_NONE;
        (void)str_cut(line, ':', &fields[i], &tail);
        line = tail;
    }
    return true;
}

static bool to_id(struct str s, uint32_t *out)
{
    uint64_t v;
    bool ok = str_to_u64(s, UINT32_MAX - 1, &v);
    *out = ok ? (uint32_t)v : 0;
    return ok;
}

static bool has_member(struct str members, struct str name)
{
    struct str one;
    while (members.n) {
        (void)str_cut(members, ',', &one, &members);
        if (str_eq(str_trim(one), name))
            return true;
    }
    return false;
}

static void find_groups(struct arena *a, struct user *u)
{
    struct str rest = read_file(a, "/etc/group"), f[4];
    uint32_t gid;
    u->groups[u->group_count++] = u->gid;
    while (u->group_count < USER_GROUPS && next_line(&rest, f, 4))
        if (to_id(f[2], &gid) && gid != u->gid && has_member(f[3], u->name))
            u->groups[u->group_count++] = gid;
}

static struct str keep(struct arena *a, struct str s)
{
    char *p = memchr(s.p ? s.p : "", 0, s.n) ? NULL : arena_str(a, s);
    return str_make(p, p ? s.n : 0);
}

int user_find(struct arena *a, struct str name, struct user *out)
{
    struct str rest = read_file(a, "/etc/passwd"), f[7];
    *out = (struct user){ 0 };
    while (name.n && next_line(&rest, f, 7)) {
        if (!str_eq(f[0], name) || !to_id(f[2], &out->uid) || !to_id(f[3], &out->gid))
            continue;
        out->name = keep(a, f[0]);
        out->home = keep(a, f[5].n && f[5].p[0] == '/' ? f[5] : STR("/"));
        out->shell = keep(a, f[6].n ? f[6] : STR("/bin/sh"));
        if (!out->name.p || !out->home.p || !out->shell.p)
            return -ENOMEM;
        find_groups(a, out);
        return USER_FOUND;
    }
    if (!str_eq(name, STR("root")))
        return USER_UNKNOWN;
    /* images without /etc/passwd have a root all the same */
    *out = (struct user){ .name = STR("root"), .home = STR("/root"), .shell = STR("/bin/sh") };
    out->group_count = 1;
    return USER_FOUND;
}

/* -- names of ids -- */

void user_names_init(struct user_names *n, struct arena *a)
{
    *n = (struct user_names){ .mem = a };
    n->passwd = read_file(a, "/etc/passwd");
    n->group = read_file(a, "/etc/group");
}

static struct str name_of(struct user_names *n, int which, struct str rest, uint32_t id)
{
    struct str f[3];
    uint32_t got;
    if (n->last[which].name.p && n->last[which].id == id)
        return n->last[which].name;
    struct str name = STR_NONE;
    while (!name.p && next_line(&rest, f, 3))
        if (to_id(f[2], &got) && got == id && f[0].n)
            name = keep(n->mem, f[0]);
    if (!name.p) {
        char *p = arena_printf(n->mem, "%u", id);
        name = str_of(p);
    }
    n->last[which].id = id;
    n->last[which].name = name;
    return name;
}

struct str user_names_user(struct user_names *n, uid_t uid)
{
    return name_of(n, 0, n->passwd, uid);
}
struct str user_names_group(struct user_names *n, gid_t gid)
{
    return name_of(n, 1, n->group, gid);
}
