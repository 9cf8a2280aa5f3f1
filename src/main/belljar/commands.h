/* The commands of `belljar`: those about the server on this host are here, where its configuration
 * is known; those that speak to a server are in cli/. */
#pragma once

#include "cli/cli.h"

extern const struct cli_program belljar_program;

/* Each runs one command and returns the exit status. */
int up_run(struct cli *c);
int down_run(struct cli *c);
int serve_run(struct cli *c);
int doctor_run(struct cli *c);
