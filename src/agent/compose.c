/* POST /files/compose: several files become one, in order (core.md 4.2). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/entry.h"
#include "agent/files.h"
#include "agent/path.h"
#include "agent/schema.h"
#include "agent/tree.h"
#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/rand.h"
#include "gen/limits.h"

#define COPY_SIZE (8u << 20) /* of one copy_file_range(2) */

struct compose {
    struct http_call *http;
    struct agent *agent;
    struct worker *worker;
    struct arena mem;
    const struct schema_compose *req;
    struct user user;
    struct str *sources;
    struct str destination, temporary;
    int64_t size; /* of all sources */
};

static void compose_free(struct compose *c)
{
    worker_forget(c->worker);
    arena_deinit(&c->mem);
    free(c);
}

/* copy_file_range where the file systems can, else through memory. 0 or a negative errno. */
static int append(int to, int from)
{
    char bytes[16384];
    for (;;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, COPY_SIZE, 0);
        if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS))
            break;
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
    ssize_t n;
    while ((n = read(from, bytes, sizeof bytes)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || write(to, bytes, (size_t)n) != n)
            return n < 0 || errno ? -errno : -ENOSPC;
    }
    return 0;
}

/* All paths made absolute and looked at before anything is written. False: answered. */
static bool check(struct compose *c)
{
    const struct str *given = c->req->sources.at;
    struct stat st;
    c->sources = arena_alloc(&c->mem, c->req->sources.count * sizeof *c->sources);
    if (!c->sources) {
        rest_fail(c->http, 503, "out of memory");
        return false;
    }
    if (!files_path(c->agent, c->http, &c->mem, &c->user, c->req->destination, &c->destination))
        return false;
    for (uint32_t i = 0; i < c->req->sources.count; i++) {
        struct str *s = &c->sources[i];
        if (!files_path(c->agent, c->http, &c->mem, &c->user, given[i], s))
            return false;
        if (str_eq(*s, c->destination))
            rest_fail(c->http, 400, "source and destination are the same: " STR_FMT, STR_ARG(*s));
        else if (stat(s->p, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
            rest_fail(c->http, 404, "source file not found: " STR_FMT, STR_ARG(*s));
        else if (stat(s->p, &st) < 0)
            files_fail_errno(c->http, errno, "error reading", *s);
        else if (!S_ISREG(st.st_mode))
            rest_fail(c->http, 400, "source is not a regular file: " STR_FMT, STR_ARG(*s));
        else {
            c->size += st.st_size;
            continue;
        }
        return false;
    }
    return true;
}

static int write_all_sources(struct compose *c, int to)
{
    if (fchown(to, c->user.uid, c->user.gid) < 0)
        return -errno;
    for (uint32_t i = 0; i < c->req->sources.count; i++) {
        CLEANUP(fd_closep) int from = open(c->sources[i].p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        int r = from < 0 ? -errno : append(to, from);
        if (r < 0)
            return r;
    }
    return rename(c->temporary.p, c->destination.p) < 0 ? -errno : 0;
}

/* Beside the destination, so that the last step is one rename. */
static int build(struct compose *c)
{
    char id[17];
    char *parent = arena_str(&c->mem, path_parent(c->destination));
    rand_id(id, 16);
    char *name = arena_printf(&c->mem, ".compose-%s", id);
    if (!parent || !name)
        return -ENOMEM;
    c->temporary = path_join(&c->mem, str_of(parent), str_of(name));
    int r = c->temporary.p ? tree_make(str_of(parent), &c->user) : -ENOMEM;
    if (r < 0)
        return r;
    CLEANUP(fd_closep) int to = open(c->temporary.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    r = to < 0 ? -errno : write_all_sources(c, to);
    if (r < 0 && to >= 0)
        (void)unlink(c->temporary.p);
    return r;
}

static int job(void *data, struct buf *out)
{
    struct compose *c = data;
    (void)out;
    int r = build(c);
    for (uint32_t i = 0; r == 0 && i < c->req->sources.count; i++)
        (void)unlink(c->sources[i].p);
    return r;
}

/* Answers and frees. */
static void finish(struct compose *c, int r)
{
    struct user_names names;
    struct schema_entry entry;
    struct buf b;
    user_names_init(&names, &c->mem);
    r = r ? r : entry_fill(&names, c->destination, &entry);
    if (r < 0) {
        files_fail_errno(c->http, -r, "error writing", c->destination);
    } else {
        buf_init(&b, 0);
        message_put(&schema_entry_spec, MESSAGE_JSON, &entry, &b);
        rest_reply(c->http, 200, buf_str(&b));
        buf_deinit(&b);
    }
    compose_free(c);
}

static void on_result(void *data, int r, int64_t size)
{
    struct compose *c = data;
    (void)size;
    c->worker = NULL;
    finish(c, r);
}

static void on_gone(struct http_call *http) { compose_free(http->data); }

static void run(struct compose *c)
{
    static const struct http_call_ops waiting = { .on_gone = on_gone };
    struct worker_spec spec = { .agent = c->agent, .job = job, .on_result = on_result, .data = c };
    if (!check(c)) {
        compose_free(c);
    } else if (c->size > LIMIT_AGENT_TURN_SIZE && worker_start(&spec, &c->worker) == 0) {
        c->http->data = c;
        c->http->ops = &waiting;
    } else {
        finish(c, job(c, NULL));
    }
}

/* False: answered. */
static bool take(struct compose *c, struct str body)
{
    void *req = NULL;
    char why[160];
    if (!message_parse(&schema_compose_spec, MESSAGE_JSON, body, &c->mem, &req, why)) {
        rest_fail(c->http, 400, "invalid request body: %s", why);
        return false;
    }
    c->req = req;
    struct str name = c->req->username.n ? c->req->username : c->agent->identity.user;
    if (c->req->sources.count == 0)
        rest_fail(c->http, 400, "source_paths must not be empty");
    else if (c->req->destination.n == 0)
        rest_fail(c->http, 400, "destination is required");
    else if (user_find(&c->mem, name.n ? name : STR("root"), &c->user) != USER_FOUND)
        rest_fail(c->http, 401, "error looking up user '" STR_FMT "': user: unknown user " STR_FMT,
                  STR_ARG(name), STR_ARG(name));
    else
        return true;
    return false;
}

static void on_body(struct http_call *http, struct str body)
{
    struct compose *c = calloc(1, sizeof *c);
    if (!c) {
        rest_fail(http, 503, "out of memory");
        return;
    }
    c->http = http;
    c->agent = http->data;
    arena_init(&c->mem, 0);
    if (take(c, body))
        run(c);
    else
        compose_free(c);
}

void rest_files_compose(struct agent *a, struct http_call *c)
{
    c->data = a;
    http_call_collect(c, LIMIT_RPC_MESSAGE_SIZE, on_body, NULL);
}
