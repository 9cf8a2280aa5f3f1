/* Idempotency-Key on POST /v2/sandboxes (delta.md 7): the first request with a key runs, the others
 * get its answer. Records live in the store, so a retry after a crash of ours is no second create.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/clock.h"
#include "wire/json.h"

enum { SWEEP_MS = 600000 };

int api_idempotency_check(struct api_call *c)
{
    const struct http_head *h = &c->http->head;
    struct str key = STR_NONE;
    int count = 0;
    for (uint32_t i = 0; i < h->field_count; i++)
        if (str_ieq(h->fields[i].name, STR("Idempotency-Key"))) {
            key = h->fields[i].value;
            count++;
        }
    if (count == 0)
        return 0;
    bool good = count == 1 && key.n > 0 && str_copy(key, c->key, sizeof c->key) &&
                strspn(c->key, "abcdefghijklmnopqrstuvwxyz0123456789-") == key.n;
    if (good)
        return 0;
    return api_invalid(&c->op, "Idempotency-Key must be given once, 1 to 255 of a-z, 0-9 and '-'");
}

/* Two requests are the same when they ask for the same sandbox: defaults are filled in, the order
 * of members and unknown keys do not count. */
static bool hash_request(const struct sandbox_spec *s, unsigned char out[32])
{
    unsigned int n = 32;
    json_t *network = json_object(), *v = NULL;
    static const char *const members[] = { "allowOut", "denyOut" };
    for (size_t i = 0; s->network && i < sizeof members / sizeof *members; i++)
        (void)json_object_set(network, members[i], json_object_get(s->network, members[i]));
    v = json_pack("{s:s, s:s, s:I, s:i, s:b, s:b, s:b, s:s, s:O, s:O, s:o, s:b, s:O*}", "template",
                  s->template.id, "alias", s->template.alias, "timeout", (json_int_t)s->timeout_s,
                  "internet", s->internet, "autoPause", s->auto_pause, "autoResume", s->auto_resume,
                  "private", s->has_private_traffic, "mask", s->mask_host, "envs", s->envs,
                  "metadata", s->metadata, "network", network, "dropsMemory", s->drops_memory,
                  "config", s->template.config);
    char *text = v ? json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(v);
    bool good = text && EVP_Digest(text, strlen(text), out, &n, EVP_sha256(), NULL);
    free(text);
    return good;
}

/* The key is known: replays, or says why not. */
static void answer_known(struct api_call *c, const struct store_answer *a, bool is_same)
{
    int64_t age_ms = (clock_wall_us() - a->created_us) / 1000;
    if (!is_same)
        (void)op_fail(&c->op, FAULT_IDEMPOTENCY_MISMATCH, EEXIST,
                      "Idempotency-Key was already used with a different request");
    else if (a->status == 0 && age_ms < LIMIT_IDEMPOTENCY_BUSY_MS)
        (void)op_fail(&c->op, FAULT_IDEMPOTENCY_BUSY, EBUSY,
                      "The original request has not recorded a response yet. Retry with the same "
                      "Idempotency-Key.");
    else if (a->status == 0)
        (void)op_fail(&c->op, FAULT_IDEMPOTENCY_UNKNOWN, EIO,
                      "The original request has no recorded response and its outcome is unknown. "
                      "This request was not executed again.");
    if (c->op.fault.code != FAULT_NONE)
        api_reply_fault(c);
    else
        api_reply(c, a->status, NULL, str_of(a->body));
}

static void sweep(struct api *a)
{
    int64_t now = loop_now_ms(a->spec.loop);
    if (a->keys_swept_ms && now - a->keys_swept_ms < SWEEP_MS)
        return;
    a->keys_swept_ms = now;
    (void)store_answer_expire(a->spec.store,
                              clock_wall_us() - (int64_t)LIMIT_IDEMPOTENCY_KEPT_S * 1000000);
}

int api_idempotency_begin(struct api_call *c, const struct sandbox_spec *spec)
{
    struct store *s = c->api->spec.store;
    struct store_answer known;
    unsigned char hash[32];
    if (!c->key[0])
        return 0;
    sweep(c->api);
    int r = hash_request(spec, hash) ? store_answer_get(s, c->key, &known) : -ENOMEM;
    if (r == 0)
        r = store_answer_reserve(s, c->key, hash, clock_wall_us());
    else if (r == 1) {
        answer_known(c, &known, memcmp(known.request, hash, sizeof hash) == 0);
        free(known.body);
        return 1;
    }
    if (r == 0) {
        c->is_key_reserved = true;
        return 0;
    }
    (void)op_fail(&c->op, FAULT_UNAVAILABLE, -r,
                  "the Idempotency-Key cannot be recorded; nothing was changed");
    api_reply_fault(c);
    return 1;
}

void api_idempotency_end(struct api_call *c, int status, struct str body)
{
    /* when this fails the key stays reserved, and its outcome unknown: what the record says */
    if (c->is_key_reserved)
        (void)store_answer_set(c->api->spec.store, c->key, status, body);
}
