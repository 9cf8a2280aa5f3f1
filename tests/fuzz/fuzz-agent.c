/* Foreign bytes of the agent: messages in both codecs, envelopes, base64, multipart, tar, gzip,
 * paths, ranges. Where there are kinds, or ways to cut the input, the first byte chooses. */
#include "fuzz.h"

#include "agent/gunzip.h"
#include "agent/path.h"
#include "agent/range.h"
#include "agent/schema.h"
#include "wire/connect.h"
#include "wire/multipart.h"
#include "wire/tar.h"

static const struct message_spec *const specs[] = {
    &schema_start_spec,  &schema_select_spec,     &schema_update_spec,  &schema_send_input_spec,
    &schema_signal_spec, &schema_list_reply_spec, &schema_boot_spec,    &schema_stream_input_spec,
    &schema_watch_spec,  &schema_list_dir_spec,   &schema_entry_spec,   &schema_event_reply_spec,
    &schema_move_spec,   &schema_compose_spec,    &schema_watcher_spec,
};

/* What was understood must be printable in both codecs, and then be understood again. */
static void fuzz_message(const struct message_spec *spec, enum message_codec codec, struct str in)
{
    struct arena a;
    void *msg, *again;
    char why[160];
    arena_init(&a, 16u << 20);
    if (message_parse(spec, codec, in, &a, &msg, why)) {
        for (int out = MESSAGE_JSON; out <= MESSAGE_BINARY; out++) {
            struct buf b;
            buf_init(&b, 0);
            message_put(spec, (enum message_codec)out, msg, &b);
            bool ok = message_parse(spec, (enum message_codec)out, buf_str(&b), &a, &again, why);
            /* JSON cannot carry times of other millennia, nor one key of a map twice */
            assert(ok || out == MESSAGE_JSON || a.used > 8u << 20);
            buf_deinit(&b);
        }
    }
    arena_deinit(&a);
}

static void fuzz_codec(enum message_codec codec, struct str in)
{
    size_t which = (unsigned char)in.p[0];
    fuzz_message(specs[which % (sizeof specs / sizeof specs[0])], codec, str_skip(in, 1));
}
static void fuzz_json(struct str in) { fuzz_codec(MESSAGE_JSON, in); }
static void fuzz_proto(struct str in) { fuzz_codec(MESSAGE_BINARY, in); }

static void fuzz_envelope(struct str in)
{
    struct str out;
    uint8_t flags;
    size_t used;
    if (connect_envelope_parse(in, 1000, &flags, &out, &used) == CONNECT_DONE)
        assert(used <= in.n && out.n <= 1000);
}

static void fuzz_base64(struct str in)
{
    struct arena a;
    struct buf b;
    struct str out, again;
    arena_init(&a, 1u << 20);
    buf_init(&b, 0);
    if (connect_base64_parse(&a, in, &out)) {
        connect_base64_put(&b, out);
        assert(connect_base64_parse(&a, buf_str(&b), &again) && str_eq(out, again));
    }
    buf_reset(&b);
    connect_string_put(&b, in);
    assert(buf_used(&b) >= in.n + 2);
    buf_deinit(&b);
    arena_deinit(&a);
}

static void fuzz_path(struct str in)
{
    struct arena a;
    struct str out;
    struct user user = { .home = STR("/home/u") };
    arena_init(&a, 1u << 20);
    if (!memchr(in.p, 0, in.n) && path_resolve(&a, in, &user, STR(""), &out) == PATH_DONE)
        assert(out.p[0] == '/' && out.p[out.n] == 0 && path_name(out).n && path_parent(out).n);
    arena_deinit(&a);
}

static void fuzz_gzip(struct str in)
{
    struct arena a;
    struct str out;
    arena_init(&a, 1u << 20);
    if (gunzip_all(&a, in, 100000, &out))
        assert(out.n <= 100000);
    arena_deinit(&a);
}

/* However the body is cut, the same must come out. */
static uint64_t multipart_sum(struct str in, size_t step)
{
    struct multipart m;
    uint64_t sum = 0;
    enum multipart_event e = MULTIPART_MORE;
    if (!multipart_init(&m, STR("multipart/form-data; boundary=xx")))
        abort();
    while (in.n && e != MULTIPART_BAD) {
        struct str piece = str_make(in.p, step < in.n ? step : in.n);
        in = str_skip(in, piece.n);
        do {
            e = multipart_step(&m, &piece);
            if (e == MULTIPART_DATA)
                for (size_t i = 0; i < m.data.n; i++)
                    sum = sum * 31 + (unsigned char)m.data.p[i];
            else if (e == MULTIPART_PART)
                sum = sum * 31 + 1000 + m.name.n + m.filename.n * 7;
            else if (e != MULTIPART_MORE)
                sum = sum * 31 + (e == MULTIPART_DONE ? 0 : 2000 + (unsigned)e);
        } while (e == MULTIPART_PART || e == MULTIPART_DATA || e == MULTIPART_PART_END);
        if (e == MULTIPART_DONE)
            break;
    }
    multipart_deinit(&m);
    return sum;
}

/* However the stream is cut, the same must come out; and names never hold NUL. */
static uint64_t tar_sum(struct str in, size_t step)
{
    struct tar_reader r;
    uint64_t sum = 0;
    enum tar_event e = TAR_MORE;
    tar_reader_init(&r);
    while (in.n && e != TAR_BAD && e != TAR_DONE) {
        struct str piece = str_make(in.p, step < in.n ? step : in.n);
        in = str_skip(in, piece.n);
        while ((e = tar_reader_step(&r, &piece)) != TAR_MORE && e != TAR_BAD && e != TAR_DONE) {
            if (e == TAR_ENTRY) {
                assert(r.entry.size >= 0 && !memchr(r.entry.path.p, 0, r.entry.path.n));
                sum = sum * 31 + r.entry.path.n + r.entry.link.n * 7 + (uint64_t)r.entry.size;
            }
            for (size_t i = 0; e == TAR_DATA && i < r.data.n; i++)
                sum = sum * 31 + (unsigned char)r.data.p[i];
        }
    }
    tar_reader_deinit(&r);
    return sum;
}

static void fuzz_range(struct str in)
{
    static struct http_head h;
    if (http_parse_request(in, &h) != HTTP_DONE)
        return;
    struct range r = range_decide(&h, 1000, 784111777);
    assert(r.offset >= 0 && r.length >= 0 && r.offset + r.length <= 1000);
    (void)range_accepts_identity(&h);
}

static size_t step_of(struct str in) { return (unsigned char)in.p[0] + 1u; }

static void fuzz_tar(struct str in)
{
    struct str rest = str_skip(in, 1);
    assert(tar_sum(rest, 1) == tar_sum(rest, step_of(in)));
}

static void fuzz_multipart(struct str in)
{
    struct str rest = str_skip(in, 1);
    assert(multipart_sum(rest, 1) == multipart_sum(rest, step_of(in)));
}

static const struct fuzz_parser parsers[] = {
    { "json", fuzz_json },     { "proto", fuzz_proto }, { "envelope", fuzz_envelope },
    { "base64", fuzz_base64 }, { "path", fuzz_path },   { "gzip", fuzz_gzip },
    { "tar", fuzz_tar },       { "range", fuzz_range }, { "multipart", fuzz_multipart },
};
FUZZ_MAIN(parsers)
