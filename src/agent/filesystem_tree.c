/* ListDir and Remove: at once when there is little to do, else by a worker. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/agent.h"
#include "agent/filesystem_rpc.h"
#include "agent/schema.h"
#include "agent/tree.h"
#include "agent/worker.h"
#include "gen/limits.h"

/* In the memory of the call, and so gone with it. */
struct work {
    struct rpc_call *call;
    struct str path;
    uint32_t depth;
    struct worker *worker;
};

static void work_gone(struct rpc_call *c) { worker_forget(((struct work *)c->data)->worker); }

static void work_drain(struct rpc_call *c) { worker_resume(((struct work *)c->data)->worker); }

static void work_deadline(struct rpc_call *c)
{
    if (c->http->is_replying)
        return; /* the answer is on its way */
    work_gone(c);
    rpc_fail(c, CONNECT_DEADLINE_EXCEEDED, "context deadline exceeded");
}

/* False: no worker can be had, and nothing has happened. */
static bool work_start(struct rpc_call *c, const struct work *what, const struct worker_spec *kind)
{
    static const struct rpc_ops ops = { .on_gone = work_gone,
                                        .on_drain = work_drain,
                                        .on_deadline = work_deadline };
    struct work *w = arena_alloc(&c->mem, sizeof *w);
    struct worker_spec spec = *kind;
    if (!w)
        return false;
    *w = *what;
    spec.agent = c->agent;
    spec.data = w;
    if (worker_start(&spec, &w->worker) < 0)
        return false;
    c->data = w;
    c->ops = &ops;
    return true;
}

static void fail(struct rpc_call *c, int r, const char *what, struct str path)
{
    if (r == -ECHILD)
        rpc_fail(c, CONNECT_RESOURCE_EXHAUSTED, "%s " STR_FMT ": killed, perhaps for memory", what,
                 STR_ARG(path));
    else
        filesystem_rpc_fail(c, r, what, path);
}

/* -- list -- */

static void list_reply(struct rpc_call *c, int r, const struct schema_entries_reply *reply,
                       struct str path)
{
    if (r == TREE_DONE)
        rpc_reply(c, &schema_entries_reply_spec, reply);
    else if (r == TREE_TOO_MANY)
        rpc_fail(c, CONNECT_RESOURCE_EXHAUSTED, "more than %d entries", LIMIT_LIST_ENTRIES);
    else
        fail(c, r, "error reading directory", path);
}

static int list_some(struct rpc_call *c, const struct work *w, uint32_t most,
                     struct schema_entries_reply *reply)
{
    struct user_names names;
    user_names_init(&names, &c->mem);
    return tree_list(&names, w->path, w->depth, most, &reply->entries);
}

static int list_job(void *data, struct buf *out)
{
    struct work *w = data;
    struct schema_entries_reply reply;
    int r = list_some(w->call, w, LIMIT_LIST_ENTRIES, &reply);
    if (r == TREE_DONE)
        message_put(&schema_entries_reply_spec, w->call->codec, &reply, out);
    return r;
}

static void list_result(void *data, int r, int64_t size)
{
    static const struct schema_entries_reply empty;
    struct work *w = data;
    w->worker = size ? w->worker : NULL;
    if (r == TREE_DONE && size)
        rpc_reply_begin(w->call, size);
    else
        list_reply(w->call, r, &empty, w->path);
}

static bool list_bytes(void *data, struct str piece)
{
    return rpc_reply_write(((struct work *)data)->call, piece);
}

static void list_end(void *data, bool whole) { rpc_reply_end(((struct work *)data)->call, whole); }

void filesystem_tree_list(struct rpc_call *c)
{
    static const struct worker_spec kind = {
        .job = list_job, .on_result = list_result, .on_bytes = list_bytes, .on_end = list_end
    };
    const struct schema_list_dir *req = c->request;
    struct work w = { .call = c, .depth = req->depth };
    struct user user;
    struct stat st;
    struct schema_entries_reply reply;
    if (!filesystem_rpc_take(c, req->path, &user, &w.path))
        return;
    if (stat(w.path.p, &st) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            rpc_fail(c, CONNECT_NOT_FOUND, "directory not found: " STR_FMT, STR_ARG(w.path));
        else
            fail(c, -errno, "error reading directory", w.path);
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        rpc_fail(c, CONNECT_INVALID_ARGUMENT, "path is not a directory: " STR_FMT, STR_ARG(w.path));
        return;
    }
    int r = list_some(c, &w, LIMIT_AGENT_TURN_ENTRIES, &reply);
    if (r == TREE_TOO_MANY && work_start(c, &w, &kind))
        return;
    if (r == TREE_TOO_MANY)
        r = list_some(c, &w, LIMIT_LIST_ENTRIES, &reply);
    list_reply(c, r, &reply, w.path);
}

/* -- remove -- */

static void remove_reply(struct rpc_call *c, int r, struct str path)
{
    if (r < 0)
        fail(c, r, "error removing", path);
    else
        rpc_reply(c, &schema_empty_spec, &(struct schema_empty){ 0 });
}

static int remove_job(void *data, struct buf *out)
{
    (void)out;
    return tree_remove(((struct work *)data)->path.p, UINT32_MAX);
}

static void remove_result(void *data, int r, int64_t size)
{
    struct work *w = data;
    (void)size;
    w->worker = NULL;
    remove_reply(w->call, r, w->path);
}

void filesystem_tree_remove(struct rpc_call *c)
{
    static const struct worker_spec kind = { .job = remove_job, .on_result = remove_result };
    const struct schema_path *req = c->request;
    struct work w = { .call = c };
    struct user user;
    if (!filesystem_rpc_take(c, req->path, &user, &w.path))
        return;
    int r = tree_remove(w.path.p, LIMIT_AGENT_TURN_ENTRIES);
    if (r == TREE_TOO_MANY && work_start(c, &w, &kind))
        return;
    if (r == TREE_TOO_MANY)
        r = tree_remove(w.path.p, UINT32_MAX);
    remove_reply(c, r, w.path);
}
