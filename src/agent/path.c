#include "agent/path.h"

#include <errno.h>

#include "gen/limits.h"

struct str path_clean(char *path)
{
    size_t out = 0, at = 0;
    while (path[at]) {
        while (path[at] == '/')
            at++;
        size_t n = 0;
        while (path[at + n] && path[at + n] != '/')
            n++;
        if (n == 2 && path[at] == '.' && path[at + 1] == '.') {
            while (out && path[--out] != '/')
                ;
        } else if (n && !(n == 1 && path[at] == '.')) {
            path[out++] = '/';
            memmove(path + out, path + at, n);
            out += n;
        }
        at += n;
    }
    if (out == 0)
        path[out++] = '/';
    path[out] = 0;
    return str_make(path, out);
}

struct str path_join(struct arena *a, struct str dir, struct str name)
{
    bool slash = dir.n && dir.p[dir.n - 1] == '/';
    size_t n = dir.n + !slash + name.n;
    char *p = arena_alloc(a, n + 1);
    if (!p)
        return STR_NONE;
    if (dir.n)
        memcpy(p, dir.p, dir.n);
    if (!slash)
        p[dir.n] = '/';
    if (name.n)
        memcpy(p + dir.n + !slash, name.p, name.n);
    return str_make(p, n);
}

int path_resolve(struct arena *a, struct str path, const struct user *user, struct str workdir,
                 struct str *out)
{
    if (path.n >= LIMIT_PATH_SIZE)
        return PATH_TOO_LONG;
    if (path.n == 0)
        path = workdir.n ? workdir : user->home;
    if (path.p[0] == '~') {
        if (path.n > 1 && path.p[1] != '/')
            return PATH_OTHER_HOME;
        *out = path_join(a, user->home, str_skip(path, 1));
    } else if (path.p[0] == '/') {
        *out = str_make(arena_str(a, path), path.n);
        return out->p ? PATH_DONE : -ENOMEM;
    } else {
        *out = path_join(a, user->home, path);
    }
    if (!out->p)
        return -ENOMEM;
    *out = path_clean((char *)(uintptr_t)out->p);
    return out->n < LIMIT_PATH_SIZE ? PATH_DONE : PATH_TOO_LONG;
}

const char *path_why(int outcome)
{
    return outcome == PATH_OTHER_HOME ? "cannot expand user-specific home dir"
           : outcome == PATH_TOO_LONG ? "path is too long"
                                      : "out of memory";
}

struct str path_name(struct str path)
{
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    size_t at = path.n;
    while (at && path.p[at - 1] != '/')
        at--;
    return at == path.n ? path : str_skip(path, at);
}

struct str path_parent(struct str path)
{
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    while (path.n && path.p[path.n - 1] != '/')
        path.n--;
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    return path.n ? path : STR("/");
}
