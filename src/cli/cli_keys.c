/* belljar keys ...: the table, and what is one call each. */
#include "base/cleanup.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"

static int key_create(struct cli *c)
{
    JSON_OWNED answer = NULL;
    int status = cli_call(c, "POST", "/api-keys", json_pack("{s:s}", "name", c->words[0]), &answer);
    if (status || cli_flag(c, "json"))
        return status ? status : cli_print_json(answer);
    const char *key = json_string_value(json_object_get(answer, "key"));
    cli_put_clean(stdout, str_of(key ? key : ""));
    (void)fputc('\n', stdout);
    if (cli_is_terminal())
        fprintf(stderr, "it is shown this once\n");
    return 0;
}

static int key_list(struct cli *c)
{
    static const char *const titles[] = { "ID", "NAME", "KEY", "MADE", "LAST USED", NULL };
    JSON_OWNED all = NULL;
    int status = cli_call(c, "GET", "/api-keys", NULL, &all);
    if (status || cli_flag(c, "json"))
        return status ? status : cli_print_json(all);
    struct cli_rows t;
    size_t i;
    json_t *one;
    cli_rows_init(&t, titles);
    json_array_foreach(all, i, one)
    {
        const json_t *m = json_object_get(one, "mask");
        cli_rows_add(&t, cli_member(&t.mem, one, "id"));
        cli_rows_add(&t, cli_member(&t.mem, one, "name"));
        cli_rows_addf(&t, "%s%s...%s", cli_member(&t.mem, m, "prefix"),
                      cli_member(&t.mem, m, "maskedValuePrefix"),
                      cli_member(&t.mem, m, "maskedValueSuffix"));
        cli_rows_add_time(&t, cli_member(&t.mem, one, "createdAt"));
        cli_rows_add_time(&t, cli_member(&t.mem, one, "lastUsed"));
    }
    cli_rows_print(&t);
    cli_rows_deinit(&t);
    return 0;
}

static int key_revoke(struct cli *c)
{
    struct arena a;
    arena_init(&a, 0);
    int status = cli_call(c, "DELETE", cli_path(&a, "/api-keys/", c->words[0], ""), NULL, NULL);
    arena_deinit(&a);
    return status;
}

#define BOTH (CLI_SERVER | CLI_JSON)
const struct cli_command cli_key_commands[] = {
    { "keys", "create", "NAME", 1, 1, CLI_NONE, BOTH,
      "make an API key and print it, this once; needs the server's own key", NULL, NULL,
      key_create },
    { "keys", "list", "", 0, 0, CLI_NONE, BOTH, "keys that were made, without their secrets", NULL,
      NULL, key_list },
    { "keys", "revoke", "ID", 1, 1, CLI_NONE, CLI_SERVER, "let a key open nothing from now on",
      NULL, NULL, key_revoke },
    { 0 },
};
