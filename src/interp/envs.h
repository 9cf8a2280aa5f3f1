/* The sandbox's environment variables, asked of envd (code-interpreter.md 7). */
#pragma once

#include <jansson.h>

#include "base/str.h"
#include "loop/loop.h"

struct envs_ask;

/* Asks; `fn` runs once, from the loop, with an object of strings (borrowed), empty when envd did
 * not give any. `token` may be empty. NULL: it cannot be asked, `fn` will not run. */
struct envs_ask *envs_ask(struct loop *l, struct str token,
                          void (*fn)(void *data, const json_t *envs), void *data);
void envs_cancel(struct envs_ask *a); /* NULL is fine */
