/* Steps as people read them, and as keys. */
#define OPENSSL_SUPPRESS_DEPRECATED /* as wire/sign.c */
#include <openssl/sha.h>
#include <string.h>

#include "recipe/recipe_internal.h"
#include "wire/json.h"

void recipe_step_print(struct buf *b, const struct recipe_step *s)
{
    (void)buf_append(b, s->type);
    for (uint32_t i = 0; i < s->arg_count; i++) {
        if (!s->args[i].n)
            continue;
        (void)buf_byte(b, ' ');
        for (size_t k = 0; k < s->args[i].n; k++)
            (void)buf_byte(b, s->args[i].p[k] == '\n' ? ' ' : s->args[i].p[k]);
    }
}

static struct str last_line(struct str s)
{
    while (s.n && strchr("\r\n\t ", s.p[s.n - 1]))
        s.n--;
    for (size_t i = s.n; i > 0; i--)
        if (s.p[i - 1] == '\n')
            return str_skip(s, i);
    return s;
}

void recipe_failure_print(struct buf *b, const struct recipe_step *s, const char *status,
                          struct str said)
{
    static const char *const what[] = { [RECIPE_RUN] = "failed to run command",
                                        [RECIPE_COPY] = "failed to copy",
                                        [RECIPE_ENV] = "failed to set the environment",
                                        [RECIPE_WORKDIR] = "failed to set the directory",
                                        [RECIPE_USER] = "failed to set the user",
                                        [RECIPE_UNKNOWN] = "failed to do" };
    struct str line = last_line(said);
    (void)buf_printf(b, "%s '" STR_FMT "': ", what[s->kind],
                     STR_ARG(s->arg_count ? s->args[0] : STR("")));
    if (s->kind == RECIPE_RUN || !line.n)
        (void)buf_append(b, str_of(status));
    else
        (void)buf_append(b, line);
}

/* -- keys -- */

struct hash {
    SHA256_CTX sha;
};
static void hash_add(struct hash *h, struct str s)
{
    uint64_t n = s.n; /* the length, too: parts may hold anything */
    (void)SHA256_Update(&h->sha, &n, sizeof n);
    if (s.n)
        (void)SHA256_Update(&h->sha, s.p, s.n);
}
static void hash_begin(struct hash *h) { (void)SHA256_Init(&h->sha); }
static void hash_end(struct hash *h, char out[RECIPE_KEY_SIZE])
{
    unsigned char raw[SHA256_DIGEST_LENGTH];
    (void)SHA256_Final(raw, &h->sha);
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

void recipe_key_base(char out[RECIPE_KEY_SIZE], struct str rootfs, struct str layers,
                     const struct recipe_context *c)
{
    struct hash h;
    char *envs = json_dumps(c->envs, JSON_COMPACT | JSON_SORT_KEYS);
    hash_begin(&h);
    hash_add(&h, STR("belljar 1"));
    hash_add(&h, rootfs);
    hash_add(&h, layers);
    hash_add(&h, str_of(c->user));
    hash_add(&h, str_of(c->workdir));
    hash_add(&h, str_of(envs));
    hash_add(&h, str_of(recipe_prepare())); /* a newer belljar may do it another way */
    hash_add(&h, str_of(recipe_copy));
    hash_end(&h, out);
    free(envs);
}

void recipe_key_step(char out[RECIPE_KEY_SIZE], const char *before, const struct recipe_step *s)
{
    struct hash h;
    hash_begin(&h);
    hash_add(&h, str_of(before));
    hash_add(&h, s->type);
    for (uint32_t i = 0; i < s->arg_count; i++)
        hash_add(&h, s->args[i]);
    hash_add(&h, s->files);
    hash_end(&h, out);
}
