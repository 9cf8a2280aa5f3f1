/* Dockerfiles, decided: from the text to what the build API takes (templates.md sections 2 and 3).
 * Pure. What comes out is what the SDKs' own conversion means; where that loses something that
 * Docker defines (quotes, variables, exec forms, heredocs), Docker's meaning is kept
 * (docs/dockerfile.md). */
#pragma once

#include "recipe/recipe.h"

struct recipe_dockerfile_arg {
    const char *name, *value;
};
struct recipe_dockerfile_options {
    const char *name;                         /* of the file in sentences; NULL: "Dockerfile" */
    const char *arch;                         /* TARGETARCH; NULL: "amd64" */
    const struct recipe_dockerfile_arg *args; /* as with --build-arg; ended by a NULL name */
    const char *start, *ready;                /* in place of those of the text; NULL: keep */
};

/* A heredoc of COPY: a file that is in no directory. */
struct recipe_dockerfile_file {
    struct str name, text;
};
struct recipe_dockerfile_step {
    enum recipe_kind kind;
    uint32_t line;    /* 0: ours, of no line */
    struct str *args; /* COPY: sources, then the destination; others: those of the step */
    uint32_t arg_count;
    struct recipe_dockerfile_file *files; /* COPY: sources beside the ones in args */
    uint32_t file_count;
    struct str owner, mode; /* COPY: empty when not said */
};
struct recipe_dockerfile_warning {
    uint32_t line;
    const char *text;
};
struct recipe_dockerfile {
    struct str image, from; /* one of them: an image, or a template */
    uint32_t from_line;
    struct recipe_dockerfile_step *steps;
    uint32_t step_count;
    struct str start, ready; /* empty: none */
    struct recipe_dockerfile_warning *warnings;
    uint32_t warning_count;
};

/* Everything in `out` is the arena's. 0, or -EINVAL with a sentence in `op` that begins with
 * "Dockerfile:7: ", or -ENOMEM. */
int recipe_dockerfile_parse(struct op *op, struct arena *a, struct str text,
                            const struct recipe_dockerfile_options *o,
                            struct recipe_dockerfile *out);
