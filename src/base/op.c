#include "base/op.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    int status, exit;
    const char *remedy;
} rows[] = {
#define FAULT(id, name, status, exit, remedy) [FAULT_##id] = { name, status, exit, remedy },
    FAULT_TABLE(FAULT)
#undef FAULT
};

int op_fail_(struct op *op, const char *where, enum fault_code code, int err, const char *fmt, ...)
{
    if (op->fault.code == FAULT_NONE) {
        op->fault = (struct fault){ .code = code, .err = err, .where = where };
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(op->fault.text, sizeof op->fault.text, fmt, ap);
        va_end(ap);
    }
    return err ? -err : -EIO;
}

const char *fault_name(enum fault_code code) { return rows[code].name; }
int fault_status(enum fault_code code) { return rows[code].status; }
int fault_exit(enum fault_code code) { return rows[code].exit; }
const char *fault_remedy(enum fault_code code) { return rows[code].remedy; }
