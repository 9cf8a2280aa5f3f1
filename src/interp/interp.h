/* The code-interpreter server inside a sandbox, port 49999 (code-interpreter.md 2). */
#pragma once

#include "base/op.h"
#include "loop/loop.h"

struct interp;

struct interp_spec {
    struct loop *loop;
    uint16_t port;
    const char *home; /* working directory of contexts that ask for none */
    const char *dir;  /* for sockets of kernels; is emptied */
};

/* Starts the contexts that exist from the start, then listens. 0 or a negative errno with the
 * sentence in `op`. */
int interp_new(struct op *op, const struct interp_spec *spec, struct interp **out);
void interp_free(struct interp *p);
