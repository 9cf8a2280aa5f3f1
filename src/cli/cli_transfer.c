/* belljar template export, import: beside the server, as root. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"
#include "transfer/transfer.h"

enum { SETTLE_MS = 50, SETTLE_TRIES = 600 };

static int need_root(struct cli *c)
{
    return geteuid() == 0 ? 0
                          : cli_fail(c, FAULT_FORBIDDEN,
                                     "templates are root's files: run this as root on the "
                                     "server's host (its state: BELLJAR_STATE)");
}

static void say_rate(const char *what, const char *name, uint64_t bytes, int64_t began_ms)
{
    char size[CLI_TEXT_SIZE];
    int64_t ms = clock_mono_ms() - began_ms;
    (void)fprintf(stderr, "%s %s: %s, %llu MB/s\n", name, what, cli_size_text((int64_t)bytes, size),
                  (unsigned long long)(bytes / 1000 / (uint64_t)(ms > 0 ? ms : 1)));
}

/* -- export -- */

static int write_file(struct cli *c, struct transfer_export *e, const char *path)
{
    CLEANUP(freep) char *part = NULL;
    struct stat st;
    if (stat(path, &st) == 0)
        return cli_fail(c, FAULT_CONFLICT, "%s is there already; remove it, or name another", path);
    if (asprintf(&part, "%s.part", path) < 0)
        return cli_fail(c, FAULT_CAPACITY, "out of memory");
    CLEANUP(fd_closep) int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return cli_fail(c, FAULT_HOST, "%s cannot be made: %s", part, strerror(errno));
    int status = 0;
    if (transfer_export(&c->op, e, fd) < 0)
        status = cli_fail_op(c);
    else if (rename(part, path) < 0)
        status = cli_fail(c, FAULT_HOST, "%s cannot be made: %s", path, strerror(errno));
    if (status)
        (void)unlink(part);
    return status;
}

int cli_export_run(struct cli *c)
{
    struct arena a;
    JSON_OWNED record = NULL;
    int64_t began_ms = clock_mono_ms();
    int status = need_root(c);
    arena_init(&a, 0);
    if (!status)
        status =
            cli_call(c, "GET", cli_path(&a, "/belljar/templates/", c->words[0], ""), NULL, &record);
    struct transfer_export e = { .state = cli_state(),
                                 .name = json_string_value(json_object_get(record, "name")),
                                 .rootfs = json_string_value(json_object_get(record, "rootfs")),
                                 .layers = json_string_value(json_object_get(record, "layers")),
                                 .config = json_object_get(record, "config") };
    if (!status && (!e.name || !e.rootfs || !e.layers || !e.config))
        status = cli_fail(c, FAULT_INTERNAL, "the server's answer is not one to an export");
    if (!status)
        status = write_file(c, &e, c->words[1]);
    if (!status)
        say_rate("exported", e.name, e.bytes, began_ms);
    arena_deinit(&a);
    return status;
}

/* -- import -- */

/* The server hears of it when its files are there. What was in use before may be on its way out of
 * the engine just then: it is asked until that is over. Should a layer have gone, with that or
 * because the server started anew in between, it is put there again. */
static int announce(struct cli *c, struct transfer_import *t, const char *name)
{
    static const struct timespec pause = { .tv_nsec = SETTLE_MS * 1000000L };
    JSON_OWNED record = transfer_record(t);
    JSON_OWNED answer = NULL;
    bool is_new = false, is_settled = false;
    int status = 0;
    if (!record || json_object_set_new(record, "name", json_string(name)) < 0)
        return cli_fail(c, FAULT_CAPACITY, "out of memory");
    for (int i = 0; !status && !is_settled && i < SETTLE_TRIES; i++) {
        if (i)
            (void)nanosleep(&pause, NULL);
        json_decref(answer);
        answer = NULL;
        status = cli_call(c, "POST", "/belljar/templates", json_incref(record), &answer);
        is_new = is_new || json_is_true(json_object_get(answer, "isNew"));
        is_settled = json_is_true(json_object_get(answer, "isSettled"));
    }
    if (!status && !is_settled)
        status = cli_fail(c, FAULT_UNAVAILABLE, "the server still removes a part; import again");
    if (!status)
        (void)json_object_set_new(answer, "isNew", json_boolean(is_new));
    for (int i = 0; !status && i < 3 && !transfer_is_placed(t); i++)
        if (transfer_place(&c->op, t) < 0)
            status = cli_fail_op(c);
    if (!status && !transfer_is_placed(t))
        status = cli_fail(c, FAULT_UNAVAILABLE, "the server has dropped a layer; import again");
    if (!status && cli_flag(c, "json"))
        (void)cli_print_json(answer);
    else if (!status && !is_new)
        (void)fprintf(stderr, "%s was there already\n", name);
    return status;
}

int cli_import_run(struct cli *c)
{
    struct transfer_import *t = NULL;
    int64_t began_ms = clock_mono_ms();
    int status = need_root(c);
    if (status)
        return status;
    CLEANUP(fd_closep) int fd = open(c->words[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail(c, FAULT_NOT_FOUND, "%s cannot be opened: %s", c->words[0],
                        strerror(errno));
    if (!cli_server(c))
        return fault_exit(FAULT_UNAUTHENTICATED);
    if (transfer_read(&c->op, cli_state(), fd, &t) < 0 || transfer_place(&c->op, t) < 0)
        status = cli_fail_op(c);
    const char *name = c->word_count > 1 ? c->words[1] : t ? transfer_name(t) : "";
    if (!status)
        status = announce(c, t, name);
    if (!status)
        say_rate("imported", name, transfer_bytes(t), began_ms);
    if (t)
        transfer_close(t);
    return status;
}
