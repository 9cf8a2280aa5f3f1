/* The REST API: requests in, verbs of the fleet, answers out. One handler per row of defs/routes.
 */
#pragma once

#include "loop/loop.h"
#include "sandbox/fleet.h"
#include "template/builds.h"

struct api;

struct api_spec {
    struct loop *loop;
    struct fleet *fleet;
    struct builds *builds;
    struct store *store; /* for answers to Idempotency-Keys, and templates */
    struct str key;      /* the API key; only its hash is kept */
    /* what a sandbox gets */
    uint64_t memory_bytes, cpus_milli, disk_bytes, pids;
};

/* NULL with errno. */
struct api *api_new(const struct api_spec *spec);
/* Closes all connections; sandboxes being created go on. */
void api_free(struct api *a);
/* Serves the listening socket `fd` (taken in every case). 0 or a negative errno. */
int api_listen(struct api *a, int fd);
