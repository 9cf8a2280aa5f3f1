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

void rand_uuid_of(const unsigned char bytes[16], char out[RAND_UUID_SIZE])
{
    unsigned char u[16];
    memcpy(u, bytes, sizeof u);
    u[6] = (unsigned char)((u[6] & 0x0f) | 0x40); /* version 4 */
    u[8] = (unsigned char)((u[8] & 0x3f) | 0x80); /* variant 10 */
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = "0123456789abcdef"[u[i] >> 4];
        *out++ = "0123456789abcdef"[u[i] & 15];
    }
    *out = '\0';
}

void rand_uuid(char out[RAND_UUID_SIZE])
{
    unsigned char u[16];
    rand_bytes(u, sizeof u);
    rand_uuid_of(u, out);
}
