#define OPENSSL_SUPPRESS_DEPRECATED /* the one-shot API drags in all of libcrypto: 4 MB more */
#include "agent/sign.h"

#include <openssl/sha.h>

#include "wire/connect.h"

static void add(SHA256_CTX *h, struct str s)
{
    if (s.n)
        (void)SHA256_Update(h, s.p, s.n);
}

void sign_make(const struct sign_claim *claim, struct str token, char out[SIGN_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX h;
    struct buf b;
    (void)SHA256_Init(&h);
    add(&h, claim->path);
    add(&h, STR(":"));
    add(&h, str_of(claim->operation));
    add(&h, STR(":"));
    add(&h, claim->user);
    add(&h, STR(":"));
    add(&h, token);
    if (claim->expiration.n) {
        add(&h, STR(":"));
        add(&h, claim->expiration);
    }
    (void)SHA256_Final(digest, &h);
    buf_init(&b, 0);
    (void)buf_append(&b, STR("v1_"));
    connect_base64_put(&b, str_make((const char *)digest, sizeof digest));
    struct str s = buf_str(&b);
    if (s.n && s.p[s.n - 1] == '=')
        s.n--; /* 32 bytes end in one '=', and the signature has none */
    out[0] = 0;
    (void)str_copy(s, out, SIGN_SIZE);
    buf_deinit(&b);
}

int sign_check(const struct sign_claim *claim, struct str token, int64_t now_s)
{
    char want[SIGN_SIZE];
    int64_t at;
    if (!claim->signature.n)
        return SIGN_MISSING;
    bool dated = claim->expiration.n > 0;
    if (dated && !str_to_i64(claim->expiration, &at))
        return SIGN_WRONG;
    sign_make(claim, token, want);
    if (!want[0] || !str_secret_eq(str_of(want), claim->signature))
        return SIGN_WRONG;
    return dated && at < now_s ? SIGN_EXPIRED : SIGN_OK;
}
