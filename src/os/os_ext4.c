#include "os/os_ext4.h"

#include <endian.h>
#include <linux/magic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rand.h"

#define SUPER_AT 1024
#define SUPER_SIZE 1024
#define MAGIC_AT 0x38
#define STATE_AT 0x3a
#define STATE_VALID 1u
#define STATE_ERROR 2u /* the kernel has met damage */
#define INCOMPAT_AT 0x60
#define INCOMPAT_CSUM_SEED 0x2000u
#define UUID_AT 0x68
#define CHECKSUM_AT 0x3fc

static uint32_t get32(const unsigned char *super, size_t at)
{
    uint32_t n;
    memcpy(&n, super + at, sizeof n);
    return le32toh(n);
}
static uint16_t get16(const unsigned char *super, size_t at)
{
    uint16_t n;
    memcpy(&n, super + at, sizeof n);
    return le16toh(n);
}

/* CRC-32C as the kernel counts it: from ~0, not inverted at the end. */
static uint32_t crc32c(const unsigned char *p, size_t n)
{
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
    }
    return c;
}

static int super_read(int image, unsigned char super[SUPER_SIZE])
{
    ssize_t n = pread(image, super, SUPER_SIZE, SUPER_AT);
    if (n != SUPER_SIZE)
        return RAISE(n < 0 ? -errno : -EBADMSG);
    return get16(super, MAGIC_AT) == EXT4_SUPER_MAGIC ? 0 : RAISE(-EBADMSG);
}

int ext4_image_renew(int image)
{
    unsigned char super[SUPER_SIZE];
    int r = super_read(image, super);
    if (r < 0)
        return TRACE(r);
    if (!(get32(super, INCOMPAT_AT) & INCOMPAT_CSUM_SEED) ||
        get32(super, CHECKSUM_AT) != crc32c(super, CHECKSUM_AT))
        return RAISE(-EBADMSG);
    rand_bytes(super + UUID_AT, 16);
    uint32_t sum = htole32(crc32c(super, CHECKSUM_AT));
    memcpy(super + CHECKSUM_AT, &sum, sizeof sum);
    return pwrite(image, super, SUPER_SIZE, SUPER_AT) == SUPER_SIZE ? 0 : RAISE(-errno);
}

bool ext4_image_is_clean(int image)
{
    unsigned char super[SUPER_SIZE];
    return super_read(image, super) == 0 &&
           (get16(super, STATE_AT) & (STATE_VALID | STATE_ERROR)) == STATE_VALID;
}
