/* Inside recipe/ only: the parts of the parser of Dockerfiles.
 *
 * A value may depend on what only the base image knows ($PATH), so text is *coded* on its way: such
 * a reference is DOCKER_REF name [operator word] DOCKER_END, all else is as it is. These two bytes
 * are refused in the file. The server's shell resolves references in ENV, WORKDIR and USER; nobody
 * does in FROM and COPY, where they are refused. */
#pragma once

#include "base/map.h"
#include "recipe/recipe_dockerfile.h"

#define DOCKER_REF '\x01'
#define DOCKER_END '\x02'

struct docker_heredoc {
    struct str name, text; /* text: its lines as they are in the file, each with its newline */
    bool is_quoted;        /* nothing in it is replaced */
    bool has_tabs;         /* <<- : tabs that begin a line are not part of it */
};
#define DOCKER_HEREDOCS 16

/* One instruction. */
struct docker_line {
    struct str keyword, rest; /* in upper case; trimmed, lines joined */
    struct str written;       /* the keyword as it is in the file */
    struct docker_heredoc heredocs[DOCKER_HEREDOCS];
    uint32_t heredoc_count;
};

struct docker_var {
    struct str name, value; /* coded */
    bool has_value;
    bool is_env; /* stronger than an ARG */
};

struct docker_warning {
    struct recipe_dockerfile_warning is;
    struct docker_warning *next;
};

/* Everything of one parse. */
struct docker {
    struct op *op;
    struct arena *arena;
    const struct recipe_dockerfile_options *options;
    struct recipe_dockerfile *out;
    const char *name;
    /* lines */
    char escape;
    uint32_t line, next_line; /* of the instruction; of what is read next */
    struct str rest;          /* what is not read yet */
    char open_quote;          /* the last word has a quote that is not closed */
    /* values */
    struct map vars, globals; /* struct docker_var; globals: the ARGs before FROM */
    size_t expanded;          /* bytes that came of variables so far */
    bool *is_used;            /* of each of options->args */
    /* steps */
    bool has_from, has_user, has_workdir;
    uint32_t step_cap;
    struct str *shell; /* of SHELL; NULL: the server's */
    uint32_t shell_count;
    struct str entry, command; /* of ENTRYPOINT and CMD, as a shell's text */
    bool is_entry_shell, is_command_shell;
    struct docker_warning *warnings, **warnings_end;
    uint32_t warning_count;
};

__attribute__((format(printf, 2, 3))) int recipe_docker_fail(struct docker *d, const char *fmt,
                                                             ...);
/* -ENOMEM is raised here only. */
int recipe_docker_no_memory(struct docker *d);
__attribute__((format(printf, 2, 3))) int recipe_docker_warn(struct docker *d, const char *fmt,
                                                             ...);
/* Moves the bytes of `b` to the arena and frees it. */
int recipe_docker_take(struct docker *d, struct buf *b, struct str *out);

/* Reads directives at the top, and checks every byte. */
int recipe_docker_lines_begin(struct docker *d, struct str text);
enum { DOCKER_LINE = 0, DOCKER_NO_LINE = 1 };
int recipe_docker_lines_next(struct docker *d, struct docker_line *out);

/* The next word of *rest, as written; quotes and escapes keep blanks in it. False at the end. */
bool recipe_docker_word(struct docker *d, struct str *rest, struct str *word);

enum docker_words {
    DOCKER_QUOTES, /* quotes and escapes are taken away */
    DOCKER_TEXT,   /* of a heredoc: quotes are text, escapes are for $ and themselves */
};
/* Replaces variables. */
int recipe_docker_expand(struct docker *d, struct str raw, enum docker_words how,
                         struct str *coded);
/* From coded text to what the server's shell makes of it again. */
int recipe_docker_for_shell(struct docker *d, struct str coded, struct str *out);
/* Coded text with nothing to be resolved, or a refusal; `what` begins its sentence. */
int recipe_docker_plain(struct docker *d, struct str coded, const char *what);
/* Appends as one word of a shell. */
void recipe_docker_put_word(struct buf *b, struct str s);

struct str recipe_docker_short(struct str s); /* as much of it as fits a sentence */

/* -- parts of instructions -- */

struct docker_list {
    struct str *p;
    uint32_t n, cap;
};
int recipe_docker_add_word(struct docker *d, struct docker_list *w, struct str word);
/* The words as they are written. */
int recipe_docker_split(struct docker *d, struct str rest, struct docker_list *out);
enum { DOCKER_FORM_SHELL = 0, DOCKER_FORM_JSON = 1 };
/* ["a", "b"]: DOCKER_FORM_JSON with its strings. */
int recipe_docker_json(struct docker *d, struct str rest, struct docker_list *out);
/* Takes --name=value from the front of *rest. False: there is none (more). */
bool recipe_docker_flag(struct docker *d, struct str *rest, struct str *name, struct str *value);
int recipe_docker_unknown_flag(struct docker *d, const char *keyword, struct str name,
                               const char *advice);
/* Whether a word begins a heredoc. */
bool recipe_docker_is_heredoc(struct str word);
/* Appends its lines as they are meant. */
void recipe_docker_put_heredoc(struct buf *b, const struct docker_heredoc *h);

int recipe_docker_step(struct docker *d, struct recipe_dockerfile_step step);
int recipe_docker_simple(struct docker *d, enum recipe_kind kind, uint32_t line, struct str arg);

/* -- instructions -- */

int recipe_docker_run(struct docker *d, const struct docker_line *l);
int recipe_docker_shell(struct docker *d, const struct docker_line *l);
int recipe_docker_cmd(struct docker *d, const struct docker_line *l);
/* CMD and ENTRYPOINT together; empty: there is neither. */
int recipe_docker_start(struct docker *d, struct str *out);
int recipe_docker_env(struct docker *d, const struct docker_line *l);
int recipe_docker_arg(struct docker *d, const struct docker_line *l);
/* What of options->args holds without an ARG: proxies. At FROM. */
int recipe_docker_proxies(struct docker *d);
int recipe_docker_copy(struct docker *d, const struct docker_line *l); /* and ADD */
