#include "edge/edge.h"

/* JSON string without its quotes; what the client sent may be anything. */
static void put_escaped(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            buf_printf(b, "\\u%04x", c);
        else
            buf_byte(b, (char)c);
    }
}

static void put_json(struct buf *b, const struct edge_error *err)
{
    buf_append(b, STR("{"));
    if (err->sandbox.n) {
        buf_append(b, STR("\"sandboxId\":\""));
        put_escaped(b, err->sandbox);
        buf_append(b, STR("\","));
    }
    buf_printf(b, "\"message\":\"%s\",", err->message);
    if (err->port)
        buf_printf(b, "\"port\":%u,", err->port);
    if (err->path.n) {
        buf_append(b, STR("\"path\":\""));
        put_escaped(b, err->path);
        buf_append(b, STR("\","));
    }
    buf_printf(b, "\"code\":%d}", err->status);
}

static void put_html(struct buf *b, const struct edge_error *err)
{
    buf_printf(b,
               "<!doctype html><meta charset=\"utf-8\"><title>%d</title>"
               "<body style=\"font-family:sans-serif;max-width:40em;margin:4em auto\">"
               "<h1>%d</h1><p>%s",
               err->status, err->status, err->message);
    if (err->port)
        buf_printf(b, " (port %u)", err->port);
    buf_append(b, STR("</p>\n"));
}

void edge_error_put(struct buf *out, const struct edge_error *err)
{
    struct buf body;
    buf_init(&body, 0);
    (err->html ? put_html : put_json)(&body, err);
    http_put_status(out, err->status);
    http_put_field(
        out, "Content-Type",
        str_of(err->html ? "text/html; charset=utf-8" : "application/json; charset=utf-8"));
    buf_printf(out, "Access-Control-Allow-Origin: *\r\nContent-Length: %zu\r\n%s\r\n",
               buf_used(&body), err->close ? "Connection: close\r\n" : "");
    if (!err->method || !str_eq(str_of(err->method), STR("HEAD")))
        buf_append(out, buf_str(&body));
    buf_deinit(&body);
}
