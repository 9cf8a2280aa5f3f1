#include "pull/pull_http.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "gen/limits.h"
#include "wire/json.h"

enum { TRIES = 4, CONNECT_S = 20, STALL_S = 30, TOKEN_SIZE = 65536 };

bool pull_registry_open(struct pull_registry *r, const struct pull_spec *spec, const char *base)
{
    *r = (struct pull_registry){ .spec = spec };
    (void)snprintf(r->base, sizeof r->base, "%.300s", base);
    r->curl = curl_easy_init();
    return r->curl != NULL;
}

void pull_registry_close(struct pull_registry *r)
{
    if (r->curl)
        curl_easy_cleanup(r->curl);
    free(r->token);
    *r = (struct pull_registry){ 0 };
}

static void hex(const unsigned char *raw, char out[72])
{
    memcpy(out, "sha256:", 8);
    for (size_t i = 0; i < 32; i++)
        (void)snprintf(out + 7 + 2 * i, 3, "%02x", raw[i]);
}

void pull_digest(struct str s, char out[72])
{
    unsigned char raw[32];
    unsigned int n = sizeof raw;
    if (!EVP_Digest(s.p ? s.p : "", s.n, raw, &n, EVP_sha256(), NULL))
        memset(raw, 0, sizeof raw);
    hex(raw, out);
}

/* -- one request -- */

struct answer {
    struct pull_registry *registry;
    struct buf *body; /* or */
    int fd;           /* what is hashed */
    EVP_MD_CTX *hash;
    uint64_t left;
    char challenge[1024]; /* WWW-Authenticate */
    bool is_refused;      /* by us: too long */
};

static size_t on_header(char *p, size_t size, size_t n, void *data)
{
    static const char name[] = "www-authenticate:";
    struct answer *a = data;
    struct str line = str_make(p, size * n);
    while (line.n && strchr("\r\n", line.p[line.n - 1]))
        line.n--;
    if (line.n > sizeof name && str_ieq(str_make(line.p, sizeof name - 1), str_of(name)))
        (void)str_copy(str_trim(str_skip(line, sizeof name - 1)), a->challenge,
                       sizeof a->challenge);
    return size * n;
}

static size_t on_data(char *p, size_t size, size_t n, void *data)
{
    struct answer *a = data;
    long status = 0;
    n *= size;
    (void)curl_easy_getinfo(a->registry->curl, CURLINFO_RESPONSE_CODE, &status);
    if (a->body) {
        a->is_refused = !buf_append(a->body, str_make(p, n));
        return a->is_refused ? 0 : n;
    }
    if (status != 200 && status != 206)
        return n; /* the page of an error */
    a->is_refused = n > a->left || !EVP_DigestUpdate(a->hash, p, n);
    if (a->is_refused)
        return 0;
    for (size_t at = 0; at < n;) {
        ssize_t w = write(a->fd, p + at, n - at);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return 0;
        at += (size_t)w;
    }
    a->left -= n;
    return n;
}

static void set_auth(struct pull_registry *r)
{
    const struct pull_spec *s = r->spec;
    if (r->token) {
        (void)curl_easy_setopt(r->curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        (void)curl_easy_setopt(r->curl, CURLOPT_XOAUTH2_BEARER, r->token);
    } else if (r->is_basic && s->user) {
        (void)curl_easy_setopt(r->curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        (void)curl_easy_setopt(r->curl, CURLOPT_USERNAME, s->user);
        (void)curl_easy_setopt(r->curl, CURLOPT_PASSWORD, s->password);
    }
}

/* The status, or a negative CURLcode. */
static int perform(struct pull_registry *r, const char *url, const char *accept, int64_t from,
                   bool has_auth, struct answer *a)
{
    CURL *c = r->curl;
    long status = 0;
    curl_easy_reset(c);
    a->registry = r;
    struct curl_slist *fields = accept ? curl_slist_append(NULL, accept) : NULL;
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "belljar/" BELLJAR_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
                           r->spec->is_plain ? "http,https" : "https");
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L); /* credentials stay with this host */
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, a);
    if (from)
        (void)curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)from);
    if (has_auth)
        set_auth(r);
    CURLcode code = curl_easy_perform(c);
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(fields);
    return code == CURLE_OK ? (int)status : -(int)code;
}

/* -- authentication (the token protocol of registries) -- */

/* The value of `name="..."` in a challenge. */
static bool parameter(const char *challenge, const char *name, char *out, size_t size)
{
    char want[32];
    (void)snprintf(want, sizeof want, "%s=\"", name);
    const char *at = strstr(challenge, want);
    const char *end = at ? strchr(at + strlen(want), '"') : NULL;
    return end &&
           str_copy(str_make(at + strlen(want), (size_t)(end - at) - strlen(want)), out, size);
}

static int take_token(struct op *op, struct pull_registry *r, struct str body)
{
    struct str text;
    json_t *v = json_parse(body, NULL);
    bool good =
        v && (json_get_str(v, "token", &text) == 1 || json_get_str(v, "access_token", &text) == 1);
    free(r->token);
    r->token = good ? str_dup(text) : NULL;
    json_decref(v);
    return r->token ? 0 : op_fail(op, FAULT_UNAVAILABLE, EPROTO, "the registry gave no token");
}

static int ask_token(struct op *op, struct pull_registry *r, const char *challenge)
{
    char realm[512], service[256] = "", url[1400];
    struct answer a = { .fd = -1 };
    struct buf body;
    if (!parameter(challenge, "realm", realm, sizeof realm))
        return op_fail(op, FAULT_UNAVAILABLE, EPROTO, "the registry asks for an unknown login");
    (void)parameter(challenge, "service", service, sizeof service);
    char *quoted = curl_easy_escape(r->curl, service, 0);
    (void)snprintf(url, sizeof url, "%s?service=%s&scope=repository:%s:pull", realm,
                   quoted ? quoted : "", r->spec->path);
    curl_free(quoted);
    buf_init(&body, TOKEN_SIZE);
    a.body = &body;
    r->is_basic = true;
    int status = perform(r, url, NULL, 0, true, &a);
    r->is_basic = false;
    int rc =
        status == 200 ? take_token(op, r, buf_str(&body))
        : status == 401 || status == 403
            ? op_fail(op, FAULT_FORBIDDEN, EACCES, "the registry refuses name or password")
            : op_fail(op, FAULT_UNAVAILABLE, EPROTO, "the registry's login answers %d", status);
    buf_deinit(&body);
    return rc;
}

/* The registry said 401: what it wants is got. 0: ask again. */
static int login(struct op *op, struct pull_registry *r, const char *challenge)
{
    if (str_ieq(str_make(challenge, strnlen(challenge, 6)), STR("bearer")) && !r->token)
        return ask_token(op, r, challenge);
    if (str_ieq(str_make(challenge, strnlen(challenge, 5)), STR("basic")) && !r->is_basic &&
        r->spec->user) {
        r->is_basic = true;
        return 0;
    }
    return op_fail(op, FAULT_FORBIDDEN, EACCES, "the registry wants %s name and password",
                   r->spec->user ? "another" : "a");
}

static int unreachable(struct op *op, const struct pull_registry *r, int code)
{
    return op_fail(op, FAULT_UNAVAILABLE, EIO, "%.100s: %s", r->base,
                   curl_easy_strerror((CURLcode)-code));
}

int pull_get(struct op *op, struct pull_registry *r, const char *path, const char *accept,
             struct buf *body)
{
    char url[1024];
    (void)snprintf(url, sizeof url, "%s%s", r->base, path);
    for (int i = 0; i < TRIES; i++) {
        struct answer a = { .body = body, .fd = -1 };
        buf_reset(body);
        int status = perform(r, url, accept, 0, true, &a);
        if (a.is_refused)
            return op_fail(op, FAULT_TOO_LARGE, EFBIG, "the registry's answer is too long");
        if (status < 0)
            return unreachable(op, r, status);
        if (status != 401)
            return status;
        int rc = login(op, r, a.challenge);
        if (rc < 0)
            return rc;
    }
    return op_fail(op, FAULT_FORBIDDEN, EACCES, "the registry lets nobody in");
}

/* -- blobs -- */

static int judge_blob(struct op *op, struct answer *a, const char *digest)
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned int n = sizeof raw;
    char got[72];
    if (!EVP_DigestFinal_ex(a->hash, raw, &n))
        return op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    hex(raw, got);
    return strcmp(got, digest) == 0 ? 0
                                    : op_fail(op, FAULT_UNAVAILABLE, EBADMSG,
                                              "the digest of %.19s is wrong: %.19s", digest, got);
}

int pull_blob(struct op *op, struct pull_registry *r, const char *digest, uint64_t size, int fd)
{
    char url[1024];
    struct answer a = { .fd = fd, .left = size, .hash = EVP_MD_CTX_new() };
    int rc = a.hash && EVP_DigestInit_ex(a.hash, EVP_sha256(), NULL)
                 ? 1
                 : op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    (void)snprintf(url, sizeof url, "%s/v2/%s/blobs/%s", r->base, r->spec->path, digest);
    for (int i = 0; rc == 1 && i < TRIES; i++) {
        int status = perform(r, url, NULL, (int64_t)(size - a.left), true, &a);
        bool is_whole = a.left == 0;
        if (a.is_refused)
            rc = op_fail(op, FAULT_UNAVAILABLE, EBADMSG, "%.19s is longer than it should be",
                         digest);
        else if (is_whole)
            rc = judge_blob(op, &a, digest);
        else if (status == 401)
            rc = login(op, r, a.challenge) < 0 ? -EACCES : 1;
        else if (status > 0 && status != 200 && status != 206)
            rc = op_fail(op, FAULT_UNAVAILABLE, EIO, "the registry answers %d for %.19s", status,
                         digest);
        else if (i == TRIES - 1)
            rc = status < 0 ? unreachable(op, r, status)
                            : op_fail(op, FAULT_UNAVAILABLE, EBADMSG,
                                      "%.19s is shorter than it should be", digest);
    }
    EVP_MD_CTX_free(a.hash);
    return rc == 1 ? op_fail(op, FAULT_UNAVAILABLE, EIO, "%.19s cannot be had", digest) : rc;
}
