/* Tunnels to servers inside the sandbox: bytes both ways at once, ends and breaks passed on. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static struct belljar_sandbox *s;

/* One port each. `frames` speaks as databases do: a byte, a length in network order, the bytes; it
 * answers every frame with its own reversed, whenever one is complete. */
static const char servers[] =
    "import asyncio, socket, threading, struct, hashlib\n"
    "def echo(c):\n"
    "  while d := c.recv(65536): c.sendall(d)\n"
    "def frames(c):\n"
    "  f = c.makefile('rb')\n"
    "  while h := f.read(5):\n"
    "    body = f.read(struct.unpack('>cI', h)[1]); c.sendall(h + body[::-1])\n"
    "def both(c):\n"
    "  def flood():\n"
    "    for _ in range(320): c.sendall(bytes(range(256)) * 256)\n"
    "    c.shutdown(socket.SHUT_WR)\n"
    "  t = threading.Thread(target=flood); t.start(); m = hashlib.md5()\n"
    "  while d := c.recv(65536): m.update(d)\n"
    "  t.join(); open('/tmp/both', 'w').write(m.hexdigest())\n"
    "def bye(c): c.sendall(b'bye')\n"
    "def count(c):\n"
    "  n = 0\n"
    "  while d := c.recv(65536): n += len(d)\n"
    "  c.sendall(str(n).encode())\n"
    "def reset(c):\n"
    "  c.recv(1); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n"
    "def slow(c):\n"
    "  c.recv(1); threading.Event().wait(0.5); echo(c)\n"
    "def run(f, l):\n"
    "  def one(c):\n"
    "    try: f(c)\n"
    "    except OSError: pass\n"
    "    c.close()\n"
    "  while True: threading.Thread(target=one, args=(l.accept()[0],)).start()\n"
    "for i, f in enumerate([frames, both, bye, count, reset, slow]):\n"
    "  l = socket.create_server(('127.0.0.1', 7001 + i), backlog=200)\n"
    "  threading.Thread(target=run, args=(f, l)).start()\n"
    "async def many(r, w):\n" /* not a thread each: a sandbox may not have so many */
    "  while d := await r.read(65536): w.write(d); await w.drain()\n"
    "  w.close()\n"
    "async def main():\n"
    "  s = await asyncio.start_server(many, '127.0.0.1', 7000, backlog=512)\n"
    "  print('ready', flush=True); await s.serve_forever()\n"
    "asyncio.run(main())\n";
enum { ECHO = 7000, FRAMES, BOTH, BYE, COUNT, RESET, SLOW, NOBODY };

static bool start_servers(void)
{
    struct belljar_event e;
    struct belljar_process *p =
        belljar_write(s, "servers.py", servers, strlen(servers)) == 0
            ? belljar_start(s, "python3 servers.py",
                            &(struct belljar_run_options){ .timeout_ms = -1 })
            : NULL;
    bool is_good = p && belljar_process_next(p, -1, 10000, &e) == 0 && e.kind == BELLJAR_STDOUT;
    belljar_process_free(p);
    return is_good;
}

/* Waits; false after ten seconds. */
static bool ready(struct belljar_tunnel *t)
{
    struct pollfd p = { .fd = belljar_tunnel_fd(t), .events = belljar_tunnel_events(t) };
    return poll(&p, 1, 10000) == 1;
}

/* What comes until `size` bytes or the end are there: how many, or a negative errno. */
static long take(struct belljar_tunnel *t, void *bytes, size_t size)
{
    size_t at = 0;
    while (at < size) {
        long n = belljar_tunnel_read(t, (char *)bytes + at, size - at);
        if (n == -EAGAIN && ready(t))
            continue;
        if (n < 0)
            return n;
        if (n == 0)
            break;
        at += (size_t)n;
    }
    return (long)at;
}

static bool give(struct belljar_tunnel *t, const void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        long n = belljar_tunnel_write(t, (const char *)bytes + at, size - at);
        if (n == -EAGAIN && ready(t))
            continue;
        if (n < 0)
            return false;
        at += (size_t)n;
    }
    while (belljar_tunnel_events(t) & POLLOUT)
        if (!ready(t) || belljar_tunnel_write(t, "", 0) < 0)
            return false;
    return true;
}

static void test_echo(void)
{
    char back[100];
    struct belljar_tunnel *t = belljar_tunnel(s, ECHO);
    if (!CHECK(t != NULL))
        return;
    CHECK(belljar_tunnel_read(t, back, sizeof back) == -EAGAIN); /* does not block */
    for (int i = 0; i < 100; i++)
        CHECK(give(t, "a\0b\r\n", 5) && take(t, back, 5) == 5 && memcmp(back, "a\0b\r\n", 5) == 0);
    CHECK(belljar_tunnel_end(t) == 0 && belljar_tunnel_end(t) == 0);
    CHECK(belljar_tunnel_write(t, "x", 1) == -EPIPE);
    CHECK(take(t, back, sizeof back) == 0);
    belljar_tunnel_free(t);
    belljar_tunnel_free(NULL);
}

static void test_frames(void)
{
    static unsigned char out[200005], in[200005];
    struct belljar_tunnel *t = belljar_tunnel(s, FRAMES);
    if (!CHECK(t != NULL))
        return;
    for (uint32_t size = 0; size <= 200000; size = size * 3 + 1) {
        out[0] = 'Q';
        uint32_t n = htonl(size);
        memcpy(out + 1, &n, 4);
        for (uint32_t i = 0; i < size; i++)
            out[5 + i] = (unsigned char)(i * 2654435761u >> 13);
        CHECK(give(t, out, 5 + size) && take(t, in, 5 + size) == (long)(5 + size));
        bool is_same = memcmp(in, out, 5) == 0;
        for (uint32_t i = 0; i < size; i++)
            is_same = is_same && in[5 + i] == out[5 + size - 1 - i];
        CHECK(is_same);
    }
    belljar_tunnel_free(t);
}

static void test_both_ways(void)
{
    FILE *in = tmpfile(), *out = tmpfile();
    struct belljar_tunnel *t = belljar_tunnel(s, BOTH);
    struct belljar_result r;
    static char piece[65536];
    if (!CHECK(t && in && out))
        return;
    for (int i = 0; i < 320; i++)
        fwrite(piece, 1, sizeof piece, in);
    fflush(in);
    lseek(fileno(in), 0, SEEK_SET);
    CHECK(belljar_tunnel_pass(t, fileno(in), fileno(out)) == 0);
    CHECK(lseek(fileno(out), 0, SEEK_END) == 320 * 65536);
    unsigned char last[256];
    CHECK(pread(fileno(out), last, 256, 319 * 65536) == 256 && last[0] == 0 && last[255] == 255);
    belljar_tunnel_free(t);
    CHECK(belljar_run(s, "test -s /tmp/both", NULL, &r) == 0);
    belljar_result_free(&r);
    fclose(in);
    fclose(out);
}

static void test_ends(void)
{
    char text[32] = { 0 };
    struct belljar_tunnel *t = belljar_tunnel(s, BYE);
    CHECK(t && take(t, text, sizeof text) == 3 && strcmp(text, "bye") == 0);
    CHECK(t && belljar_tunnel_read(t, text, sizeof text) == 0); /* for ever */
    CHECK(t && belljar_tunnel_write(t, "x", 1) == -EPIPE);
    belljar_tunnel_free(t);
    t = belljar_tunnel(s, COUNT); /* our end is seen there, and the answer here */
    memset(text, 0, sizeof text);
    CHECK(t && give(t, "12345", 5) && belljar_tunnel_end(t) == 0);
    CHECK(t && take(t, text, sizeof text) == 1 && strcmp(text, "5") == 0);
    belljar_tunnel_free(t);
    t = belljar_tunnel(s, RESET);
    CHECK(t && give(t, "1", 1) && take(t, text, sizeof text) == -ECONNRESET);
    CHECK_HAS(belljar_error(b), "7005");
    belljar_tunnel_free(t);
}

static void test_backpressure(void)
{
    static char piece[65536];
    struct belljar_tunnel *t = belljar_tunnel(s, SLOW); /* echoes, but nobody reads here at first */
    size_t sent = 0;
    if (!CHECK(t != NULL))
        return;
    while (sent < 200u << 20) {
        long n = belljar_tunnel_write(t, piece, sizeof piece);
        struct pollfd p = { .fd = belljar_tunnel_fd(t), .events = POLLOUT };
        if (n == -EAGAIN && poll(&p, 1, 1500) == 0)
            break;
        if (!CHECK(n == -EAGAIN || n > 0))
            break;
        sent += n > 0 ? (size_t)n : 0;
    }
    CHECK(sent > 0 && sent < 100u << 20); /* it stops long before memory would */
    size_t got = 0;
    long n = 0;
    CHECK(belljar_tunnel_end(t) == 0);
    while ((n = take(t, piece, sizeof piece)) > 0)
        got += (size_t)n;
    CHECK(n == 0 && got == sent - 1); /* and all of it arrives; one byte began it */
    belljar_tunnel_free(t);
}

static void test_refused(void)
{
    CHECK(!belljar_tunnel(s, NOBODY) && belljar_errno(b) == ECONNREFUSED);
    CHECK_HAS(belljar_error(b), "7007");
    CHECK(belljar_status(b) == 502);
    CHECK(!belljar_tunnel(s, 0) && belljar_errno(b) == EINVAL && belljar_status(b) == 400);
    CHECK(!belljar_tunnel(s, 65536) && belljar_errno(b) == EINVAL);
    CHECK(!belljar_tunnel(s, -1) && belljar_errno(b) == EINVAL);
    struct belljar_sandbox *t = belljar_create(b, NULL);
    CHECK(belljar_kill(t) == 0);
    CHECK(t && !belljar_tunnel(t, ECHO) && belljar_errno(b) == EHOSTDOWN);
    belljar_sandbox_free(t);
}

static void test_many(void)
{
    struct belljar_tunnel *tunnels[300] = { 0 };
    int n = 0;
    char back[8];
    while (n < 300 && (tunnels[n] = belljar_tunnel(s, ECHO)))
        n++;
    CHECK(n == 256 && belljar_errno(b) == EAGAIN && belljar_status(b) == 429);
    for (int i = 0; i < n; i++)
        CHECK(give(tunnels[i], "x", 1) && take(tunnels[i], back, 1) == 1);
    for (int i = 0; i < n; i++)
        belljar_tunnel_free(tunnels[i]);
    struct belljar_tunnel *t = NULL;
    for (int i = 0; i < 100 && !t; i++) /* those that left are noticed soon */
        if (!(t = belljar_tunnel(s, ECHO)))
            usleep(20000);
    CHECK(t != NULL);
    belljar_tunnel_free(t);
}

static void test_killed(void)
{
    char c;
    struct belljar_sandbox *t = belljar_create(b, NULL);
    struct belljar_process *p =
        t ? belljar_start(t, "python3 -m http.server 7000 2>&1 & sleep 60", NULL) : NULL;
    struct belljar_tunnel *q = NULL;
    for (int i = 0; i < 100 && t && !q; i++)
        if (!(q = belljar_tunnel(t, 7000)))
            usleep(50000);
    CHECK(q && belljar_kill(t) == 0);
    CHECK(q && take(q, &c, 1) == -EHOSTDOWN);
    belljar_tunnel_free(q);
    belljar_process_free(p);
    belljar_sandbox_free(t);
}

/* -- forwarding -- */

struct forwarder {
    int listener, port, stop[2], rc;
};

static void *forward(void *data)
{
    struct forwarder *f = data;
    struct belljar *mine = belljar_open(NULL);
    struct belljar_sandbox *t = belljar_connect(mine, belljar_id(s), 0);
    f->rc = t ? belljar_forward(t, f->listener, f->port, f->stop[0]) : -1;
    belljar_sandbox_free(t);
    belljar_close(mine);
    return NULL;
}

static int dial(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = { .tv_sec = 10 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return connect(fd, (const struct sockaddr *)to, sizeof *to) == 0 ? fd : -1;
}

/* So many connections at once, each with its own bytes and its own end. */
static void use_forward(const struct sockaddr_in *to)
{
    int fds[40];
    char text[32], back[32];
    for (int i = 0; i < 40; i++)
        fds[i] = dial(to);
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 40; i++) {
            int n = snprintf(text, sizeof text, "%d-%d", round, i);
            CHECK(send(fds[i], text, (size_t)n, MSG_NOSIGNAL) == n);
        }
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 40; i++) {
            int n = snprintf(text, sizeof text, "%d-%d", round, i);
            CHECK(recv(fds[i], back, (size_t)n, MSG_WAITALL) == n);
            CHECK(memcmp(text, back, (size_t)n) == 0);
        }
    for (int i = 0; i < 40; i++) {
        CHECK(shutdown(fds[i], SHUT_WR) == 0 && recv(fds[i], back, 1, 0) == 0);
        close(fds[i]);
    }
}

static void test_forward(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    struct forwarder f = { .listener = socket(AF_INET, SOCK_STREAM, 0), .port = ECHO };
    pthread_t other;
    char c;
    if (!CHECK(pipe(f.stop) == 0 && bind(f.listener, (struct sockaddr *)&at, sizeof at) == 0 &&
               listen(f.listener, 64) == 0 &&
               getsockname(f.listener, (struct sockaddr *)&at, &size) == 0 &&
               pthread_create(&other, NULL, forward, &f) == 0))
        return;
    use_forward(&at);
    int fd = dial(&at);
    CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(fd, &c, 1, 0) == 1);
    CHECK(write(f.stop[1], "x", 1) == 1);
    pthread_join(other, NULL);
    CHECK(f.rc == 0);
    CHECK(recv(fd, &c, 1, 0) == 0);
    close(fd);
    CHECK(read(f.stop[0], &c, 1) == 1);

    f.port = NOBODY;
    CHECK(pthread_create(&other, NULL, forward, &f) == 0);
    fd = dial(&at);
    CHECK(recv(fd, &c, 1, 0) == 0); /* closed, and the next one is taken */
    close(fd);
    fd = dial(&at);
    CHECK(recv(fd, &c, 1, 0) == 0);
    close(fd);
    close(f.stop[1]); /* its end stops too */
    pthread_join(other, NULL);
    CHECK(f.rc == 0);
    close(f.stop[0]);
    close(f.listener);
}

int main(void)
{
    static const struct check tests[] = {
        { "an echo", test_echo },
        { "frames of a binary protocol", test_frames },
        { "both ways at once", test_both_ways },
        { "ends and breaks are passed on", test_ends },
        { "who does not read stops who writes", test_backpressure },
        { "tunnels that are refused", test_refused },
        { "many tunnels, and one too many", test_many },
        { "the sandbox is killed meanwhile", test_killed },
        { "forwarding a port", test_forward },
    };
    b = belljar_open(NULL);
    s = b ? belljar_create(b, NULL) : NULL;
    int rc = s && start_servers() ? check_all(tests, sizeof tests / sizeof *tests) : 1;
    if (rc)
        printf("# %s\n", b ? belljar_error(b) : belljar_open_error());
    (void)belljar_kill(s);
    belljar_sandbox_free(s);
    belljar_close(b);
    return rc;
}
