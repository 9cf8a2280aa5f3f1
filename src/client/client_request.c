#include <poll.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "client/client_answer.h"
#include "client/client_internal.h"
#include "gen/limits.h"
#include "wire/connect.h"
#include "wire/json.h"

/* -- what is sent -- */

json_t *client_pairs(const struct belljar_pair *pairs)
{
    json_t *o = json_object();
    for (; o && pairs && pairs->name; pairs++)
        if (json_object_set_new(o, pairs->name, json_string(pairs->value ? pairs->value : "")) <
            0) {
            json_decref(o);
            return NULL;
        }
    return o;
}

int client_body(struct belljar *b, json_t *body, struct buf *out)
{
    bool is_good = body && json_put(out, body);
    json_decref(body);
    return is_good ? 0
                   : client_fail(b, EILSEQ, "text that is sent must be UTF-8 (or memory is out)");
}

/* -- what is answered -- */

int client_parse(struct client_call *c, json_t **answer)
{
    char why[160];
    *answer = NULL;
    if (!buf_used(&c->in))
        return 0;
    *answer = json_parse(buf_str(&c->in), why);
    return *answer ? 0 : client_fail(c->b, EPROTO, "the server's answer is not JSON: %s", why);
}

static int finish(struct client_call *c)
{
    int rc = client_call_finish(c);
    if (!rc && (c->status < 200 || c->status >= 300))
        rc = client_call_refused(c);
    return rc;
}

/* -- the API -- */

struct request {
    const char *method, *path;
    const char *key; /* Idempotency-Key; NULL: none */
    struct str body;
};

static int open_api(struct client_call *c, struct belljar *b, const struct request *q)
{
    CLEANUP(freep) char *url = NULL;
    if (asprintf(&url, "%s%s", b->api_url, q->path) < 0)
        url = NULL;
    if (!url)
        return client_no_memory(b);
    int rc = client_call_init(c, b, q->method, url);
    client_call_field(c, "X-API-KEY: %s", b->api_key);
    if (q->key)
        client_call_field(c, "Idempotency-Key: %s", q->key);
    if (strcmp(q->method, "HEAD") == 0 && c->curl)
        (void)curl_easy_setopt(c->curl, CURLOPT_NOBODY, 1L);
    return rc;
}

/* Those that have a body say so even when it is empty. */
static bool wants_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

static int send_api(struct client_call *c, const struct request *q)
{
    struct str body = !q->body.n && wants_body(q->method) ? STR("") : q->body;
    return client_call_start(c, body.n ? "application/json" : NULL, body);
}

/* To do it twice is to do it once (RFC 9110 9.2.2). */
static bool is_idempotent(const struct request *q)
{
    static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "PUT", "DELETE" };
    bool is_one = q->key != NULL;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        is_one |= strcmp(q->method, methods[i]) == 0;
    return is_one;
}

/* When a server that limits rates wants to be asked again. 0: it does not say. */
static int64_t retry_ms(struct client_call *c)
{
    curl_off_t seconds = 0;
    if (c->status == 429)
        (void)curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &seconds);
    return seconds > LIMIT_CLIENT_RETRY_MS / 1000 ? INT64_MAX : (int64_t)seconds * 1000;
}

/* client_call_deinit is due whatever it returned. */
static int ask(struct client_call *c, struct belljar *b, const struct request *q)
{
    int64_t left_ms = LIMIT_CLIENT_RETRY_MS;
    for (int tries = 1;; tries++) {
        int rc = open_api(c, b, q);
        if (!rc)
            rc = send_api(c, q);
        if (!rc)
            rc = finish(c);
        int64_t wait_ms = rc && is_idempotent(q) ? retry_ms(c) : 0;
        if (!wait_ms || wait_ms > left_ms || tries == LIMIT_CLIENT_TRIES)
            return rc;
        client_call_deinit(c);
        left_ms -= wait_ms;
        rc = client_pause(b, (int)wait_ms);
        if (rc)
            return rc;
    }
}

/* As client_api; q->body is made of `body`. */
static int api(struct belljar *b, struct request *q, json_t *body, json_t **answer)
{
    struct client_call c = { .b = b, .in_fd = -1, .out_fd = -1 };
    struct buf text;
    buf_init(&text, 0);
    int rc = body ? client_body(b, body, &text) : 0;
    q->body = buf_str(&text);
    if (!rc)
        rc = ask(&c, b, q);
    if (!rc && answer)
        rc = client_parse(&c, answer);
    client_call_deinit(&c);
    buf_deinit(&text);
    return rc;
}

int client_api_keyed(struct belljar *b, const char *path, const char *key, json_t *body,
                     json_t **answer)
{
    return api(b, &(struct request){ .method = "POST", .path = path, .key = key }, body, answer);
}

int client_api(struct belljar *b, const char *method, const char *path, json_t *body,
               json_t **answer)
{
    return api(b, &(struct request){ .method = method, .path = path }, body, answer);
}

static bool is_token(const char *method)
{
    size_t n = strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return n > 0 && n < 16 && !method[n];
}

static bool is_path(const char *path)
{
    for (const unsigned char *p = (const unsigned char *)path; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || *p == '#')
            return false;
    return path[0] == '/';
}

char *belljar_request(struct belljar *b, const char *method, const char *path, const char *body,
                      char **next)
{
    struct client_call c = { .b = b, .in_fd = -1, .out_fd = -1 };
    char *out = NULL;
    if (next)
        *next = NULL;
    if (!method || !is_token(method) || !path || !is_path(path)) {
        b->status = 0;
        (void)client_fail(b, EINVAL,
                          "a request needs a method such as GET, and a path that begins "
                          "with / and is percent-encoded");
        return NULL;
    }
    const struct request q = { .method = method, .path = path, .body = str_of(body) };
    int rc = ask(&c, b, &q);
    if (!rc && !(out = str_dup(buf_used(&c.in) ? buf_str(&c.in) : STR(""))))
        (void)client_no_memory(b);
    if (out && next)
        *next = TAKE_PTR(c.next);
    client_call_deinit(&c);
    return out;
}

/* -- sandboxes -- */

/* Domains whose sandboxes share one host name and are told by the fields. */
static bool is_shared_host(const char *domain)
{
    static const char *const domains[] = { "e2b.app", "e2b.dev", "e2b.pro", "e2b-staging.dev" };
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        if (strcmp(domain, domains[i]) == 0)
            return true;
    return false;
}

char *client_sandbox_url(const struct belljar_sandbox *s, int port)
{
    const struct belljar *b = s->b;
    const char *scheme = strncmp(b->api_url, "http:", 5) == 0 ? "http" : "https";
    char *url = NULL;
    int n = b->sandbox_url ? asprintf(&url, "%s", b->sandbox_url)
            : port == CLIENT_PORT_ENVD && is_shared_host(s->domain)
                ? asprintf(&url, "%s://sandbox.%s", scheme, s->domain)
                : asprintf(&url, "%s://%d-%s.%s", scheme, port, s->id, s->domain);
    return n < 0 ? NULL : url;
}

int client_sandbox_call(struct client_call *c, struct belljar_sandbox *s, const char *method,
                        int port, const char *path)
{
    CLEANUP(freep) char *base = client_sandbox_url(s, port), *url = NULL;
    *c = (struct client_call){ .b = s->b, .in_fd = -1, .out_fd = -1 };
    if (base && asprintf(&url, "%s%s", base, path) < 0)
        url = NULL;
    if (!url)
        return client_no_memory(s->b);
    int rc = client_call_init(c, s->b, method, url);
    client_call_field(c, "E2b-Sandbox-Id: %s", s->id);
    client_call_field(c, "E2b-Sandbox-Port: %d", port);
    if (s->token)
        client_call_field(c, "X-Access-Token: %s", s->token);
    if (s->traffic && port != CLIENT_PORT_ENVD)
        client_call_field(c, "E2B-Traffic-Access-Token: %s", s->traffic);
    return rc;
}

/* The status of /health; 0: no answer. */
static int ask_health(struct belljar_sandbox *s)
{
    struct client_call c;
    int rc = client_sandbox_call(&c, s, "GET", CLIENT_PORT_ENVD, "/health");
    if (!rc)
        rc = client_call_start(&c, NULL, STR_NONE);
    if (!rc)
        rc = client_call_finish(&c);
    int status = rc ? 0 : c.status;
    client_call_deinit(&c);
    return status;
}

int client_sandbox_broken(struct belljar_sandbox *s, int err)
{
    /* of several edges one may have cut us off before another knows that the sandbox ended */
    static const int pauses_ms[] = { 0, 20, 200 };
    struct belljar *b = s->b;
    char said[sizeof b->error];
    bool is_gone = false;
    if (err != -ECONNRESET)
        return err;
    memcpy(said, b->error, sizeof said);
    for (size_t i = 0; !is_gone && i < sizeof pauses_ms / sizeof *pauses_ms; i++) {
        (void)poll(NULL, 0, pauses_ms[i]);
        is_gone = ask_health(s) == 502;
    }
    memcpy(b->error, said, sizeof said);
    b->err = -err;
    b->status = is_gone ? 502 : 0;
    if (is_gone)
        return client_fail(b, EHOSTDOWN, "the sandbox %s was killed, or its time ended, meanwhile",
                           s->id);
    return err;
}

void client_call_user(struct client_call *c, const char *user)
{
    struct buf line;
    if (!user)
        return;
    buf_init(&line, 0);
    (void)buf_append(&line, str_of(user));
    (void)buf_byte(&line, ':');
    struct buf text;
    buf_init(&text, 0);
    connect_base64_put(&text, buf_str(&line));
    const char *p = line.failed ? NULL : buf_cstr(&text);
    client_call_field(c, "Authorization: Basic %s", p ? p : "");
    buf_deinit(&line);
    buf_deinit(&text);
}

int client_rpc(struct belljar_sandbox *s, const char *method, const char *user, json_t *body,
               json_t **answer)
{
    struct client_call c;
    char path[128];
    struct buf text;
    buf_init(&text, 0);
    (void)snprintf(path, sizeof path, "/%s", method);
    int rc = client_sandbox_call(&c, s, "POST", CLIENT_PORT_ENVD, path);
    if (rc < 0)
        json_decref(body);
    else
        rc = client_body(s->b, body, &text);
    client_call_field(&c, "Connect-Protocol-Version: 1");
    client_call_user(&c, user);
    if (!rc)
        rc = client_call_start(&c, "application/json", buf_str(&text));
    if (!rc)
        rc = finish(&c);
    if (!rc && answer)
        rc = client_parse(&c, answer);
    client_call_deinit(&c);
    buf_deinit(&text);
    return client_sandbox_broken(s, rc);
}
