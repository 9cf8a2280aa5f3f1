/* belljar sandbox port-forward: a port here that leads to one in a sandbox. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/cli_commands.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"
#include "cli/cli_stream.h"

#define BACKLOG 64

struct way {
    char address[64];
    uint16_t local, remote; /* local 0: any that is free */
};

static bool read_port(struct str text, uint16_t least, uint16_t *out)
{
    uint64_t n;
    if (!str_to_u64(text, UINT16_MAX, &n) || n < least)
        return false;
    *out = (uint16_t)n;
    return true;
}

/* [[ADDRESS:]LOCAL:]REMOTE */
static bool read_way(const char *word, const char *address, struct way *out)
{
    struct str local, remote;
    if (!str_copy(str_of(address), out->address, sizeof out->address))
        return false;
    if (!str_cut(str_of(word), ':', &local, &remote))
        return read_port(local, 1, &out->remote) && read_port(local, 1, &out->local);
    return read_port(local, 0, &out->local) && read_port(remote, 1, &out->remote);
}

/* Listens; w->local is the port then. The descriptor or a negative errno. */
static int listen_on(struct way *w)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = { 0 };
    socklen_t size = sizeof at.v4;
    int on = 1;
    if (inet_pton(AF_INET, w->address, &at.v4.sin_addr) == 1) {
        at.v4.sin_family = AF_INET;
        at.v4.sin_port = htons(w->local);
    } else if (inet_pton(AF_INET6, w->address, &at.v6.sin6_addr) == 1) {
        at.v6.sin6_family = AF_INET6;
        at.v6.sin6_port = htons(w->local);
        size = sizeof at.v6;
    } else {
        return -EINVAL;
    }
    CLEANUP(fd_closep) int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, &at.any, size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, &at.any, &size) < 0)
        return -errno;
    w->local = ntohs(at.any.sa_family == AF_INET ? at.v4.sin_port : at.v6.sin6_port);
    return TAKE_FD(fd);
}

static void say(struct cli *c, struct belljar_sandbox *s, const struct way *w)
{
    if (cli_flag(c, "json")) {
        json_t *v = json_pack("{s:s, s:i, s:i}", "address", w->address, "port", w->local, "remote",
                              w->remote);
        (void)cli_print_json(v);
        json_decref(v);
    } else {
        printf("%s:%d leads to port %d of %s\n", w->address, w->local, w->remote, belljar_id(s));
    }
    (void)fflush(stdout);
}

static int forward(struct cli *c, struct belljar_sandbox *s, const struct way *w, int listener)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, 0 };
    struct signalfd_siginfo came;
    struct cli_stream stream;
    int r = cli_stream_open(&stream, -1, signals), status;
    if (r < 0) {
        status = cli_fail(c, FAULT_INTERNAL, "cannot watch for signals: %s", strerror(-r));
    } else {
        say(c, s, w);
        belljar_set_stop(c->server, stream.signals); /* also while a tunnel is being opened */
        r = belljar_forward(s, listener, w->remote, stream.signals);
        bool is_told = r == 0 && read(stream.signals, &came, sizeof came) == (ssize_t)sizeof came;
        status = is_told ? 128 + (int)came.ssi_signo : cli_server_fail(c);
    }
    cli_stream_close(&stream);
    return status;
}

int cli_forward_run(struct cli *c)
{
    struct way w;
    int status;
    if (!read_way(c->words[1], cli_text(c, "address"), &w))
        return cli_fail(c, FAULT_INVALID, "'%s' is not PORT or LOCAL:REMOTE, like 8080:80",
                        c->words[1]);
    CLEANUP(fd_closep) int listener = listen_on(&w);
    if (listener < 0)
        return cli_fail(c, FAULT_INVALID, "cannot listen on %s port %d: %s", w.address, w.local,
                        strerror(-listener));
    struct belljar_sandbox *s = cli_sandbox(c, c->words[0], &status);
    if (!s)
        return status;
    status = forward(c, s, &w, listener);
    belljar_sandbox_free(s);
    return status;
}
