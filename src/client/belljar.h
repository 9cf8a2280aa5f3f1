/* belljar: sandboxes for code that nobody has read yet. The C client library (libbelljar).
 *
 *     #include <belljar.h>
 *
 *     struct belljar *b = belljar_open(NULL); // server and key: from the environment
 *     struct belljar_sandbox *s = belljar_create(b, NULL);
 *     struct belljar_result r = { 0 };
 *
 *     if (s && belljar_run(s, "uname -a", NULL, &r) == 0)
 *         printf("%s", r.out);
 *     else
 *         fprintf(stderr, "%s\n", belljar_error(b));
 *     belljar_result_free(&r);
 *     belljar_kill(s);
 *     belljar_sandbox_free(s);
 *     belljar_close(b);
 *
 * Compile with `cc x.c $(pkg-config --cflags --libs belljar)`. It speaks to a belljar server, and
 * to any other with the E2B API.
 *
 * Calls block. A function that returns int returns 0, or a negative errno; one that returns a
 * pointer returns NULL instead. Either way belljar_error() then has a sentence for a person,
 * belljar_errno() the errno and belljar_status() the HTTP status of the answer, if there was one.
 * EHOSTDOWN: the sandbox does not run (any more). ECONNREFUSED: nothing listens there. One struct
 * belljar and all that came from it belong to one thread at a time; different ones are independent.
 *
 * Text that is taken is UTF-8 with a NUL (else EILSEQ); the caller keeps it. NULL is EINVAL where
 * it is not said what it stands for. Options are structs whose zero is the default: pass NULL, or a
 * compound literal that names what differs. What is given is owned by the one thing that frees it,
 * said beside each. Every *_free takes NULL, and a result whose call failed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct belljar;         /* a server and a key */
struct belljar_sandbox; /* one sandbox, as seen through them */
struct belljar_process; /* a process in it that is listened to */
struct belljar_watch;   /* a directory in it that is watched */

/* ---- server ---- */

struct belljar_config {
    const char *api_key;     /* E2B_API_KEY */
    const char *api_url;     /* E2B_API_URL; default: https://api.DOMAIN */
    const char *sandbox_url; /* E2B_SANDBOX_URL: one URL for all sandboxes; default: by host name */
    const char *domain;      /* E2B_DOMAIN */
    int timeout_ms;          /* of a request that is not a stream; default 60 000 */
};
/* NULL, or NULL in a field: the environment variable named beside it. No request is made. NULL
 * with errno ENOMEM, or EINVAL when something is missing or malformed: belljar_open_error() then
 * says what. */
struct belljar *belljar_open(const struct belljar_config *config);
const char *belljar_open_error(void);  /* why the last belljar_open of this thread failed */
void belljar_close(struct belljar *b); /* its sandboxes go on; free what came from it before */

/* While `fd` (a pipe, an eventfd, a signalfd; -1, as at first: none) has something to read, calls
 * that would wait give up with ECANCELED: what was asked for may happen all the same, but a command
 * that belljar_run or belljar_start began is killed, code interrupted and a build cancelled.
 * Opening a connection may take a moment more. */
void belljar_set_stop(struct belljar *b, int fd);

const char *belljar_error(const struct belljar *b); /* of the last call that failed; never NULL */
int belljar_errno(const struct belljar *b);         /* its errno, positive: ENOENT, EACCES, ... */
int belljar_status(const struct belljar *b);        /* its HTTP status; 0: there was no answer */

/* Any call of the API (docs/reference/routes.md): what the functions below do not cover. `body`:
 * JSON, or NULL. The JSON of the answer, to be freed with free(); "" for an empty one. A status
 * from 300 on is a failure. `next` (may be NULL) gets the token of the next page of a list, to be
 * freed; NULL at the last. */
char *belljar_request(struct belljar *b, const char *method, const char *path, const char *body,
                      char **next);

/* ---- life of a sandbox ---- */

struct belljar_pair {
    const char *name, *value;
};
struct belljar_create_options {
    const char *from;                    /* template or snapshot; default "base" */
    int timeout_s;                       /* until it ends by itself; default 300 */
    const struct belljar_pair *envs;     /* variables of every command; ended by a NULL name */
    const struct belljar_pair *metadata; /* ended by a NULL name */
    bool is_offline;                     /* no way to the internet */
    bool pauses;                         /* at its timeout it is paused, not killed */
    const char *idempotency_key;         /* asked again with it, the server makes no second one */
};
struct belljar_sandbox *belljar_create(struct belljar *b, const struct belljar_create_options *o);
/* One that exists; a paused one is resumed. timeout_s 0: 300; never shortens what it has. */
struct belljar_sandbox *belljar_connect(struct belljar *b, const char *id, int timeout_s);
void belljar_sandbox_free(struct belljar_sandbox *s); /* forgets it; the sandbox goes on */

const char *belljar_id(const struct belljar_sandbox *s);
/* Where a port of it is reached: "http://3000-ID.DOMAIN" as a URL, or, under one sandbox URL, that
 * URL with the headers to send in `fields` ("E2b-Sandbox-Id: ...\r\n..."; else ""). Freed with
 * free(), both. */
char *belljar_url(const struct belljar_sandbox *s, int port, char **fields);

int belljar_kill(struct belljar_sandbox *s); /* -ENOENT: it had ended already; NULL: -EINVAL */
int belljar_pause(struct belljar_sandbox *s);
int belljar_set_timeout(struct belljar_sandbox *s, int seconds);
/* What is on its disk, to create others from: the name for `from`, to be freed. name: NULL for
 * none. */
char *belljar_snapshot(struct belljar_sandbox *s, const char *name);
/* `count` new ones like it: out[count], each to be freed. All, or none when it fails. */
int belljar_fork(struct belljar_sandbox *s, int count, struct belljar_sandbox **out);

/* ---- commands ---- */

struct belljar_run_options {
    const char *user, *cwd;          /* default: those of the template */
    const struct belljar_pair *envs; /* ended by a NULL name */
    int timeout_ms;                  /* killed after; default 60 000; -1: never */
    /* While it runs; `data` is handed on. Without them all of it is in the result. */
    void (*on_stdout)(void *data, const char *bytes, size_t size);
    void (*on_stderr)(void *data, const char *bytes, size_t size);
    void *data;
    bool has_stdin;  /* belljar_process_write is wanted; otherwise its input is empty */
    int cols, rows;  /* both > 0: it runs in a terminal of this size */
    size_t size_max; /* of out and of err together; default 64 MiB; more is -EMSGSIZE */
};
struct belljar_result {
    char *out, *err; /* with a NUL after their sizes; "" when they went to the callbacks */
    size_t out_size, err_size;
    int exit_code;
    char *error; /* why it ended when not by exit: "signal: killed"; NULL: it exited */
};
/* Runs `command` by a login shell until it ends. 0 whatever its exit code. When it fails, with
 * -ETIMEDOUT or -EMSGSIZE say, the command was killed, and what came before is in *out. */
int belljar_run(struct belljar_sandbox *s, const char *command, const struct belljar_run_options *o,
                struct belljar_result *out);
void belljar_result_free(struct belljar_result *r);

/* Starts it and returns when it runs. NULL command with cols and rows: a login shell. The callbacks
 * are not called: see belljar_process_next. */
struct belljar_process *belljar_start(struct belljar_sandbox *s, const char *command,
                                      const struct belljar_run_options *o);
struct belljar_process *belljar_attach(struct belljar_sandbox *s, int pid); /* one that runs */
void belljar_process_free(struct belljar_process *p); /* no longer listened to; it goes on */
int belljar_process_pid(const struct belljar_process *p);

enum belljar_event_kind {
    BELLJAR_STDOUT,
    BELLJAR_STDERR,
    BELLJAR_TERMINAL, /* output of a process in a terminal */
    BELLJAR_EXITED,   /* the last event */
    BELLJAR_READABLE, /* `fd` has something to read */
    BELLJAR_NOTHING   /* timeout_ms passed */
};
struct belljar_event {
    enum belljar_event_kind kind;
    const char *bytes; /* until the next call */
    size_t size;
    int exit_code;
    const char *error; /* BELLJAR_EXITED: as in struct belljar_result, or NULL */
};
/* The next event. fd -1: none is waited for. timeout_ms -1: as long as it takes. -EINTR: a signal
 * came, and the process goes on. After BELLJAR_EXITED there is only that. */
int belljar_process_next(struct belljar_process *p, int fd, int timeout_ms,
                         struct belljar_event *out);
int belljar_process_write(struct belljar_process *p, const void *bytes, size_t size);
int belljar_process_close_stdin(struct belljar_process *p);
int belljar_process_resize(struct belljar_process *p, int cols, int rows);
int belljar_process_signal(struct belljar_process *p, int signal); /* SIGTERM or SIGKILL */

/* ---- code (templates with a code interpreter) ---- */

struct belljar_code_options {
    const char *language;            /* default "python" */
    const char *context;             /* id of one; NULL: the default one of the language */
    const struct belljar_pair *envs; /* of this run */
    int timeout_ms;                  /* default 300 000; -1: none */
    void (*on_stdout)(void *data, const char *text);
    void (*on_stderr)(void *data, const char *text);
    void *data;
};
struct belljar_shown { /* one representation of one result */
    int result;        /* which: 0, 1, ... */
    bool is_main;      /* the value of the cell's last expression */
    char *format;      /* "text", "html", "png", "json", "chart", ... */
    char *value;       /* text, base64 for pictures, JSON for "json", "data" and "chart" */
};
struct belljar_execution {
    struct belljar_shown *shown;
    size_t shown_count;
    char *out, *err;                            /* as in struct belljar_result */
    char *error_name, *error_value, *traceback; /* NULL: the code did not fail */
    long execution_count;
};
/* 0 also when the code failed: see error_name. -ETIMEDOUT: it was interrupted. A NUL in text
 * becomes U+FFFD. */
int belljar_run_code(struct belljar_sandbox *s, const char *code,
                     const struct belljar_code_options *o, struct belljar_execution *out);
void belljar_execution_free(struct belljar_execution *e);
/* What it stands for, to be freed, with a NUL after *size: the picture of "png" and "jpeg", the
 * document of "pdf", the value of others. NULL: memory is out, or it is not the base64 it should
 * be. */
char *belljar_shown_bytes(const struct belljar_shown *shown, size_t *size);
/* A context of its own; its id, to be freed. NULL: "python", and the home directory. */
char *belljar_context(struct belljar_sandbox *s, const char *language, const char *cwd);
int belljar_context_remove(struct belljar_sandbox *s, const char *id); /* and its processes */

/* ---- files ---- */

/* Whose rights and whose home for relative paths the functions below have; NULL, as at first: the
 * user of the template. */
int belljar_set_user(struct belljar_sandbox *s, const char *user);
struct belljar_file {
    char *name, *path;
    char type; /* 'f' file, 'd' directory, 'l' link, 'o' other */
    uint64_t size_bytes;
    unsigned mode;
    char *owner, *group;
    char *target;       /* of a link, where it leads in the end; else NULL */
    int64_t changed_ms; /* since 1970 */
};
/* All of it, with a NUL after *size; to be freed. More than `size_max` (0: 256 MiB) is -EFBIG. */
char *belljar_read(struct belljar_sandbox *s, const char *path, size_t size_max, size_t *size);
int belljar_write(struct belljar_sandbox *s, const char *path, const void *bytes, size_t size);
/* From and to open files, whatever their size. */
int belljar_download(struct belljar_sandbox *s, const char *path, int fd);
int belljar_upload(struct belljar_sandbox *s, const char *path, int fd);
/* A directory with all below it as a tar stream (docs/archive.md), out and in. */
int belljar_download_tar(struct belljar_sandbox *s, const char *path, int fd);
int belljar_upload_tar(struct belljar_sandbox *s, const char *path, int fd);

int belljar_stat(struct belljar_sandbox *s, const char *path, struct belljar_file *out);
void belljar_file_free(struct belljar_file *f); /* what it points to */
/* depth 1: the directory itself. *out: an array, freed by belljar_files_free. */
int belljar_list(struct belljar_sandbox *s, const char *path, int depth, struct belljar_file **out,
                 size_t *count);
void belljar_files_free(struct belljar_file *files, size_t count);
int belljar_mkdir(struct belljar_sandbox *s, const char *path); /* and above it; there already: 0 */
int belljar_rename(struct belljar_sandbox *s, const char *from, const char *to);
int belljar_remove(struct belljar_sandbox *s, const char *path); /* with all below it */

enum belljar_change_kind {
    BELLJAR_CREATED,
    BELLJAR_WRITTEN,
    BELLJAR_REMOVED,
    BELLJAR_RENAMED,
    BELLJAR_MODE
};
struct belljar_change {
    enum belljar_change_kind kind;
    const char *name; /* below the directory; until the next call */
};
struct belljar_watch *belljar_watch(struct belljar_sandbox *s, const char *path, bool recursive);
void belljar_watch_free(struct belljar_watch *w);
/* The next change. 0: *out has it; 1: timeout_ms (-1: none) passed; -EINTR: a signal came. */
int belljar_watch_next(struct belljar_watch *w, int timeout_ms, struct belljar_change *out);

/* ---- ports ---- */

/* TCP connections to what listens on 127.0.0.1 inside the sandbox (docs/tunnel.md). For HTTP and
 * WebSocket belljar_url is enough. */
struct belljar_tunnel;
/* NULL with ECONNREFUSED: nothing listens there. */
struct belljar_tunnel *belljar_tunnel(struct belljar_sandbox *s, int port);
void belljar_tunnel_free(struct belljar_tunnel *t); /* closes it */
/* Passes on what `in` has and what comes to `out` (the same for a socket), until the far side ends.
 * The end of `in` is passed on. -EINTR: a signal came; it may be called again, but what waited for
 * a slow `out` is lost. */
int belljar_tunnel_pass(struct belljar_tunnel *t, int in, int out);
/* Every connection to the listening socket gets a tunnel of its own, until `stop` (-1: none) has
 * something to read (0), a signal comes while it waits (-EINTR) or the sandbox ends (-EHOSTDOWN).
 * A connection that the port refuses is closed. To stop by a signal without fail, let its handler
 * write to a pipe. */
int belljar_forward(struct belljar_sandbox *s, int listener, int port, int stop);
/* For a loop of your own; these do not block. How many bytes were read (0: the far side ended) or
 * taken, or a negative errno: -EAGAIN: poll belljar_tunnel_fd for belljar_tunnel_events, then try
 * again. Read until -EAGAIN: what is decrypted already makes no descriptor readable. */
long belljar_tunnel_read(struct belljar_tunnel *t, void *bytes, size_t size);
long belljar_tunnel_write(struct belljar_tunnel *t, const void *bytes, size_t size);
int belljar_tunnel_end(struct belljar_tunnel *t); /* no more will be written */
int belljar_tunnel_fd(const struct belljar_tunnel *t);
short belljar_tunnel_events(const struct belljar_tunnel *t); /* POLLIN, POLLOUT */

/* ---- templates ---- */

struct belljar_build_options {
    const char *name;                /* "name", "name:tag" */
    const char *context;             /* directory that COPY takes from */
    const char *file;                /* the Dockerfile's name in sentences; default "Dockerfile" */
    const struct belljar_pair *args; /* for its ARGs; ended by a NULL name */
    const char *start, *ready;       /* commands; NULL: those of the Dockerfile */
    int cpus, memory_mb;             /* default 2 and 1024 */
    bool skips_cache;
    void (*on_log)(void *data, const char *level, const char *line);
    void *data;
};
/* Builds from the text of a Dockerfile (docs/dockerfile.md) and waits. The template's id, to be
 * freed. A mistake in the Dockerfile, and a file that is not there, is told with its line before
 * anything is sent; a step that fails likewise (ECANCELED). */
char *belljar_build(struct belljar *b, const char *dockerfile,
                    const struct belljar_build_options *o);
/* Ends a build that waits or is under way. -EBUSY: it has ended already. (belljar_set_stop does so
 * to the one of belljar_build.) Needs a belljar server. */
int belljar_build_cancel(struct belljar *b, const char *template_id, const char *build_id);

#ifdef __cplusplus
}
#endif
