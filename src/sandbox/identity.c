#include "sandbox/identity.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/rand.h"

void identity_make_id(char out[IDENTITY_ID_SIZE])
{
    out[0] = 'i';
    rand_id(out + 1, IDENTITY_ID_SIZE - 2);
}

void identity_make_token(const unsigned char seed[32], enum identity_token kind, struct str id,
                         char out[IDENTITY_TOKEN_SIZE])
{
    /* an id never holds ':', so the two kinds never have an input in common */
    char text[64];
    int n = snprintf(text, sizeof text, "%s" STR_FMT, kind == IDENTITY_TRAFFIC ? "traffic:" : "",
                     STR_ARG(id));
    unsigned char mac[32];
    unsigned int len = sizeof mac;
    if (!HMAC(EVP_sha256(), seed, 32, (const unsigned char *)text, (size_t)n, mac, &len))
        abort(); /* out of memory in libcrypto: a wrong token would be worse */
    for (size_t i = 0; i < sizeof mac; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", mac[i]);
}

bool identity_parse_id(struct str text, struct str *id)
{
    struct str rest;
    bool has_client = str_cut(text, '-', id, &rest);
    if (id->n == 0 || id->n > 32 || (has_client && rest.n == 0))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool is_dash = c == '-' && i == id->n;
        if (!is_dash && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
    }
    return true;
}
