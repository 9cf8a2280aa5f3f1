/* engine-drive SOCKET VERB ...: speaks to belljar-engine as control does; for tests and benches.
 *
 *   hello | create ID TEMPLATE [name=number ...] | destroy ID | freeze ID | thaw ID | stats ID
 *   capture ID LAYER | drop LAYER | stop ID | claim ID NEW_ID
 *   port ID PORT          connects to PORT inside and prints what comes within a second
 *   churn TEMPLATE COUNT GAP_MS [KEEP]   creates and destroys in turn (KEEP: destroys at the end),
 *                         prints JSON: p50, p99 of create in microseconds, rate
 *   pauses ID COUNT       freezes and thaws in turn, prints JSON: microseconds of each
 *   burst TEMPLATE COUNT  all creates at once, then all destroys
 *   wait                  prints events until the engine closes
 * Names: memory cpus pids disk (bytes, thousandths) internet kept warm boot_ms (numbers);
 * layers=A,B (topmost first); startCmd= readyCmd= of the boot message. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/engine_proto.h"
#include "ipc/link.h"

#define COUNT_MAX 8192

static struct buf out;
static uint64_t next_tag;
static int sock = -1;

struct sizes {
    uint64_t memory, cpus, pids, disk, internet, kept, warm, boot_ms;
    const char *layers, *start, *ready;
};
static struct sizes sizes = { 1ull << 30, 2000, 1024, 10ull << 30, 1, 0, 0, 0, NULL, NULL, NULL };

static void fail(const char *what)
{
    fprintf(stderr, "engine-drive: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void send_out(void)
{
    msg_end(&out);
    if (out.failed || send(sock, out.p + out.at, buf_used(&out), 0) < 0)
        fail("send");
    buf_reset(&out);
}

static void ask(uint16_t verb, const char *id)
{
    msg_begin(&out, verb, 0, ++next_tag, 0);
    if (id)
        msg_str(&out, EK_ID, str_of(id));
}

static void boot_print(char *out_text, size_t size, const char *id)
{
    int n = snprintf(out_text, size,
                     "{\"sandboxID\":\"%s\",\"templateID\":\"base\",\"envVars\":{\"WHO\":\"%s\"},"
                     "\"systemEnv\":{},\"defaultUser\":\"user\",\"defaultWorkdir\":\"/home/user\"",
                     id, id);
    if (sizes.start)
        n += snprintf(out_text + n, size - (size_t)n, ",\"startCmd\":\"%s\"", sizes.start);
    if (sizes.ready)
        n += snprintf(out_text + n, size - (size_t)n, ",\"readyCmd\":\"%s\"", sizes.ready);
    (void)snprintf(out_text + n, size - (size_t)n, "%s}", sizes.warm ? ",\"warm\":true" : "");
}

static void ask_create(const char *id, const char *template)
{
    char boot[1024];
    boot_print(boot, sizeof boot, id);
    ask(ENGINE_CREATE, id);
    msg_str(&out, EK_TEMPLATE, str_of(template));
    msg_str(&out, EK_BOOT, str_of(boot));
    msg_u64(&out, EK_MEMORY, sizes.memory);
    msg_u64(&out, EK_CPUS_MILLI, sizes.cpus);
    msg_u64(&out, EK_PIDS, sizes.pids);
    msg_u64(&out, EK_DISK, sizes.disk);
    msg_u64(&out, EK_INTERNET, sizes.internet);
    msg_u64(&out, EK_KEPT, sizes.kept);
    msg_u64(&out, EK_WARM, sizes.warm);
    if (sizes.boot_ms)
        msg_u64(&out, EK_BOOT_MS, sizes.boot_ms);
    if (sizes.layers)
        msg_str(&out, EK_LAYERS, str_of(sizes.layers));
    send_out();
}

/* One message. Descriptors that come along go to fds. */
static bool receive(struct msg *m, int *fds, int *count)
{
    static char in[163840];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * LINK_FDS)];
    struct iovec iov = { in, sizeof in };
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t n = recvmsg(sock, &h, 0);
    if (n <= 0)
        return false;
    *count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
        *count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)*count * sizeof(int));
    }
    return msg_parse(str_make(in, (size_t)n), m);
}

static void show(const struct msg *m)
{
    static const char *const names[] = {
        "?",      "id",      "template",  "boot",       "memory",   "cache",   "cpus",
        "cpu_us", "pids",    "disk",      "disk_total", "internet", "pid",     "frozen",
        "reason", "boot_id", "isolation", "count",      "family",   "fault",   "text",
        "layers", "layer",   "kept",      "warm",       "new_id",   "boot_ms", "memory_freed"
    };
    const uint16_t known = sizeof names / sizeof *names;
    size_t at = 0;
    uint16_t key;
    struct str v;
    printf("%s status=%d", m->flags & MSG_REPLY ? "reply" : "event", m->status);
    while (msg_next(m, &at, &key, &v)) {
        uint64_t n = 0;
        bool number = v.n == 8 && msg_get_u64(m, key, &n) && key != EK_ID && key != EK_TEXT &&
                      key != EK_REASON && key != EK_LAYER;
        if (number)
            printf(" %s=%llu", key < known ? names[key] : "?", (unsigned long long)n);
        else
            printf(" %s=\"" STR_FMT "\"", key < known ? names[key] : "?", STR_ARG(v));
    }
    printf("\n");
    fflush(stdout);
}

/* Events are shown on the way when `loud`. Returns the status of the reply. */
static int answer(struct msg *m, int *fds, int *count, bool loud)
{
    while (receive(m, fds, count)) {
        if (loud)
            show(m);
        if (m->flags & MSG_REPLY)
            return m->status;
    }
    errno = ECONNRESET;
    fail("receive");
    return -1;
}

static int plain(void)
{
    struct msg m;
    int fds[LINK_FDS], count;
    send_out();
    return answer(&m, fds, &count, true) < 0 ? 1 : 0;
}

static int number_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static int churn(const char *template, int total, long gap, bool keep)
{
    static int64_t us[COUNT_MAX];
    struct msg m;
    int fds[LINK_FDS], n, failed = 0;
    char id[40];
    int64_t begin = clock_mono_us();
    for (int i = 0; i < total; i++) {
        (void)snprintf(id, sizeof id, "churn%d", i);
        int64_t t = clock_mono_us();
        ask_create(id, template);
        if (answer(&m, fds, &n, false) < 0 && failed++ == 0)
            show(&m);
        us[i] = clock_mono_us() - t;
        if (!keep) {
            ask(ENGINE_DESTROY, id);
            send_out();
            (void)answer(&m, fds, &n, false);
        }
        if (gap)
            pause_ms(gap);
    }
    double seconds = (double)(clock_mono_us() - begin) / 1e6;
    if (keep) {
        fprintf(stderr, "kept; end of input destroys them\n");
        while (getchar() != EOF)
            ;
        for (int i = 0; i < total; i++) {
            (void)snprintf(id, sizeof id, "churn%d", i);
            ask(ENGINE_DESTROY, id);
            send_out();
            (void)answer(&m, fds, &n, false);
        }
    }
    qsort(us, (size_t)total, sizeof *us, number_compare);
    printf("{\"creates\":%d,\"failed\":%d,\"gap_ms\":%ld,\"min_us\":%lld,\"p50_us\":%lld,"
           "\"p95_us\":%lld,\"p99_us\":%lld,\"max_us\":%lld,\"per_second\":%.1f}\n",
           total, failed, gap, (long long)us[0], (long long)us[total / 2],
           (long long)us[total * 95 / 100], (long long)us[total * 99 / 100],
           (long long)us[total - 1], total / seconds);
    return failed ? 1 : 0;
}

static int64_t timed(uint16_t verb, const char *id)
{
    struct msg m;
    int fds[LINK_FDS], n;
    int64_t begin = clock_mono_us();
    ask(verb, id);
    send_out();
    if (answer(&m, fds, &n, false) < 0) {
        show(&m);
        exit(1);
    }
    return clock_mono_us() - begin;
}

static int pauses(const char *id, int total)
{
    static int64_t freeze[COUNT_MAX], thaw[COUNT_MAX];
    for (int i = 0; i < total; i++) {
        freeze[i] = timed(ENGINE_FREEZE, id);
        pause_ms(20);
        thaw[i] = timed(ENGINE_THAW, id);
        pause_ms(20);
    }
    qsort(freeze, (size_t)total, sizeof *freeze, number_compare);
    qsort(thaw, (size_t)total, sizeof *thaw, number_compare);
    printf("{\"pauses\":%d,\"freeze_p50_us\":%lld,\"freeze_p99_us\":%lld,\"thaw_p50_us\":%lld,"
           "\"thaw_p99_us\":%lld}\n",
           total, (long long)freeze[total / 2], (long long)freeze[total * 99 / 100],
           (long long)thaw[total / 2], (long long)thaw[total * 99 / 100]);
    return 0;
}

static int burst(const char *template, int total)
{
    struct msg m;
    int fds[LINK_FDS], n, failed = 0;
    char id[40];
    int64_t begin = clock_mono_us();
    for (int i = 0; i < total; i++) {
        (void)snprintf(id, sizeof id, "burst%d", i);
        ask_create(id, template);
    }
    for (int i = 0; i < total; i++)
        if (answer(&m, fds, &n, false) < 0 && failed++ == 0)
            show(&m);
    int64_t made = clock_mono_us();
    for (int i = 0; i < total; i++) {
        (void)snprintf(id, sizeof id, "burst%d", i);
        ask(ENGINE_DESTROY, id);
        send_out();
    }
    for (int i = 0; i < total; i++)
        (void)answer(&m, fds, &n, false);
    printf("{\"burst\":%d,\"failed\":%d,\"create_ms\":%.1f,\"destroy_ms\":%.1f}\n", total, failed,
           (double)(made - begin) / 1e3, (double)(clock_mono_us() - made) / 1e3);
    return failed ? 1 : 0;
}

static int port(const char *id, const char *number)
{
    struct msg m;
    int fds[LINK_FDS] = { -1 }, count = 0;
    char text[4096];
    ask(ENGINE_PORT, id);
    msg_u64(&out, EK_COUNT, 1);
    send_out();
    if (answer(&m, fds, &count, false) < 0 || count != 1) {
        show(&m);
        return 1;
    }
    struct sockaddr_in6 to = { .sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)strtoul(number, NULL, 10)) };
    (void)inet_pton(AF_INET6, "::ffff:127.0.0.1", &to.sin6_addr);
    struct pollfd p = { .fd = fds[0], .events = POLLOUT };
    if (connect(fds[0], (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        fail("connect");
    (void)poll(&p, 1, 1000);
    int e = 0;
    socklen_t size = sizeof e;
    (void)getsockopt(fds[0], SOL_SOCKET, SO_ERROR, &e, &size);
    if (e) {
        printf("refused: %s\n", strerror(e));
        return 1;
    }
    (void)send(fds[0], "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL);
    p.events = POLLIN;
    (void)poll(&p, 1, 1000);
    ssize_t n = recv(fds[0], text, sizeof text - 1, 0);
    printf("connected, %zd bytes\n", n);
    if (n > 0)
        (void)fwrite(text, 1, (size_t)n, stdout);
    return 0;
}

static void sizes_read(char **argv)
{
    static const struct {
        const char *name;
        uint64_t *value;
    } rows[] = { { "memory=", &sizes.memory },     { "cpus=", &sizes.cpus },
                 { "pids=", &sizes.pids },         { "disk=", &sizes.disk },
                 { "internet=", &sizes.internet }, { "kept=", &sizes.kept },
                 { "warm=", &sizes.warm },         { "boot_ms=", &sizes.boot_ms } };
    static const struct {
        const char *name;
        const char **value;
    } texts[] = { { "layers=", &sizes.layers },
                  { "startCmd=", &sizes.start },
                  { "readyCmd=", &sizes.ready } };
    for (; *argv; argv++) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            if (strncmp(*argv, texts[i].name, strlen(texts[i].name)) == 0)
                *texts[i].value = *argv + strlen(texts[i].name);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            if (strncmp(*argv, rows[i].name, strlen(rows[i].name)) == 0)
                *rows[i].value = strtoull(*argv + strlen(rows[i].name), NULL, 10);
    }
}

static int capture(uint16_t verb, const char *id, const char *layer)
{
    int64_t begin = clock_mono_us();
    ask(verb, id);
    msg_str(&out, EK_LAYER, str_of(layer));
    int r = plain();
    fprintf(stderr, "%lld us\n", (long long)(clock_mono_us() - begin));
    return r;
}

static int claim(const char *id, const char *new_id)
{
    char boot[1024];
    boot_print(boot, sizeof boot, new_id);
    ask(ENGINE_CLAIM, id);
    msg_str(&out, EK_NEW_ID, str_of(new_id));
    msg_u64(&out, EK_INTERNET, sizes.internet);
    msg_str(&out, EK_BOOT, str_of(boot));
    return plain();
}

static int run(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint16_t verb;
    } verbs[] = { { "destroy", ENGINE_DESTROY },
                  { "freeze", ENGINE_FREEZE },
                  { "thaw", ENGINE_THAW },
                  { "stop", ENGINE_STOP },
                  { "stats", ENGINE_STATS } };
    const char *verb = argv[2], *a = argc > 3 ? argv[3] : NULL, *b = argc > 4 ? argv[4] : NULL;
    struct msg m;
    int fds[LINK_FDS], count;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verb, verbs[i].name) == 0 && a) {
            ask(verbs[i].verb, a);
            return plain();
        }
    sizes_read(argv + 3);
    if (strcmp(verb, "hello") == 0) {
        ask(ENGINE_HELLO, NULL);
        return plain();
    }
    if (strcmp(verb, "wait") == 0)
        while (receive(&m, fds, &count))
            show(&m);
    if (strcmp(verb, "create") == 0 && b) {
        ask_create(a, b);
        return answer(&m, fds, &count, true) < 0 ? 1 : 0;
    }
    if (strcmp(verb, "capture") == 0 && b)
        return capture(ENGINE_CAPTURE, a, b);
    if (strcmp(verb, "drop") == 0 && a)
        return capture(ENGINE_DROP, NULL, a);
    if (strcmp(verb, "claim") == 0 && b)
        return claim(a, b);
    if (strcmp(verb, "port") == 0 && b)
        return port(a, b);
    if (strcmp(verb, "pauses") == 0 && b)
        return pauses(a, (int)strtol(b, NULL, 10));
    if (strcmp(verb, "burst") == 0 && b)
        return burst(a, (int)strtol(b, NULL, 10));
    if (strcmp(verb, "churn") == 0 && argc > 5)
        return churn(a, (int)strtol(b, NULL, 10), strtol(argv[5], NULL, 10),
                     argc > 6 && strcmp(argv[6], "KEEP") == 0);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: engine-drive SOCKET VERB ...\n");
        return 2;
    }
    buf_init(&out, 163840);
    sock = link_connect(argv[1]);
    if (sock < 0)
        fail(argv[1]);
    int flags = fcntl(sock, F_GETFL);
    (void)fcntl(sock, F_SETFL, flags & ~O_NONBLOCK);
    return run(argc, argv);
}
