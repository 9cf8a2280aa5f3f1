/* From clone to agent: the child carries out its plan. No memory is taken, nothing is logged; a
 * failure goes back over the boot channel as one ns_failure. */
#pragma once

#include <linux/filter.h>
#include <stdint.h>

#include "plan/plan.h"

#define NS_HANDED 16
#define NS_GO 'G'     /* engine to child: carry on */
#define NS_FAILED 'E' /* child to engine: an ns_failure follows */

struct ns_failure {
    unsigned char tag; /* NS_FAILED */
    unsigned char op;  /* index into the plan */
    int32_t error;     /* errno */
} __attribute__((packed));

struct ns_child {
    const struct plan *plan;
    const struct sock_fprog *filter;
    int fds[PLAN_FDS];     /* by role */
    int handed[NS_HANDED]; /* become descriptors 3, 4, 5 ... of the agent */
    int handed_count;
};

/* Runs the plan in a process just cloned, and returns when it is carried out. */
void ns_child_run(const struct ns_child *c);
