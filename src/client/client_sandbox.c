#include <pthread.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "client/client_answer.h"
#include "client/client_internal.h"

/* -- the server -- */

static _Thread_local char open_error[256];
static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void) { (void)curl_global_init(CURL_GLOBAL_DEFAULT); }

static char *choose(const char *given, const char *variable)
{
    const char *value = given ? given : getenv(variable);
    return value && value[0] ? str_dup(str_of(value)) : NULL;
}

static void cut_slashes(char *url)
{
    for (size_t n = url ? strlen(url) : 0; n && url[n - 1] == '/'; n--)
        url[n - 1] = '\0';
}

/* It goes into a field of the head. */
static bool is_line(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p <= ' ' || *p >= 0x7f)
            return false;
    return true;
}

static const char *judge(const struct belljar *b)
{
    const char *const urls[] = { b->api_url, b->sandbox_url };
    if (!b->api_key)
        return "no API key: set E2B_API_KEY, or api_key in the configuration";
    if (!is_line(b->api_key))
        return "the API key has a space or a line break in it";
    if (b->domain && (!is_line(b->domain) || strpbrk(b->domain, "/@?#")))
        return "the domain (E2B_DOMAIN) is a host name, with :PORT if need be";
    for (size_t i = 0; i < 2; i++)
        if (urls[i] && (!is_line(urls[i]) || (strncmp(urls[i], "http://", 7) != 0 &&
                                              strncmp(urls[i], "https://", 8) != 0)))
            return "a URL (E2B_API_URL, E2B_SANDBOX_URL) begins with http:// or https://";
    return NULL;
}

static int configure(struct belljar *b, const struct belljar_config *config)
{
    b->api_key = choose(config->api_key, "E2B_API_KEY");
    b->api_url = choose(config->api_url, "E2B_API_URL");
    b->sandbox_url = choose(config->sandbox_url, "E2B_SANDBOX_URL");
    b->domain = choose(config->domain, "E2B_DOMAIN");
    b->ca_file = getenv("SSL_CERT_FILE");
    if (b->ca_file && !b->ca_file[0])
        b->ca_file = NULL;
    b->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : 60000;
    b->stop = -1;
    const char *why = judge(b);
    if (why) {
        (void)snprintf(open_error, sizeof open_error, "%s", why);
        return -EINVAL;
    }
    if (!b->domain)
        b->domain = str_dup(STR("e2b.app"));
    if (!b->api_url && b->domain && asprintf(&b->api_url, "https://api.%s", b->domain) < 0)
        b->api_url = NULL;
    cut_slashes(b->api_url);
    cut_slashes(b->sandbox_url);
    b->multi = curl_multi_init();
    return b->domain && b->api_url && b->multi ? 0 : -ENOMEM;
}

struct belljar *belljar_open(const struct belljar_config *config)
{
    struct belljar *b = calloc(1, sizeof *b);
    (void)snprintf(open_error, sizeof open_error, "memory is out");
    (void)pthread_once(&curl_once, init_curl);
    int rc = b ? configure(b, config ? config : &(struct belljar_config){ 0 }) : -ENOMEM;
    if (rc < 0) {
        belljar_close(b);
        errno = -rc;
        return NULL;
    }
    return b;
}

const char *belljar_open_error(void) { return open_error; }

void belljar_close(struct belljar *b)
{
    if (!b)
        return;
    if (b->spare)
        curl_easy_cleanup(b->spare);
    if (b->multi)
        (void)curl_multi_cleanup(b->multi);
    free(b->api_key);
    free(b->api_url);
    free(b->sandbox_url);
    free(b->domain);
    free(b);
}

const char *belljar_error(const struct belljar *b) { return b ? b->error : open_error; }
int belljar_errno(const struct belljar *b) { return b ? b->err : EINVAL; }
int belljar_status(const struct belljar *b) { return b ? b->status : 0; }

/* -- what is known of a sandbox -- */

static char *dup_or_null(struct str s) { return s.n ? str_dup(s) : NULL; }

struct belljar_sandbox *client_sandbox_new(struct belljar *b, const json_t *answer)
{
    struct client_identity i;
    if (!client_answer_identity(answer, &i)) {
        (void)client_fail(b, EPROTO, "the server's answer describes no sandbox");
        return NULL;
    }
    struct belljar_sandbox *s = calloc(1, sizeof *s);
    if (s)
        *s = (struct belljar_sandbox){ .b = b,
                                       .refs = 1,
                                       .id = str_dup(i.id),
                                       .token = dup_or_null(i.token),
                                       .traffic = dup_or_null(i.traffic),
                                       .domain =
                                           str_dup(i.domain.n ? i.domain : str_of(b->domain)) };
    if (s && s->id && s->domain && (s->token || !i.token.n) && (s->traffic || !i.traffic.n))
        return s;
    belljar_sandbox_free(s);
    (void)client_no_memory(b);
    return NULL;
}

struct belljar_sandbox *client_sandbox_ref(struct belljar_sandbox *s)
{
    s->refs++;
    return s;
}

void belljar_sandbox_free(struct belljar_sandbox *s)
{
    if (!s || --s->refs > 0)
        return;
    free(s->id);
    free(s->token);
    free(s->traffic);
    free(s->domain);
    free(s->user);
    free(s);
}

const char *belljar_id(const struct belljar_sandbox *s) { return s->id; }

char *belljar_url(const struct belljar_sandbox *s, int port, char **fields)
{
    char *url = client_sandbox_url(s, port), *text = NULL;
    struct buf b;
    if (!fields)
        return url;
    buf_init(&b, 0);
    if (s->b->sandbox_url)
        (void)buf_printf(&b, "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: %d\r\n", s->id, port);
    if (s->traffic)
        (void)buf_printf(&b, "E2B-Traffic-Access-Token: %s\r\n", s->traffic);
    text = b.failed ? NULL : str_dup(buf_used(&b) ? buf_str(&b) : STR(""));
    buf_deinit(&b);
    if (!url || !text) {
        free(url);
        free(text);
        (void)client_no_memory(s->b);
        url = text = NULL;
    }
    *fields = text;
    return url;
}

/* -- its life -- */

static bool is_id(const char *id)
{
    return id && id[0] &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "0123456789-_") == strlen(id) &&
           strlen(id) < 200;
}

static json_t *create_body(const struct belljar_create_options *o)
{
    json_t *body = json_pack("{s:s}", "templateID", o->from ? o->from : "base");
    /* json_object_set_new fails when its value is NULL */
    bool is_good =
        body &&
        (!o->timeout_s || json_object_set_new(body, "timeout", json_integer(o->timeout_s)) == 0) &&
        (!o->envs || json_object_set_new(body, "envVars", client_pairs(o->envs)) == 0) &&
        (!o->metadata || json_object_set_new(body, "metadata", client_pairs(o->metadata)) == 0) &&
        (!o->is_offline || json_object_set_new(body, "allow_internet_access", json_false()) == 0) &&
        (!o->pauses || json_object_set_new(body, "autoPause", json_true()) == 0);
    if (is_good)
        return body;
    json_decref(body);
    return NULL;
}

/* As the server takes it; it goes into a field of the head. */
static bool is_key(const char *key)
{
    size_t n = strlen(key);
    return n > 0 && n < 256 && strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

struct belljar_sandbox *belljar_create(struct belljar *b, const struct belljar_create_options *o)
{
    static const struct belljar_create_options none = { 0 };
    struct belljar_sandbox *s = NULL;
    const char *key = o ? o->idempotency_key : NULL;
    json_t *answer = NULL, *body;
    b->status = 0;
    if (key && !is_key(key)) {
        (void)client_fail(b, EINVAL, "an Idempotency-Key is 1 to 255 of a-z, 0-9 and -");
        return NULL;
    }
    if (!(body = create_body(o ? o : &none)))
        (void)client_body(b, NULL, NULL);
    else if (client_api_keyed(b, "/v2/sandboxes", key, body, &answer) == 0)
        s = client_sandbox_new(b, answer);
    json_decref(answer);
    return s;
}

struct belljar_sandbox *belljar_connect(struct belljar *b, const char *id, int timeout_s)
{
    struct belljar_sandbox *s = NULL;
    json_t *answer = NULL;
    char path[256];
    b->status = 0;
    if (!is_id(id)) {
        (void)client_fail(b, EINVAL, "such an id no sandbox has; belljar_id tells one");
        return NULL;
    }
    (void)snprintf(path, sizeof path, "/v2/sandboxes/%s/connect", id);
    json_t *body = timeout_s ? json_pack("{s:i}", "timeout", timeout_s) : json_object();
    if (client_api(b, "POST", path, body, &answer) == 0)
        s = client_sandbox_new(b, answer);
    json_decref(answer);
    return s;
}

/* POST or DELETE /sandboxes/ID/what. Steals body. */
static int ask(struct belljar_sandbox *s, const char *method, const char *what, json_t *body,
               json_t **answer)
{
    char path[1200];
    (void)snprintf(path, sizeof path, "/sandboxes/%s%s", s->id, what);
    return client_api(s->b, method, path, body, answer);
}

int belljar_kill(struct belljar_sandbox *s)
{
    return s ? ask(s, "DELETE", "", NULL, NULL) : -EINVAL;
}

int belljar_pause(struct belljar_sandbox *s)
{
    return ask(s, "POST", "/pause", json_object(), NULL);
}

int belljar_set_timeout(struct belljar_sandbox *s, int seconds)
{
    return ask(s, "POST", "/timeout", json_pack("{s:i}", "timeout", seconds), NULL);
}

char *belljar_snapshot(struct belljar_sandbox *s, const char *name)
{
    json_t *answer = NULL;
    char *id = NULL;
    json_t *body = json_pack("{s:s*}", "name", name);
    if (!body)
        (void)client_body(s->b, NULL, NULL);
    else if (ask(s, "POST", "/snapshots", body, &answer) == 0 &&
             !(id = client_answer_text(answer, "snapshotID")))
        (void)client_fail(s->b, EPROTO, "the server's answer names no snapshot");
    json_decref(answer);
    return id;
}

/* The `i`th that was made, or NULL with a sentence. */
static struct belljar_sandbox *take_fork(struct belljar *b, const json_t *answer, size_t i)
{
    json_t *one = json_array_get(answer, i), *error = json_object_get(one, "error");
    if (!error)
        return client_sandbox_new(b, json_object_get(one, "sandbox"));
    CLEANUP(freep) char *why = client_answer_text(error, "message");
    (void)client_fail(b, EREMOTEIO, "a fork failed: %s", why ? why : "the server does not say why");
    return NULL;
}

/* All or none: what was made is ended again, and the cause stays. */
static void undo_forks(struct belljar *b, const json_t *answer)
{
    char said[sizeof b->error];
    int err = b->err, status = b->status;
    size_t i;
    json_t *one;
    memcpy(said, b->error, sizeof said);
    json_array_foreach(answer, i, one)
    {
        json_t *made = json_object_get(one, "sandbox");
        struct belljar_sandbox *s = made ? client_sandbox_new(b, made) : NULL;
        (void)belljar_kill(s);
        belljar_sandbox_free(s);
    }
    memcpy(b->error, said, sizeof said);
    b->err = err;
    b->status = status;
}

int belljar_fork(struct belljar_sandbox *s, int count, struct belljar_sandbox **out)
{
    struct belljar *b = s->b;
    json_t *answer = NULL;
    int made = 0, rc = ask(s, "POST", "/fork", json_pack("{s:i}", "count", count), &answer);
    if (!rc && json_array_size(answer) != (size_t)count)
        rc = client_fail(b, EPROTO, "the server made %zu forks instead of %d",
                         json_array_size(answer), count);
    while (!rc && made < count)
        if ((out[made] = take_fork(b, answer, (size_t)made)))
            made++;
        else
            rc = client_last(b);
    while (rc && made-- > 0) {
        belljar_sandbox_free(out[made]);
        out[made] = NULL;
    }
    if (rc)
        undo_forks(b, answer);
    json_decref(answer);
    return rc;
}
