#include <errno.h>
#include <stdlib.h>

#include "agent/files.h"
#include "agent/gunzip.h"
#include "agent/path.h"
#include "agent/tree.h"
#include "agent/upload.h"
#include "agent/watch.h"
#include "base/map.h"
#include "gen/limits.h"
#include "wire/connect.h"
#include "wire/multipart.h"

/* One POST /files. The body goes through: gunzip, when it is compressed; multipart, when it is
 * that; the file being written. */
struct post {
    struct agent *agent;
    struct http_call *http;
    struct arena mem;
    struct files_query query;
    struct gunzip *gunzip;
    struct multipart multipart;
    bool is_multipart, answered;
    struct message_list metadata;
    struct upload *upload; /* the file being written, or NULL */
    struct map paths;      /* written already */
    uint32_t parts;
    struct buf results;
};

static void post_free(struct post *p)
{
    upload_cancel(p->upload);
    gunzip_free(p->gunzip);
    multipart_deinit(&p->multipart);
    map_deinit(&p->paths);
    buf_deinit(&p->results);
    arena_deinit(&p->mem);
    free(p);
}

/* After an answer nothing of the body is looked at any more. The caller returns to where it sees
 * `answered`, and frees. */
#define FAIL(p, ...) ((p)->answered = true, rest_fail((p)->http, __VA_ARGS__), false)

static bool fail_errno(struct post *p, int r, const char *what, struct str path)
{
    p->answered = true;
    files_fail_errno(p->http, -r, what, path);
    return false;
}

/* -- one file -- */

static int open_upload(struct post *p, struct str abs)
{
    int r = upload_begin(abs, &p->query.user, &p->metadata, &p->upload);
    if (r != UPLOAD_NO_PARENT)
        return r;
    char *parent = arena_str(&p->mem, path_parent(abs));
    r = parent ? tree_make(str_of(parent), &p->query.user) : -ENOMEM;
    if (r < 0)
        return r;
    watch_pump_all(p->agent); /* the new directories are watched before the file is in them */
    r = upload_begin(abs, &p->query.user, &p->metadata, &p->upload);
    return r == UPLOAD_NO_PARENT ? -ENOENT : r;
}

static bool file_begin(struct post *p, struct str path)
{
    struct str abs;
    if (!files_path(p->agent, p->http, &p->mem, &p->query.user, path, &abs)) {
        p->answered = true;
        return false;
    }
    if (map_get(&p->paths, abs))
        return FAIL(p, 400,
                    "you cannot upload multiple files to the same path '" STR_FMT
                    "', only the first specified file was uploaded",
                    STR_ARG(abs));
    int r = open_upload(p, abs);
    if (r == UPLOAD_IS_DIRECTORY)
        return FAIL(p, 400, "path is a directory: " STR_FMT, STR_ARG(abs));
    if (r == UPLOAD_IS_SPECIAL)
        return FAIL(p, 400, "path is not a regular file: " STR_FMT, STR_ARG(abs));
    if (r < 0)
        return fail_errno(p, r, "error writing", abs);
    if (!map_put(&p->paths, abs, p))
        return fail_errno(p, -ENOMEM, "error writing", abs);
    (void)buf_append(&p->results, p->results.len > 1 ? STR(",{\"path\":") : STR("{\"path\":"));
    connect_string_put(&p->results, abs);
    (void)buf_append(&p->results, STR(",\"name\":"));
    connect_string_put(&p->results, path_name(abs));
    (void)buf_append(&p->results, STR(",\"type\":\"file\""));
    upload_metadata_put(&p->metadata, &p->results);
    (void)buf_byte(&p->results, '}');
    return !p->results.failed || fail_errno(p, -ENOMEM, "error writing", abs);
}

static bool file_data(struct post *p, struct str piece)
{
    int r = upload_write(p->upload, piece);
    return r == 0 || fail_errno(p, r, "error writing", upload_path(p->upload));
}

static bool file_end(struct post *p)
{
    struct upload *u = p->upload;
    p->upload = NULL;
    int r = upload_end(u);
    return r == 0 || fail_errno(p, r, "error writing", STR("file"));
}

/* -- multipart -- */

static bool part_begin(struct post *p)
{
    const struct multipart *m = &p->multipart;
    if (!str_eq(m->name, STR("file")))
        return true; /* other fields are ignored, their data as well: no file is open */
    if (++p->parts > LIMIT_MULTIPART_PARTS)
        return FAIL(p, 400, "more than %d files in one upload", LIMIT_MULTIPART_PARTS);
    if (p->query.has_path)
        return file_begin(p, p->query.path);
    if (!m->filename.n)
        return FAIL(p, 400, "missing filename in the part of the upload, and no path parameter");
    char *name = arena_str(&p->mem, m->filename); /* the view goes away with the next step */
    return name ? file_begin(p, str_make(name, m->filename.n))
                : fail_errno(p, -ENOMEM, "error writing", STR("file"));
}

static bool take_multipart(void *data, struct str piece)
{
    struct post *p = data;
    for (;;) {
        bool ok = true;
        switch (multipart_step(&p->multipart, &piece)) {
        case MULTIPART_MORE:
        case MULTIPART_DONE:
            return true;
        case MULTIPART_PART:
            ok = part_begin(p);
            break;
        case MULTIPART_DATA:
            ok = !p->upload || file_data(p, p->multipart.data);
            break;
        case MULTIPART_PART_END:
            ok = !p->upload || file_end(p);
            break;
        case MULTIPART_BAD:
            return FAIL(p, 400, "error parsing multipart form: malformed part");
        }
        if (!ok)
            return false;
    }
}

static bool take_raw(void *data, struct str piece) { return file_data(data, piece); }

/* -- the body -- */

static void on_body(struct http_call *c, struct str piece)
{
    struct post *p = c->data;
    bool (*take)(void *, struct str) = p->is_multipart ? take_multipart : take_raw;
    bool ok = p->gunzip ? gunzip_step(p->gunzip, piece, take, p) : take(p, piece);
    if (!ok && !p->answered)
        (void)FAIL(p, 400, "the body is not gzip");
    if (p->answered)
        post_free(p);
}

static void on_end(struct http_call *c)
{
    struct post *p = c->data;
    if (p->gunzip && !gunzip_is_whole(p->gunzip))
        (void)FAIL(p, 400, "the body ends in the middle of gzip data");
    else if (p->is_multipart && !multipart_is_done(&p->multipart))
        (void)FAIL(p, 400, "error parsing multipart form: unexpected end");
    else if (!p->is_multipart)
        (void)file_end(p);
    if (!p->answered) {
        (void)buf_byte(&p->results, ']');
        rest_reply(c, 200, buf_str(&p->results));
    }
    post_free(p);
}

static void on_gone(struct http_call *c) { post_free(c->data); }

/* -- the start -- */

static bool take_coding(struct post *p)
{
    struct str coding = str_trim(http_field(&p->http->head, "content-encoding"));
    if (coding.n == 0 || str_ieq(coding, STR("identity")))
        return true;
    if (!str_ieq(coding, STR("gzip")))
        return FAIL(p, 400, "unsupported content encoding: " STR_FMT, STR_ARG(coding));
    p->gunzip = gunzip_new();
    return p->gunzip || fail_errno(p, -ENOMEM, "error reading", STR("body"));
}

static bool post_begin(struct post *p)
{
    struct str value = http_field(&p->http->head, "content-type"), type, rest;
    const char *why = NULL;
    if (!files_query(p->agent, p->http, "write", &p->mem, &p->query)) {
        p->answered = true;
        return false;
    }
    if (!upload_metadata_parse(&p->http->head, &p->mem, &p->metadata, &why))
        return FAIL(p, 400, "%s", why);
    (void)str_cut(value, ';', &type, &rest);
    type = str_trim(type);
    p->is_multipart = str_ieq(type, STR("multipart/form-data"));
    if (!p->is_multipart && !str_ieq(type, STR("application/octet-stream")))
        return FAIL(p, 400, "unsupported content type: " STR_FMT, STR_ARG(value));
    if (!take_coding(p))
        return false;
    if (p->is_multipart)
        return multipart_init(&p->multipart, value) ||
               FAIL(p, 400, "error parsing multipart form: no valid boundary");
    if (!p->query.has_path)
        return FAIL(p, 400, "path query parameter is required for raw body upload");
    return file_begin(p, p->query.path);
}

void rest_files_post(struct agent *a, struct http_call *c)
{
    static const struct http_call_ops ops = { .on_body = on_body,
                                              .on_end = on_end,
                                              .on_gone = on_gone };
    struct post *p = calloc(1, sizeof *p);
    if (!p) {
        rest_fail(c, 503, "out of memory");
        return;
    }
    p->agent = a;
    p->http = c;
    arena_init(&p->mem, 0);
    map_init(&p->paths);
    buf_init(&p->results, 0);
    (void)buf_byte(&p->results, '[');
    c->data = p;
    if (post_begin(p))
        c->ops = &ops;
    else
        post_free(p);
}
