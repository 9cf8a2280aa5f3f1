#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/files.h"
#include "agent/media.h"
#include "agent/path.h"
#include "agent/range.h"
#include "base/cleanup.h"

#define CHUNK_SIZE 65536

/* A file whose length nobody knows before it was read: procfs and sysfs say 0. */
struct unknown {
    int fd;
    size_t n;
    char first[CHUNK_SIZE];
};

static void unknown_free(struct unknown *u)
{
    fd_closep(&u->fd);
    free(u);
}

static void unknown_pump(struct http_call *c)
{
    struct unknown *u = c->data;
    for (;;) {
        ssize_t n = TEMP_FAILURE_RETRY(read(u->fd, u->first, sizeof u->first));
        if (n > 0 && http_reply_write(c, str_make(u->first, (size_t)n)))
            continue;
        if (n > 0)
            return; /* on_drain goes on */
        unknown_free(u);
        if (n == 0)
            http_reply_end(c);
        else
            http_call_abort(c);
        return;
    }
}

static void unknown_gone(struct http_call *c) { unknown_free(c->data); }

/* Short ones are sent with their length: an empty file must say so (core.md 4.3). */
static void send_unknown(struct http_call *c, int fd, const char *type, const char *fields)
{
    static const struct http_call_ops ops = { .on_drain = unknown_pump, .on_gone = unknown_gone };
    struct unknown *u = malloc(sizeof *u);
    size_t at = 0;
    ssize_t n = 1;
    if (!u) {
        fd_closep(&fd);
        rest_fail(c, 503, "out of memory");
        return;
    }
    u->fd = fd;
    while (at < sizeof u->first &&
           (n = TEMP_FAILURE_RETRY(read(fd, u->first + at, sizeof u->first - at))) > 0)
        at += (size_t)n;
    if (n < 0 && at == 0) {
        files_fail_errno(c, errno, "error reading", STR("file"));
        unknown_free(u);
    } else if (at < sizeof u->first) {
        http_reply(c, 200, type, fields, str_make(u->first, at));
        unknown_free(u);
    } else {
        c->data = u;
        c->ops = &ops;
        http_reply_begin(c, 200, type, fields, -1);
        (void)http_reply_write(c, str_make(u->first, at));
        unknown_pump(c);
    }
}

/* "inline; filename=..." quoted as it must be, and by RFC 8187 when it is not plain ASCII. */
static void put_disposition(struct buf *b, struct str name)
{
    bool plain = true;
    for (size_t i = 0; i < name.n; i++)
        plain = plain && name.p[i] > 0x20 && name.p[i] < 0x7f && name.p[i] != '"' &&
                name.p[i] != '\\' && name.p[i] != ';' && name.p[i] != ',';
    (void)buf_append(b, STR("Content-Disposition: inline; filename"));
    if (plain) {
        (void)buf_printf(b, "=" STR_FMT "\r\n", STR_ARG(name));
        return;
    }
    (void)buf_append(b, STR("*=utf-8''"));
    for (size_t i = 0; i < name.n; i++) {
        unsigned char ch = (unsigned char)name.p[i];
        if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') ||
            ch == '.' || ch == '-' || ch == '_')
            (void)buf_byte(b, (char)ch);
        else
            (void)buf_printf(b, "%%%02X", ch);
    }
    (void)buf_append(b, STR("\r\n"));
}

static void send_known(struct http_call *c, int fd, const struct stat *st, const char *type,
                       struct buf *fields)
{
    struct range r = range_decide(&c->head, st->st_size, st->st_mtim.tv_sec);
    range_put(&r, st->st_size, st->st_mtim.tv_sec, fields);
    const char *text = buf_cstr(fields);
    if (!text || r.status == 304 || r.status == 412 || r.status == 416) {
        fd_closep(&fd);
        http_reply(c, text ? r.status : 503, NULL, text, STR(""));
        return;
    }
    http_reply_begin(c, r.status, type, text, r.length);
    http_reply_file(c, fd, r.offset, r.length);
}

/* -1: answered. */
static int open_file(struct http_call *c, struct str path, struct stat *st)
{
    /* O_NONBLOCK: a fifo must not stop the agent */
    CLEANUP(fd_closep) int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        rest_fail(c, 404, "path '" STR_FMT "' does not exist", STR_ARG(path));
    else if (fd < 0)
        files_fail_errno(c, errno, "error opening", path);
    else if (fstat(fd, st) < 0)
        files_fail_errno(c, errno, "error reading", path);
    else if (S_ISDIR(st->st_mode))
        rest_fail(c, 400, "path '" STR_FMT "' is a directory", STR_ARG(path));
    else if (!S_ISREG(st->st_mode))
        rest_fail(c, 400, "path '" STR_FMT "' is not a regular file", STR_ARG(path));
    else
        return TAKE_FD(fd);
    return -1;
}

void rest_files_get(struct agent *a, struct http_call *c)
{
    struct arena mem;
    struct files_query q;
    struct str path;
    struct stat st;
    struct buf fields;
    arena_init(&mem, 0);
    buf_init(&fields, 65536);
    if (!files_query(a, c, "read", &mem, &q) || !files_path(a, c, &mem, &q.user, q.path, &path))
        goto out;
    if (!range_accepts_identity(&c->head)) {
        rest_fail(c, 406, "no acceptable encoding found, supported: [identity]");
        goto out;
    }
    int fd = open_file(c, path, &st);
    if (fd < 0)
        goto out;
    const char *type = media_type_of(path_name(path), fd);
    put_disposition(&fields, path_name(path));
    (void)buf_append(&fields, STR("Vary: Accept-Encoding\r\n"));
    if (st.st_size == 0) {
        const char *text = buf_cstr(&fields);
        send_unknown(c, fd, type, text);
    } else {
        send_known(c, fd, &st, type, &fields);
    }
out:
    buf_deinit(&fields);
    arena_deinit(&mem);
}
