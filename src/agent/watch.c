#include "agent/watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/path.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "gen/limits.h"

#define MASK                                                                                       \
    (IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_ATTRIB | IN_MODIFY | IN_MOVE_SELF | IN_DELETE |  \
     IN_DELETE_SELF | IN_ONLYDIR)

struct dir { /* a watched directory */
    int wd;
    struct str rel; /* below the root; empty: the root. Owned */
};

/* A directory that left its place; where to is told by the other half of the move. */
struct moved {
    uint32_t cookie; /* 0: none */
    char *rel;
};

/* Invariants: 1. `dirs` has every kernel watch, by wd. 2. `told` is empty whenever the kernel's
 * queue was seen empty: an event still to come can only repeat what was told since. */
struct watch {
    struct list link; /* agent.watches */
    struct watch_spec spec;
    int fd;
    struct loop_fd ready;
    struct map dirs;
    struct map
        told; /* names told as created because they were found, not because inotify said so */
    struct moved moved;
    bool overflow;
    int err; /* of a subdirectory that cannot be watched */
};

/* -- watched directories -- */

static struct dir *dir_of(struct watch *w, int wd)
{
    return map_get(&w->dirs, str_make((const char *)&wd, sizeof wd));
}

static void dir_drop(struct watch *w, struct dir *d)
{
    (void)map_remove(&w->dirs, str_make((const char *)&d->wd, sizeof d->wd));
    free((char *)(uintptr_t)d->rel.p);
    free(d);
}

/* Is it `top` or below it? */
static bool is_below(struct str rel, struct str top)
{
    return str_starts(rel, top) && (rel.n == top.n || rel.p[top.n] == '/');
}

/* Gives every directory at or below `from` its new place, or, with to.p NULL, stops watching it. */
static void dirs_move(struct watch *w, struct str from, struct str to)
{
    MAP_EACH(i, &w->dirs) {
        struct dir *d = w->dirs.slots[i].value;
        if (!is_below(d->rel, from))
            continue;
        if (!to.p) { /* IN_IGNORED will drop it */
            (void)inotify_rm_watch(w->fd, d->wd);
            continue;
        }
        struct str rest = str_skip(d->rel, from.n);
        char *p = malloc(to.n + rest.n + 1);
        if (!p)
            continue;
        memcpy(p, to.p, to.n);
        memcpy(p + to.n, rest.p, rest.n);
        p[to.n + rest.n] = 0;
        free((char *)(uintptr_t)d->rel.p);
        d->rel = str_make(p, to.n + rest.n);
    }
}

/* The directory's wd is known; remembers where it is. */
static int dir_keep(struct watch *w, int wd, struct str rel)
{
    struct dir *d = dir_of(w, wd);
    if (d) {
        if (!str_eq(d->rel, rel)) {
            char *old = str_dup(d->rel);
            if (old)
                dirs_move(w, str_of(old), rel);
            free(old);
        }
        return 0;
    }
    d = malloc(sizeof *d);
    char *copy = str_dup(rel);
    if (d)
        *d = (struct dir){ wd, str_make(copy, rel.n) };
    if (d && copy && map_put(&w->dirs, str_make((const char *)&d->wd, sizeof wd), d))
        return 0;
    free(d);
    free(copy);
    (void)inotify_rm_watch(w->fd, wd);
    return -ENOMEM;
}

/* -- telling -- */

static void tell(struct watch *w, struct str name, enum schema_event_type type)
{
    w->spec.on_event(w->spec.data, name.n ? name : STR("."), type);
}

static void told_forget(struct watch *w, struct str name) { free(map_remove(&w->told, name)); }

static void told_clear(struct watch *w)
{
    MAP_EACH(i, &w->told)
        free(w->told.slots[i].value);
    map_deinit(&w->told);
}

static void tell_found(struct watch *w, struct str name)
{
    char *copy = map_get(&w->told, name) ? NULL : str_dup(name);
    if (!copy)
        return;
    if (!map_put(&w->told, str_make(copy, name.n), copy))
        free(copy);
    tell(w, name, SCHEMA_EVENT_CREATE);
}

/* -- adding directories -- */

struct scan { /* a directory still to be added; a list instead of recursion: trees may be deep */
    struct scan *next;
    struct str rel;
};

static bool scan_push(struct arena *mem, struct scan **all, struct str rel)
{
    struct scan *s = arena_alloc(mem, sizeof *s);
    if (!s)
        return false;
    *s = (struct scan){ *all, rel };
    *all = s;
    return true;
}

static void scan_entries(struct watch *w, struct arena *mem, const char *path, struct str rel,
                         bool found, struct scan **all)
{
    CLEANUP(dir_closep) DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        struct str name = str_of(e->d_name);
        if (str_eq(name, STR(".")) || str_eq(name, STR("..")))
            continue;
        if (!found && e->d_type != DT_DIR)
            continue;
        struct str full =
            rel.n ? path_join(mem, rel, name) : str_make(arena_str(mem, name), name.n);
        if (!full.p)
            return;
        if (found)
            tell_found(w, full);
        if (w->spec.recursive && (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN))
            (void)scan_push(mem, all, full);
    }
}

/* Watches `rel` and, when recursive, all below. `found`: the contents are new and are told. */
static int add_tree(struct watch *w, struct str rel, bool found)
{
    struct arena mem;
    struct scan *all = NULL;
    int r = 0;
    arena_init(&mem, 0);
    if (!scan_push(&mem, &all, rel))
        r = -ENOMEM;
    while (all && r == 0) {
        struct scan *s = all;
        all = s->next;
        struct str path = s->rel.n ? path_join(&mem, w->spec.path, s->rel) : w->spec.path;
        /* the path asked for may be a link; those below are not followed */
        uint32_t follow = s->rel.n ? IN_DONT_FOLLOW : 0;
        int wd = path.p ? inotify_add_watch(w->fd, path.p, MASK | follow) : -1;
        if (wd < 0) { /* gone again, or no directory: fine below the root */
            bool gone = s->rel.n &&
                        (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP);
            r = gone ? 0 : -errno;
            continue;
        }
        r = dir_keep(w, wd, s->rel);
        if (r == 0 && w->spec.recursive)
            scan_entries(w, &mem, path.p, s->rel, found, &all);
    }
    arena_deinit(&mem);
    return r;
}

/* -- events -- */

static void finish_move(struct watch *w)
{
    if (w->moved.cookie)
        dirs_move(w, str_of(w->moved.rel), STR_NONE); /* it left the tree */
    free(TAKE_PTR(w->moved.rel));
    w->moved.cookie = 0;
}

/* A directory came or went. */
static void on_directory(struct watch *w, const struct inotify_event *e, struct str name)
{
    int r = 0;
    if (e->mask & IN_MOVED_FROM) {
        finish_move(w);
        w->moved = (struct moved){ e->cookie, str_dup(name) };
        if (!w->moved.rel)
            w->moved.cookie = 0;
    } else if (e->mask & (IN_MOVED_TO | IN_CREATE)) {
        bool was_here = (e->mask & IN_MOVED_TO) && w->moved.cookie && w->moved.cookie == e->cookie;
        if (was_here) {
            dirs_move(w, str_of(w->moved.rel), name);
            free(TAKE_PTR(w->moved.rel));
            w->moved.cookie = 0;
        }
        r = add_tree(w, name, !was_here);
    }
    if (r < 0)
        w->err = r;
}

/* True when the event is the second telling of one thing. */
static bool is_repeated(struct watch *w, const struct inotify_event *e, const struct dir *d,
                        struct str name)
{
    bool of_self = e->len == 0;
    if (of_self && d->rel.n && (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB)))
        return true; /* the parent is watched and says so with the name */
    if ((e->mask & (IN_CREATE | IN_MOVED_TO)) && map_get(&w->told, name))
        return true;
    if (e->mask & (IN_DELETE | IN_MOVED_FROM))
        told_forget(w, name);
    return false;
}

static void on_inotify(struct watch *w, const struct inotify_event *e, struct arena *mem)
{
    static const struct {
        uint32_t mask;
        enum schema_event_type type;
    } rows[] = {
        { IN_CREATE | IN_MOVED_TO, SCHEMA_EVENT_CREATE },
        { IN_MOVED_FROM | IN_MOVE_SELF, SCHEMA_EVENT_RENAME },
        { IN_ATTRIB, SCHEMA_EVENT_CHMOD },
        { IN_MODIFY, SCHEMA_EVENT_WRITE },
        { IN_DELETE | IN_DELETE_SELF, SCHEMA_EVENT_REMOVE },
    };
    struct dir *d = dir_of(w, e->wd);
    if (e->mask & IN_Q_OVERFLOW)
        w->overflow = true;
    if (!d)
        return;
    if (e->mask & IN_IGNORED) {
        dir_drop(w, d);
        return;
    }
    struct str name = d->rel, base = str_of(e->name);
    if (e->len)
        name = d->rel.n ? path_join(mem, d->rel, base) : base;
    if ((e->len && !name.p) || is_repeated(w, e, d, name))
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (e->mask & rows[i].mask)
            tell(w, name, rows[i].type);
    if (w->spec.recursive && (e->mask & IN_ISDIR) && e->len)
        on_directory(w, e, name);
}

int watch_pump(struct watch *w)
{
    _Alignas(struct inotify_event) char bytes[16384];
    ssize_t n;
    while ((n = read(w->fd, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR)) {
        struct arena mem;
        arena_init(&mem, 0);
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(bytes + at);
            on_inotify(w, e, &mem);
            at += (ssize_t)(sizeof *e + e->len);
        }
        arena_deinit(&mem);
    }
    finish_move(w);
    told_clear(w);
    bool lost = w->overflow || w->err;
    w->overflow = false;
    w->err = 0;
    return lost ? WATCH_OVERFLOW : WATCH_DRAINED;
}

void watch_pump_all(struct agent *a)
{
    LIST_EACH_SAFE(it, &a->watches) {
        struct watch *w = LIST_OF(it, struct watch, link);
        if (w->spec.recursive && w->ready.loop)
            w->spec.on_ready(w->spec.data);
    }
}

/* -- life -- */

static void on_readable(struct loop_fd *l, uint32_t events)
{
    (void)events;
    struct watch *w = l->data;
    w->spec.on_ready(w->spec.data);
}

void watch_pause(struct watch *w, bool pause)
{
    if (w->ready.loop)
        loop_fd_change(&w->ready, pause ? 0 : EPOLLIN);
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    loop_fd_cancel(&w->ready);
    fd_closep(&w->fd);
    MAP_EACH(i, &w->dirs) {
        struct dir *d = w->dirs.slots[i].value;
        free((char *)(uintptr_t)d->rel.p);
        free(d);
    }
    map_deinit(&w->dirs);
    told_clear(w);
    free(w->moved.rel);
    free((char *)(uintptr_t)w->spec.path.p);
    list_remove(&w->link);
    w->spec.agent->watch_count--;
    free(w);
}

int watch_new(const struct watch_spec *spec, struct watch **out)
{
    if (spec->agent->watch_count >= LIMIT_WATCHERS)
        return -EMFILE;
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (struct watch){ .spec = *spec };
    w->spec.path.p = str_dup(spec->path);
    w->ready = (struct loop_fd){ .fn = on_readable, .data = w };
    list_init(&w->link);
    list_push(&spec->agent->watches, &w->link);
    spec->agent->watch_count++;
    map_init(&w->dirs);
    map_init(&w->told);
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    int r = w->fd < 0 ? -errno : w->spec.path.p ? 0 : -ENOMEM;
    r = r ? r : add_tree(w, STR(""), false);
    r = r ? r : loop_fd_start(spec->agent->loop, &w->ready, w->fd, EPOLLIN);
    if (r < 0) {
        watch_free(w);
        return r;
    }
    *out = w;
    return 0;
}
