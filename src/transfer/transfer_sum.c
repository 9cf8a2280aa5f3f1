#include <stdio.h>

#include "transfer/transfer_internal.h"

/* With its length: "ab" and "c" are not "a" and "bc". */
void transfer_sum_text(SHA256_CTX *sum, struct str s)
{
    uint64_t n = s.n;
    (void)SHA256_Update(sum, &n, sizeof n);
    if (s.n)
        (void)SHA256_Update(sum, s.p, s.n);
}

void transfer_sum_entry(SHA256_CTX *sum, const struct tar_entry *e)
{
    const int64_t facts[] = { e->type, e->mode, e->uid, e->gid, e->modified_s, e->size };
    transfer_sum_text(sum, e->path);
    transfer_sum_text(sum, e->link);
    transfer_sum_text(sum, e->capability);
    (void)SHA256_Update(sum, facts, sizeof facts);
}

void transfer_sum_end(SHA256_CTX *sum, char out[TRANSFER_SUM_SIZE])
{
    unsigned char raw[SHA256_DIGEST_LENGTH];
    (void)SHA256_Final(raw, sum);
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
    (void)SHA256_Init(sum);
}
