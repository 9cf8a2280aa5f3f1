/* Paths as clients give them (core.md 3.4). */
#pragma once

#include "agent/user.h"
#include "base/arena.h"
#include "base/str.h"

enum { PATH_DONE = 0, PATH_OTHER_HOME = 1, PATH_TOO_LONG = 2 };

/* Makes `path` absolute for `user`: empty: workdir, or home; ~ and ~/x: home; absolute: as it is;
 * relative: joined to the home and cleaned. PATH_DONE, another outcome, or -ENOMEM. */
int path_resolve(struct arena *a, struct str path, const struct user *user, struct str workdir,
                 struct str *out);
/* The sentence for an outcome of path_resolve. */
const char *path_why(int outcome);

/* What is after the last slash, slashes at the end aside; "/" for the root. */
struct str path_name(struct str path);
/* The part in front of path_name, without slashes at its end, at least "/" . */
struct str path_parent(struct str path);
/* a + "/" + b in the arena, terminated; p NULL when memory is out. */
struct str path_join(struct arena *a, struct str dir, struct str name);
/* Lexically: no empty, "." and ".." parts. In place of an absolute terminated path. */
struct str path_clean(char *path);
