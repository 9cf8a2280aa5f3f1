/* The methods of filesystem.Filesystem. */
#pragma once

#include "agent/rpc.h"

extern const struct rpc_method filesystem_rpc_methods[]; /* the last has path NULL */

/* The user and the absolute path of a request. False: the call was failed. */
bool filesystem_rpc_take(struct rpc_call *c, struct str path, struct user *user, struct str *out);
/* Fails the call for an unexpected negative errno. */
void filesystem_rpc_fail(struct rpc_call *c, int r, const char *what, struct str path);

/* filesystem_tree.c */
void filesystem_tree_list(struct rpc_call *c);
void filesystem_tree_remove(struct rpc_call *c);

/* watch_rpc.c */
void watch_rpc_watch_dir(struct rpc_call *c);
void watch_rpc_create(struct rpc_call *c);
void watch_rpc_events(struct rpc_call *c);
void watch_rpc_remove(struct rpc_call *c);
