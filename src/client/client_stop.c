/* Giving up: a descriptor that every wait listens to. */
#include <errno.h>

#include "base/clock.h"
#include "client/client_internal.h"
#include "gen/limits.h"

void belljar_set_stop(struct belljar *b, int fd) { b->stop = fd < 0 ? -1 : fd; }

int client_given_up(struct belljar *b)
{
    return client_fail(b, ECANCELED, "it was given up, as the caller wished");
}

int client_stopped(struct belljar *b)
{
    int rc = client_poll_fd(b->stop);
    if (rc < 0)
        return client_fail(b, -rc, "descriptor %d is not open", b->stop);
    return rc ? client_given_up(b) : 0;
}

int client_pause(struct belljar *b, int ms)
{
    struct curl_waitfd stop = { .fd = b->stop, .events = CURL_WAIT_POLLIN };
    int64_t until = clock_mono_ms() + ms, left = ms;
    int rc = client_stopped(b);
    while (!rc && left > 0) {
        if (curl_multi_poll(b->multi, &stop, b->stop >= 0 ? 1 : 0, (int)left, NULL) != CURLM_OK)
            return client_no_memory(b);
        rc = client_drive(b); /* what others wait for goes on */
        if (!rc)
            rc = client_stopped(b);
        left = until - clock_mono_ms();
    }
    return rc;
}

struct client_grace client_grace_begin(struct belljar *b)
{
    struct client_grace g = { b->stop, b->timeout_ms };
    b->stop = -1;
    if (b->timeout_ms > LIMIT_CLIENT_STOP_MS)
        b->timeout_ms = LIMIT_CLIENT_STOP_MS;
    return g;
}

void client_grace_end(struct belljar *b, struct client_grace g)
{
    b->stop = g.stop;
    b->timeout_ms = g.timeout_ms;
}
