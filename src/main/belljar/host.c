#include "main/belljar/host.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "client/belljar.h"

bool host_exports_read(const struct config *c, struct host_exports *out)
{
    const struct {
        const char *name;
        char *value;
    } rows[] = { { "export E2B_API_KEY=", out->api_key },
                 { "export E2B_API_URL=", out->api_url },
                 { "export E2B_SANDBOX_URL=", out->sandbox_url },
                 { "export E2B_DOMAIN=", out->domain } };
    char path[320], line[512];
    unsigned found = 0;
    (void)snprintf(path, sizeof path, "%s/env", c->state);
    CLEANUP(file_closep) FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        struct str s = str_make(line, strcspn(line, "\r\n"));
        for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
            if (str_starts(s, str_of(rows[i].name)) &&
                str_copy(str_skip(s, strlen(rows[i].name)), rows[i].value, 256))
                found |= 1u << i;
    }
    return found == 15;
}

struct belljar *host_open(const struct host_exports *e, int timeout_ms)
{
    const struct belljar_config config = { .api_key = e->api_key,
                                           .api_url = e->api_url,
                                           .sandbox_url = e->sandbox_url,
                                           .domain = e->domain,
                                           .timeout_ms = timeout_ms };
    return belljar_open(&config);
}
