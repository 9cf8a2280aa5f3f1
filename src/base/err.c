#include "base/err.h"

#include <string.h>

#include "base/log.h"

int err_mark(int r, bool origin, const char *fn, const char *file, int line)
{
    if (r < 0)
        log_debug("%s%s %s:%d: %s", origin ? "raised " : "passed ", fn, file, line, strerror(-r));
    return r;
}
