/* The command line: a program is tables of commands, a command is a row with a table of options.
 * Parsing, help, completion and manual pages are all made from those rows.
 *
 *   cli_options.c   words to a command and its values; pure
 *   cli_help.c      --help and usage lines; pure
 *   cli_pages.c     manual pages (roff) and the reference page (Markdown); pure
 *   cli_complete.c  completion of bash, zsh and fish; pure
 *   cli_main.c      finds the command, runs it, says what went wrong
 *   cli_print.c     tables, JSON, sizes and times on the terminal */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/op.h"

#define CLI_VALUES 64 /* options given at once, and words that are none before the last ones */

enum cli_kind {
    CLI_FLAG,   /* takes no value */
    CLI_TEXT,   /* any text but the empty one */
    CLI_NUMBER, /* 0 up to 2147483647 */
    CLI_PAIR,   /* NAME=VALUE; may be given again and again */
    CLI_FILE,   /* a path; completed as one */
};
struct cli_option {
    const char *name;  /* --name; NULL ends a table */
    char letter;       /* -x; 0: none */
    const char *value; /* what help calls its value; NULL for CLI_FLAG */
    enum cli_kind kind;
    const char *text;     /* what it does, without a full stop */
    const char *standard; /* used when it is not given; NULL: nothing */
};

enum {                  /* of a command */
       CLI_SERVER = 1,  /* speaks to a server: has --url, --key and their like */
       CLI_JSON = 2,    /* has --json */
       CLI_CONFIG = 4,  /* has --config: settings of the server on this host */
       CLI_COMMAND = 8, /* from the second word on all is a command of the sandbox: "ID ls -l" */
};
enum cli_complete { CLI_NONE, CLI_FILES, CLI_SANDBOXES, CLI_TEMPLATES, CLI_SHELLS };

struct cli;
struct cli_command {
    const char *group;       /* "sandbox"; NULL: belljar NAME */
    const char *name;        /* NULL ends a table */
    const char *arguments;   /* "ID [NAME]", for people */
    int least, most;         /* how many words; most -1: any number */
    enum cli_complete words; /* what the shell offers for them */
    unsigned flags;
    const char *text;                 /* one line, lower case, no full stop */
    const char *more;                 /* paragraphs of help and manual, or NULL */
    const struct cli_option *options; /* or NULL */
    int (*run)(struct cli *c);        /* the exit status */
};
struct cli_group {
    const char *name, *alias, *text; /* alias may be NULL; a NULL name ends a table */
};
struct cli_program {
    const char *name, *version, *text;
    const char *more; /* paragraphs of the main manual page */
    const struct cli_group *groups;
    const struct cli_command *const *tables; /* ended by NULL */
};

/* Every command in the order of the tables: `it` is a cursor, zero at the start. NULL at the end.
 */
struct cli_cursor {
    size_t table, row;
};
const struct cli_command *cli_next(const struct cli_program *p, struct cli_cursor *it);
/* The options of a command, its own ones first, then those of its flags. NULL at the end. */
const struct cli_option *cli_option_at(const struct cli_command *command, size_t index);
/* By the name or alias of a group (or NULL) and the name; or NULL. */
const struct cli_command *cli_find(const struct cli_program *p, const char *group,
                                   const char *name);
const struct cli_group *cli_find_group(const struct cli_program *p, const char *name);
/* The name among `names` (ended by NULL) that a person most likely meant by `given`, or NULL. */
const char *cli_nearest(const char *given, const char *const *names);

struct belljar;
struct cli {
    const struct cli_program *program;
    const struct cli_command *command;
    struct op op; /* the sentence of a mistake */
    struct cli_value {
        const struct cli_option *option;
        const char *text;
    } values[CLI_VALUES];
    int value_count;
    const char **words; /* arguments that are no options */
    int word_count;
    bool wants_help;
    struct belljar *server; /* open from the first cli_server on */
};

/* `words` (argc - 1 words behind the program's name) to command, values and words, which point into
 * them; `room` has space for as many. c->program is set. 0, or a negative errno with the sentence
 * in c->op; command may be set even then. command NULL and wants_help: help of the program or, with
 * words[0], of a group. */
int cli_parse(struct cli *c, char *const *words, int count, const char **room);

/* What was given, or the standard, or NULL. A name without a row is a mistake of ours: abort. */
const char *cli_text(const struct cli *c, const char *name);
bool cli_flag(const struct cli *c, const char *name);
int cli_number(const struct cli *c, const char *name); /* without a standard: 0 */
/* The `index`th value of a CLI_PAIR, "NAME=VALUE", or NULL. */
const char *cli_pair(const struct cli *c, const char *name, int index);

/* ---- pages ---- */

/* "belljar sandbox exec [options] ID COMMAND..." */
void cli_put_usage(struct buf *b, const struct cli_program *p, const struct cli_command *command);
void cli_put_help(struct buf *b, const struct cli_program *p);
void cli_put_group_help(struct buf *b, const struct cli_program *p, const struct cli_group *group);
void cli_put_command_help(struct buf *b, const struct cli_program *p,
                          const struct cli_command *command);
/* Manual page, roff, of `topic`: a group or a command without one; NULL: the program. False: there
 * is none of that name. */
bool cli_put_man(struct buf *b, const struct cli_program *p, const char *topic);
void cli_put_markdown(struct buf *b, const struct cli_program *p); /* docs/reference/cli.md */
/* False: no such shell. */
bool cli_put_completion(struct buf *b, const struct cli_program *p, const char *shell);

/* ---- running ---- */

/* The whole program: returns the exit status. */
int cli_main(const struct cli_program *p, int argc, char **argv);

/* Says "belljar: SENTENCE" on standard error; control bytes are shown, not sent. Returns the exit
 * status of the fault. */
__attribute__((format(printf, 3, 4))) int cli_fail(struct cli *c, enum fault_code code,
                                                   const char *fmt, ...);
int cli_fail_op(struct cli *c); /* what c->op holds */
#define CLI_FAILED 1            /* exit: code that was run, a build, has failed by itself */

/* A file that a person named, or - for standard input. The descriptor, or -1 with errno. */
int cli_open(const char *file);
/* All of it, which must be text of at most CLI_SOURCE_SIZE (the limit of `out`). 0, or the exit
 * status after it said why. */
#define CLI_SOURCE_SIZE (16 << 20)
#define CLI_SOURCE_PIECE 32768
int cli_read_text(struct cli *c, const char *name, int fd, struct buf *out);

/* Completion scripts: the command of a CLI_SHELLS row. */
int cli_completion_run(struct cli *c);
