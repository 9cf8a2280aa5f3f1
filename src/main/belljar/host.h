/* What `up` and `doctor` know of the server on this host. */
#pragma once

#include <stdbool.h>

#include "main/config.h"

struct belljar;
struct host_exports { /* of $STATE/env */
    char api_key[256], api_url[256], sandbox_url[256], domain[256];
};
/* False: there is none, or this user may not read it. */
bool host_exports_read(const struct config *c, struct host_exports *out);
struct belljar *host_open(const struct host_exports *e, int timeout_ms); /* NULL: memory is out */

/* ---- what a host must have (doctor_kernel.c) ---- */

#define HOST_WHY 200
/* Tries it in a process of its own, so that nothing stays. True: it works; else `why`. */
struct host_probe {
    const char *name, *remedy;
    bool (*try)(const struct config *c, char why[HOST_WHY]);
};
extern const struct host_probe host_probes[]; /* ended by a NULL name; all need root */
bool host_probe_run(const struct host_probe *p, const struct config *c, char why[HOST_WHY]);
