/* GET /archive?path=&username=: a directory and all below it as one tar stream. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/files.h"
#include "archive/archive.h"
#include "base/log.h"

struct archive {
    struct http_call *http;
    struct arena mem;
    struct buf out;
    struct archive_reader reader;
};

static void archive_free(struct archive *a)
{
    archive_reader_deinit(&a->reader);
    buf_deinit(&a->out);
    arena_deinit(&a->mem);
    free(a);
}

static void pump(struct http_call *c)
{
    struct archive *a = c->data;
    for (bool go = true, more = true; go;) {
        more = archive_reader_step(&a->reader, &a->out);
        if (a->out.failed || a->reader.error) {
            if (a->reader.error)
                log_warn("archive broken off: %s: %s", a->reader.name,
                         a->reader.error == -ESTALE ? "it has shrunk" : strerror(-a->reader.error));
            archive_free(a);
            http_call_abort(c);
            return;
        }
        go = http_reply_write(c, buf_str(&a->out));
        buf_reset(&a->out);
        if (!more) {
            archive_free(a);
            http_reply_end(c);
            return;
        }
    }
}

static void on_gone(struct http_call *c) { archive_free(c->data); }

void rest_archive_get(struct agent *agent, struct http_call *c)
{
    static const struct http_call_ops ops = { .on_drain = pump, .on_gone = on_gone };
    struct archive *a = malloc(sizeof *a);
    struct files_query q;
    struct str path;
    if (!a) {
        rest_fail(c, 503, "out of memory");
        return;
    }
    a->http = c;
    arena_init(&a->mem, 0);
    buf_init(&a->out, 0);
    if (!files_query(agent, c, "read", &a->mem, &q) ||
        !files_path(agent, c, &a->mem, &q.user, q.path, &path)) {
        buf_deinit(&a->out);
        arena_deinit(&a->mem);
        free(a);
        return;
    }
    int r = archive_reader_init(&a->reader, path);
    if (r < 0) {
        if (r == -ENOENT)
            rest_fail(c, 404, "path '" STR_FMT "' does not exist", STR_ARG(path));
        else
            files_fail_errno(c, -r, "error reading", path);
        archive_free(a);
        return;
    }
    c->data = a;
    c->ops = &ops;
    http_reply_begin(c, 200, "application/x-tar", NULL, -1);
    pump(c);
}
