/* The languages: one row each. Pure. Source: code-interpreter.md 6, 7. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

enum language_kind {
    LANGUAGE_JUPYTER, /* a kernel of the Jupyter protocol */
    LANGUAGE_ADAPTER, /* a program of ours in templates/, JSON lines on descriptors 3 and 4 */
    LANGUAGE_SHELL,   /* an interactive bash */
};

struct language {
    const char *name;
    enum language_kind kind;
    const char *const *argv; /* "{connection}" stands for the path of that file */
    bool is_raw;    /* what its process writes to descriptors 1 and 2 is output of the cell */
    bool by_signal; /* interrupted by SIGINT to its process group, else by a byte on 5 */
    bool needs_cwd; /* a missing working directory is an error, else it begins at home */
    const char *set_env, *unset_env; /* a statement; %1 the name, %2 the value; NULL: by message */
};

/* The language of that name or alias, trimmed, in any case; empty: python. NULL: there is none. */
const struct language *language_find(struct str name);
/* The default contexts that exist from the start. */
extern const char *const languages_ahead[];

/* Appends code that sets the variables of `set` (an object of strings, may be NULL) and removes
 * those named in `unset` (an array). For languages with set_env. */
void language_put_env(struct buf *b, const struct language *l, const json_t *set,
                      const json_t *unset);
/* Can a process have a variable of that name? Names of none are left out by language_put_env. */
bool language_is_env_name(const char *name);
/* Appends `s` as a word of bash: $'...'. */
void language_put_word(struct buf *b, struct str s);
