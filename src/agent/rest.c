#include "agent/rest.h"

#include <stdarg.h>
#include <stdio.h>

#include "agent/env.h"
#include "agent/metrics.h"
#include "agent/schema.h"
#include "gen/limits.h"
#include "wire/connect.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define ENVD_VERSION "0.6.13"

void rest_reply(struct http_call *c, int status, struct str json)
{
    http_reply(c, status, JSON_TYPE, NULL, json);
}

void rest_fail(struct http_call *c, int status, const char *fmt, ...)
{
    char text[LIMIT_PATH_SIZE + 512];
    struct buf b;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_init(&b, 0);
    (void)buf_printf(&b, "{\"code\":%d,\"message\":", status);
    connect_string_put(&b, str_of(text));
    (void)buf_byte(&b, '}');
    rest_reply(c, status, buf_str(&b));
    buf_deinit(&b);
}

bool rest_has_token(const struct agent *a, const struct http_call *c)
{
    struct str token = a->identity.token;
    return token.n == 0 || str_secret_eq(http_field(&c->head, "x-access-token"), token);
}

static void get_health(struct agent *a, struct http_call *c)
{
    (void)a;
    http_reply(c, 204, NULL, "Cache-Control: no-store\r\n", STR(""));
}

/* -- environment -- */

static void get_envs(struct agent *a, struct http_call *c)
{
    struct arena mem;
    struct env env;
    struct buf b;
    arena_init(&mem, 0);
    env_init(&env, &mem);
    buf_init(&b, 0);
    env_fill_global(&env, &a->identity);
    env_print(&env, &b);
    http_reply(c, 200, JSON_TYPE, "Cache-Control: no-store\r\n", buf_str(&b));
    buf_deinit(&b);
    env_deinit(&env);
    arena_deinit(&mem);
}

/* -- init -- */

/* What E2B's own control plane may ask of its agent and ours does not do, or NULL. Its timestamp is
 * for a clock that stopped in a snapshot; a sandbox here has the host's clock, and could not set
 * it. */
static const char *init_unsupported(const struct schema_boot *b)
{
    if (b->ca_bundle.n)
        return "caBundle is not supported: certificates come with the host's site layer";
    return b->volume_mounts.count ? "volumeMounts is not supported: there are no volumes" : NULL;
}

static void init_body(struct http_call *c, struct str body)
{
    struct agent *a = c->data;
    struct arena mem;
    void *boot;
    char why[160];
    arena_init(&mem, 0);
    if (!message_parse(&schema_boot_spec, MESSAGE_JSON, body.n ? body : STR("{}"), &mem, &boot,
                       why)) {
        rest_fail(c, 400, "%s", why);
    } else if (init_unsupported(boot)) {
        rest_fail(c, 501, "%s", init_unsupported(boot));
    } else if (!identity_apply(&a->identity, boot)) {
        rest_fail(c, 503, "out of memory");
    } else {
        identity_write_files(&a->identity);
        http_reply(c, 204, NULL, "Cache-Control: no-store\r\nX-Envd-Version: " ENVD_VERSION "\r\n",
                   STR(""));
    }
    arena_deinit(&mem);
}

static void post_init(struct agent *a, struct http_call *c)
{
    c->data = a;
    http_call_collect(c, LIMIT_SANDBOX_BOOT_SIZE, init_body, NULL);
}

static void get_metrics(struct agent *a, struct http_call *c)
{
    struct buf b;
    (void)a;
    buf_init(&b, 4096);
    metrics_put(&b);
    rest_reply(c, 200, buf_str(&b));
    buf_deinit(&b);
}

static void get_logs(struct agent *a, struct http_call *c)
{
    struct buf b;
    buf_init(&b, 0);
    journal_put(&a->journal, &b);
    rest_reply(c, b.failed ? 503 : 200, buf_str(&b));
    buf_deinit(&b);
}

const struct rest_route rest_routes[] = {
    { "GET", "/health", .open = true, .fn = get_health },
    { "HEAD", "/health", .open = true, .fn = get_health },
    { "GET", "/metrics", .fn = get_metrics },
    { "GET", "/envs", .fn = get_envs },
    { "POST", "/init", .open = true, .host = true, .fn = post_init },
    { "GET", "/logs", .open = true, .host = true, .fn = get_logs },
    { "GET", "/files", .open = true, .fn = rest_files_get },
    { "HEAD", "/files", .open = true, .fn = rest_files_get },
    { "POST", "/files", .open = true, .fn = rest_files_post },
    { "POST", "/files/compose", .fn = rest_files_compose },
    /* ours, beyond E2B: whole directories in one call */
    { "GET", "/archive", .open = true, .fn = rest_archive_get },
    { "PUT", "/archive", .open = true, .fn = rest_archive_put },
    { "POST", "/tunnel", .fn = rest_tunnel },
    { NULL, NULL, false, false, NULL },
};
