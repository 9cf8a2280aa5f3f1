#include "tests.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/link.h"

static void messages_are_read_back(void **state)
{
    (void)state;
    struct buf b;
    struct msg m;
    struct str s;
    uint64_t u;
    buf_init(&b, 0);
    msg_begin(&b, 3, MSG_REPLY, 77, -5);
    msg_str(&b, 1, STR("id"));
    msg_u64(&b, 2, 1234567890123u);
    msg_str(&b, 3, STR(""));
    msg_end(&b);
    assert_true(msg_parse(buf_str(&b), &m));
    assert_true(m.verb == 3 && m.flags == MSG_REPLY && m.tag == 77 && m.status == -5);
    assert_true(msg_get_str(&m, 1, &s));
    assert_str(s, "id");
    assert_true(msg_get_u64(&m, 2, &u) && u == 1234567890123u);
    assert_true(msg_get_str(&m, 3, &s) && s.n == 0);
    assert_false(msg_get_u64(&m, 1, &u)); /* not eight bytes */
    assert_false(msg_get_str(&m, 9, &s));
    /* any cut and any flipped length is noticed, never read past */
    struct str whole = buf_str(&b);
    for (size_t n = 0; n < whole.n; n++)
        assert_false(msg_parse(str_make(whole.p, n), &m));
    for (size_t i = 0; i < whole.n; i++) {
        char copy[128];
        memcpy(copy, whole.p, whole.n);
        copy[i] = (char)(copy[i] ^ 0x80);
        (void)msg_parse(str_make(copy, whole.n), &m);
    }
    buf_deinit(&b);
}

struct end {
    struct link link;
    int messages, closed, fd;
    struct loop *loop;
};

static void on_message(struct link *k, const struct msg *m, int *fds, int count)
{
    struct end *e = k->data;
    e->messages++;
    if (count) {
        e->fd = fds[0];
        fds[0] = -1;
    }
    if (m->verb == 99)
        loop_stop(e->loop);
}
static void on_closed(struct link *k)
{
    struct end *e = k->data;
    e->closed++;
    loop_stop(e->loop);
}
static const struct link_ops ops = { on_message, on_closed };

static void links_pass_messages_and_descriptors(void **state)
{
    (void)state;
    enum { MANY = 3000 }; /* more than a socket holds */
    struct loop *l = loop_new();
    struct end a = { .loop = l, .fd = -1 }, b = { .loop = l, .fd = -1 };
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    assert_int_equal(link_open(&a.link, l, pair[0], &ops, &a), 0);
    assert_int_equal(link_open(&b.link, l, pair[1], &ops, &b), 0);
    assert_int_equal(a.link.peer_uid, getuid());
    struct buf m;
    buf_init(&m, 0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < MANY; i++) {
        msg_begin(&m, i == MANY - 1 ? 99 : 1, 0, 0, 0);
        msg_u64(&m, 1, (uint64_t)i);
        msg_end(&m);
        assert_int_equal(link_send(&a.link, &m, &null, i == MANY - 1), 0);
    }
    close(null);
    assert_int_equal(loop_run(l), 0);
    assert_int_equal(b.messages, MANY);
    assert_true(b.fd >= 0 && fcntl(b.fd, F_GETFD) == FD_CLOEXEC);
    close(b.fd);
    link_close(&a.link);
    assert_int_equal(link_send(&a.link, &m, NULL, 0), -ENOTCONN);
    assert_int_equal(loop_run(l), 0);
    assert_int_equal(b.closed, 1);
    assert_int_equal(a.closed, 0);
    buf_deinit(&m);
    loop_free(l);
}

static void a_forged_message_ends_the_link(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct end b = { .loop = l };
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                     0);
    assert_int_equal(link_open(&b.link, l, pair[1], &ops, &b), 0);
    assert_int_equal(send(pair[0], "garbage", 7, 0), 7);
    assert_int_equal(loop_run(l), 0);
    assert_true(b.closed == 1 && b.messages == 0);
    close(pair[0]);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_read_back),
        cmocka_unit_test(links_pass_messages_and_descriptors),
        cmocka_unit_test(a_forged_message_ends_the_link),
    };
    return cmocka_run_group_tests_name("ipc", tests, NULL, NULL);
}
