/* The plain HTTP routes of envd (core.md 4) and what they share. */
#pragma once

#include "agent/agent.h"
#include "agent/user.h"
#include "net/http_server.h"

struct rest_route {
    const char *method, *path;
    bool open; /* served without X-Access-Token: it has its own check, or none */
    bool host; /* only on the host's socket; elsewhere there is no such route */
    void (*fn)(struct agent *a, struct http_call *c);
};
extern const struct rest_route rest_routes[]; /* the last has path NULL */

/* Answers {"message":..., "code":status}. */
__attribute__((format(printf, 3, 4))) void rest_fail(struct http_call *c, int status,
                                                     const char *fmt, ...);
/* Answers JSON. */
void rest_reply(struct http_call *c, int status, struct str json);
/* True when the header X-Access-Token is the sandbox's, or the sandbox is open. */
bool rest_has_token(const struct agent *a, const struct http_call *c);

/* Route handlers (rest_files.c and others). */
void rest_files_get(struct agent *a, struct http_call *c);
void rest_files_post(struct agent *a, struct http_call *c);
void rest_files_compose(struct agent *a, struct http_call *c);
void rest_archive_get(struct agent *a, struct http_call *c);
void rest_archive_put(struct agent *a, struct http_call *c);
void rest_tunnel(struct agent *a, struct http_call *c);
