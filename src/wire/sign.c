#define OPENSSL_SUPPRESS_DEPRECATED /* the one-shot API drags in all of libcrypto: 4 MB more */
#include "wire/sign.h"

#include "wire/connect.h"

#define VERSION STR("v1_")
#define DIGITS 43 /* of 32 bytes in base64 without the '=' */

static void add(SHA256_CTX *h, struct str s)
{
    if (s.n)
        (void)SHA256_Update(h, s.p, s.n);
}

static void hash_prefix(const struct sign_claim *claim, SHA256_CTX *h)
{
    (void)SHA256_Init(h);
    add(h, claim->path);
    add(h, STR(":"));
    add(h, str_of(claim->operation));
    add(h, STR(":"));
    add(h, claim->user);
    add(h, STR(":"));
}

static struct str hash_rest(SHA256_CTX *h, struct str token, struct str expiration,
                            unsigned char out[SHA256_DIGEST_LENGTH])
{
    add(h, token);
    if (expiration.n) {
        add(h, STR(":"));
        add(h, expiration);
    }
    (void)SHA256_Final(out, h);
    return str_make((const char *)out, SHA256_DIGEST_LENGTH);
}

void sign_make(const struct sign_claim *claim, struct str token, char out[SIGN_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX h;
    struct buf b;
    hash_prefix(claim, &h);
    buf_init(&b, 0);
    (void)buf_append(&b, VERSION);
    connect_base64_put(&b, hash_rest(&h, token, claim->expiration, digest));
    struct str s = buf_str(&b);
    if (s.n && s.p[s.n - 1] == '=')
        s.n--; /* 32 bytes end in one '=', and the signature has none */
    out[0] = 0;
    (void)str_copy(s, out, SIGN_SIZE);
    buf_deinit(&b);
}

/* Only the one spelling that sign_make has. */
static bool decode(struct str text, unsigned char out[SHA256_DIGEST_LENGTH])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t acc = 0, bits = 0;
    size_t n = 0;
    if (text.n != DIGITS)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        const char *d = memchr(digits, text.p[i], sizeof digits - 1);
        if (!d)
            return false;
        acc = acc << 6 | (uint32_t)(d - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (unsigned char)(acc >> bits);
        }
    }
    return (acc & 3) == 0; /* 43 digits hold two bits more than 32 bytes */
}

bool sign_probe_init(struct sign_probe *p, const struct sign_claim *claim)
{
    struct str version = VERSION;
    if (!str_starts(claim->signature, version) ||
        !decode(str_skip(claim->signature, version.n), p->want))
        return false;
    p->expiration = claim->expiration;
    hash_prefix(claim, &p->prefix);
    return true;
}

bool sign_probe_matches(const struct sign_probe *p, struct str token)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX h = p->prefix;
    return str_secret_eq(hash_rest(&h, token, p->expiration, digest),
                         str_make((const char *)p->want, sizeof p->want));
}

int sign_check(const struct sign_claim *claim, struct str token, int64_t now_s)
{
    struct sign_probe p;
    int64_t at = 0;
    if (!claim->signature.n)
        return SIGN_MISSING;
    bool dated = claim->expiration.n > 0;
    if ((dated && !str_to_i64(claim->expiration, &at)) || !sign_probe_init(&p, claim) ||
        !sign_probe_matches(&p, token))
        return SIGN_WRONG;
    return dated && at < now_s ? SIGN_EXPIRED : SIGN_OK;
}
