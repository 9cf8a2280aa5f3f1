/* What GET and POST /files share: the query, the rights, the user, the path. */
#pragma once

#include "agent/rest.h"
#include "base/arena.h"

struct files_query {
    struct str path;     /* as given, decoded; empty with has_path false when absent */
    struct str username; /* empty: the default user */
    bool has_path;
    struct user user;
};

/* Reads the query, checks token or signature for `operation`, finds the user. False: answered. */
bool files_query(struct agent *a, struct http_call *c, const char *operation, struct arena *mem,
                 struct files_query *out);
/* path_resolve; false: answered 400. */
bool files_path(struct agent *a, struct http_call *c, struct arena *mem, const struct user *user,
                struct str path, struct str *out);
/* Answers for an unexpected errno: 507 when the disk is full, else 500 and its like. */
void files_fail_errno(struct http_call *c, int err, const char *what, struct str path);
