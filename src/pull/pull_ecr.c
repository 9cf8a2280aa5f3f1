#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "gen/limits.h"
#include "pull/pull_http.h"
#include "wire/connect.h"
#include "wire/json.h"

enum { ANSWER_SIZE = 65536, TIMEOUT_S = 30 };
#define TARGET "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"

static size_t on_data(char *p, size_t size, size_t n, void *data)
{
    return buf_append(data, str_make(p, size * n)) ? size * n : 0;
}

static void url_of(const struct pull_spec *s, char out[300])
{
    bool is_china = strncmp(s->region, "cn-", 3) == 0;
    if (s->ecr && s->ecr[0])
        (void)snprintf(out, 300, "%.280s", s->ecr);
    else
        (void)snprintf(out, 300, "https://api.ecr.%.32s.amazonaws.com%s/", s->region,
                       is_china ? ".cn" : "");
}

/* The HTTP status, or 0 with the sentence in `op`. */
static long ask(struct op *op, const struct pull_spec *s, struct buf *answer)
{
    char url[300], provider[64], why[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURL *c = curl_easy_init();
    struct curl_slist *fields = curl_slist_append(NULL, "X-Amz-Target: " TARGET);
    fields = curl_slist_append(fields, "Content-Type: application/x-amz-json-1.1");
    if (!c || !fields) {
        (void)op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
        return 0;
    }
    url_of(s, url);
    (void)snprintf(provider, sizeof provider, "aws:amz:%.32s:ecr", s->region);
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, "{}");
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields);
    (void)curl_easy_setopt(c, CURLOPT_AWS_SIGV4, provider);
    (void)curl_easy_setopt(c, CURLOPT_USERNAME, s->user);
    (void)curl_easy_setopt(c, CURLOPT_PASSWORD, s->password);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    CURLcode r = curl_easy_perform(c);
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(fields);
    curl_easy_cleanup(c);
    if (r == CURLE_OK)
        return status;
    (void)op_fail(op, FAULT_UNAVAILABLE, EIO, "the login to AWS: %.200s: %s", url,
                  why[0] ? why : curl_easy_strerror(r));
    return 0;
}

/* "AWS:password" in base64 is what ECR answers. */
static bool take_token(struct str body, char **user, char **password)
{
    struct arena mem;
    struct str token, plain, name, secret;
    json_t *v = json_parse(body, NULL);
    const json_t *first = json_array_get(json_object_get(v, "authorizationData"), 0);
    arena_init(&mem, 0);
    bool good = json_get_str(first, "authorizationToken", &token) == 1 &&
                connect_base64_parse(&mem, token, &plain) && str_cut(plain, ':', &name, &secret) &&
                !memchr(plain.p, 0, plain.n);
    if (good) {
        *user = str_dup(name);
        *password = str_dup(secret);
        good = *user && *password;
    }
    arena_deinit(&mem);
    json_decref(v);
    return good;
}

int pull_ecr_login(struct op *op, const struct pull_spec *spec, char **user, char **password)
{
    struct buf answer;
    struct str said;
    buf_init(&answer, ANSWER_SIZE);
    long status = ask(op, spec, &answer);
    json_t *v = status && status != 200 ? json_parse(buf_str(&answer), NULL) : NULL;
    if (json_get_str(v, "message", &said) != 1)
        said = STR_NONE;
    if (status && status != 200)
        (void)op_fail(op, FAULT_FORBIDDEN, EACCES, "AWS refuses the key (%ld): %.*s", status,
                      (int)(said.n < 160 ? said.n : 160), said.n ? said.p : "");
    else if (status && !take_token(buf_str(&answer), user, password))
        (void)op_fail(op, FAULT_UNAVAILABLE, EPROTO, "the login to AWS gave no token");
    json_decref(v);
    buf_deinit(&answer);
    return op->fault.code == FAULT_NONE ? 0 : -EACCES;
}
