#include <stdio.h>

#include "base/cleanup.h"
#include "client/client_answer.h"
#include "client/client_internal.h"
#include "gen/limits.h"
#include "wire/json.h"
#include "wire/uri.h"

int belljar_set_user(struct belljar_sandbox *s, const char *user)
{
    char *copy = user ? str_dup(str_of(user)) : NULL;
    if (user && !copy)
        return client_no_memory(s->b);
    free(s->user);
    s->user = copy;
    return 0;
}

/* -- contents -- */

/* A call to /files or /archive for `path`. client_call_deinit is due whatever it returned. */
static int open_path(struct client_call *c, struct belljar_sandbox *s, const char *method,
                     const char *route, const char *path)
{
    struct buf url;
    *c = (struct client_call){ .b = s->b, .in_fd = -1, .out_fd = -1 };
    int rc = client_need(s->b, path, "the path");
    if (rc)
        return rc;
    buf_init(&url, 0);
    (void)buf_printf(&url, "%s?path=", route);
    uri_encode(&url, str_of(path));
    if (s->user) {
        (void)buf_append(&url, STR("&username="));
        uri_encode(&url, str_of(s->user));
    }
    const char *text = url.failed ? NULL : buf_cstr(&url);
    rc = text ? client_sandbox_call(c, s, method, CLIENT_PORT_ENVD, text) : client_no_memory(s->b);
    buf_deinit(&url);
    return rc;
}

static int finish(struct client_call *c)
{
    int rc = client_call_finish(c);
    if (!rc && (c->status < 200 || c->status >= 300))
        rc = client_call_refused(c);
    return rc;
}

char *belljar_read(struct belljar_sandbox *s, const char *path, size_t size_max, size_t *size)
{
    struct client_call c;
    char *out = NULL;
    int rc = open_path(&c, s, "GET", "/files", path);
    c.in_max = size_max ? size_max : LIMIT_CLIENT_READ_SIZE;
    if (!rc)
        rc = client_call_start(&c, NULL, STR_NONE);
    if (!rc)
        rc = finish(&c);
    if (!rc && !buf_cstr(&c.in))
        rc = client_no_memory(s->b);
    if (!rc) {
        if (size)
            *size = buf_used(&c.in);
        out = TAKE_PTR(c.in.p); /* nothing was consumed */
    }
    if (c.is_too_long)
        (void)client_fail(s->b, EFBIG, "%s has more than %zu bytes", path, c.in_max);
    client_call_deinit(&c);
    if (rc)
        (void)client_sandbox_broken(s, rc);
    return out;
}

static int send_file(struct belljar_sandbox *s, const char *method, const char *route,
                     const char *type, const char *path, struct str bytes, int fd)
{
    struct client_call c;
    int rc = open_path(&c, s, method, route, path);
    c.in_fd = fd;
    if (!rc)
        rc = client_call_start(&c, type, bytes);
    if (!rc)
        rc = finish(&c);
    client_call_deinit(&c);
    return client_sandbox_broken(s, rc);
}

int belljar_write(struct belljar_sandbox *s, const char *path, const void *bytes, size_t size)
{
    int rc = size ? client_need(s->b, bytes, "what is written") : 0;
    return rc ? rc
              : send_file(s, "POST", "/files", "application/octet-stream", path,
                          str_make(size ? bytes : "", size), -1);
}

static int bad_fd(struct belljar_sandbox *s)
{
    s->b->status = 0;
    return client_fail(s->b, EBADF, "the file is not open");
}

int belljar_upload(struct belljar_sandbox *s, const char *path, int fd)
{
    if (fd < 0)
        return bad_fd(s);
    return send_file(s, "POST", "/files", "application/octet-stream", path, STR_NONE, fd);
}

int belljar_upload_tar(struct belljar_sandbox *s, const char *path, int fd)
{
    if (fd < 0)
        return bad_fd(s);
    return send_file(s, "PUT", "/archive", "application/x-tar", path, STR_NONE, fd);
}

static int receive(struct belljar_sandbox *s, const char *route, const char *path, int fd)
{
    struct client_call c;
    if (fd < 0)
        return bad_fd(s);
    int rc = open_path(&c, s, "GET", route, path);
    c.out_fd = fd;
    if (!rc)
        rc = client_call_start(&c, NULL, STR_NONE);
    if (!rc)
        rc = finish(&c);
    client_call_deinit(&c);
    return client_sandbox_broken(s, rc);
}

int belljar_download(struct belljar_sandbox *s, const char *path, int fd)
{
    return receive(s, "/files", path, fd);
}

int belljar_download_tar(struct belljar_sandbox *s, const char *path, int fd)
{
    return receive(s, "/archive", path, fd);
}

/* -- what is known of them -- */

/* One call of filesystem.Filesystem about a path. */
static int ask(struct belljar_sandbox *s, const char *method, json_t *body, json_t **answer)
{
    char name[64];
    (void)snprintf(name, sizeof name, "filesystem.Filesystem/%s", method);
    return client_rpc(s, name, s->user, body, answer);
}

static int take_file(struct belljar *b, const json_t *entry, struct belljar_file *out)
{
    int rc = client_answer_file(entry, out);
    if (rc == -ENOMEM)
        return client_no_memory(b);
    return rc ? client_fail(b, EPROTO, "the sandbox describes a file that cannot be") : 0;
}

int belljar_stat(struct belljar_sandbox *s, const char *path, struct belljar_file *out)
{
    json_t *answer = NULL;
    *out = (struct belljar_file){ 0 };
    int rc = client_need(s->b, path, "the path");
    if (!rc)
        rc = ask(s, "Stat", json_pack("{s:s}", "path", path), &answer);
    if (!rc)
        rc = take_file(s->b, json_object_get(answer, "entry"), out);
    json_decref(answer);
    if (rc)
        belljar_file_free(out);
    return rc;
}

void belljar_files_free(struct belljar_file *files, size_t count)
{
    for (size_t i = 0; files && i < count; i++)
        belljar_file_free(&files[i]);
    free(files);
}

int belljar_list(struct belljar_sandbox *s, const char *path, int depth, struct belljar_file **out,
                 size_t *count)
{
    json_t *answer = NULL;
    *out = NULL;
    *count = 0;
    int rc = client_need(s->b, path, "the path");
    if (!rc)
        rc = ask(s, "ListDir", json_pack("{s:s, s:i}", "path", path, "depth", depth), &answer);
    json_t *entries = json_object_get(answer, "entries");
    size_t n = json_array_size(entries);
    if (!rc && (!json_is_object(answer) || (entries && !json_is_array(entries))))
        rc = client_fail(s->b, EPROTO, "the sandbox's answer is no list of files");
    struct belljar_file *files = rc ? NULL : calloc(n + 1, sizeof *files);
    if (!rc && !files)
        rc = client_no_memory(s->b);
    for (size_t i = 0; !rc && i < n; i++)
        rc = take_file(s->b, json_array_get(entries, i), &files[i]);
    json_decref(answer);
    if (rc) {
        belljar_files_free(files, n);
        return rc;
    }
    *out = files;
    *count = n;
    return 0;
}

int belljar_mkdir(struct belljar_sandbox *s, const char *path)
{
    int rc = client_need(s->b, path, "the path");
    if (!rc)
        rc = ask(s, "MakeDir", json_pack("{s:s}", "path", path), NULL);
    return rc == -EEXIST ? 0 : rc; /* a file there is another error */
}

int belljar_rename(struct belljar_sandbox *s, const char *from, const char *to)
{
    int rc = client_need(s->b, from, "the path");
    if (!rc)
        rc = client_need(s->b, to, "the new path");
    return rc ? rc
              : ask(s, "Move", json_pack("{s:s, s:s}", "source", from, "destination", to), NULL);
}

int belljar_remove(struct belljar_sandbox *s, const char *path)
{
    int rc = client_need(s->b, path, "the path");
    return rc ? rc : ask(s, "Remove", json_pack("{s:s}", "path", path), NULL);
}
