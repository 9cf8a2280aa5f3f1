/* Where a request to the edge wants to go, and what the edge refuses by itself. Pure.
 * Source: core.md 6.1, 6.2, 6.4. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "wire/http.h"

#define ROUTE_ENVD_PORT 49983

struct route_target {
    struct str id; /* sandbox, without "-clientID" */
    uint16_t port;
};

/* Finds the target from Host and the E2b-Sandbox-Id/-Port fields. 0, or 400 with *why set to the
 * sentence for the client. */
int route_find(const struct http_head *h, struct route_target *out, const char **why);

/* A path that only the host may ask of envd (/init, /freeze ...), however it is spelled. */
bool route_is_internal(struct str path);

/* The client is a person's browser on a page of its own: errors are shown as HTML. */
bool route_wants_html(const struct http_head *h);
