/* The methods of filesystem.Filesystem. */
#pragma once

#include "agent/rpc.h"

extern const struct rpc_method filesystem_rpc_methods[]; /* the last has path NULL */

/* watch_rpc.c */
void watch_rpc_watch_dir(struct rpc_call *c);
void watch_rpc_create(struct rpc_call *c);
void watch_rpc_events(struct rpc_call *c);
void watch_rpc_remove(struct rpc_call *c);
