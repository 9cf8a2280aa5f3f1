/* Configuration: the rows of defs/config, from their defaults, a file and the environment, the
 * later winning. Values stay text; what needs numbers asks for numbers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/op.h"
#include "gen/config.h"

struct config {
#define CONFIG_FIELD(name, env, def, text) char name[256];
    CONFIG_TABLE(CONFIG_FIELD)
#undef CONFIG_FIELD
};

/* Reads everything; `file` may be NULL. Unknown names in the file are errors. 0 or negative errno
 * with the sentence in `op`. */
int config_load(struct op *op, struct config *c, const char *file);

/* `text` as a whole number within lo..hi; `name` is for the sentence. */
int config_number(struct op *op, const char *name, const char *text, uint64_t lo, uint64_t hi,
                  uint64_t *out);

/* Prints every setting with its meaning to standard output (belljar serve --print-config). */
void config_print(const struct config *c);
