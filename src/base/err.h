/* Error values. Functions return int: 0 done, > 0 an outcome of the module's own enum, < 0 a
 * negative errno that is forwarded and traced, never matched (style.md, "Errors and memory"). */
#pragma once

#include <errno.h>
#include <stdbool.h>

/* RAISE where an errno value is born, TRACE where it is passed on, FOLD where an outcome that the
 * caller cannot have becomes -ENOTRECOVERABLE. Each logs one line and returns its value. */
#define RAISE(r) err_mark((r), true, __func__, __FILE__, __LINE__)
#define TRACE(r) err_mark((r), false, __func__, __FILE__, __LINE__)
#define FOLD(r) err_mark((r) > 0 ? -ENOTRECOVERABLE : (r), (r) > 0, __func__, __FILE__, __LINE__)

/* Logs `r` when it is negative (origin: where it began) and returns it unchanged. */
int err_mark(int r, bool origin, const char *fn, const char *file, int line);
