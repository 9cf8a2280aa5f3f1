/* PUT /archive?path=&username=: a tar stream, gzip or not, becomes a tree below the path, which
 * belongs to the user (archive/archive.h says how a hostile one is confined). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "agent/files.h"
#include "agent/gunzip.h"
#include "agent/tree.h"
#include "agent/watch.h"
#include "archive/archive.h"

struct archive {
    struct agent *agent;
    struct http_call *http;
    struct arena mem;
    struct files_query query;
    struct gunzip *gunzip;
    struct archive_writer writer;
    bool answered;
};

static void archive_free(struct archive *a)
{
    gunzip_free(a->gunzip);
    archive_writer_deinit(&a->writer);
    arena_deinit(&a->mem);
    free(a);
}

static bool fail(struct archive *a, int err, const char *what, struct str path)
{
    a->answered = true;
    files_fail_errno(a->http, err, what, path);
    return false;
}

static bool take(void *data, struct str piece)
{
    struct archive *a = data;
    struct str path;
    int r = archive_writer_take(&a->writer, piece);
    path = a->writer.tar.entry.path;
    if (r == ARCHIVE_DONE)
        return true;
    if (r == ARCHIVE_TOO_MANY)
        return fail(a, EFBIG, "too many entries at", path);
    if (r < 0)
        return fail(a, -r, "error unpacking", path);
    a->answered = true;
    if (r == ARCHIVE_OUTSIDE)
        rest_fail(a->http, 400, "error unpacking '" STR_FMT "': a link leads outside",
                  STR_ARG(path));
    else
        rest_fail(a->http, 400, "malformed tar header");
    return false;
}

static void on_body(struct http_call *c, struct str piece)
{
    struct archive *a = c->data;
    bool ok = a->gunzip ? gunzip_step(a->gunzip, piece, take, a) : take(a, piece);
    if (!ok && !a->answered) {
        a->answered = true;
        rest_fail(c, 400, "the body is not gzip");
    }
    if (a->answered)
        archive_free(a);
}

static void on_end(struct http_call *c)
{
    struct archive *a = c->data;
    if (!archive_writer_is_done(&a->writer))
        rest_fail(c, 400, "the tar stream ends before its end marker");
    else
        http_reply(c, 204, NULL, NULL, STR(""));
    archive_free(a);
}

static void on_gone(struct http_call *c) { archive_free(c->data); }

static bool begin(struct archive *a)
{
    struct str path, coding = str_trim(http_field(&a->http->head, "content-encoding"));
    if (!files_query(a->agent, a->http, "write", &a->mem, &a->query) ||
        !files_path(a->agent, a->http, &a->mem, &a->query.user, a->query.path, &path))
        return false;
    if (str_ieq(coding, STR("gzip"))) {
        a->gunzip = gunzip_new();
    } else if (coding.n && !str_ieq(coding, STR("identity"))) {
        rest_fail(a->http, 400, "unsupported content encoding: " STR_FMT, STR_ARG(coding));
        return false;
    }
    int r = tree_make(path, &a->query.user);
    int root = r < 0 ? -1 : open(path.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return fail(a, r < 0 ? -r : errno, "error unpacking to", path);
    const struct archive_owner owner = { a->query.user.uid, a->query.user.gid };
    archive_writer_deinit(&a->writer);
    archive_writer_init(&a->writer, root, &owner, 0);
    watch_pump_all(a->agent);
    return true;
}

void rest_archive_put(struct agent *agent, struct http_call *c)
{
    static const struct http_call_ops ops = { .on_body = on_body,
                                              .on_end = on_end,
                                              .on_gone = on_gone };
    struct archive *a = calloc(1, sizeof *a);
    if (!a) {
        rest_fail(c, 503, "out of memory");
        return;
    }
    a->agent = agent;
    a->http = c;
    arena_init(&a->mem, 0);
    archive_writer_init(&a->writer, -1, NULL, 0);
    if (begin(a)) {
        c->data = a;
        c->ops = &ops;
    } else {
        archive_free(a);
    }
}
