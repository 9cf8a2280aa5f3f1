/* What belljar-interp reads from cells, which may say anything to it: ZeroMQ frames, messages of
 * Jupyter kernels (signed: a cell can read the key), lines of adapters and of bash, and the bodies
 * of its requests. What comes of it must be lines of JSON in ASCII. */
#include "fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "interp/kernel_internal.h"
#include "interp/line.h"
#include "interp/request.h"

/* The same stream in one piece and byte by byte. */
static void fuzz_zmtp(struct str in)
{
    size_t ends[2] = { 0, 0 }, bytes[2] = { 0, 0 };
    for (int mode = 0; mode < 2; mode++) {
        struct zmtp z = { 0 };
        struct zmtp_frame f;
        size_t given = mode ? 0 : in.n, used;
        for (int r = ZMTP_FRAME; r == ZMTP_FRAME || (r == ZMTP_MORE && given < in.n);) {
            given += r == ZMTP_MORE;
            r = zmtp_step(&z, str_make(in.p + ends[mode], given - ends[mode]), 4096, &f, &used);
            assert(used <= given - ends[mode]);
            ends[mode] += used;
            if (r == ZMTP_FRAME)
                bytes[mode] += f.body.n;
        }
    }
    assert(ends[0] == ends[1] && bytes[0] == bytes[1]);
}

static void check_lines(struct buf *b)
{
    struct str rest = buf_str(b), line;
    while (rest.n) {
        assert(str_cut(rest, '\n', &line, &rest) && line.n);
        for (size_t i = 0; i < line.n; i++)
            assert(line.p[i] >= 0x20 && line.p[i] <= 0x7f);
        json_t *v = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);
        assert(json_is_object(v));
        json_decref(v);
    }
    buf_deinit(b);
}

static void never(struct loop_fd *w, uint32_t events) /* the loop does not run */
{
    (void)w;
    (void)events;
}

static void on_ready(void *data) { (void)data; }

static void on_event(void *data, const struct kernel_event *e)
{
    struct buf b;
    (void)data;
    buf_init(&b, 0);
    if (e->kind == KERNEL_RESULT)
        (void)line_put_result(&b, e->data, e->is_main);
    else if (e->kind == KERNEL_ERROR)
        (void)line_put_error(&b, e->name, e->value, e->text);
    else
        (void)line_put_text(&b, "stdout", e->text, 0);
    check_lines(&b);
}

/* A kernel without a process that has said `in` and is busy with a cell. */
static void hear(const struct kernel_wire *wire, struct str in)
{
    static struct loop *l;
    int ends[2];
    if (!l) {
        log_init("fuzz", LOG_ERROR);
        l = loop_new();
    }
    struct kernel k = { .spec = { .loop = l,
                                  .language = language_find(STR("java")),
                                  .on_ready = on_ready,
                                  .on_event = on_event },
                        .wire = wire,
                        .is_busy = true };
    assert(l && pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    assert(write(ends[1], in.p, in.n) > 0);
    close(ends[1]);
    assert(kernel_pipe_start(&k, &k.reply, ends[0], never) == 0);
    wire->drain(&k);
    wire->close(&k);
    buf_deinit(&k.request.out);
}

static void fuzz_adapter(struct str in) { hear(&kernel_adapter, in); }

/* Frames of a whole message whose signature is right: header, parent, metadata and content are the
 * lines of the input. */
static void fuzz_jupyter(struct str in)
{
    struct jupyter j = { .key =
                             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" };
    struct jupyter_reader r = { 0 };
    struct jupyter_msg m;
    struct str part[4], rest = in;
    struct buf b;
    for (int i = 0; i < 4; i++)
        if (!str_cut(rest, '\n', &part[i], &rest)) {
            part[i] = rest;
            rest = STR("");
        }
    char signature[JUPYTER_SIGNATURE_SIZE];
    buf_init(&b, 0);
    for (int i = 0; i < 4; i++)
        (void)buf_append(&b, part[i]);
    jupyter_sign(&j, buf_str(&b), signature);
    buf_deinit(&b);
    struct zmtp_frame frames[] = { { STR("<IDS|MSG>"), true }, { str_of(signature), true },
                                   { part[0], true },          { part[1], true },
                                   { part[2], true },          { part[3], false } };
    int result = JUPYTER_MORE;
    for (size_t i = 0; i < 6; i++)
        result = jupyter_read(&r, &j, &frames[i], &m);
    if (result == JUPYTER_MESSAGE) {
        const json_t *data = json_object_get(m.content, "data");
        on_event(NULL, &(struct kernel_event){ .kind = KERNEL_RESULT, .data = data });
        jupyter_msg_deinit(&m);
    }
    /* and as frames that nobody signed */
    for (int i = 0; i < 4; i++)
        assert(jupyter_read(&r, &j, &(struct zmtp_frame){ part[i], i < 3 }, &m) != JUPYTER_MESSAGE);
    jupyter_reader_deinit(&r);
}

static void fuzz_execute(struct str in)
{
    static const char *const names[] = { "python", "r", "bash" };
    struct request r;
    if (request_parse_context(in, &r) == 0)
        (void)language_find(r.language);
    request_deinit(&r);
    if (request_parse_execution(in, &r) == 0 && r.env)
        for (int i = 0; i < 3; i++) {
            struct buf b;
            buf_init(&b, 0);
            language_put_env(&b, language_find(str_of(names[i])), r.env, NULL);
            for (size_t at = 0; at < b.len; at++) /* a value stays inside of its literal */
                assert(b.p[at] != '\0' && (b.p[at] >= 0x20 || b.p[at] == '\n' || b.p[at] < 0));
            buf_deinit(&b);
        }
    request_deinit(&r);
}

static void fuzz_text(struct str in)
{
    struct buf b;
    buf_init(&b, 0);
    (void)line_put_text(&b, "stderr", in, 0);
    (void)line_put_error(&b, "E", "v", in);
    check_lines(&b);
    assert(line_repair(&b, in));
    json_t *v = json_stringn(b.len ? b.p : "", b.len); /* checks that it is UTF-8 */
    assert(v);
    json_decref(v);
    buf_deinit(&b);
}

static const struct fuzz_parser parsers[] = {
    { "zmtp", fuzz_zmtp },       { "jupyter", fuzz_jupyter }, { "adapter", fuzz_adapter },
    { "execute", fuzz_execute }, { "text", fuzz_text },
};
FUZZ_MAIN(parsers)
