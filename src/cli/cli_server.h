/* The server that commands speak to: from options, the environment, or $BELLJAR_STATE/env. */
#pragma once

#include <jansson.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "client/belljar.h"

static inline void cli_json_free(json_t **v) { json_decref(*v); }
#define JSON_OWNED CLEANUP(cli_json_free) json_t *

/* Opens it at the first call. NULL: it said why; return cli_server_status(c). */
struct belljar *cli_server(struct cli *c);
void cli_server_close(struct cli *c);
/* The directory of the server on this host: BELLJAR_STATE, or where it is by itself. */
const char *cli_state(void);

/* Says belljar_error() and returns the exit status that belongs to the answer. */
int cli_server_fail(struct cli *c);

/* One call. `body` (may be NULL) is given up. *answer (may be NULL) is null JSON for an empty one.
 * 0, or the exit status after it said why. */
int cli_call(struct cli *c, const char *method, const char *path, json_t *body, json_t **answer);
/* "BEFORE" "NAME" "AFTER" with the name as one segment of a path; in the arena. */
const char *cli_path(struct arena *a, const char *before, const char *name, const char *after);
/* All pages of a list as one array; `path` has a query already. */
int cli_call_list(struct cli *c, const char *path, json_t **answer);

/* Word `index`, which must be able to be the id of a sandbox. NULL: it said that it is none. */
const char *cli_sandbox_id(struct cli *c, const char *word);
/* The sandbox of that id, resumed when it was paused. NULL: it said why. *status: to exit with. */
struct belljar_sandbox *cli_sandbox(struct cli *c, const char *id, int *status);

/* The values of a CLI_PAIR as pairs ended by a NULL name; in the arena. NULL: none were given. */
const struct belljar_pair *cli_pairs(struct cli *c, const char *option, struct arena *a);
json_t *cli_pairs_json(struct cli *c, const char *option); /* {} for none */
