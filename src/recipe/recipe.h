/* Template builds, decided: from the JSON of POST /v2/templates/{id}/builds/{id} to steps, from a
 * step to one command in a sandbox, from its output to what the next step sees, and the keys under
 * which results are kept. Pure. Meaning of the steps: templates.md sections 2 and 9. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/op.h"
#include "base/str.h"

enum recipe_kind {
    RECIPE_RUN,
    RECIPE_COPY,
    RECIPE_ENV,
    RECIPE_WORKDIR,
    RECIPE_USER,
    RECIPE_UNKNOWN
};

struct recipe_step {
    enum recipe_kind kind;
    struct str type; /* in upper case, as asked for */
    struct str *args;
    uint32_t arg_count;
    struct str files; /* hash of what was uploaded for it; empty: none */
    bool is_forced;   /* itself or by one before it: not taken from the cache */
};

struct recipe {
    struct str image, from; /* one of them: an image, or a template */
    struct str registry_user, registry_password;
    struct str aws_region; /* not empty: those two are a key of AWS, which ECR makes a login of */
    bool is_forced;        /* everything is made anew */
    struct recipe_step *steps;
    uint32_t step_count;
    bool has_start; /* a start or ready command, which replace both of the base's */
    struct str start, ready;
};

/* Reads `body`; strings are the arena's. 0 or -EINVAL with the sentence in `op`. What is wrong with
 * a single step is found by recipe_check. */
int recipe_parse(struct op *op, struct arena *a, const json_t *body, struct recipe *out);

/* False: `why` says what is wrong with the step. */
#define RECIPE_WHY_SIZE 512
bool recipe_check(const struct recipe_step *s, char why[RECIPE_WHY_SIZE]);

/* Appends "RUN echo hi", on one line. */
void recipe_step_print(struct buf *b, const struct recipe_step *s);

/* What a step sees and may change. */
struct recipe_context {
    char user[256], workdir[4096]; /* workdir "": the user's home */
    json_t *envs;                  /* object of strings */
};

/* One command in a sandbox. */
struct recipe_op {
    struct str command, user, workdir; /* workdir "": the user's home */
    const char *program;               /* with the command as its argument; NULL: a shell */
    bool is_login;                     /* a login bash; otherwise /bin/sh */
    bool has_envs;                     /* the context's environment */
    bool has_files; /* the upload is at RECIPE_FILES first; the command removes RECIPE_DIR */
    bool is_layer;  /* its result is worth a layer and a place in the cache */
    bool is_quiet;  /* its output is for recipe_apply, not for the log */
};
#define RECIPE_DIR "/.belljar-build"
#define RECIPE_FILES RECIPE_DIR "/files.tar"

enum { RECIPE_DONE = 0, RECIPE_PURE = 1 };
/* RECIPE_DONE: *out is to be run; RECIPE_PURE: nothing is, apply it with no output; -ENOMEM. The
 * step passed recipe_check. */
int recipe_plan(struct arena *a, const struct recipe_step *s, const struct recipe_context *c,
                struct recipe_op *out);
/* Takes what the command of the step printed into the context. False: it is not what the command
 * prints, or memory. */
bool recipe_apply(const struct recipe_step *s, struct str output, struct recipe_context *c);
/* The sentence for a step whose command ended with `status` ("exit status 1") and said `said`. */
void recipe_failure_print(struct buf *b, const struct recipe_step *s, const char *status,
                          struct str said);
/* The environment of commands: the context's, with a PATH that finds the system's tools. A new
 * object; NULL: memory. */
json_t *recipe_envs(const struct recipe_context *c);

/* Shell, as root. provision: installs what an image lacks (sudo, curl, git ...) by its own package
 * manager, says what it does, and fails when it cannot. prepare: what every template has, before
 * the first step; it is run again on what it has made. finish: after the last one. */
const char *recipe_provision(void);
const char *recipe_prepare(void);
struct str recipe_finish(struct arena *a, const char *template_id, const char *build_id);

/* Keys of results, 64 hex digits and NUL: of a base, and of a step after another key. */
#define RECIPE_KEY_SIZE 65
void recipe_key_base(char out[RECIPE_KEY_SIZE], struct str rootfs, struct str layers,
                     const struct recipe_context *c);
void recipe_key_step(char out[RECIPE_KEY_SIZE], const char *before, const struct recipe_step *s);
