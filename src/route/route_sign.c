#include "route/route_sign.h"

#include "gen/limits.h"
#include "wire/uri.h"

static const struct {
    const char *method, *path, *operation;
} rows[] = {
    { "GET", "/files", "read" },   { "HEAD", "/files", "read" },   { "POST", "/files", "write" },
    { "GET", "/archive", "read" }, { "PUT", "/archive", "write" },
};

/* What a signature would have to allow, or NULL. A preflight is for the request that follows. */
static const char *operation_of(const struct http_head *h)
{
    struct str method = h->method;
    if (str_eq(method, STR("OPTIONS")))
        method = http_field(h, "access-control-request-method");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (str_eq(method, str_of(rows[i].method)) && str_eq(h->path, str_of(rows[i].path)))
            return rows[i].operation;
    return NULL;
}

int route_sign_find(const struct http_head *h, struct arena *mem, struct sign_probe *out)
{
    struct sign_claim claim = { .operation = operation_of(h) };
    if (!claim.operation || http_field(h, "e2b-sandbox-id").p ||
        http_field(h, "e2b-sandbox-port").p)
        return ROUTE_SIGN_NONE;
    int given = uri_query_get(mem, h->query, "signature", &claim.signature);
    if (given == 0)
        return ROUTE_SIGN_NONE;
    bool fine = given > 0 && uri_query_get(mem, h->query, "path", &claim.path) >= 0 &&
                uri_query_get(mem, h->query, "username", &claim.user) >= 0 &&
                uri_query_get(mem, h->query, "signature_expiration", &claim.expiration) >= 0;
    return fine && sign_probe_init(out, &claim) ? ROUTE_SIGN_CLAIM : ROUTE_SIGN_WRONG;
}

bool route_sign_may(struct route_sign_budget *b, int64_t now_ms)
{
    int64_t left = b->left + (now_ms - b->at_ms) * (LIMIT_EDGE_SIGN_TESTS / 1000);
    b->left = left < LIMIT_EDGE_SIGN_TESTS ? left : LIMIT_EDGE_SIGN_TESTS;
    b->at_ms = now_ms;
    return b->left > 0;
}
