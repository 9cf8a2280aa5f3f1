/* Signed URLs without a sandbox: under one fixed E2B_SANDBOX_URL the SDKs make
 * "/files?path=..&signature=v1_.." with neither a host name nor a field that says for which
 * (delta.md 8). The only sandbox that can be meant is the one whose token made the signature. Pure.
 */
#pragma once

#include "base/arena.h"
#include "wire/http.h"
#include "wire/sign.h"

enum { ROUTE_SIGN_CLAIM = 0, ROUTE_SIGN_NONE, ROUTE_SIGN_WRONG };

/* For a request that names no sandbox. ROUTE_SIGN_CLAIM: *out is to be tried with the sandboxes'
 * tokens; it borrows from `mem`. ROUTE_SIGN_NONE: it is no such request. ROUTE_SIGN_WRONG: no token
 * can have made that signature. */
int route_sign_find(const struct http_head *h, struct arena *mem, struct sign_probe *out);

/* Clients that invent signatures may only have so much of the edge's time: each token that is tried
 * costs one of `left`, which comes back at LIMIT_EDGE_SIGN_TESTS a second. */
struct route_sign_budget {
    int64_t left, at_ms;
};
/* Whether a search may begin at now_ms (monotonic). It is not stopped when it uses up the rest. */
bool route_sign_may(struct route_sign_budget *b, int64_t now_ms);
