#include "route/route.h"

#include <string.h>

#define ID_MAX 32

static bool is_alnum(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9')))
            return false;
    return s.n > 0;
}

/* "<id>" or the old "<id>-<clientID>" */
static bool take_id(struct str text, struct str *id)
{
    struct str client;
    (void)str_cut(text, '-', id, &client);
    return is_alnum(*id) && id->n <= ID_MAX;
}

static int check(struct str id, struct str port, struct route_target *out, const char **why)
{
    uint64_t n;
    if (!take_id(id, &out->id)) {
        *why = "Invalid sandbox ID";
        return 400;
    }
    if (!str_to_u64(port, 65535, &n) || n == 0) {
        *why = "Invalid sandbox port";
        return 400;
    }
    out->port = (uint16_t)n;
    return 0;
}

/* Host without its port; an IPv6 literal keeps its brackets. */
static struct str host_name(struct str host)
{
    size_t at = host.n && host.p[0] == '[' ? str_find(host, ']') : 0;
    struct str tail = str_skip(host, at);
    return str_make(host.p, at + str_find(tail, ':'));
}

static bool is_ip_literal(struct str host)
{
    if (host.n && host.p[0] == '[')
        return true;
    for (size_t i = 0; i < host.n; i++)
        if ((host.p[i] < '0' || host.p[i] > '9') && host.p[i] != '.')
            return false;
    return host.n > 0;
}

int route_find(const struct http_head *h, struct route_target *out, const char **why)
{
    struct str host = host_name(http_field(h, "host"));
    struct str id = http_field(h, "e2b-sandbox-id"), port = http_field(h, "e2b-sandbox-port");
    bool shared =
        str_ieq(host, STR("localhost")) || is_ip_literal(host) || str_starts(host, STR("sandbox."));
    struct str label, rest, head, tail;
    bool named = str_cut(host, '.', &label, &rest) && str_cut(label, '-', &head, &tail);
    uint64_t n;
    /* any other host, "my-server.lan" too, may be the one fixed E2B_SANDBOX_URL: there the fields
     * decide (core.md 6.1, 4) */
    if (named && !shared && (str_to_u64(head, 65535, &n) || !id.n || !port.n))
        return check(tail, head, out, why);
    if (id.n && port.n)
        return check(id, port, out, why);
    *why = (id.n || port.n) ? "missing header" : "Invalid host";
    return 400;
}

/* Decodes, drops empty and "." segments and resolves "..", as a lenient server might. */
static struct str clean(struct str path, char *out, size_t size)
{
    char raw[256];
    size_t n = 0, len = 0;
    for (size_t i = 0; i < path.n && n < sizeof raw; i++) {
        char c = path.p[i];
        if (c == '%' && i + 2 < path.n) {
            static const char hex[] = "0123456789abcdef0123456789ABCDEF";
            const char *hi = memchr(hex, path.p[i + 1], 32), *lo = memchr(hex, path.p[i + 2], 32);
            if (hi && lo) {
                c = (char)(((hi - hex) % 16) * 16 + (lo - hex) % 16);
                i += 2;
            }
        }
        raw[n++] = c;
    }
    struct str rest = str_make(raw, n), segment;
    while (rest.n) {
        (void)str_cut(rest, '/', &segment, &rest);
        if (segment.n == 0 || str_eq(segment, STR(".")))
            continue;
        if (str_eq(segment, STR(".."))) {
            while (len && out[--len] != '/')
                ;
            continue;
        }
        if (len + segment.n + 1 > size)
            break;
        out[len++] = '/';
        memcpy(out + len, segment.p, segment.n);
        len += segment.n;
    }
    return str_make(out, len);
}

bool route_is_internal(struct str path)
{
    static const struct str internal[] = { { "/init", 5 },     { "/freeze", 7 }, { "/unfreeze", 9 },
                                           { "/fsfreeze", 9 }, { "/fsthaw", 7 }, { "/collapse", 9 },
                                           { "/upgrade", 8 } };
    char out[256];
    struct str cleaned = clean(path, out, sizeof out);
    for (size_t i = 0; i < sizeof internal / sizeof internal[0]; i++)
        if (str_ieq(cleaned, internal[i]))
            return true;
    return false;
}

static bool contains(struct str s, const char *word)
{
    struct str w = str_of(word);
    for (size_t i = 0; i + w.n <= s.n; i++)
        if (str_ieq(str_make(s.p + i, w.n), w))
            return true;
    return false;
}

bool route_wants_html(const struct http_head *h)
{
    static const char *const browsers[] = { "mozilla", "chrome", "safari", "firefox",
                                            "edge",    "opera",  "msie" };
    static const char *const modes[] = { "cors", "no-cors", "same-origin", "websocket" };
    struct str agent = http_field(h, "user-agent"), accept = http_field(h, "accept");
    bool browser = false;
    for (size_t i = 0; i < sizeof browsers / sizeof browsers[0]; i++)
        browser = browser || contains(agent, browsers[i]);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (str_ieq(http_field(h, "sec-fetch-mode"), str_of(modes[i])))
            return false;
    if (contains(accept, "application/json") && !contains(accept, "text/html"))
        return false;
    return browser && !http_field(h, "x-requested-with").p;
}
