/* belljar: the program a person starts. */
#include <stdio.h>
#include <string.h>

#include "main/belljar/serve.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *arguments, *text;
} commands[] = {
    { "serve", serve_main, "[--config FILE] [--print-config]",
      "run the server, or show its settings and end" },
    { "down", down_main, "[--config FILE] [--keep-sandboxes]",
      "stop the server that runs on the same state, with or without its sandboxes" },
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void help(FILE *out)
{
    fprintf(out, "belljar %s: sandboxes for code that nobody has read yet\n\nusage:\n",
            BELLJAR_VERSION);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  belljar %s %s\n      %s\n", commands[i].name, commands[i].arguments,
                commands[i].text);
    fprintf(out,
            "  belljar --help | --version\n\n"
            "settings come from the environment (BELLJAR_STATE, BELLJAR_API_PORT, ...) or FILE\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0) {
        printf("belljar %s\n", BELLJAR_VERSION);
        return 0;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    help(stderr);
    return 2;
}
