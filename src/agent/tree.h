/* Making, listing and removing trees of directories. */
#pragma once

#include "agent/schema.h"
#include "agent/user.h"
#include "base/arena.h"
#include "base/str.h"

/* Makes the directory and its missing parents, 0755, each one made given to the user. 0 or a
 * negative errno; a directory that is there is fine. `path` is terminated. */
int tree_make(struct str path, const struct user *owner);

enum { TREE_DONE = 0, TREE_TOO_MANY = 1 };

/* Removes the path and all below it; following no link. A missing path is fine. TREE_DONE;
 * TREE_TOO_MANY: `most` entries were removed and there are more; or a negative errno: the first
 * failure, after which the rest was removed as far as it went. */
int tree_remove(const char *path, uint32_t most);

/* Appends to *out (struct schema_entry) what is below `path`, `depth` levels deep, each directory
 * followed by its contents; entries that vanish meanwhile are left out. TREE_DONE, TREE_TOO_MANY
 * (more than `most`), or a negative errno of the directory itself. */
int tree_list(struct user_names *names, struct str path, uint32_t depth, uint32_t most,
              struct message_list *out);
