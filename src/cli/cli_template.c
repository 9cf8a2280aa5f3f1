/* belljar template ...: the table, and what is one call each. */

#include "base/cleanup.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"
#include "wire/json.h"

static json_t *words_from(const struct cli *c, int first)
{
    json_t *all = json_array();
    for (int i = first; i < c->word_count; i++)
        (void)json_array_append_new(all, json_string(c->words[i]));
    return all;
}

/* -- templates -- */

static const char *name_of(struct arena *a, const json_t *t)
{
    const char *name = json_string_value(json_array_get(json_object_get(t, "aliases"), 0));
    return name ? name : cli_member(a, t, "templateID");
}

static int list(struct cli *c)
{
    static const char *const titles[] = { "NAME",   "ID",    "CPUS",    "MEMORY", "DISK",
                                          "PUBLIC", "BUILD", "CHANGED", NULL };
    JSON_OWNED all = NULL;
    int status = cli_call_list(c, "/v2/templates?limit=100", &all);
    if (status || cli_flag(c, "json"))
        return status ? status : cli_print_json(all);
    struct cli_rows t;
    size_t i;
    json_t *one;
    cli_rows_init(&t, titles);
    json_array_foreach(all, i, one)
    {
        cli_rows_add(&t, name_of(&t.mem, one));
        cli_rows_add(&t, cli_member(&t.mem, one, "templateID"));
        cli_rows_add(&t, cli_member(&t.mem, one, "cpuCount"));
        cli_rows_add_mib(&t, one, "memoryMB");
        cli_rows_add_mib(&t, one, "diskSizeMB");
        cli_rows_add(&t, cli_member(&t.mem, one, "public"));
        cli_rows_add(&t, cli_member(&t.mem, one, "buildStatus"));
        cli_rows_add_time(&t, cli_member(&t.mem, one, "updatedAt"));
    }
    cli_rows_print(&t);
    cli_rows_deinit(&t);
    return 0;
}

/* The id of the template a person calls `name`: a name, or the id itself. NULL: it said why. */
static const char *id_of(struct cli *c, struct arena *a, const char *name, int *status)
{
    JSON_OWNED answer = NULL;
    *status = cli_call(c, "GET", cli_path(a, "/templates/aliases/", name, ""), NULL, &answer);
    const char *id = *status ? NULL : json_string_value(json_object_get(answer, "templateID"));
    return id ? arena_str(a, str_of(id)) : NULL;
}

/* The template with its builds; one that was made with the server has none, and no page of its own:
 * then its name is all. */
static int builds_of(struct cli *c, struct arena *a, const char *id, json_t **out)
{
    CLEANUP(freep)
    char *text = belljar_request(c->server, "GET", cli_path(a, "/templates/", id, ""), NULL, NULL);
    if (!text && belljar_status(c->server) != 404)
        return cli_server_fail(c);
    *out = text ? json_parse(str_of(text), NULL)
                : json_pack("{s:s, s:[s], s:b, s:[]}", "templateID", id, "names", id, "public", 1,
                            "builds");
    return *out ? 0 : cli_fail(c, FAULT_INTERNAL, "the server's answer is not JSON");
}

static void print_tags(struct cli *c, struct arena *a, const char *id)
{
    static const char *const titles[] = { "TAG", "BUILD", "SINCE", NULL };
    JSON_OWNED tags = NULL;
    struct cli_rows t;
    size_t i;
    json_t *one;
    if (cli_call(c, "GET", cli_path(a, "/templates/", id, "/tags"), NULL, &tags))
        return;
    cli_rows_init(&t, titles);
    json_array_foreach(tags, i, one)
    {
        cli_rows_add(&t, cli_member(&t.mem, one, "tag"));
        cli_rows_add(&t, cli_member(&t.mem, one, "buildID"));
        cli_rows_add_time(&t, cli_member(&t.mem, one, "createdAt"));
    }
    (void)fputc('\n', stdout);
    cli_rows_print(&t);
    cli_rows_deinit(&t);
}

static int info_of(struct cli *c, struct arena *a)
{
    static const char *const titles[] = { "BUILD", "STATUS", "CPUS", "MEMORY", "BEGUN", NULL };
    int status;
    const char *id = id_of(c, a, c->words[0], &status);
    JSON_OWNED all = NULL;
    if (id)
        status = builds_of(c, a, id, &all);
    if (status || cli_flag(c, "json"))
        return status ? status : cli_print_json(all);
    struct cli_rows t;
    size_t i;
    json_t *one;
    cli_put_clean(stdout, str_of(id));
    (void)fputs("  ", stdout);
    json_array_foreach(json_object_get(all, "names"), i, one)
    {
        const char *name = json_string_value(one);
        cli_put_clean(stdout, str_of(name ? name : ""));
        (void)fputc(' ', stdout);
    }
    (void)printf("%s\n\n", json_is_true(json_object_get(all, "public")) ? "(public)" : "");
    cli_rows_init(&t, titles);
    json_array_foreach(json_object_get(all, "builds"), i, one)
    {
        cli_rows_add(&t, cli_member(&t.mem, one, "buildID"));
        cli_rows_add(&t, cli_member(&t.mem, one, "status"));
        cli_rows_add(&t, cli_member(&t.mem, one, "cpuCount"));
        cli_rows_add_mib(&t, one, "memoryMB");
        cli_rows_add_time(&t, cli_member(&t.mem, one, "createdAt"));
    }
    cli_rows_print(&t);
    cli_rows_deinit(&t);
    if (json_array_size(json_object_get(all, "builds")))
        print_tags(c, a, id);
    return 0;
}

static int info(struct cli *c)
{
    struct arena a;
    arena_init(&a, 0);
    int status = info_of(c, &a);
    arena_deinit(&a);
    return status;
}

static int tag(struct cli *c)
{
    JSON_OWNED answer = NULL;
    int status =
        cli_call(c, "POST", "/templates/tags",
                 json_pack("{s:s, s:o}", "target", c->words[0], "tags", words_from(c, 1)), &answer);
    return status || !cli_flag(c, "json") ? status : cli_print_json(answer);
}

static int untag(struct cli *c)
{
    return cli_call(c, "DELETE", "/templates/tags",
                    json_pack("{s:s, s:o}", "name", c->words[0], "tags", words_from(c, 1)), NULL);
}

static int delete (struct cli *c)
{
    struct arena a;
    int worst = 0;
    arena_init(&a, 0);
    for (int i = 0; i < c->word_count; i++) {
        int status =
            cli_call(c, "DELETE", cli_path(&a, "/templates/", c->words[i], ""), NULL, NULL);
        worst = worst ? worst : status;
    }
    arena_deinit(&a);
    return worst;
}

/* -- the table -- */

static const struct cli_option build_options[] = {
    { "name", 'n', "NAME[:TAG]", CLI_TEXT, "what it will be called", NULL },
    { "file", 'f', "FILE", CLI_FILE,
      "the Dockerfile, or -; else e2b.Dockerfile or Dockerfile in DIR", NULL },
    { "build-arg", 'a', "NAME=VALUE", CLI_PAIR, "for an ARG of the Dockerfile", NULL },
    { "start", 0, "COMMAND", CLI_TEXT, "runs in every sandbox; else CMD and ENTRYPOINT", NULL },
    { "ready", 0, "COMMAND", CLI_TEXT, "succeeds when a sandbox can be used", NULL },
    { "cpus", 0, "COUNT", CLI_NUMBER, "processors of a sandbox", "2" },
    { "memory", 0, "MIB", CLI_NUMBER, "memory of a sandbox", "1024" },
    { "no-cache", 0, NULL, CLI_FLAG, "run every step anew", NULL },
    { "verbose", 'v', NULL, CLI_FLAG, "all that the log has", NULL },
    { NULL },
};

#define BOTH (CLI_SERVER | CLI_JSON)
const struct cli_command cli_template_commands[] = {
    { "template", "build", "[DIR]", 0, 1, CLI_FILES, BOTH,
      "build a template from a Dockerfile; prints its id",
      "COPY takes from DIR, the current directory unless given. The log is on standard error. A\n"
      "mistake in the Dockerfile and a step that fails are told with their line; exit status 1\n"
      "when a step, or the start or ready command, failed.\n"
      "\n"
      "    belljar template build -n my-app --ready 'curl -sf localhost:8080'",
      build_options, cli_build_run },
    { "template", "list", "", 0, 0, CLI_NONE, BOTH, "templates, newest first", NULL, NULL, list },
    { "template", "info", "NAME", 1, 1, CLI_TEMPLATES, BOTH, "names, builds and tags of a template",
      NULL, NULL, info },
    { "template", "tag", "NAME[:TAG] TAG...", 2, -1, CLI_TEMPLATES, BOTH,
      "give the build that a name and tag stand for more tags", NULL, NULL, tag },
    { "template", "untag", "NAME TAG...", 2, -1, CLI_TEMPLATES, CLI_SERVER,
      "take tags away; what no tag names is forgotten", NULL, NULL, untag },
    { "template", "delete", "NAME...", 1, -1, CLI_TEMPLATES, CLI_SERVER,
      "delete templates or snapshots; sandboxes made from them go on", NULL, NULL, delete },
    { "template", "export", "NAME FILE", 2, 2, CLI_TEMPLATES, CLI_SERVER,
      "write a template to one file, for a machine without a network",
      "Run as root on the server's host. The file has all that sandboxes of it are made from; it "
      "is "
      "not compressed.",
      NULL, cli_export_run },
    { "template", "import", "FILE [NAME]", 1, 2, CLI_FILES, BOTH, "add a template from such a file",
      "Run as root on the server's host. Import what you trust as much as a package: its files "
      "become those of sandboxes, and the kernel mounts its images.",
      NULL, cli_import_run },
    { 0 },
};
