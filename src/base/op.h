/* An operation on somebody's behalf: where the sentence for a human is written, once. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "gen/faults.h"

struct fault {
    enum fault_code code; /* row of defs/faults */
    int err;              /* errno of the cause, 0 when there is none */
    const char *where;    /* function that failed */
    char text[256];       /* the sentence */
};

struct op {
    int64_t deadline_ms; /* monotonic; 0 = none */
    struct fault fault;  /* code FAULT_NONE until something failed */
};

/* Records the failure in `op`, unless one is recorded already (the first cause is the one worth
 * reading), and returns -err, or -EIO when err is 0. */
#define op_fail(op, code, err, ...) TRACE(op_fail_((op), __func__, (code), (err), __VA_ARGS__))
__attribute__((format(printf, 5, 6))) int op_fail_(struct op *op, const char *where,
                                                   enum fault_code code, int err, const char *fmt,
                                                   ...);

/* Facts of a fault row. */
const char *fault_name(enum fault_code code);
int fault_status(enum fault_code code); /* HTTP status */
int fault_exit(enum fault_code code);   /* exit status of the CLI */
const char *fault_remedy(enum fault_code code);
