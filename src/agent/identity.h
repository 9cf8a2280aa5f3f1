/* Who this sandbox is: what the boot message or POST /init told the agent. */
#pragma once

#include "base/arena.h"
#include "base/str.h"
#include "wire/message.h"

struct schema_boot;

struct identity {
    struct arena mem;
    struct str sandbox_id, template_id, events;
    struct str token;                 /* empty: open */
    struct str user, workdir;         /* defaults; workdir may be empty */
    struct message_list system, envs; /* struct message_pair; envs override system */
};

/* Replaces what `boot` has and keeps the rest. False when memory is out; nothing changed then. */
bool identity_apply(struct identity *id, const struct schema_boot *boot);

/* Calls fn for each global environment variable, weakest first: system, user's, our own. */
void identity_envs(const struct identity *id,
                   void (*fn)(void *data, struct str name, struct str value), void *data);

/* Writes /run/e2b/.E2B_* (core.md 7). Best effort: a read-only root is not a reason to die. */
void identity_write_files(const struct identity *id);
