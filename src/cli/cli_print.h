/* What people see: aligned tables, sizes and times one can read; in a pipe nothing but data (no
 * titles, a tab between columns, bytes and RFC 3339). */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* Control bytes and what is no UTF-8 are shown as \xNN: text of a sandbox moves no cursor. */
void cli_put_clean(FILE *out, struct str text);
/* A copy of that kind in the arena; "" when memory is out. */
const char *cli_clean(struct arena *a, struct str text);

bool cli_is_terminal(void); /* standard output */

#define CLI_COLUMNS 10
struct cli_rows {
    const char *const *titles; /* ended by NULL */
    int columns;
    const char **cells; /* clean; in mem */
    size_t count, room; /* of cells */
    struct arena mem;
};
void cli_rows_init(struct cli_rows *t, const char *const *titles);
void cli_rows_deinit(struct cli_rows *t);
/* Adds a cell; rows are full when they have a cell for each column. NULL is "". */
void cli_rows_add(struct cli_rows *t, const char *text);
__attribute__((format(printf, 2, 3))) void cli_rows_addf(struct cli_rows *t, const char *fmt, ...);
void cli_rows_print(const struct cli_rows *t);

/* "1.5 GiB"; in a pipe the number. */
void cli_rows_add_size(struct cli_rows *t, int64_t bytes);
/* A member that counts MiB, whatever it says, likewise. */
void cli_rows_add_mib(struct cli_rows *t, const json_t *object, const char *key);
/* "3 min ago", "in 5 min"; in a pipe as given (RFC 3339). */
void cli_rows_add_time(struct cli_rows *t, const char *rfc3339);

/* The numbers a person reads; `out` of CLI_TEXT_SIZE bytes is returned. */
#define CLI_TEXT_SIZE 48
const char *cli_size_text(int64_t bytes, char out[CLI_TEXT_SIZE]);
const char *cli_time_text(int64_t from_now_s, char out[CLI_TEXT_SIZE]);

/* Pretty JSON and a line feed on standard output. 0. */
int cli_print_json(const json_t *value);
/* Bytes of a sandbox as a string; what is no UTF-8 becomes U+FFFD. NULL: memory is out. */
json_t *cli_json_text(struct str bytes);
/* A member as text whatever it is: strings as they are, numbers and booleans printed, else "". */
const char *cli_member(struct arena *a, const json_t *object, const char *key);
