#include "edge/edge.h"
#include "route/route.h"

static struct edge_sign_hit *hit_of(struct edge_signs *s, const struct sign_probe *p)
{
    return &s->hits[p->want[0] % (sizeof s->hits / sizeof s->hits[0])];
}

/* The same URL again: a page with pictures, a download in ranges. */
static struct edge_route *known(struct edge *e, const struct sign_probe *p)
{
    const struct edge_sign_hit *hit = hit_of(&e->signs, p);
    bool same = str_secret_eq(str_make((const char *)hit->digest, sizeof hit->digest),
                              str_make((const char *)p->want, sizeof p->want));
    return same && hit->id[0] ? edge_route_get(e, str_of(hit->id)) : NULL;
}

static struct edge_route *search(struct edge *e, const struct sign_probe *p)
{
    MAP_EACH(i, &e->routes) {
        struct edge_route *r = e->routes.slots[i].value;
        if (!r->envd_token)
            continue;
        e->signs.budget.left--;
        if (!sign_probe_matches(p, str_of(r->envd_token)))
            continue;
        struct edge_sign_hit *hit = hit_of(&e->signs, p);
        memcpy(hit->digest, p->want, sizeof hit->digest);
        memcpy(hit->id, r->id, sizeof hit->id);
        return r;
    }
    return NULL;
}

static int find(struct edge *e, const struct sign_probe *p, struct route_target *out,
                const char **why)
{
    struct edge_route *r = known(e, p);
    if (!r && !route_sign_may(&e->signs.budget, loop_now_ms(e->loop))) {
        *why = "Too many signed URLs are being tried; try again";
        return 429;
    }
    if (!r)
        r = search(e, p);
    *why = "invalid signature";
    if (!r)
        return 401;
    *out = (struct route_target){ .id = str_of(r->id), .port = ROUTE_ENVD_PORT };
    return 0;
}

/* Releases before 2.15 send file requests to one fixed E2B_SANDBOX_URL with the sandbox's access
 * token and nothing else that names it (delta.md 12). */
static bool find_by_token(struct edge *e, const struct http_head *h, struct route_target *out)
{
    struct str token = http_field(h, "x-access-token");
    struct edge_route *r = token.n ? map_get(&e->tokens, token) : NULL;
    if (r)
        *out = (struct route_target){ .id = str_of(r->id), .port = ROUTE_ENVD_PORT };
    return r != NULL;
}

int edge_target_find(struct edge *e, const struct http_head *h, struct route_target *out,
                     const char **why)
{
    struct arena mem;
    struct sign_probe probe;
    int r = route_find(h, out, why);
    if (r == 0 || find_by_token(e, h, out))
        return 0;
    arena_init(&mem, 0);
    switch (route_sign_find(h, &mem, &probe)) {
    case ROUTE_SIGN_CLAIM: /* envd looks at the time, as for every signed URL */
        r = find(e, &probe, out, why);
        break;
    case ROUTE_SIGN_WRONG:
        *why = "invalid signature";
        r = 401;
        break;
    }
    arena_deinit(&mem);
    return r;
}

bool edge_sign_is_by(const struct http_head *h, struct str token)
{
    struct arena mem;
    struct sign_probe probe;
    arena_init(&mem, 0);
    bool is =
        route_sign_find(h, &mem, &probe) == ROUTE_SIGN_CLAIM && sign_probe_matches(&probe, token);
    arena_deinit(&mem);
    return is;
}
