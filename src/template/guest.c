#include "template/guest.h"

#include <string.h>

#include "base/cleanup.h"
#include "gen/limits.h"
#include "wire/connect.h"
#include "wire/json.h"

enum { PATH_SIZE = 96, MOVE_MS = 60000, ANSWER_MS = 5000 };

static void socket_path(const struct guest *in, char out[PATH_SIZE])
{
    (void)snprintf(out, PATH_SIZE, "/proc/self/fd/%d/%.33s/host.sock", in->run_dir, in->id);
}

/* -- what the agent says -- */

static void flush_line(struct guest_run *g, enum guest_stream stream, struct str line)
{
    while (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n)
        g->on_line(g, stream,
                   line.n > LIMIT_BUILD_LINE_SIZE ? str_make(line.p, LIMIT_BUILD_LINE_SIZE) : line);
}

static void take_output(struct guest_run *g, enum guest_stream stream, struct str bytes)
{
    struct buf *b = &g->lines[stream];
    struct str line, rest;
    if (g->is_quiet) {
        (void)buf_append(b, bytes);
        return;
    }
    while (str_cut(bytes, '\n', &line, &rest)) {
        (void)buf_append(b, line);
        flush_line(g, stream, buf_str(b));
        buf_reset(b);
        bytes = rest;
    }
    if (buf_used(b) < LIMIT_BUILD_LINE_SIZE) /* the rest of a longer line is left out */
        (void)buf_append(b, bytes);
}

static void take_data(struct guest_run *g, const json_t *data)
{
    static const char *const names[] = { [GUEST_OUT] = "stdout", [GUEST_ERR] = "stderr" };
    for (enum guest_stream i = GUEST_OUT; i < GUEST_STREAMS; i++) {
        struct str text, bytes;
        struct arena mem;
        if (json_get_str(data, names[i], &text) != 1)
            continue;
        arena_init(&mem, 0);
        if (connect_base64_parse(&mem, text, &bytes))
            take_output(g, i, bytes);
        arena_deinit(&mem);
    }
}

static void take_end(struct guest_run *g, const json_t *end)
{
    struct str status;
    int64_t code = 0;
    (void)json_get_int(end, "exitCode", &code);
    g->has_exited = true;
    g->exit_code = (int)code;
    if (json_get_str(end, "status", &status) != 1 || !str_copy(status, g->status, sizeof g->status))
        (void)snprintf(g->status, sizeof g->status, "exit status %d", g->exit_code);
}

static void take_error(struct guest_run *g, const json_t *v)
{
    const json_t *error = json_object_get(v, "error");
    struct str text;
    if (json_get_str(error ? error : v, "message", &text) == 1)
        (void)snprintf(g->why, sizeof g->why, STR_FMT,
                       STR_ARG(text.n < 250 ? text : str_make(text.p, 250)));
}

static void take_message(struct guest_run *g, uint8_t flags, struct str payload)
{
    json_t *v = json_parse(payload, NULL);
    const json_t *event = json_object_get(v, "event"), *data = json_object_get(event, "data"),
                 *end = json_object_get(event, "end");
    if (flags & CONNECT_END)
        take_error(g, v);
    else if (data)
        take_data(g, data);
    else if (end)
        take_end(g, end);
    json_decref(v);
}

static void on_body(struct http_fetch *f, struct str piece)
{
    struct guest_run *g = f->data;
    uint8_t flags;
    struct str payload;
    size_t used;
    int r = CONNECT_MORE;
    if (!buf_append(&g->in, piece))
        return; /* on_end finds it failed */
    if (f->status != 200)
        return;
    while ((r = connect_envelope_parse(buf_str(&g->in), LIMIT_RPC_MESSAGE_SIZE, &flags, &payload,
                                       &used)) == CONNECT_DONE) {
        take_message(g, flags, payload);
        buf_consume(&g->in, used);
    }
    if (r == CONNECT_TOO_LARGE)
        g->in.failed = true;
}

/* Why there is no exit status; NULL: there is one. */
static const char *judge(struct guest_run *g, int r)
{
    if (g->has_exited)
        return NULL;
    if (g->fetch.status && g->fetch.status != 200) {
        json_t *v = json_parse(buf_str(&g->in), NULL);
        take_error(g, v);
        json_decref(v);
    }
    if (g->why[0])
        return g->why;
    return r == -ETIMEDOUT ? "it does not answer" : "the connection to the sandbox broke";
}

static void on_end(struct http_fetch *f, int r)
{
    struct guest_run *g = f->data;
    const char *why = judge(g, r);
    for (enum guest_stream i = GUEST_OUT; !g->is_quiet && i < GUEST_STREAMS; i++) {
        flush_line(g, i, buf_str(&g->lines[i]));
        buf_reset(&g->lines[i]);
    }
    g->on_done(g, why);
}

/* -- requests -- */

static void put_authorization(struct buf *b, struct str user)
{
    struct buf plain;
    buf_init(&plain, 0);
    (void)buf_append(&plain, user);
    (void)buf_byte(&plain, ':');
    (void)buf_append(b, STR("Authorization: Basic "));
    connect_base64_put(b, buf_str(&plain));
    (void)buf_append(b, STR("\r\n"));
    buf_deinit(&plain);
}

/* The StartRequest in its envelope. */
static bool put_start(struct buf *b, const struct recipe_op *op, const json_t *envs)
{
    json_t *args = op->program ? json_pack("[s%]", op->command.p, op->command.n)
                   : op->is_login
                       ? json_pack("[s, s, s%]", "-l", "-c", op->command.p, op->command.n)
                       : json_pack("[s, s%]", "-c", op->command.p, op->command.n);
    json_t *config = json_pack("{s:s, s:o, s:O*}", "cmd",
                               op->program    ? op->program
                               : op->is_login ? "/bin/bash"
                                              : "/bin/sh",
                               "args", args, "envs", (json_t *)(uintptr_t)envs);
    if (config && op->workdir.n)
        (void)json_object_set_new(config, "cwd", json_stringn(op->workdir.p, op->workdir.n));
    json_t *v = json_pack("{s:o, s:b}", "process", config, "stdin", 0);
    char *text = v ? json_dumps(v, JSON_COMPACT) : NULL, head[CONNECT_ENVELOPE_SIZE];
    json_decref(v);
    if (!text)
        return false;
    connect_envelope_put(head, 0, strlen(text));
    (void)buf_append(b, str_make(head, sizeof head));
    (void)buf_append(b, str_of(text));
    free(text);
    return !b->failed;
}

int guest_run_start(struct guest_run *g, const struct guest *in, const struct recipe_op *op,
                    const json_t *envs)
{
    static const struct http_fetch_ops ops = { .on_body = on_body, .on_end = on_end };
    struct buf fields, body;
    char path[PATH_SIZE];
    guest_run_deinit(g);
    buf_init(&g->in, LIMIT_RPC_MESSAGE_SIZE + 131072);
    for (int i = 0; i < GUEST_STREAMS; i++)
        buf_init(&g->lines[i], LIMIT_BUILD_OUTPUT_SIZE);
    g->is_quiet = op->is_quiet;
    g->has_exited = false;
    g->why[0] = '\0';
    g->fetch.ops = &ops;
    g->fetch.data = g;
    buf_init(&fields, 0);
    buf_init(&body, 0);
    put_authorization(&fields, op->user);
    (void)buf_append(&fields, STR("Content-Type: application/connect+json\r\n"
                                  "Connect-Protocol-Version: 1\r\n"));
    socket_path(in, path);
    int r = put_start(&body, op, envs) && buf_cstr(&fields)
                ? http_fetch_start(
                      &g->fetch, &(struct http_fetch_spec){ .loop = in->loop,
                                                            .path = path,
                                                            .method = "POST",
                                                            .target = STR("/process.Process/Start"),
                                                            .fields = buf_cstr(&fields),
                                                            .body = buf_str(&body),
                                                            .file = -1 })
                : RAISE(-ENOMEM);
    buf_deinit(&fields);
    buf_deinit(&body);
    return TRACE(r);
}

void guest_run_cancel(struct guest_run *g) { http_fetch_cancel(&g->fetch); }

void guest_run_deinit(struct guest_run *g)
{
    guest_run_cancel(g);
    buf_deinit(&g->in);
    for (int i = 0; i < GUEST_STREAMS; i++)
        buf_deinit(&g->lines[i]);
}

int guest_upload(struct http_fetch *f, const struct guest *in, const char *path, int fd,
                 int64_t size)
{
    char socket[PATH_SIZE], target[256];
    socket_path(in, socket);
    (void)snprintf(target, sizeof target, "/files?path=%s&username=root", path);
    return TRACE(http_fetch_start(
        f, &(struct http_fetch_spec){ .loop = in->loop,
                                      .path = socket,
                                      .method = "POST",
                                      .target = str_of(target),
                                      .fields = "Content-Type: application/octet-stream\r\n",
                                      .file = fd,
                                      .file_size = size,
                                      .idle_ms = MOVE_MS }));
}

int guest_get(struct http_fetch *f, const struct guest *in, struct str target)
{
    char socket[PATH_SIZE];
    socket_path(in, socket);
    return TRACE(http_fetch_start(f, &(struct http_fetch_spec){ .loop = in->loop,
                                                                .path = socket,
                                                                .method = "GET",
                                                                .target = target,
                                                                .fields = "",
                                                                .file = -1,
                                                                .idle_ms = ANSWER_MS }));
}
