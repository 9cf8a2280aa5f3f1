/* belljar sandbox logs: what the commands of a sandbox did, line by line. */
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"

#define EVERY_MS 1000 /* how often --follow asks */
#define PAGE 1000     /* entries of an answer, at most */

struct logs {
    struct cli *c;
    int64_t last_ms; /* of the last entry that was printed */
    size_t at_last;  /* how many of that millisecond were */
};

/* The next line of a message without its end. False: there is none. */
static bool next_line(struct str *rest, struct str *line)
{
    if (!rest->n)
        return false;
    (void)str_cut(*rest, '\n', line, rest);
    return true;
}

static void print(const struct logs *l, const json_t *entry)
{
    struct arena a;
    struct str rest, line;
    const json_t *fields = json_object_get(entry, "fields");
    if (cli_flag(l->c, "json")) {
        (void)json_dumpf(entry, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        (void)fputc('\n', stdout);
        return;
    }
    arena_init(&a, 0);
    const char *type = cli_member(&a, fields, "event_type"), *pid = cli_member(&a, fields, "pid"),
               *at = cli_member(&a, entry, "timestamp");
    rest = str_of(cli_member(&a, entry, "message"));
    while (next_line(&rest, &line)) {
        cli_put_clean(stdout, str_of(at));
        printf(cli_is_terminal() ? "  %6s  %-13s  " : "\t%s\t%s\t", cli_clean(&a, str_of(pid)),
               cli_clean(&a, str_of(type)));
        cli_put_clean(stdout, line);
        (void)fputc('\n', stdout);
    }
    arena_deinit(&a);
}

/* Prints what is newer than what was: the server's times are milliseconds, and it is asked from the
 * last one on. */
static void print_new(struct logs *l, const json_t *entries)
{
    size_t i, seen = 0;
    json_t *one;
    json_array_foreach((json_t *)entries, i, one)
    {
        const char *at = json_string_value(json_object_get(one, "timestamp"));
        int64_t us = 0;
        if (!at || !clock_parse(at, strlen(at), &us) || us / 1000 < l->last_ms)
            continue;
        if (us / 1000 == l->last_ms && seen++ < l->at_last)
            continue;
        l->at_last = us / 1000 == l->last_ms ? l->at_last + 1 : 1;
        seen = us / 1000 == l->last_ms ? seen : 1;
        l->last_ms = us / 1000;
        print(l, one);
    }
    (void)fflush(stdout);
}

/* *is_full: there is more behind what was answered. */
static int ask(struct logs *l, struct arena *a, bool *is_full)
{
    int64_t before_ms = l->last_ms;
    const char *level = cli_text(l->c, "level"), *search = cli_text(l->c, "search");
    JSON_OWNED answer = NULL;
    const char *path =
        arena_printf(a, "/v2/sandboxes/%s/logs?direction=forward&limit=%d&cursor=%lld",
                     l->c->words[0], PAGE, (long long)l->last_ms);
    if (level)
        path = cli_path(a, arena_printf(a, "%s&level=", path), level, "");
    if (search)
        path = cli_path(a, arena_printf(a, "%s&search=", path), search, "");
    int status = cli_call(l->c, "GET", path, NULL, &answer);
    const json_t *entries = json_object_get(answer, "logs");
    if (status == 0)
        print_new(l, entries);
    *is_full = json_array_size(entries) >= PAGE && l->last_ms > before_ms;
    return status;
}

int cli_logs_run(struct cli *c)
{
    const struct timespec pause = { .tv_sec = EVERY_MS / 1000 };
    struct logs l = { .c = c };
    bool is_full = false;
    int status;
    if (!cli_sandbox_id(c, c->words[0]))
        return fault_exit(FAULT_INVALID);
    do {
        struct arena a;
        if (l.last_ms && !is_full)
            (void)nanosleep(&pause, NULL);
        arena_init(&a, 0);
        status = ask(&l, &a, &is_full);
        arena_deinit(&a);
        if (!l.last_ms)
            l.last_ms = 1;
    } while (status == 0 && (is_full || cli_flag(c, "follow")));
    return status;
}
