/* belljar doctor: can this host run the server, and does it? */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pwd.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cli/cli_print.h"
#include "client/belljar.h"
#include "main/belljar/commands.h"
#include "main/belljar/host.h"
#include "main/belljar/serve.h"
#include "os/os_file.h"

#define KERNEL_LEAST 519 /* 5.19: overlay on idmapped layers */
#define KERNEL_TRIED 601 /* 6.1: what Debian 12 has */
#define DISK_LEAST (2ll << 30)
#define DISK_GOOD (10ll << 30)
#define PIDS_GOOD 100000

enum level { OK, WARN, FAIL };

struct doctor {
    struct cli *c;
    struct config config;
    pid_t server; /* 0: none runs */
    json_t *all;
    int failed;
};

__attribute__((format(printf, 5, 6))) static void say(struct doctor *d, enum level level,
                                                      const char *name, const char *remedy,
                                                      const char *fmt, ...)
{
    static const char *const names[] = { "ok", "warn", "FAIL" };
    char text[1280];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    d->failed += level == FAIL;
    json_t *row = json_pack("{s:s, s:s, s:s, s:s?}", "level", names[level], "name", name, "text",
                            text, "remedy", level == OK ? NULL : remedy);
    (void)json_array_append_new(d->all, row);
    if (cli_flag(d->c, "json"))
        return;
    printf("%-4s  %-18s  ", names[level], name);
    cli_put_clean(stdout, str_of(text));
    if (level != OK && remedy)
        printf("\n      %-18s  -> %s", "", remedy);
    printf("\n");
    (void)fflush(stdout);
}

/* -- the host -- */

static void check_kernel(struct doctor *d)
{
    struct utsname u;
    int major = 0, minor = 0;
    (void)uname(&u);
    (void)sscanf(u.release, "%d.%d", &major, &minor);
    int version = major * 100 + minor;
    say(d,
        version < KERNEL_LEAST   ? FAIL
        : version < KERNEL_TRIED ? WARN
                                 : OK,
        "kernel", "Linux 6.1 or newer; 5.19 at least", "Linux %s", u.release);
}

static void check_probes(struct doctor *d)
{
    if (geteuid() != 0) {
        say(d, WARN, "kernel features", "run it as root", "not tried: that needs root");
        return;
    }
    for (const struct host_probe *p = host_probes; p->name; p++) {
        char why[HOST_WHY];
        bool good = host_probe_run(p, &d->config, why);
        say(d, good ? OK : FAIL, p->name, p->remedy, "%s", why);
    }
}

static bool has_program(const char *name)
{
    static const char *const dirs[] = { "/usr/sbin", "/usr/bin",        "/sbin",
                                        "/bin",      "/usr/local/sbin", "/usr/local/bin" };
    char path[128];
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dirs[i], name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static void check_programs(struct doctor *d)
{
    static const struct {
        const char *name, *package, *use;
        enum level level;
    } rows[] = { { "nft", "nftables", "rules of the network", FAIL },
                 { "mkfs.ext4", "e2fsprogs", "disks of sandboxes", FAIL },
                 { "mmdebstrap", "mmdebstrap", "making the built-in templates", WARN } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char remedy[96];
        bool good = has_program(rows[i].name);
        (void)snprintf(remedy, sizeof remedy, "apt-get install %s", rows[i].package);
        say(d, good ? OK : rows[i].level, rows[i].name, remedy, "%s%s", rows[i].use,
            good ? "" : ": not installed");
    }
}

static void check_users(struct doctor *d)
{
    const char *const names[] = { d->config.control_user, d->config.edge_user };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char remedy[400];
        const struct passwd *pw = getpwnam(names[i]);
        (void)snprintf(remedy, sizeof remedy,
                       "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "
                       "%s ('make up' does)",
                       names[i]);
        say(d, pw && pw->pw_uid ? OK : FAIL, "user", remedy, "%s%s", names[i],
            !pw           ? " is not there"
            : !pw->pw_uid ? " is root"
                          : "");
    }
}

static void check_limits(struct doctor *d)
{
    uint64_t pids = 0;
    if (file_get_u64(AT_FDCWD, "/proc/sys/kernel/pid_max", &pids) == 0)
        say(d, pids < PIDS_GOOD ? WARN : OK, "processes", "sysctl -w kernel.pid_max=4194304",
            "%llu on the whole host at most", (unsigned long long)pids);
}

/* -- the state -- */

static void check_disk(struct doctor *d)
{
    struct statvfs v;
    char text[CLI_TEXT_SIZE], dir[256];
    (void)snprintf(dir, sizeof dir, "%s", d->config.state);
    while (statvfs(dir, &v) < 0) { /* it may be still to be made */
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir) {
            (void)snprintf(dir, sizeof dir, "/");
            break;
        }
        *slash = '\0';
    }
    if (statvfs(dir, &v) < 0)
        return say(d, FAIL, "disk", "set BELLJAR_STATE", "%s: %s", dir, strerror(errno));
    int64_t left = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
    say(d,
        left < DISK_LEAST  ? FAIL
        : left < DISK_GOOD ? WARN
                           : OK,
        "disk", "10 GiB or more for BELLJAR_STATE", "%s left for %s", cli_size_text(left, text),
        d->config.state);
}

static void check_templates(struct doctor *d)
{
    static const struct {
        const char *name;
        enum level level;
    } rows[] = { { "base", FAIL }, { "code-interpreter-v1", WARN } };
    if (geteuid() != 0)
        return say(d, WARN, "templates", "run it as root", "only root sees them");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[320];
        (void)snprintf(path, sizeof path, "%s/templates/%s/rootfs", d->config.state, rows[i].name);
        bool good = access(path, F_OK) == 0;
        say(d, good ? OK : rows[i].level, "template", "make up", "%s%s", rows[i].name,
            good ? "" : " is not made");
    }
}

/* -- the server -- */

/* 0, or errno of a socket that would listen there. */
static int try_port(const char *address, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE };
    struct addrinfo *ai;
    int on = 1;
    if (getaddrinfo(address, port, &hints, &ai) != 0)
        return EINVAL;
    CLEANUP(fd_closep) int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                bind(fd, ai->ai_addr, ai->ai_addrlen) == 0;
    int err = good ? 0 : errno;
    freeaddrinfo(ai);
    return err;
}

static void check_ports(struct doctor *d)
{
    const struct {
        const char *name, *address, *port, *remedy;
    } rows[] = { { "API port", d->config.api_address, d->config.api_port, "set BELLJAR_API_PORT" },
                 { "sandbox port", d->config.edge_address, d->config.edge_port,
                   "set BELLJAR_EDGE_PORT" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int err = try_port(rows[i].address, rows[i].port);
        bool is_ours = err == EADDRINUSE && d->server;
        /* only root sees whose it is */
        enum level level = !err || is_ours ? OK : err == EADDRINUSE && geteuid() ? WARN : FAIL;
        say(d, level, rows[i].name, rows[i].remedy, "%s:%s%s%s", rows[i].address, rows[i].port,
            err || d->server ? ": " : ": free",
            is_ours     ? "the server's"
            : err       ? strerror(err)
            : d->server ? "free, though a server runs: it has others"
                        : "");
    }
}

/* A server takes one of a few places on this host, whatever its state and ports are. */
static void check_places(struct doctor *d)
{
    struct serve_place places[SERVE_PLACES];
    struct buf by;
    int free = serve_places(places);
    if (free < 0)
        return say(d, WARN, "places", "run it as root", "only root sees who has them");
    buf_init(&by, 0);
    for (size_t i = 0; i < SERVE_PLACES; i++) {
        const struct serve_place *p = &places[i];
        if (!p->is_taken)
            continue;
        (void)buf_append(&by, buf_used(&by) ? STR(", ") : STR(": "));
        if (p->pid)
            (void)buf_printf(&by, "process %d", (int)p->pid);
        else
            (void)buf_append(&by, STR("a process of another container"));
        if (p->state[0])
            (void)buf_printf(&by, " (%s)", p->state);
    }
    const char *text = buf_cstr(&by);
    say(d, free || d->server ? OK : FAIL, "places",
        "stop one: BELLJAR_STATE=ITS-STATE belljar down", "%d of %d for servers are free%s%s", free,
        SERVE_PLACES, free < SERVE_PLACES ? "; taken by" : "", text ? text : "");
    buf_deinit(&by);
}

static void check_server(struct doctor *d)
{
    struct host_exports e;
    if (!d->server)
        return say(d, WARN, "server", geteuid() ? "run it as root" : "belljar up",
                   geteuid() ? "only root sees whether one runs on %s" : "none runs on %s",
                   d->config.state);
    if (!host_exports_read(&d->config, &e))
        return say(d, geteuid() ? WARN : FAIL, "server", "run it as root",
                   "process %d; %s/env cannot be read", (int)d->server, d->config.state);
    struct belljar *b = host_open(&e, 5000);
    char *text = b ? belljar_request(b, "GET", "/v2/sandboxes?limit=1", NULL, NULL) : NULL;
    if (text)
        say(d, OK, "server", NULL, "process %d answers at %s", (int)d->server, e.api_url);
    else
        say(d, FAIL, "server", "look at $BELLJAR_STATE/log/server.log", "process %d: %s",
            (int)d->server, b ? belljar_error(b) : belljar_open_error());
    free(text);
    belljar_close(b);
}

int doctor_run(struct cli *c)
{
    static void (*const checks[])(struct doctor *) = {
        check_kernel, check_probes,    check_programs, check_users,  check_limits,
        check_disk,   check_templates, check_ports,    check_places, check_server
    };
    struct doctor d = { .c = c, .all = json_array() };
    if (config_load(&c->op, &d.config, cli_text(c, "config")) < 0) {
        json_decref(d.all);
        return cli_fail_op(c);
    }
    d.server = serve_running(d.config.state);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        checks[i](&d);
    if (cli_flag(c, "json"))
        (void)cli_print_json(d.all);
    json_decref(d.all);
    return d.failed ? fault_exit(FAULT_HOST) : 0;
}
