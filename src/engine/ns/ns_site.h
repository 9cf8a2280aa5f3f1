/* The site layer: what this host adds on top of a template. Names of the sandbox, resolvers, the
 * host's extra certificate authorities, and the files of config->site_files: mirrors of packages,
 * proxies. The same for all sandboxes of a template, so nothing has to
 * be written at create. Directories are content-addressed under STATE/site/. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/ns/ns_host.h"

#define NS_SITE_RESOLVERS 8
#define NS_HOSTNAME "e2b.local"

/* Makes the layer for `template` (its root directory), or finds it made; remembers the answer.
 * *path is the module's. 0 or a negative errno. */
int ns_site_get(const struct ns_host *h, const char *template, const char **path);

/* The host's real resolvers, network byte order; none that only the host itself can reach. */
int ns_site_resolvers(uint32_t out[NS_SITE_RESOLVERS]);
