#include "main/belljar/commands.h"

#include "cli/cli_commands.h"

static const struct cli_option up_options[] = {
    { "wait", 0, "SECONDS", CLI_NUMBER, "how long it may take until it answers", "30" },
    { NULL },
};
static const struct cli_option down_options[] = {
    { "keep-sandboxes", 0, NULL, CLI_FLAG,
      "end the server only: sandboxes live on, the next one takes them over", NULL },
    { NULL },
};
static const struct cli_option serve_options[] = {
    { "print-config", 0, NULL, CLI_FLAG, "show every setting with its meaning, and end", NULL },
    { NULL },
};

static const struct cli_command host[] = {
    { NULL, "up", "", 0, 0, CLI_NONE, CLI_CONFIG | CLI_JSON,
      "start the server in the background and prove it with one sandbox",
      "Starts 'belljar serve' on BELLJAR_STATE unless one runs there, waits until it answers, "
      "makes\n"
      "one sandbox, runs a command in it, ends it, and prints the exports that clients need. The\n"
      "templates must be there: 'make up' makes them. The log is $BELLJAR_STATE/log/server.log.",
      up_options, up_run },
    { NULL, "down", "", 0, 0, CLI_NONE, CLI_CONFIG | CLI_JSON,
      "stop the server that runs on the same state, with or without its sandboxes", NULL,
      down_options, down_run },
    { NULL, "serve", "", 0, 0, CLI_NONE, CLI_CONFIG, "run the server in the foreground",
      "Settings come from the environment (BELLJAR_STATE, BELLJAR_API_PORT, ...) or FILE; the\n"
      "environment wins.",
      serve_options, serve_run },
    { NULL, "doctor", "", 0, 0, CLI_NONE, CLI_CONFIG | CLI_JSON,
      "look whether this host can run the server, by trying what it needs",
      "A line for each thing: ok, warn or FAIL with what to do about it. Exit status 11 when one\n"
      "failed. Root sees more than others.",
      NULL, doctor_run },
    { 0 },
};

static const struct cli_group groups[] = {
    { "sandbox", "sb", "sandboxes: make, use, look at, end" },
    { "template", "tpl", "templates: what sandboxes are made from" },
    { "keys", NULL, "API keys" },
    { 0 },
};

static const struct cli_command *const tables[] = {
    host, cli_run_commands, cli_sandbox_commands, cli_template_commands, cli_key_commands, NULL
};

const struct cli_program belljar_program = {
    .name = "belljar",
    .version = BELLJAR_VERSION,
    .text = "sandboxes for code that nobody has read yet",
    .more =
        "One program to run a server on this host and to use a server anywhere.\n"
        "\n"
        "Which server: --url and --key, else E2B_API_URL, E2B_API_KEY, E2B_SANDBOX_URL and\n"
        "E2B_DOMAIN, else what the server on this host wrote to $BELLJAR_STATE/env, which root\n"
        "may read. BELLJAR_STATE is /var/lib/belljar unless set.\n"
        "\n"
        "In a pipe, lists are nothing but data: no titles, a tab between columns, bytes and\n"
        "RFC 3339 times. With --json a command prints JSON.",
    .groups = groups,
    .tables = tables,
};
