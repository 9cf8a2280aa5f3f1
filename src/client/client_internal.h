/* What the files of the client library share. One struct belljar has one curl multi handle: its
 * connections are reused, and while a caller waits for one stream, the others are read too, each up
 * to a limit.
 *
 * A *call* is one request with its answer. The bytes of the answer wait in `in` until somebody
 * takes them; no callback of the user runs inside of curl. */
#pragma once

#include <curl/curl.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/str.h"
#include "client/belljar.h"

enum { CLIENT_PORT_ENVD = 49983, CLIENT_PORT_CODE = 49999 };

struct belljar {
    CURLM *multi;
    CURL *spare; /* of the last call, for the next one */
    char *api_key, *api_url, *sandbox_url, *domain;
    const char *ca_file; /* SSL_CERT_FILE, or NULL */
    int timeout_ms;
    int stop; /* waits end when it has something to read; -1: there is none */
    int status;
    int err; /* of the last failure, positive */
    char error[1024];
};

struct belljar_sandbox {
    struct belljar *b;
    int refs;              /* its owner, processes, watches */
    char *id;              /* letters, digits and dashes */
    char *token, *traffic; /* of envd, of the other ports; NULL: none */
    char *domain;
    char *user; /* of the functions for files; NULL: that of the template */
};

/* -- errors -- */

/* Keeps the sentence (control characters become spaces) and returns -err. */
__attribute__((format(printf, 3, 4))) int client_fail(struct belljar *b, int err, const char *fmt,
                                                      ...);
int client_no_memory(struct belljar *b);
/* 0, or -EINVAL when `given` is NULL; `what` is its name in the sentence. */
int client_need(struct belljar *b, const void *given, const char *what);
int client_last(const struct belljar *b); /* the same negative errno again */

/* -- calls (client_call.c) -- */

struct client_call {
    struct belljar *b;
    CURL *curl;
    struct curl_slist *fields;
    struct str body;   /* borrowed until the end */
    int in_fd, out_fd; /* the request's body comes from, the answer's goes to; -1: memory */
    int64_t in_size;   /* of what comes from in_fd; 0: not known, it is sent in chunks */
    struct buf in;     /* bytes of the answer that nobody took yet */
    size_t head_size;
    size_t in_max;     /* of them; a stream then waits, another call fails */
    int quiet_ms;      /* without a byte for so long: -ETIMEDOUT; 0: never */
    int64_t silent_ms; /* for how long there was none while it was waited for */
    char *next;        /* X-Next-Token */
    char detail[CURL_ERROR_SIZE];
    int io_error;  /* errno of in_fd or out_fd */
    int status;    /* 0: no head yet */
    CURLcode code; /* when is_done */
    bool is_stream, is_paused, is_too_long, is_added, is_done, has_failed_memory;
};

/* Sets up a request of `method` for an absolute URL. client_call_deinit is due whatever it
 * returned. */
int client_call_init(struct client_call *c, struct belljar *b, const char *method, const char *url);
/* Cuts it off when it is not done. */
void client_call_deinit(struct client_call *c);
/* A field of the head, "Name: value". */
__attribute__((format(printf, 2, 3))) void client_call_field(struct client_call *c, const char *fmt,
                                                             ...);
/* Sends `body` (p NULL: none, unless in_fd is set). */
int client_call_start(struct client_call *c, const char *type, struct str body);
/* Waits for the end. 0: an answer came, c->status tells which; else the sentence is kept. */
int client_call_finish(struct client_call *c);

enum { CLIENT_READABLE = 1, CLIENT_TIMED_OUT = 2 };
/* 0, CLIENT_READABLE, or -EBADF; at once. */
int client_poll_fd(int fd);
/* Does what can be done without waiting. */
int client_drive(struct belljar *b);
/* Waits until something happens to any call: 0; CLIENT_READABLE: `fd` (-1: none) has something;
 * CLIENT_TIMED_OUT after wait_ms (-1: as long as it takes); -EINTR: a signal came; -ECANCELED: the
 * caller gives up. */
int client_wait(struct client_call *c, int fd, int wait_ms);
/* Bytes were taken from c->in: more may come. */
void client_call_resume(struct client_call *c);
/* Of a call that is done without an answer: the sentence and the errno. */
int client_call_broken(struct client_call *c);
/* Of an answer that is an error: likewise, from what its body says. */
int client_call_refused(struct client_call *c);

/* -- giving up (client_stop.c) -- */

/* 0, -ECANCELED when the caller gives up, or another negative errno; with the sentence. */
int client_stopped(struct belljar *b);
int client_given_up(struct belljar *b); /* the sentence; -ECANCELED */
/* Waits for so long: 0, or as client_stopped. Signals are slept over. */
int client_pause(struct belljar *b, int ms);
/* What is still to be done for who gave up is heard, and is short. */
struct client_grace {
    int stop, timeout_ms;
};
struct client_grace client_grace_begin(struct belljar *b);
void client_grace_end(struct belljar *b, struct client_grace g);

/* -- requests (client_request.c) -- */

/* To the API; again when it says when (429 with Retry-After), if asking twice is asking once.
 * Steals `body` (NULL: none); `answer` (may be NULL) gets a new reference, NULL when it was
 * empty. */
int client_api(struct belljar *b, const char *method, const char *path, json_t *body,
               json_t **answer);
/* A POST that may be asked twice, for the server knows it by `key` (NULL: as client_api). */
int client_api_keyed(struct belljar *b, const char *path, const char *key, json_t *body,
                     json_t **answer);
/* A request to a port of the sandbox, with its fields, not yet started. */
int client_sandbox_call(struct client_call *c, struct belljar_sandbox *s, const char *method,
                        int port, const char *path);
/* As whom a call to envd is made; NULL: the user of the template. */
void client_call_user(struct client_call *c, const char *user);
/* A unary call of envd: "process.Process/List". `body` and `answer` as above. */
int client_rpc(struct belljar_sandbox *s, const char *method, const char *user, json_t *body,
               json_t **answer);
/* Prints what json_pack made; NULL: memory is out or text is not UTF-8. Steals it. */
int client_body(struct belljar *b, json_t *body, struct buf *out);
/* Parses the whole of c->in. */
int client_parse(struct client_call *c, json_t **answer);
/* {"A":"1"} of pairs, a new reference; NULL as of json_pack. `pairs` NULL: {}. */
json_t *client_pairs(const struct belljar_pair *pairs);
/* The URL of a port, without a slash at its end. NULL: memory. */
char *client_sandbox_url(const struct belljar_sandbox *s, int port);

struct belljar_sandbox *client_sandbox_new(struct belljar *b, const json_t *answer);
struct belljar_sandbox *client_sandbox_ref(struct belljar_sandbox *s);
/* After a stream or call to the sandbox broke off with `err`: asks whether it still lives. */
int client_sandbox_broken(struct belljar_sandbox *s, int err);

struct belljar *client_tunnel_owner(const struct belljar_tunnel *t);

/* -- streams of envd (client_stream.c) -- */

struct client_stream {
    struct client_call call;
    struct belljar_sandbox *s;
    struct buf body;
    bool is_ended;
};

/* Starts a server stream. timeout_ms: of the server, -1 none. Steals body. client_stream_close is
 * due whatever it returned. */
int client_stream_open(struct client_stream *t, struct belljar_sandbox *s, const char *method,
                       const char *user, json_t *body, int timeout_ms);
void client_stream_close(struct client_stream *t);
enum { CLIENT_ENDED = 3 };
/* The next message: 0 with a new reference; CLIENT_ENDED: there is no more and no error;
 * CLIENT_TIMED_OUT: none came until then; CLIENT_READABLE, -EINTR as of client_wait; else an error
 * with its sentence. */
int client_stream_next(struct client_stream *t, int fd, int64_t until_ms, json_t **out);
/* On the monotonic clock; INT64_MAX for -1. Who reads over messages that tell nothing, of which
 * there may be any number, counts from the first wait. */
int64_t client_until(int timeout_ms);
/* The first messages, up to one that is no keepalive, have as long as an answer. */
int client_stream_late(struct client_stream *t);
