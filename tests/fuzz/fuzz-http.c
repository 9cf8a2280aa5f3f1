/* Foreign bytes of every HTTP peer: request and response heads, chunked bodies, queries, targets,
 * signed URLs; and the datagrams of a compromised process of our own. */
#include "fuzz.h"

#include "ipc/msg.h"
#include "route/route.h"
#include "route/route_sign.h"
#include "wire/http.h"
#include "wire/uri.h"

/* A head that was accepted is accepted alike whatever follows it, and asks for more before. */
static void fuzz_request(struct str in)
{
    struct http_head h, again;
    if (http_parse_request(in, &h) != HTTP_DONE)
        return;
    assert(h.size <= in.n && h.field_count <= LIMIT_HTTP_FIELDS && !(h.chunked && h.length > 0));
    assert(http_parse_request(str_make(in.p, h.size), &again) == HTTP_DONE && again.size == h.size);
    assert(http_parse_request(str_make(in.p, h.size - 1), &again) == HTTP_MORE);
    struct route_target t;
    const char *why;
    if (route_find(&h, &t, &why) == 0)
        assert(t.port > 0 && t.id.n > 0 && t.id.n <= 32);
    (void)route_is_internal(h.path);
    (void)route_wants_html(&h);
}

static void fuzz_response(struct str in)
{
    struct http_head h;
    for (int to_head = 0; to_head < 2; to_head++)
        if (http_parse_response(in, to_head, &h) == HTTP_DONE)
            assert(h.size <= in.n && h.status >= 100 && h.status <= 999);
}

/* The same body in one piece and byte by byte. */
static void fuzz_chunks(struct str in)
{
    size_t ends[2] = { 0, 0 }, bytes[2] = { 0, 0 };
    int results[2] = { HTTP_MORE, HTTP_MORE };
    for (int mode = 0; mode < 2; mode++) {
        struct http_chunks c = { 0 };
        while (results[mode] == HTTP_MORE && ends[mode] < in.n) {
            struct str rest = str_skip(in, ends[mode]), data;
            size_t used;
            if (mode)
                rest.n = 1;
            results[mode] = http_chunks_step(&c, rest, &data, &used);
            assert(used <= rest.n && (used > 0 || results[mode] != HTTP_MORE));
            ends[mode] += used;
            bytes[mode] += data.n;
        }
    }
    assert(results[0] == results[1] && ends[0] == ends[1] && bytes[0] == bytes[1]);
}

static void fuzz_query(struct str in)
{
    struct arena a;
    struct str out, rest = in, name, value;
    arena_init(&a, 1u << 20);
    (void)uri_query_get(&a, in, "path", &out);
    while (uri_query_next(&rest, &name, &value))
        if (uri_decode(&a, value, true, &out))
            assert(out.n <= value.n && strlen(out.p) == out.n);
    arena_deinit(&a);
}

static void fuzz_msg(struct str in)
{
    struct msg m;
    uint64_t u;
    struct str s;
    if (!msg_parse(in, &m))
        return;
    for (uint16_t key = 0; key < 20; key++)
        if (msg_get_str(&m, key, &s) && s.n == 8)
            assert(msg_get_u64(&m, key, &u));
}

/* A claim of a signature that nobody made matches nobody's token. */
static void fuzz_sign(struct str in)
{
    struct http_head h;
    struct arena mem;
    struct sign_probe probe;
    if (http_parse_request(in, &h) != HTTP_DONE)
        return;
    arena_init(&mem, 0);
    if (route_sign_find(&h, &mem, &probe) == ROUTE_SIGN_CLAIM)
        assert(!sign_probe_matches(&probe, STR("a token nobody has")));
    arena_deinit(&mem);
}

static const struct fuzz_parser parsers[] = {
    { "request", fuzz_request }, { "response", fuzz_response }, { "chunks", fuzz_chunks },
    { "query", fuzz_query },     { "sign", fuzz_sign },         { "ipc", fuzz_msg },
};
FUZZ_MAIN(parsers)
