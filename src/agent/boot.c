#include "agent/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/path.h"
#include "agent/process.h"
#include "agent/schema.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "gen/limits.h"
#include "ipc/engine_proto.h"

/* The ready command is tried often at first: most services are there within a second. */
#define READY_FIRST_MS 20
#define READY_MOST_MS 1000
#define WHY_SIZE 1024

/* -- what the engine hears -- */

static int say(char byte) { return write(AGENT_BOOT_FD, &byte, 1) == 1 ? 0 : RAISE(-errno); }

static int say_ready(void)
{
    int r = say(AGENT_READY);
    (void)close(AGENT_BOOT_FD);
    return TRACE(r);
}

static _Noreturn void fail(const char *what, const char *why)
{
    char out[1 + sizeof(uint32_t) + WHY_SIZE] = { AGENT_FAILED };
    int n = snprintf(out + 1 + sizeof(uint32_t), WHY_SIZE, "%s failed: %s", what, why);
    uint32_t length = n < WHY_SIZE ? (uint32_t)n : WHY_SIZE - 1;
    memcpy(out + 1, &length, sizeof length);
    ssize_t sent = write(AGENT_BOOT_FD, out, 1 + sizeof length + length);
    _exit(sent < 0 ? 2 : 1); /* process 1: the sandbox ends with it */
}

/* -- messages -- */

static int apply(struct agent *a, struct str text, bool is_first)
{
    struct boot *b = &a->boot;
    struct arena mem;
    void *msg;
    char why[160];
    arena_init(&mem, 0);
    int r = 0;
    if (!message_parse(&schema_boot_spec, MESSAGE_JSON, text, &mem, &msg, why)) {
        log_error("boot message: %s", why);
        r = RAISE(-EPROTO);
    } else if (!identity_apply(&a->identity, msg)) {
        r = RAISE(-ENOMEM);
    } else if (is_first) {
        const struct schema_boot *s = msg;
        b->start = str_make(str_dup(s->start), s->start.n);
        b->ready = str_make(str_dup(s->ready), s->ready.n);
        b->is_warm = s->is_warm;
        r = b->start.p && b->ready.p ? 0 : RAISE(-ENOMEM);
    }
    arena_deinit(&mem);
    if (r == 0)
        identity_write_files(&a->identity);
    return r;
}

static int read_all(int fd, void *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = read(fd, (char *)to + at, n - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EPROTO;
        at += (size_t)got;
    }
    return 0;
}

int boot_take(struct agent *a)
{
    uint32_t n = 0;
    int r = read_all(AGENT_BOOT_FD, &n, sizeof n);
    if (r < 0 || n > LIMIT_SANDBOX_BOOT_SIZE)
        return RAISE(r < 0 ? r : -EPROTO);
    CLEANUP(freep) char *text = malloc(n + 1);
    r = text ? read_all(AGENT_BOOT_FD, text, n) : -ENOMEM;
    return r < 0 ? RAISE(r) : TRACE(apply(a, str_make(text, n), true));
}

/* -- the second identity -- */

/* The whole second message, once it is there. */
static bool take_second(struct boot *b, struct str *text)
{
    struct str in = buf_str(&b->in);
    uint32_t n;
    if (in.n < sizeof n)
        return false;
    memcpy(&n, in.p, sizeof n);
    if (n > LIMIT_SANDBOX_BOOT_SIZE)
        fail("the identity", "too long");
    *text = str_make(in.p + sizeof n, n);
    return in.n >= sizeof n + n;
}

static void on_channel(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct agent *a = w->data;
    struct boot *b = &a->boot;
    char *room = buf_room(&b->in, 65536);
    ssize_t n = room ? read(AGENT_BOOT_FD, room, 65536) : -1;
    struct str text;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) /* whoever made it ahead is gone: nobody can claim it any more */
        fail("the identity", n < 0 ? strerror(errno) : "the engine is gone");
    buf_added(&b->in, (size_t)n);
    if (!take_second(b, &text))
        return;
    if (apply(a, text, false) < 0)
        fail("the identity", "it cannot be read");
    loop_fd_cancel(&b->channel);
    buf_deinit(&b->in);
    (void)say_ready();
}

static int wait_for_identity(struct agent *a)
{
    struct boot *b = &a->boot;
    b->channel = (struct loop_fd){ .fn = on_channel, .data = a };
    buf_init(&b->in, LIMIT_SANDBOX_BOOT_SIZE + 65536 + sizeof(uint32_t));
    (void)fcntl(AGENT_BOOT_FD, F_SETFL, O_RDWR | O_NONBLOCK);
    int r = loop_fd_start(a->loop, &b->channel, AGENT_BOOT_FD, EPOLLIN);
    return r < 0 ? TRACE(r) : TRACE(say(AGENT_WARM));
}

/* -- start and ready command -- */

static int boot_done(struct agent *a)
{
    free((char *)(uintptr_t)a->boot.start.p);
    free((char *)(uintptr_t)a->boot.ready.p);
    a->boot.start = a->boot.ready = STR_NONE;
    return a->boot.is_warm ? TRACE(wait_for_identity(a)) : TRACE(say_ready());
}

static void status_text(int status, char out[64])
{
    if (WIFEXITED(status))
        (void)snprintf(out, 64, "exit status %d", WEXITSTATUS(status));
    else
        (void)snprintf(out, 64, "signal: %s", strsignal(WTERMSIG(status)));
}

/* As commands.run does it: a login shell of the default user. */
static struct process *shell(struct agent *a, struct str cmd, const char *what)
{
    struct arena mem;
    struct user user;
    struct str cwd, args[] = { STR("-l"), STR("-c"), cmd };
    struct schema_config config = { .cmd = STR("/bin/bash"), .args = { args, 3 } };
    struct schema_start req = { .process = &config, .has_stdin = true };
    struct process *p = NULL;
    enum connect_code code;
    char why[512] = "out of memory";
    struct str name = a->identity.user.n ? a->identity.user : STR("root");
    arena_init(&mem, 0);
    if (user_find(&mem, name, &user) != USER_FOUND)
        (void)snprintf(why, sizeof why, "there is no user '" STR_FMT "'", STR_ARG(name));
    else if (path_resolve(&mem, STR(""), &user, a->identity.workdir, &cwd) == PATH_DONE)
        (void)process_start(a, &req, &user, cwd, &p, &code, why);
    arena_deinit(&mem);
    if (!p)
        fail(what, why);
    return p;
}

/* Once the sandbox is ready its start command may end as it likes. */
static void on_start_end(struct process *p)
{
    char why[64];
    status_text(p->status, why);
    if (p->agent->boot.start.p && p->status != 0)
        fail("start command", why);
}

static void on_ready_end(struct process *p)
{
    struct agent *a = p->agent;
    struct boot *b = &a->boot;
    if (p->status == 0) {
        if (boot_done(a) < 0)
            _exit(1);
        return;
    }
    (void)loop_timer_start(a->loop, &b->retry, b->wait_ms);
    b->wait_ms = b->wait_ms < READY_MOST_MS / 2 ? b->wait_ms * 2 : READY_MOST_MS;
}

static void try_ready(struct loop_timer *t)
{
    struct agent *a = t->data;
    shell(a, a->boot.ready, "ready command")->on_end = on_ready_end;
}

int boot_go(struct agent *a)
{
    struct boot *b = &a->boot;
    b->retry = (struct loop_timer){ .fn = try_ready, .data = a };
    b->wait_ms = READY_FIRST_MS;
    if (b->start.n)
        shell(a, b->start, "start command")->on_end = on_start_end;
    return b->ready.n ? TRACE(loop_timer_start(a->loop, &b->retry, 0)) : TRACE(boot_done(a));
}
