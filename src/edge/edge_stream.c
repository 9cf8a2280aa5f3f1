/* Connect streams on their way to a client: where their envelopes end, so that the edge can end one
 * by itself when the sandbox is paused. A client that is cut off instead looks at /health, which
 * would wake a sandbox that resumes by traffic at once (delta.md 8). */
#include "edge/edge.h"
#include "wire/connect.h"

void edge_stream_begin(struct edge_stream *s, const struct http_head *h)
{
    *s = (struct edge_stream){ .is_stream = h->chunked && str_starts(http_field(h, "content-type"),
                                                                     STR("application/connect+")) };
}

void edge_stream_pass(struct edge_stream *s, struct str data)
{
    while (s->is_stream && data.n) {
        size_t n = s->left < data.n ? (size_t)s->left : data.n;
        s->left -= n;
        data = str_skip(data, n);
        if (!data.n)
            return;
        s->head[s->have++] = (unsigned char)data.p[0];
        data = str_skip(data, 1);
        if (s->have < CONNECT_ENVELOPE_SIZE)
            continue;
        s->have = 0;
        for (int i = 1; i < CONNECT_ENVELOPE_SIZE; i++)
            s->left = s->left << 8 | s->head[i];
    }
}

bool edge_stream_end(const struct edge_stream *s, struct str sandbox, struct buf *out)
{
    struct buf message;
    char head[CONNECT_ENVELOPE_SIZE];
    if (!s->is_stream || s->left || s->have)
        return false;
    buf_init(&message, 0);
    (void)buf_printf(&message,
                     "{\"error\":{\"code\":\"%s\",\"message\":\"the connection to sandbox " STR_FMT
                     " ended before the stream completed\"}}",
                     connect_code_name(CONNECT_UNAVAILABLE), STR_ARG(sandbox));
    struct str text = buf_str(&message);
    connect_envelope_put(head, CONNECT_END, text.n);
    (void)buf_printf(out, "%zx\r\n", text.n + sizeof head);
    (void)buf_append(out, str_make(head, sizeof head));
    (void)buf_append(out, text);
    bool fits = buf_append(out, STR("\r\n0\r\n\r\n"));
    buf_deinit(&message);
    return fits;
}
