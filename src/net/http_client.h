/* One HTTP/1.1 request over a unix socket, its body from memory or a file, its answer streamed: for
 * control to speak with the agent of a sandbox, who is not believed. Head and pieces are bounded by
 * LIMIT_HTTP_HEAD_SIZE and one read; what an answer adds up to is the caller's to bound. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "loop/loop.h"
#include "wire/http.h"

struct http_fetch;
struct http_fetch_ops {
    /* A piece of the answer's body; f->status is known. */
    void (*on_body)(struct http_fetch *f, struct str piece);
    /* Once: 0 when all of the answer has come, else a negative errno (-EPROTO: it is no HTTP,
     * -ETIMEDOUT: nothing moved for idle_ms, -ECONNRESET: it broke off). f is idle again. */
    void (*on_end)(struct http_fetch *f, int r);
};

/* Lives in its asker's struct. Zero-initialised = idle. */
struct http_fetch {
    struct loop *loop; /* NULL: idle */
    const struct http_fetch_ops *ops;
    void *data;
    int status; /* 0 until the head has come */
    int fd;
    struct loop_fd watch;
    struct loop_timer timer;
    int64_t idle_ms;
    struct buf out, in;
    int file;
    off_t file_at;
    int64_t file_left, body_left;
    bool is_chunked, until_close;
    struct http_chunks chunks;
};

struct http_fetch_spec {
    struct loop *loop;
    const char *path;   /* of the socket */
    const char *method; /* "POST" */
    struct str target;  /* "/files?path=x" */
    const char *fields; /* lines "Name: value\r\n", without Host and Content-Length */
    struct str body;    /* when there is no file */
    int file;           /* -1: none; taken in every case */
    int64_t file_size;  /* bytes of it to send */
    int64_t idle_ms;    /* 0: it may stand still for ever */
};
/* Sets f->ops and f->data first. 0, or a negative errno: on_end does not run then. No callback runs
 * inside. */
int http_fetch_start(struct http_fetch *f, const struct http_fetch_spec *spec);
/* No callback runs afterwards; fine when idle, and inside a callback. */
void http_fetch_cancel(struct http_fetch *f);
