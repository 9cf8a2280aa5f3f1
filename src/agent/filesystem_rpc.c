#include "agent/filesystem_rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/entry.h"
#include "agent/path.h"
#include "agent/schema.h"
#include "agent/tree.h"
#include "gen/limits.h"

/* The code of an unexpected errno. */
static enum connect_code code_of(int err)
{
    static const struct {
        int err;
        enum connect_code code;
    } rows[] = {
        { ENOENT, CONNECT_NOT_FOUND },
        { EACCES, CONNECT_PERMISSION_DENIED },
        { EPERM, CONNECT_PERMISSION_DENIED },
        { EROFS, CONNECT_PERMISSION_DENIED },
        { ENOSPC, CONNECT_RESOURCE_EXHAUSTED },
        { EDQUOT, CONNECT_RESOURCE_EXHAUSTED },
        { ENOMEM, CONNECT_RESOURCE_EXHAUSTED },
        { EMFILE, CONNECT_RESOURCE_EXHAUSTED },
        { ELOOP, CONNECT_FAILED_PRECONDITION },
        { ENOTEMPTY, CONNECT_FAILED_PRECONDITION },
        { EBUSY, CONNECT_FAILED_PRECONDITION },
        { ENOTDIR, CONNECT_INVALID_ARGUMENT },
        { EISDIR, CONNECT_INVALID_ARGUMENT },
        { EINVAL, CONNECT_INVALID_ARGUMENT },
        { ENAMETOOLONG, CONNECT_INVALID_ARGUMENT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].err == err)
            return rows[i].code;
    return CONNECT_INTERNAL;
}

void filesystem_rpc_fail(struct rpc_call *c, int r, const char *what, struct str path)
{
    rpc_fail(c, code_of(-r), "%s " STR_FMT ": %s", what, STR_ARG(path), strerror(-r));
}

/* The user and the absolute path of a request. False: the call was failed. */
bool filesystem_rpc_take(struct rpc_call *c, struct str path, struct user *user, struct str *out)
{
    return rpc_user(c, user) && rpc_path(c, user, path, out);
}

static void reply_entry(struct rpc_call *c, struct str path)
{
    struct user_names names;
    struct schema_entry entry;
    struct schema_entry_reply reply = { &entry };
    user_names_init(&names, &c->mem);
    int r = entry_fill(&names, path, &entry);
    if (r == 0)
        rpc_reply(c, &schema_entry_reply_spec, &reply);
    else if (r == -ENOENT || r == -ENOTDIR)
        rpc_fail(c, CONNECT_NOT_FOUND, "file not found: " STR_FMT, STR_ARG(path));
    else
        filesystem_rpc_fail(c, r, "error getting file info", path);
}

static void do_stat(struct rpc_call *c)
{
    const struct schema_path *req = c->request;
    struct user user;
    struct str path;
    if (filesystem_rpc_take(c, req->path, &user, &path))
        reply_entry(c, path);
}

static void do_make_dir(struct rpc_call *c)
{
    const struct schema_path *req = c->request;
    struct user user;
    struct str path;
    struct stat st;
    if (!filesystem_rpc_take(c, req->path, &user, &path))
        return;
    if (stat(path.p, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            rpc_fail(c, CONNECT_ALREADY_EXISTS, "directory already exists: " STR_FMT,
                     STR_ARG(path));
        else
            rpc_fail(c, CONNECT_INVALID_ARGUMENT,
                     "path already exists but it is not a directory: " STR_FMT, STR_ARG(path));
        return;
    }
    int r = tree_make(path, &user);
    if (r < 0)
        filesystem_rpc_fail(c, r, "error creating directory", path);
    else
        reply_entry(c, path);
}

static void do_move(struct rpc_call *c)
{
    const struct schema_move *req = c->request;
    struct user user;
    struct str from, to;
    struct stat st;
    if (!filesystem_rpc_take(c, req->source, &user, &from) ||
        !rpc_path(c, &user, req->destination, &to))
        return;
    if (lstat(from.p, &st) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        rpc_fail(c, CONNECT_NOT_FOUND, "source file not found: " STR_FMT, STR_ARG(from));
        return;
    }
    char *parent = arena_str(&c->mem, path_parent(to));
    int r = parent ? tree_make(str_of(parent), &user) : -ENOMEM;
    if (r < 0) {
        filesystem_rpc_fail(c, r, "error creating directory", path_parent(to));
        return;
    }
    if (rename(from.p, to.p) < 0)
        filesystem_rpc_fail(c, -errno, "error renaming", from);
    else
        reply_entry(c, to);
}

#define METHOD(name, kind, spec, fn)                                                               \
    {                                                                                              \
        "/filesystem.Filesystem/" name, kind, &spec, fn                                            \
    }

const struct rpc_method filesystem_rpc_methods[] = {
    METHOD("Stat", RPC_UNARY, schema_path_spec, do_stat),
    METHOD("MakeDir", RPC_UNARY, schema_path_spec, do_make_dir),
    METHOD("Move", RPC_UNARY, schema_move_spec, do_move),
    METHOD("ListDir", RPC_UNARY, schema_list_dir_spec, filesystem_tree_list),
    METHOD("Remove", RPC_UNARY, schema_path_spec, filesystem_tree_remove),
    METHOD("WatchDir", RPC_SERVER_STREAM, schema_watch_spec, watch_rpc_watch_dir),
    METHOD("CreateWatcher", RPC_UNARY, schema_watch_spec, watch_rpc_create),
    METHOD("GetWatcherEvents", RPC_UNARY, schema_watcher_spec, watch_rpc_events),
    METHOD("RemoveWatcher", RPC_UNARY, schema_watcher_spec, watch_rpc_remove),
    { NULL, RPC_UNARY, NULL, NULL },
};
