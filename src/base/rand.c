#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/types.h>

void rand_bytes(void *p, size_t n)
{
    char *at = p;
    while (n) {
        ssize_t got = getrandom(at, n, 0);
        assert(got >= 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

void rand_id(char *out, size_t n)
{
    static const char set[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < n;) {
        uint8_t raw[32];
        rand_bytes(raw, sizeof raw);
        for (size_t j = 0; j < sizeof raw && i < n; j++)
            if (raw[j] < 252) /* 252 = 7 * 36: every letter equally likely */
                out[i++] = set[raw[j] % 36];
    }
    out[n] = '\0';
}
