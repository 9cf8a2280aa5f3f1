#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "agent/agent.h"
#include "agent/entry.h"
#include "agent/filesystem_rpc.h"
#include "agent/path.h"
#include "agent/schema.h"
#include "agent/watch.h"
#include "base/rand.h"
#include "gen/limits.h"

#define ID_SIZE 20
#define OVERFLOW_TEXT "watcher error: queue or buffer overflow, events were lost"

/* -- what both kinds check -- */

static bool is_network(const char *path)
{
    static const unsigned long magics[] = { 0x6969, 0xff534d42, 0x517b, 0xfe534d42, 0x65735546 };
    struct statfs fs;
    if (statfs(path, &fs) < 0)
        return false;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if ((unsigned long)fs.f_type == magics[i])
            return true;
    return false;
}

/* The directory to watch. False: the call was failed. */
static bool take_path(struct rpc_call *c, const struct schema_watch *req, struct str *path)
{
    struct user user;
    struct stat st;
    if (!rpc_user(c, &user) || !rpc_path(c, &user, req->path, path))
        return false;
    if (stat(path->p, &st) < 0)
        rpc_fail(c, errno == ENOENT || errno == ENOTDIR ? CONNECT_NOT_FOUND : CONNECT_INTERNAL,
                 "path " STR_FMT " not found: %s", STR_ARG(*path), strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        rpc_fail(c, CONNECT_INVALID_ARGUMENT, "path " STR_FMT " is not a directory",
                 STR_ARG(*path));
    else if (!req->allow_network && is_network(path->p))
        rpc_fail(c, CONNECT_INVALID_ARGUMENT, "cannot watch path on network filesystem: " STR_FMT,
                 STR_ARG(*path));
    else
        return true;
    return false;
}

static void fail_new(struct rpc_call *c, int r)
{
    bool full = r == -EMFILE || r == -ENFILE || r == -ENOSPC || r == -ENOMEM;
    rpc_fail(c, full ? CONNECT_RESOURCE_EXHAUSTED : CONNECT_INTERNAL, "error creating watcher: %s",
             r == -EMFILE ? "too many watchers" : strerror(-r));
}

/* The event as a message; the entry is best effort. */
static void fill_event(struct arena *a, struct str root, struct str name, int32_t type,
                       bool with_entry, struct schema_fs_event *out)
{
    *out = (struct schema_fs_event){ .name = name, .type = type };
    if (!with_entry ||
        (type != SCHEMA_EVENT_CREATE && type != SCHEMA_EVENT_WRITE && type != SCHEMA_EVENT_CHMOD))
        return;
    struct user_names names;
    struct schema_entry *entry = arena_alloc(a, sizeof *entry);
    struct str path = str_eq(name, STR(".")) ? root : path_join(a, root, name);
    if (!entry || !path.p)
        return;
    user_names_init(&names, a);
    if (entry_fill(&names, path, entry) == 0)
        out->entry = entry;
}

/* -- WatchDir: a stream -- */

struct stream {
    struct rpc_call *call;
    struct watch *watch;
    struct str path;
    bool with_entry;
};

static void stream_event(void *data, struct str name, enum schema_event_type type)
{
    struct stream *s = data;
    struct arena mem;
    struct schema_fs_event event;
    struct schema_watch_reply reply = { .filesystem = &event };
    arena_init(&mem, 0);
    fill_event(&mem, s->path, name, (int32_t)type, s->with_entry, &event);
    if (!rpc_send(s->call, &schema_watch_reply_spec, &reply))
        watch_pause(s->watch, true); /* the kernel queues some more, and tells when it is full */
    arena_deinit(&mem);
}

static void stream_ready(void *data)
{
    struct stream *s = data;
    if (s->call->slow || watch_pump(s->watch) == WATCH_DRAINED)
        return;
    watch_free(s->watch);
    rpc_fail(s->call, CONNECT_RESOURCE_EXHAUSTED, OVERFLOW_TEXT);
}

static void stream_gone(struct rpc_call *c) { watch_free(((struct stream *)c->data)->watch); }

static void stream_drain(struct rpc_call *c)
{
    struct stream *s = c->data;
    watch_pause(s->watch, false);
    stream_ready(s);
}

static void stream_keepalive(struct rpc_call *c)
{
    struct schema_empty nothing;
    struct schema_watch_reply reply = { .keepalive = &nothing };
    (void)rpc_send(c, &schema_watch_reply_spec, &reply);
}

void watch_rpc_watch_dir(struct rpc_call *c)
{
    static const struct rpc_ops ops = { .on_gone = stream_gone,
                                        .on_drain = stream_drain,
                                        .on_keepalive = stream_keepalive };
    const struct schema_watch *req = c->request;
    struct schema_empty nothing;
    struct schema_watch_reply start = { .start = &nothing };
    struct str path;
    if (!take_path(c, req, &path))
        return;
    struct stream *s = arena_alloc(&c->mem, sizeof *s); /* goes with the call */
    int r = s ? 0 : -ENOMEM;
    if (s) {
        *s = (struct stream){ .call = c, .path = path, .with_entry = req->include_entry };
        struct watch_spec spec = { .agent = c->agent,
                                   .path = path,
                                   .recursive = req->recursive,
                                   .on_event = stream_event,
                                   .on_ready = stream_ready,
                                   .data = s };
        r = watch_new(&spec, &s->watch);
    }
    if (r < 0) {
        fail_new(c, r);
        return;
    }
    c->data = s;
    c->ops = &ops;
    (void)rpc_send(c, &schema_watch_reply_spec, &start);
}

/* -- CreateWatcher: asked for its events -- */

struct event {
    struct list link;
    int32_t type;
    struct str name; /* behind the struct */
};

struct watcher {
    struct list link; /* agent.watchers */
    struct watch *watch;
    char id[ID_SIZE + 2];
    struct str path; /* owned */
    bool with_entry, overflow;
    struct list events;
    uint32_t count;
};

static void watcher_event(void *data, struct str name, enum schema_event_type type)
{
    struct watcher *w = data;
    struct event *e = w->count < LIMIT_WATCH_EVENTS ? malloc(sizeof *e + name.n + 1) : NULL;
    if (!e) {
        w->overflow = true;
        return;
    }
    char *copy = (char *)(e + 1);
    memcpy(copy, name.p, name.n);
    copy[name.n] = 0;
    *e = (struct event){ .type = (int32_t)type, .name = str_make(copy, name.n) };
    list_push(&w->events, &e->link);
    w->count++;
}

static void watcher_ready(void *data)
{
    struct watcher *w = data;
    if (watch_pump(w->watch) == WATCH_OVERFLOW)
        w->overflow = true;
    if (w->count >= LIMIT_WATCH_EVENTS)
        watch_pause(w->watch, true);
}

static void events_drop(struct watcher *w)
{
    LIST_EACH_SAFE(it, &w->events) {
        list_remove(it);
        free(LIST_OF(it, struct event, link));
    }
    w->count = 0;
}

static void watcher_free(struct watcher *w)
{
    watch_free(w->watch);
    events_drop(w);
    list_remove(&w->link);
    free((char *)(uintptr_t)w->path.p);
    free(w);
}

void watch_rpc_create(struct rpc_call *c)
{
    const struct schema_watch *req = c->request;
    struct str path;
    if (!take_path(c, req, &path))
        return;
    struct watcher *w = calloc(1, sizeof *w);
    char *copy = str_dup(path);
    if (!w || !copy) {
        free(w);
        free(copy);
        fail_new(c, -ENOMEM);
        return;
    }
    *w = (struct watcher){ .path = str_make(copy, path.n), .with_entry = req->include_entry };
    list_init(&w->link);
    list_init(&w->events);
    w->id[0] = 'w';
    rand_id(w->id + 1, ID_SIZE);
    struct watch_spec spec = { .agent = c->agent,
                               .path = path,
                               .recursive = req->recursive,
                               .on_event = watcher_event,
                               .on_ready = watcher_ready,
                               .data = w };
    int r = watch_new(&spec, &w->watch);
    if (r < 0) {
        watcher_free(w);
        fail_new(c, r);
        return;
    }
    list_push(&c->agent->watchers, &w->link);
    struct schema_watcher reply = { str_of(w->id) };
    rpc_reply(c, &schema_watcher_spec, &reply);
}

/* NULL: the call was failed. */
static struct watcher *find(struct rpc_call *c)
{
    const struct schema_watcher *req = c->request;
    LIST_EACH(it, &c->agent->watchers) {
        struct watcher *w = LIST_OF(it, struct watcher, link);
        if (str_eq(str_of(w->id), req->watcher_id))
            return w;
    }
    rpc_fail(c, CONNECT_NOT_FOUND, "watcher with id " STR_FMT " not found",
             STR_ARG(req->watcher_id));
    return NULL;
}

void watch_rpc_events(struct rpc_call *c)
{
    struct watcher *w = find(c);
    if (!w)
        return;
    watcher_ready(w); /* what happened before this request is in its answer */
    struct schema_fs_event *at = arena_alloc(&c->mem, w->count * sizeof *at);
    if (!at || w->overflow) {
        w->overflow = false;
        events_drop(w);
        watch_pause(w->watch, false);
        rpc_fail(c, CONNECT_RESOURCE_EXHAUSTED, OVERFLOW_TEXT);
        return;
    }
    uint32_t n = 0;
    LIST_EACH(it, &w->events) {
        struct event *e = LIST_OF(it, struct event, link);
        fill_event(&c->mem, w->path, e->name, e->type, w->with_entry, &at[n++]);
    }
    struct schema_watcher_events reply = { { at, n } };
    rpc_reply(c, &schema_watcher_events_spec, &reply);
    events_drop(w);
    watch_pause(w->watch, false);
}

void watch_rpc_remove(struct rpc_call *c)
{
    struct watcher *w = find(c);
    if (!w)
        return;
    watcher_free(w);
    rpc_reply(c, &schema_empty_spec, &(struct schema_empty){ 0 });
}
