/* belljar sandbox ...: the table, and what is one call each. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"

#define PATH_SIZE 256

/* -- create, resume, fork: what they answer is an id -- */

static int say_id(struct cli *c, const json_t *answer)
{
    struct arena a;
    if (cli_flag(c, "json"))
        return cli_print_json(answer);
    arena_init(&a, 0);
    cli_put_clean(stdout, str_of(cli_member(&a, answer, "sandboxID")));
    (void)fputc('\n', stdout);
    arena_deinit(&a);
    return 0;
}

static int create(struct cli *c)
{
    JSON_OWNED answer = NULL;
    json_t *body = json_pack(
        "{s:s, s:i, s:b, s:b, s:b, s:o, s:o}", "templateID", c->word_count ? c->words[0] : "base",
        "timeout", cli_number(c, "timeout"), "secure", 1, "allow_internet_access",
        !cli_flag(c, "offline"), "autoPause", cli_flag(c, "pauses"), "metadata",
        cli_pairs_json(c, "metadata"), "envVars", cli_pairs_json(c, "env"));
    int status = cli_call(c, "POST", "/v2/sandboxes", body, &answer);
    return status ? status : say_id(c, answer);
}

static int resume(struct cli *c)
{
    char path[PATH_SIZE];
    JSON_OWNED answer = NULL;
    if (!cli_sandbox_id(c, c->words[0]))
        return fault_exit(FAULT_INVALID);
    (void)snprintf(path, sizeof path, "/v2/sandboxes/%s/connect", c->words[0]);
    int status =
        cli_call(c, "POST", path, json_pack("{s:i}", "timeout", cli_number(c, "timeout")), &answer);
    return status ? status : say_id(c, answer);
}

static int fork_run(struct cli *c)
{
    char path[PATH_SIZE];
    JSON_OWNED answer = NULL;
    if (!cli_sandbox_id(c, c->words[0]))
        return fault_exit(FAULT_INVALID);
    (void)snprintf(path, sizeof path, "/sandboxes/%s/fork", c->words[0]);
    int status = cli_call(c, "POST", path,
                          json_pack("{s:i, s:i}", "timeout", cli_number(c, "timeout"), "count",
                                    cli_number(c, "count")),
                          &answer);
    if (status)
        return status;
    if (cli_flag(c, "json"))
        (void)cli_print_json(answer);
    size_t i;
    json_t *one;
    json_array_foreach(answer, i, one)
    {
        const json_t *made = json_object_get(one, "sandbox");
        const char *why =
            json_string_value(json_object_get(json_object_get(one, "error"), "message"));
        if (made && !cli_flag(c, "json"))
            (void)say_id(c, made);
        if (!made)
            status = cli_fail(c, FAULT_CREATE_FAILED, "one was not made: %s", why ? why : "?");
    }
    return status;
}

/* -- pause, kill, snapshot -- */

static int pause_run(struct cli *c)
{
    char path[PATH_SIZE];
    if (!cli_sandbox_id(c, c->words[0]))
        return fault_exit(FAULT_INVALID);
    (void)snprintf(path, sizeof path, "/sandboxes/%s/pause", c->words[0]);
    return cli_call(c, "POST", path, json_pack("{s:b}", "memory", !cli_flag(c, "without-memory")),
                    NULL);
}

/* All that are named; the first failure is the exit status, the others are ended all the same. */
static int kill_run(struct cli *c)
{
    int worst = 0;
    for (int i = 0; i < c->word_count; i++) {
        char path[PATH_SIZE];
        int status = fault_exit(FAULT_INVALID);
        if (cli_sandbox_id(c, c->words[i])) {
            (void)snprintf(path, sizeof path, "/sandboxes/%s", c->words[i]);
            status = cli_call(c, "DELETE", path, NULL, NULL);
        }
        worst = worst ? worst : status;
    }
    return worst;
}

static int snapshot(struct cli *c)
{
    char path[PATH_SIZE];
    JSON_OWNED answer = NULL;
    const char *name = c->word_count > 1 ? c->words[1] : NULL;
    if (!cli_sandbox_id(c, c->words[0]))
        return fault_exit(FAULT_INVALID);
    (void)snprintf(path, sizeof path, "/sandboxes/%s/snapshots", c->words[0]);
    int status =
        cli_call(c, "POST", path, name ? json_pack("{s:s}", "name", name) : json_object(), &answer);
    if (status == 0 && cli_flag(c, "json"))
        return cli_print_json(answer);
    if (status == 0) {
        const char *id = json_string_value(json_object_get(answer, "snapshotID"));
        cli_put_clean(stdout, str_of(id ? id : ""));
        (void)fputc('\n', stdout);
    }
    return status;
}

/* -- list, info -- */

static void add_metadata(struct cli_rows *t, const json_t *metadata)
{
    struct buf b;
    const char *key;
    json_t *v;
    buf_init(&b, 0);
    json_object_foreach((json_t *)metadata, key, v)(void)
        buf_printf(&b, "%s%s=%s", buf_used(&b) ? " " : "", key,
                   json_is_string(v) ? json_string_value(v) : "?");
    cli_rows_add(t, buf_cstr(&b));
    buf_deinit(&b);
}

/* The name of the template, else its id. */
static const char *template_of(struct arena *a, const json_t *s)
{
    const char *alias = cli_member(a, s, "alias");
    return alias[0] ? alias : cli_member(a, s, "templateID");
}

static int list(struct cli *c)
{
    static const char *const titles[] = { "ID",   "TEMPLATE", "STATE",    "STARTED", "END",
                                          "CPUS", "MEMORY",   "METADATA", NULL };
    const char *state = cli_text(c, "state");
    char path[PATH_SIZE];
    JSON_OWNED all = NULL;
    if (strcmp(state, "running") != 0 && strcmp(state, "paused") != 0 && strcmp(state, "all") != 0)
        return cli_fail(c, FAULT_INVALID, "--state is running, paused or all, not '%s'", state);
    (void)snprintf(path, sizeof path, "/v2/sandboxes?limit=100&state=%s",
                   strcmp(state, "all") == 0 ? "running,paused" : state);
    int status = cli_call_list(c, path, &all);
    if (status || cli_flag(c, "json"))
        return status ? status : cli_print_json(all);
    struct cli_rows t;
    cli_rows_init(&t, titles);
    size_t i;
    json_t *s;
    json_array_foreach(all, i, s)
    {
        cli_rows_add(&t, cli_member(&t.mem, s, "sandboxID"));
        cli_rows_add(&t, template_of(&t.mem, s));
        cli_rows_add(&t, cli_member(&t.mem, s, "state"));
        cli_rows_add_time(&t, cli_member(&t.mem, s, "startedAt"));
        cli_rows_add_time(&t, cli_member(&t.mem, s, "endAt"));
        cli_rows_add(&t, cli_member(&t.mem, s, "cpuCount"));
        cli_rows_add_mib(&t, s, "memoryMB");
        add_metadata(&t, json_object_get(s, "metadata"));
    }
    cli_rows_print(&t);
    cli_rows_deinit(&t);
    return 0;
}

static int info(struct cli *c)
{
    static const char *const titles[] = { "", "", NULL };
    static const char *const members[] = { "sandboxID",
                                           "templateID",
                                           "alias",
                                           "state",
                                           "memory",
                                           "startedAt",
                                           "endAt",
                                           "cpuCount",
                                           "memoryMB",
                                           "diskSizeMB",
                                           "isolation",
                                           "envdVersion",
                                           "allowInternetAccess" };
    char path[PATH_SIZE];
    JSON_OWNED s = NULL;
    if (!cli_sandbox_id(c, c->words[0]))
        return fault_exit(FAULT_INVALID);
    (void)snprintf(path, sizeof path, "/sandboxes/%s", c->words[0]);
    int status = cli_call(c, "GET", path, NULL, &s);
    if (status || cli_flag(c, "json"))
        return status ? status : cli_print_json(s);
    struct cli_rows t;
    cli_rows_init(&t, titles);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const char *text = cli_member(&t.mem, s, members[i]);
        size_t n = strlen(members[i]);
        if (!text[0])
            continue;
        cli_rows_add(&t, members[i]);
        if (n > 2 && strcmp(members[i] + n - 2, "At") == 0)
            cli_rows_add_time(&t, text);
        else if (n > 2 && strcmp(members[i] + n - 2, "MB") == 0 && cli_is_terminal())
            cli_rows_add_mib(&t, s, members[i]);
        else
            cli_rows_add(&t, text);
    }
    cli_rows_add(&t, "metadata");
    add_metadata(&t, json_object_get(s, "metadata"));
    cli_rows_print(&t);
    cli_rows_deinit(&t);
    return 0;
}

static int metrics(struct cli *c)
{
    static const char *const titles[] = { "TIME",  "CPU %", "CPUS", "MEMORY", "OF",
                                          "CACHE", "DISK",  "OF",   NULL };
    static const char *const sizes[] = { "memUsed", "memTotal", "memCache", "diskUsed",
                                         "diskTotal" };
    char path[PATH_SIZE];
    JSON_OWNED all = NULL;
    if (!cli_sandbox_id(c, c->words[0]))
        return fault_exit(FAULT_INVALID);
    (void)snprintf(path, sizeof path, "/sandboxes/%s/metrics", c->words[0]);
    int status = cli_call(c, "GET", path, NULL, &all);
    if (status || cli_flag(c, "json"))
        return status ? status : cli_print_json(all);
    struct cli_rows t;
    cli_rows_init(&t, titles);
    size_t i, count = json_array_size(all), most = (size_t)cli_number(c, "last");
    json_t *m;
    json_array_foreach(all, i, m)
    {
        if (i + most < count)
            continue;
        cli_rows_add_time(&t, cli_member(&t.mem, m, "timestamp"));
        cli_rows_add(&t, cli_member(&t.mem, m, "cpuUsedPct"));
        cli_rows_add(&t, cli_member(&t.mem, m, "cpuCount"));
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            cli_rows_add_size(&t, json_integer_value(json_object_get(m, sizes[k])));
    }
    cli_rows_print(&t);
    cli_rows_deinit(&t);
    return 0;
}

/* -- the table -- */

static const struct cli_option create_options[] = {
    { "timeout", 't', "SECONDS", CLI_NUMBER, "until it ends by itself", "300" },
    { "env", 'e', "NAME=VALUE", CLI_PAIR, "a variable of every command", NULL },
    { "metadata", 'm', "NAME=VALUE", CLI_PAIR, "a note that lists show", NULL },
    { "offline", 0, NULL, CLI_FLAG, "no way to the internet", NULL },
    { "pauses", 0, NULL, CLI_FLAG, "at its timeout it is paused, not ended", NULL },
    { NULL },
};
static const struct cli_option list_options[] = {
    { "state", 's', "STATE", CLI_TEXT, "running, paused or all", "all" },
    { NULL },
};
static const struct cli_option exec_options[] = {
    { "user", 'u', "NAME", CLI_TEXT, "whose rights it has; else that of the template", NULL },
    { "workdir", 'w', "DIR", CLI_TEXT, "where it runs; else that of the template", NULL },
    { "env", 'e', "NAME=VALUE", CLI_PAIR, "a variable", NULL },
    { "timeout", 't', "SECONDS", CLI_NUMBER, "end it after so long; 0: never", "0" },
    { NULL },
};
static const struct cli_option shell_options[] = {
    { "user", 'u', "NAME", CLI_TEXT, "whose shell; else that of the template", NULL },
    { "workdir", 'w', "DIR", CLI_TEXT, "where it runs; else that of the template", NULL },
    { "env", 'e', "NAME=VALUE", CLI_PAIR, "a variable", NULL },
    { NULL },
};
static const struct cli_option forward_options[] = {
    { "address", 0, "ADDRESS", CLI_TEXT, "where to listen here", "127.0.0.1" },
    { NULL },
};
static const struct cli_option copy_options[] = {
    { "quiet", 'q', NULL, CLI_FLAG, "no progress on the terminal", NULL },
    { NULL },
};
static const struct cli_option logs_options[] = {
    { "follow", 'f', NULL, CLI_FLAG, "go on until the sandbox ends", NULL },
    { "level", 0, "LEVEL", CLI_TEXT, "debug, info, warn or error, and what is worse", NULL },
    { "search", 0, "TEXT", CLI_TEXT, "only what has this in it", NULL },
    { NULL },
};
static const struct cli_option metrics_options[] = {
    { "last", 'n', "COUNT", CLI_NUMBER, "only the last ones", "20" },
    { NULL },
};
static const struct cli_option pause_options[] = {
    { "without-memory", 0, NULL, CLI_FLAG, "keep the files only; a resume boots anew", NULL },
    { NULL },
};
static const struct cli_option resume_options[] = {
    { "timeout", 't', "SECONDS", CLI_NUMBER, "until it ends by itself; never shortens", "300" },
    { NULL },
};
static const struct cli_option fork_options[] = {
    { "count", 'n', "COUNT", CLI_NUMBER, "how many", "1" },
    { "timeout", 't', "SECONDS", CLI_NUMBER, "until they end by themselves", "300" },
    { NULL },
};

#define BOTH (CLI_SERVER | CLI_JSON)
const struct cli_command cli_sandbox_commands[] = {
    { "sandbox", "create", "[TEMPLATE]", 0, 1, CLI_TEMPLATES, BOTH,
      "make a sandbox from a template or snapshot ('base'); prints its id", NULL, create_options,
      create },
    { "sandbox", "list", "", 0, 0, CLI_NONE, BOTH, "sandboxes, newest first", NULL, list_options,
      list },
    { "sandbox", "info", "ID", 1, 1, CLI_SANDBOXES, BOTH, "what is known of a sandbox", NULL, NULL,
      info },
    { "sandbox", "exec", "ID COMMAND...", 2, -1, CLI_SANDBOXES, BOTH | CLI_COMMAND,
      "run a command in a sandbox; its exit status is ours",
      "One word is a line for the shell of the sandbox; several words are a program and its\n"
      "arguments, passed on as they are. Options of ours come before the command.\n"
      "\n"
      "    belljar sandbox exec ID 'make 2>&1 | tail'\n"
      "    belljar sandbox exec -u root ID apt-get install -y jq\n"
      "    belljar sandbox exec ID wc -c <file\n"
      "\n"
      "Standard output and error stay apart. What is piped in is its input; a terminal is not:\n"
      "see 'sandbox shell'. Ctrl-C kills the command.",
      exec_options, cli_exec_run },
    { "sandbox", "shell", "ID", 1, 1, CLI_SANDBOXES, CLI_SERVER,
      "a terminal in a sandbox; its exit status is ours", NULL, shell_options, cli_shell_run },
    { "sandbox", "cp", "SOURCE TARGET", 2, 2, CLI_FILES, CLI_SERVER | CLI_JSON,
      "copy files and directories into or out of a sandbox",
      "One side is ID:PATH, the other a path here, or - for standard input or output. A target\n"
      "that is a directory gets the source by its name; 'DIR/.' is what is in DIR. Paths in the\n"
      "sandbox are relative to the home of its user. Nothing that a sandbox sends is written\n"
      "outside the target.\n"
      "\n"
      "    belljar sandbox cp project ID:work\n"
      "    belljar sandbox cp ID:work/result.csv .",
      copy_options, cli_copy_run },
    { "sandbox", "port-forward", "ID [LOCAL:]PORT", 2, 2, CLI_SANDBOXES, BOTH,
      "let a port here lead to one in a sandbox, until Ctrl-C",
      "Any TCP: databases, SSH, WebSockets. The port may listen on 127.0.0.1 only, inside. LOCAL "
      "0\n"
      "is any that is free.\n"
      "\n"
      "    belljar sandbox port-forward ID 5433:5432 &\n"
      "    psql -h 127.0.0.1 -p 5433",
      forward_options, cli_forward_run },
    { "sandbox", "logs", "ID", 1, 1, CLI_SANDBOXES, BOTH,
      "what the commands of a sandbox did lately",
      "A line for each that was printed, and for each start and end. With --json an object a line.",
      logs_options, cli_logs_run },
    { "sandbox", "metrics", "ID", 1, 1, CLI_SANDBOXES, BOTH, "what a sandbox used, over time", NULL,
      metrics_options, metrics },
    { "sandbox", "pause", "ID", 1, 1, CLI_SANDBOXES, CLI_SERVER,
      "let a sandbox stand still; its files, memory and processes are kept", NULL, pause_options,
      pause_run },
    { "sandbox", "resume", "ID", 1, 1, CLI_SANDBOXES, BOTH, "let a paused sandbox go on", NULL,
      resume_options, resume },
    { "sandbox", "snapshot", "ID [NAME]", 1, 2, CLI_SANDBOXES, BOTH,
      "keep the disk of a sandbox, to create others from; prints its name", NULL, NULL, snapshot },
    { "sandbox", "fork", "ID", 1, 1, CLI_SANDBOXES, BOTH,
      "make new sandboxes from the disk of a running one; prints their ids", NULL, fork_options,
      fork_run },
    { "sandbox", "kill", "ID...", 1, -1, CLI_SANDBOXES, CLI_SERVER, "end sandboxes", NULL, NULL,
      kill_run },
    { 0 },
};
