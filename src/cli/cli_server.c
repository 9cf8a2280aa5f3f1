#include "cli/cli_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/cli_print.h"
#include "wire/json.h"
#include "wire/uri.h"

#define STATE "/var/lib/belljar" /* as in defs/config */
#define ENV_LINE 512
#define PAGES 1000

enum { API_KEY, API_URL, SANDBOX_URL, DOMAIN, VALUES };
static const char *const names[VALUES] = { "E2B_API_KEY", "E2B_API_URL", "E2B_SANDBOX_URL",
                                           "E2B_DOMAIN" };

const char *cli_state(void)
{
    const char *state = getenv("BELLJAR_STATE");
    return state && state[0] ? state : STATE;
}

/* "export NAME=VALUE" lines of $BELLJAR_STATE/env, when this user may read them. */
static void read_file(char out[VALUES][ENV_LINE])
{
    char path[512], line[ENV_LINE];
    (void)snprintf(path, sizeof path, "%s/env", cli_state());
    CLEANUP(file_closep) FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        struct str name, value, s = str_trim(str_make(line, strcspn(line, "\r\n")));
        if (str_starts(s, STR("export ")))
            s = str_skip(s, 7);
        if (!str_cut(s, '=', &name, &value))
            continue;
        for (int i = 0; i < VALUES; i++)
            if (str_eq(name, str_of(names[i])))
                (void)str_copy(value, out[i], ENV_LINE);
    }
}

static const char *from_env(int which)
{
    const char *v = getenv(names[which]);
    return v && v[0] ? v : NULL;
}

/* What is said together belongs together: the file's server only when no other was named, and its
 * key only for its server. */
static void choose(struct cli *c, char file[VALUES][ENV_LINE], struct belljar_config *out)
{
    const char *url = cli_text(c, "url"), *sandbox_url = cli_text(c, "sandbox-url");
    bool is_named = url || from_env(API_URL) || from_env(DOMAIN);
    const char *v[VALUES];
    if (!is_named)
        read_file(file);
    for (int i = 0; i < VALUES; i++) {
        v[i] = url && i != API_KEY ? NULL : from_env(i);
        v[i] = v[i] ? v[i] : file[i][0] ? file[i] : NULL;
    }
    *out = (struct belljar_config){ .api_key = cli_text(c, "key") ? cli_text(c, "key") : v[API_KEY],
                                    .api_url = url ? url : v[API_URL],
                                    .sandbox_url = sandbox_url ? sandbox_url : v[SANDBOX_URL],
                                    .domain = v[DOMAIN] };
}

struct belljar *cli_server(struct cli *c)
{
    char file[VALUES][ENV_LINE] = { { 0 } };
    struct belljar_config config;
    if (c->server)
        return c->server;
    choose(c, file, &config);
    if (!config.api_key)
        (void)cli_fail(c, FAULT_UNAUTHENTICATED,
                       "no API key: set E2B_API_KEY, give --key, or run this as root beside the "
                       "server (its state: BELLJAR_STATE)");
    else if (!(c->server = belljar_open(&config)))
        (void)cli_fail(c, FAULT_UNAUTHENTICATED, "%s", belljar_open_error());
    return c->server;
}

void cli_server_close(struct cli *c)
{
    if (c->server)
        belljar_close(c->server);
    c->server = NULL;
}

/* Where the library knows the cause, that; else the first fault with the HTTP status. */
static enum fault_code fault_of(int status, int err)
{
    static const struct {
        int err;
        enum fault_code code;
    } causes[] = { { EINVAL, FAULT_INVALID },
                   { ETIMEDOUT, FAULT_TIMEOUT },
                   { EHOSTDOWN, FAULT_NOT_FOUND },
                   { ENOENT, FAULT_NOT_FOUND },
                   { ECONNREFUSED, FAULT_UNAVAILABLE } };
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (causes[i].err == err)
            return causes[i].code;
    for (int i = 1; i < FAULT_COUNT; i++)
        if (fault_status((enum fault_code)i) == status)
            return (enum fault_code)i;
    return status >= 400 && status < 500 ? FAULT_INVALID
           : status                      ? FAULT_INTERNAL
                                         : FAULT_UNAVAILABLE;
}

int cli_server_fail(struct cli *c)
{
    (void)cli_fail(c, FAULT_NONE, "%s", belljar_error(c->server));
    return fault_exit(fault_of(belljar_status(c->server), belljar_errno(c->server)));
}

static int call(struct cli *c, const char *method, const char *path, json_t *body, json_t **answer,
                char **next)
{
    struct belljar *b = cli_server(c);
    CLEANUP(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (!b)
        return fault_exit(FAULT_UNAUTHENTICATED);
    CLEANUP(freep) char *got = belljar_request(b, method, path, text, next);
    if (!got)
        return cli_server_fail(c);
    if (!answer)
        return 0;
    *answer = got[0] ? json_parse(str_of(got), NULL) : json_null();
    return *answer ? 0 : cli_fail(c, FAULT_INTERNAL, "the server's answer is not JSON");
}

int cli_call(struct cli *c, const char *method, const char *path, json_t *body, json_t **answer)
{
    return call(c, method, path, body, answer, NULL);
}

const char *cli_path(struct arena *a, const char *before, const char *name, const char *after)
{
    struct buf b;
    buf_init(&b, 0);
    (void)buf_append(&b, str_of(before));
    uri_encode(&b, str_of(name));
    (void)buf_append(&b, str_of(after));
    const char *path = arena_str(a, buf_str(&b));
    buf_deinit(&b);
    return path ? path : "";
}

int cli_call_list(struct cli *c, const char *path, json_t **answer)
{
    CLEANUP(freep) char *next = NULL;
    struct arena a;
    int status = 0;
    arena_init(&a, 0);
    *answer = json_array();
    for (int page = 0; status == 0 && page < PAGES && (page == 0 || next); page++) {
        JSON_OWNED part = NULL;
        const char *full =
            next ? cli_path(&a, arena_printf(&a, "%s&nextToken=", path), next, "") : path;
        freep(&next);
        status = call(c, "GET", full, NULL, &part, &next);
        if (status == 0)
            (void)json_array_extend(*answer, part);
    }
    arena_deinit(&a);
    return status;
}

const char *cli_sandbox_id(struct cli *c, const char *word)
{
    size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (n && !word[n] && n < 64)
        return word;
    (void)cli_fail(c, FAULT_INVALID, "'%s' cannot be the id of a sandbox: letters and digits",
                   word);
    return NULL;
}

struct belljar_sandbox *cli_sandbox(struct cli *c, const char *id, int *status)
{
    *status = fault_exit(FAULT_INVALID);
    if (!cli_sandbox_id(c, id))
        return NULL;
    *status = fault_exit(FAULT_UNAUTHENTICATED);
    if (!cli_server(c))
        return NULL;
    struct belljar_sandbox *s = belljar_connect(c->server, id, 0);
    *status = s ? 0 : cli_server_fail(c);
    return s;
}

const struct belljar_pair *cli_pairs(struct cli *c, const char *option, struct arena *a)
{
    int n = 0;
    while (cli_pair(c, option, n))
        n++;
    struct belljar_pair *out = n ? arena_alloc(a, sizeof *out * ((size_t)n + 1)) : NULL;
    for (int i = 0; out && i < n; i++) {
        struct str name, value;
        (void)str_cut(str_of(cli_pair(c, option, i)), '=', &name, &value);
        out[i] = (struct belljar_pair){ arena_str(a, name), value.p };
    }
    return out;
}

json_t *cli_pairs_json(struct cli *c, const char *option)
{
    json_t *out = json_object();
    const char *pair;
    for (int i = 0; (pair = cli_pair(c, option, i)); i++) {
        struct str name, value;
        (void)str_cut(str_of(pair), '=', &name, &value);
        (void)json_object_setn_new_nocheck(out, name.p, name.n,
                                           json_stringn_nocheck(value.p, value.n));
    }
    return out;
}
