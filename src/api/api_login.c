/* `e2b auth login` against this server: a page where a person shows an API key, tokens for the
 * command line, and the one team there is (templates.md 8, auth).
 *
 * A login is a record whose secret is the refresh token. Access tokens are signed and not kept
 * (RFC 7519, HS256): they name their login, and end with it. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/clock.h"
#include "wire/connect.h"
#include "wire/json.h"
#include "wire/uri.h"

#define CLIENT_ID "e2b-cli"
#define TOKEN_S 3600 /* life of an access token */

/* -- access tokens -- */

/* base64url without padding (RFC 4648 5). */
static void put_base64url(struct buf *b, struct str bytes)
{
    struct buf plain;
    buf_init(&plain, 0);
    connect_base64_put(&plain, bytes);
    struct str text = buf_str(&plain);
    for (size_t i = 0; i < text.n && text.p[i] != '='; i++)
        (void)buf_byte(b, text.p[i] == '+' ? '-' : text.p[i] == '/' ? '_' : text.p[i]);
    b->failed |= plain.failed;
    buf_deinit(&plain);
}

static bool sign(const struct api *a, struct str text, struct buf *out)
{
    unsigned char mac[32];
    unsigned int n = sizeof mac;
    if (!HMAC(EVP_sha256(), a->login_secret, sizeof a->login_secret, (const unsigned char *)text.p,
              text.n, mac, &n))
        return false;
    put_base64url(out, str_make((const char *)mac, sizeof mac));
    return !out->failed;
}

/* Appends an access token of the login `id`. */
static bool put_token(const struct api *a, const char *id, struct buf *out)
{
    size_t at = buf_used(out);
    char payload[160];
    int n = snprintf(payload, sizeof payload, "{\"sub\":\"%s\",\"exp\":%lld}", id,
                     (long long)(clock_wall_us() / 1000000 + TOKEN_S));
    put_base64url(out, STR("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"));
    (void)buf_byte(out, '.');
    put_base64url(out, str_make(payload, (size_t)n));
    struct buf mac;
    buf_init(&mac, 0);
    struct str whole = buf_str(out);
    bool good = !out->failed && sign(a, str_make(whole.p + at, whole.n - at), &mac);
    (void)buf_byte(out, '.');
    (void)buf_append(out, buf_str(&mac));
    buf_deinit(&mac);
    return good && !out->failed;
}

/* The payload between the dots as JSON, new; NULL: it is none. It was signed by us. */
static json_t *payload_of(struct api_call *c, struct str text)
{
    char padded[512];
    struct str bytes;
    size_t n = text.n;
    if (n > sizeof padded - 4)
        return NULL;
    for (size_t i = 0; i < n; i++)
        padded[i] = text.p[i] == '-' ? '+' : text.p[i] == '_' ? '/' : text.p[i];
    while (n % 4)
        padded[n++] = '=';
    return connect_base64_parse(&c->arena, str_make(padded, n), &bytes) ? json_parse(bytes, NULL)
                                                                        : NULL;
}

/* The login whose access token the request carries; NULL: the fault is in c->op. */
static struct api_key *find_login(struct api_call *c)
{
    struct str token = http_field(&c->http->head, "Authorization"), head, payload, mac, id, signed_;
    int64_t until = 0;
    struct buf want;
    buf_init(&want, 0);
    if (str_starts(token, STR("Bearer ")))
        token = str_make(token.p + 7, token.n - 7);
    bool good = str_cut(token, '.', &head, &payload) && str_cut(payload, '.', &payload, &mac);
    signed_ = good ? str_make(token.p, head.n + 1 + payload.n) : STR_NONE;
    good = good && sign(c->api, signed_, &want) && str_secret_eq(mac, buf_str(&want));
    buf_deinit(&want);
    json_t *v = good ? payload_of(c, payload) : NULL;
    good = v && json_get_str(v, "sub", &id) == 1 && json_get_int(v, "exp", &until) == 1;
    struct api_key *login = good ? api_keys_by_id(&c->api->keys, id) : NULL;
    json_decref(v);
    if (login && login->is_login && until > clock_wall_us() / 1000000)
        return login;
    (void)op_fail(&c->op, FAULT_UNAUTHENTICATED, EACCES,
                  "the access token is missing, not valid, or has expired: log in again");
    return NULL;
}

/* -- the page -- */

#define PAGE_FIELDS                                                                                \
    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\n"         \
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors "     \
    "'none'; base-uri 'none'; form-action 'self' http://localhost:* http://127.0.0.1:*\r\n"
static const char page_head[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width\"><title>belljar</title><style>"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:30rem;margin:15vh auto;padding:0 1rem;"
    "color:#222;background:#fafafa}h1{font-size:1.3rem}input,button{font:inherit;width:100%;"
    "box-sizing:border-box;padding:.6rem;margin:.3rem 0;border:1px solid #bbb;border-radius:6px}"
    "button{background:#234;color:#fff;border-color:#234}.bad{color:#a00}code{font-size:.9em}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}"
    "input{background:#222;color:#ddd}}</style><h1>belljar</h1>";

static void put_html(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'')
            (void)buf_printf(b, "&#%d;", c);
        else
            (void)buf_byte(b, c);
    }
}

static void reply_page(struct api_call *c, int status)
{
    api_reply_typed(c, status, "text/html; charset=utf-8", PAGE_FIELDS, buf_str(&c->api->out));
}

static void reply_form(struct api_call *c, int status, struct str next, const char *bad)
{
    struct buf *b = &c->api->out;
    buf_reset(b);
    (void)buf_append(b, str_of(page_head));
    (void)buf_append(b, STR("<p>A command line on this machine asks to use this server in your "
                            "name. Show an API key to allow that: the one that <code>make up"
                            "</code> printed, or one of <code>belljar keys create</code>.</p>"));
    if (bad)
        (void)buf_printf(b, "<p class=bad role=alert>%s</p>", bad);
    (void)buf_append(b,
                     STR("<form method=post action=\"/docs/api/cli\"><input type=hidden name=next"
                         " value=\""));
    put_html(b, next);
    (void)buf_append(b, STR("\"><label>API key<input name=key type=password required autofocus"
                            " autocomplete=off placeholder=\"e2b_...\"></label>"
                            "<button>Allow</button></form>"));
    reply_page(c, status);
}

/* http://localhost:PORT and its like: the command line listens there, and nobody else is told. */
static bool is_loopback(struct str url)
{
    static const char *const starts[] = { "http://localhost:", "http://127.0.0.1:",
                                          "http://[::1]:" };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        struct str start = str_of(starts[i]);
        int64_t port = 0;
        if (!str_starts(url, start))
            continue;
        struct str rest = str_make(url.p + start.n, url.n - start.n);
        if (rest.n && rest.p[rest.n - 1] == '/')
            rest.n--;
        return str_to_i64(rest, &port) && port > 0 && port < 65536;
    }
    return false;
}

static bool check_next(struct api_call *c, struct str next)
{
    if (is_loopback(next))
        return true;
    (void)op_fail(&c->op, FAULT_INVALID, EINVAL,
                  "next must be http://localhost:PORT, where the command line listens");
    return false;
}

static void reply_state(struct api_call *c, struct str state)
{
    struct buf *b = &c->api->out;
    struct str text;
    bool good = str_eq(state, STR("success"));
    buf_reset(b);
    (void)buf_append(b, str_of(page_head));
    (void)buf_append(b, good ? STR("<p>You are logged in as <b>") : STR("<p class=bad>"));
    if (uri_query_get(&c->arena, c->query, good ? "email" : "error", &text) == 1)
        put_html(b, text);
    (void)buf_append(b, good ? STR("</b>. The command line goes on; this page can be closed.</p>")
                             : STR("</p><p>The login failed; run it again.</p>"));
    reply_page(c, 200);
}

void api_login_page(struct api_call *c)
{
    struct str next, state;
    if (uri_query_get(&c->arena, c->query, "state", &state) == 1)
        reply_state(c, state);
    else if (uri_query_get(&c->arena, c->query, "next", &next) < 0 || !check_next(c, next))
        api_reply_fault(c);
    else
        reply_form(c, 200, next, NULL);
}

/* Back to the command line, with what it needs. */
static void redirect(struct api_call *c, struct str next, const struct api_key *login,
                     const char *refresh)
{
    struct buf b;
    struct str own;
    buf_init(&b, 0);
    bool good = api_own_url(c, &own) == 0;
    if (next.p[next.n - 1] == '/')
        next.n--;
    (void)buf_printf(&b, PAGE_FIELDS "Location: " STR_FMT "/?email=", STR_ARG(next));
    uri_encode(&b, str_of(login->name));
    (void)buf_append(&b, STR("%40belljar&accessToken="));
    good = good && put_token(c->api, login->id, &b);
    (void)buf_printf(&b, "&refreshToken=%s&clientId=" CLIENT_ID, refresh);
    static const char *const points[][2] = { { "tokenEndpoint", "/oauth/token" },
                                             { "revokeEndpoint", "/oauth/revoke" } };
    for (int i = 0; good && i < 2; i++) {
        (void)buf_printf(&b, "&%s=", points[i][0]);
        uri_encode(&b, own);
        uri_encode(&b, str_of(points[i][1]));
    }
    (void)buf_append(&b, STR("\r\n"));
    (void)buf_byte(&b, '\0');
    if (good && b.failed)
        (void)op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    if (c->op.fault.code != FAULT_NONE || b.failed)
        api_reply_fault(c);
    else
        api_reply_typed(c, 302, NULL, buf_str(&b).p, STR_NONE);
    buf_deinit(&b);
}

static void on_form(struct api_call *c, struct str form)
{
    struct api_keys *keys = &c->api->keys;
    struct str next, key;
    char refresh[API_KEY_SIZE];
    if (uri_query_get(&c->arena, form, "next", &next) < 0 ||
        uri_query_get(&c->arena, form, "key", &key) < 0 || !check_next(c, next)) {
        (void)op_fail(&c->op, FAULT_INVALID, EINVAL, "the form is not well encoded");
        api_reply_fault(c);
        return;
    }
    const struct api_key *by = api_keys_find(keys, str_trim(key));
    if (!by || by->is_login) {
        reply_form(c, 401, next, "This server has no such key.");
        return;
    }
    const struct api_key *login =
        api_keys_make(&c->op, keys, str_of(by->name), true, by->is_root ? NULL : by->id, refresh);
    if (login)
        redirect(c, next, login, refresh);
    else
        api_reply_fault(c);
    explicit_bzero(refresh, sizeof refresh);
}

void api_login_submit(struct api_call *c) { api_take_text(c, on_form); }

/* -- tokens for the command line (RFC 6749 6, RFC 7009) -- */

static void refuse(struct api_call *c, const char *error, const char *text)
{
    api_reply_json(c, 400, "Cache-Control: no-store\r\n",
                   json_pack("{s:i, s:s, s:s, s:s}", "code", 400, "message", text, "error", error,
                             "error_description", text));
}

static void on_token(struct api_call *c, struct str form)
{
    struct str type, token;
    struct buf b;
    if (uri_query_get(&c->arena, form, "grant_type", &type) < 0 ||
        uri_query_get(&c->arena, form, "refresh_token", &token) < 0) {
        refuse(c, "invalid_request", "the form is not well encoded");
        return;
    }
    if (!str_eq(type, STR("refresh_token"))) {
        refuse(c, "unsupported_grant_type", "grant_type must be refresh_token");
        return;
    }
    struct api_key *login = api_keys_find(&c->api->keys, token);
    if (!login || !login->is_login) {
        refuse(c, "invalid_grant", "the login has ended: log in again");
        return;
    }
    api_keys_used(&c->api->keys, login);
    buf_init(&b, 0);
    json_t *v = NULL;
    if (put_token(c->api, login->id, &b))
        v = json_pack("{s:s%, s:s, s:i, s:s%}", "access_token", buf_str(&b).p, buf_used(&b),
                      "token_type", "Bearer", "expires_in", TOKEN_S, "refresh_token", token.p,
                      token.n);
    buf_deinit(&b);
    api_reply_json(c, 200, "Cache-Control: no-store\r\n", v);
}

void api_login_token(struct api_call *c) { api_take_text(c, on_token); }

static void on_revoke(struct api_call *c, struct str form)
{
    struct str token;
    struct api_key *login = NULL;
    if (uri_query_get(&c->arena, form, "token", &token) == 1)
        login = api_keys_find(&c->api->keys, token);
    if (login && login->is_login && api_keys_remove(&c->op, &c->api->keys, login) < 0)
        api_reply_fault(c);
    else /* also of a token that is none (RFC 7009 2.2) */
        api_reply(c, 200, NULL, STR_NONE);
}

void api_login_revoke(struct api_call *c) { api_take_text(c, on_revoke); }

/* The command line keeps the key that comes with the team. A login has one: an earlier one ends. */
static struct api_key *renew_key(struct api_call *c, const struct api_key *login,
                                 char secret[API_KEY_SIZE])
{
    struct api_keys *keys = &c->api->keys;
    LIST_EACH(it, &keys->all) {
        struct api_key *k = LIST_OF(it, struct api_key, node);
        if (k->is_login || strcmp(k->parent, login->id) != 0)
            continue;
        if (api_keys_remove(&c->op, keys, k) < 0)
            return NULL;
        break;
    }
    return api_keys_make(&c->op, keys, STR("command line"), false, login->id, secret);
}

void api_team_list(struct api_call *c)
{
    char secret[API_KEY_SIZE];
    struct api_key *login = find_login(c);
    if (login && renew_key(c, login, secret))
        api_reply_json(c, 200, "Cache-Control: no-store\r\n",
                       json_pack("[{s:s, s:s, s:s, s:b}]", "teamID", c->api->team, "name",
                                 TEMPLATE_SPACE, "apiKey", secret, "isDefault", 1));
    else
        api_reply_fault(c);
    explicit_bzero(secret, sizeof secret);
}
