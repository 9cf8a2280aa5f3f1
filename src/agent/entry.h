/* EntryInfo of a path (core.md 3.3), and metadata as extended attributes (4.4). */
#pragma once

#include "agent/schema.h"
#include "agent/user.h"

#define ENTRY_XATTR "user.e2b."

/* Describes `path` (absolute, terminated; lives as long as the arena of `names`). 0 or a negative
 * errno; -ENOENT when it is not there. */
int entry_fill(struct user_names *names, struct str path, struct schema_entry *out);

/* Makes the metadata of an open file exactly `pairs` (struct message_pair). `fresh`: it was just
 * created and has none. 0 or a negative errno. */
int entry_metadata_set(int fd, const struct message_list *pairs, bool fresh);
