/* The methods of process.Process. */
#pragma once

#include "agent/rpc.h"

extern const struct rpc_method process_rpc_methods[]; /* the last has path NULL */
