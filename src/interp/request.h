/* Bodies of requests: what is asked, or what is wrong with it (code-interpreter.md 2). Pure. */
#pragma once

#include <jansson.h>

#include "base/str.h"

enum { REQUEST_WRONG = 1 };

struct request {
    json_t *body;                            /* owned; deinit. All that follows points into it */
    struct str code, context, language, cwd; /* empty: absent or null */
    const json_t *env;                       /* an object of strings, or NULL */
    const char *field, *why;                 /* when it is wrong */
};

/* 0, or REQUEST_WRONG with field and why. An empty body is an empty object. */
int request_parse_execution(struct str body, struct request *out);
int request_parse_context(struct str body, struct request *out);
void request_deinit(struct request *r);
