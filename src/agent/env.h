/* The environment of a command: built from nothing, later settings win (core.md 3.2). */
#pragma once

#include "agent/identity.h"
#include "agent/user.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

struct env {
    struct arena *mem;
    struct map names; /* -> struct env_var */
    struct env_var *vars;
    uint32_t count;
    bool failed; /* memory is out */
};

void env_init(struct env *e, struct arena *a);
void env_deinit(struct env *e);
void env_set(struct env *e, struct str name, struct str value);
/* PATH and the user's, the sandbox's, the request's. False: memory is out. */
bool env_fill(struct env *e, const struct identity *id, const struct user *u,
              const struct message_list *request);
/* The sandbox's alone. */
void env_fill_global(struct env *e, const struct identity *id);
/* Appends a JSON object. */
void env_print(const struct env *e, struct buf *b);
/* For execve(2), NULL-terminated, in the arena; NULL when memory is out. */
char **env_array(struct env *e);
/* Where the program may be: the name itself when it has a slash, else in each directory of the
 * environment's PATH. NULL-terminated; NULL when memory is out. */
char **env_candidates(struct env *e, struct str cmd);
