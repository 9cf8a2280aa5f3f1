/* belljar-pull: gets images from registries for control. A process for each image, which speaks to
 * the world and holds nothing but the socket and the directory it was given. */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "gen/limits.h"
#include "ipc/link.h"
#include "ipc/pull_proto.h"
#include "pull/pull.h"

struct session {
    int fd;
    struct buf out;
};

/* Nobody listens any more: the pull is not wanted. */
static void send_out(struct session *s)
{
    msg_end(&s->out);
    struct str m = buf_str(&s->out);
    if (s->out.failed || send(s->fd, m.p, m.n, MSG_NOSIGNAL) < 0)
        _exit(1);
}

static void say(void *data, const char *text)
{
    struct session *s = data;
    msg_begin(&s->out, PULL_SAY, 0, 0, 0);
    msg_str(&s->out, PK_TEXT, str_of(text));
    send_out(s);
}

static void layer(void *data, const char *file, uint64_t size)
{
    struct session *s = data;
    msg_begin(&s->out, PULL_LAYER, 0, 0, 0);
    msg_str(&s->out, PK_FILE, str_of(file));
    msg_u64(&s->out, PK_SIZE, size);
    send_out(s);
}

/* The one message that control sends, and its descriptor. */
static ssize_t receive(int fd, char *text, size_t size, int *dir)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec part = { text, size };
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(dir, CMSG_DATA(c), sizeof(int));
    return n;
}

static char *text_of(const struct msg *m, enum pull_key key)
{
    struct str s;
    return msg_get_str(m, (uint16_t)key, &s) && !memchr(s.p, 0, s.n) ? str_dup(s) : NULL;
}

static void finish(struct session *s, int r, const struct op *op, const struct pull_result *result)
{
    msg_begin(&s->out, r < 0 ? PULL_FAILED : PULL_DONE, 0, 0, r);
    if (r < 0) {
        msg_str(&s->out, PK_TEXT, str_of(op->fault.text));
    } else {
        msg_str(&s->out, PK_DIGEST, str_of(result->digest));
        msg_str(&s->out, PK_CONFIG, buf_str(&result->envs));
    }
    send_out(s);
}

static int serve(int fd, const char *mirror, const char *ecr)
{
    static char text[LIMIT_IPC_MESSAGE_SIZE];
    struct session s = { .fd = fd };
    struct msg m;
    struct op op = { 0 };
    struct pull_result result = { 0 };
    int dir = -1;
    ssize_t n = receive(fd, text, sizeof text, &dir);
    uint64_t is_plain = 0;
    if (n <= 0 || !msg_parse(str_make(text, (size_t)n), &m) || m.verb != PULL_START || dir < 0)
        return 1;
    (void)msg_get_u64(&m, PK_PLAIN, &is_plain);
    struct pull_spec spec = { .host = text_of(&m, PK_HOST),
                              .path = text_of(&m, PK_PATH),
                              .reference = text_of(&m, PK_REFERENCE),
                              .is_plain = is_plain != 0,
                              .user = text_of(&m, PK_USER),
                              .password = text_of(&m, PK_PASSWORD),
                              .region = text_of(&m, PK_REGION),
                              .ecr = ecr,
                              .known = text_of(&m, PK_KNOWN),
                              .mirror = mirror,
                              .dir = dir };
    if (!spec.host || !spec.path || !spec.reference)
        return 1;
    buf_init(&s.out, 0);
    buf_init(&result.envs, LIMIT_IPC_MESSAGE_SIZE / 2);
    const struct pull_ops ops = { say, layer, &s };
    int r = pull_image(&op, &spec, &ops, &result);
    finish(&s, r, &op, &result);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option table[] = { { "listen", required_argument, NULL, 'l' },
                                           { "mirror", required_argument, NULL, 'm' },
                                           { "ecr", required_argument, NULL, 'e' },
                                           { 0 } };
    uint64_t fd = UINT64_MAX;
    const char *mirror = NULL, *ecr = NULL;
    log_init("belljar-pull", LOG_INFO);
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (c == 'l')
            (void)str_to_u64(str_of(optarg), 65535, &fd);
        else if (c == 'm')
            mirror = optarg;
        else if (c == 'e')
            ecr = optarg;
    }
    if (fd == UINT64_MAX) {
        fprintf(stderr, "usage: belljar-pull --listen FD [--mirror URL] [--ecr URL]\n");
        return 2;
    }
    (void)signal(SIGCHLD, SIG_IGN); /* nobody waits for them */
    (void)signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int peer = accept4((int)fd, NULL, NULL, SOCK_CLOEXEC);
        pid_t pid = peer < 0 ? -1 : fork();
        if (pid == 0)
            _exit(serve(peer, mirror, ecr));
        if (pid < 0 && peer >= 0)
            log_warn("no process for a pull: %s", strerror(errno));
        fd_closep(&peer);
    }
}
