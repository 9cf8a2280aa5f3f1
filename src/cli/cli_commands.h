/* The tables of commands that speak to a server, and what runs those that have a file of their
 * own. */
#pragma once

#include "cli/cli.h"

extern const struct cli_command cli_run_commands[], cli_sandbox_commands[], cli_template_commands[],
    cli_key_commands[];

int cli_exec_run(struct cli *c);    /* sandbox exec */
int cli_shell_run(struct cli *c);   /* sandbox shell */
int cli_copy_run(struct cli *c);    /* sandbox cp */
int cli_forward_run(struct cli *c); /* sandbox port-forward */
int cli_build_run(struct cli *c);   /* template build */
int cli_logs_run(struct cli *c);    /* sandbox logs */
int cli_export_run(struct cli *c);  /* template export */
int cli_import_run(struct cli *c);  /* template import */
