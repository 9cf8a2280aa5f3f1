/* belljar: the program a person starts. */
#include "main/belljar/commands.h"

int main(int argc, char **argv) { return cli_main(&belljar_program, argc, argv); }
