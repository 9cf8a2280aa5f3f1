/* GET /metrics (core.md 4.2). */
#pragma once

#include "base/buf.h"

/* Appends the JSON object. What the sandbox's /proc does not tell is 0. */
void metrics_put(struct buf *b);
