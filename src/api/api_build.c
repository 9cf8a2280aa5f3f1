/* Builds of templates (templates.md 1, 4): asking for one, the files of its COPY steps, starting it
 * and its log. */
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "api/api_internal.h"
#include "base/clock.h"
#include "base/rand.h"
#include "store/store_job.h"
#include "wire/connect.h"
#include "wire/json.h"
#include "wire/uri.h"

enum { CPUS = 2, MEMORY_MB = 1024, CPUS_MAX = 32, MEMORY_MIN_MB = 128 };

/* -- request -- */

static int refuse(struct op *op, const char *text)
{
    return op_fail(op, FAULT_INVALID, EINVAL, "%s", text);
}

static int check_cpus(struct op *op, int64_t n)
{
    if (n < 1)
        return refuse(op, "CPU count must be at least 1");
    if (n > CPUS_MAX)
        return refuse(op, "CPU count must be at most 32");
    return n > 1 && n % 2 ? refuse(op, "CPU count must be 1 or an even number") : 0;
}

static int check_memory(struct op *op, int64_t mb)
{
    struct sysinfo host;
    int64_t most =
        sysinfo(&host) < 0 ? INT32_MAX : (int64_t)((uint64_t)host.totalram * host.mem_unit >> 20);
    if (mb < MEMORY_MIN_MB)
        return refuse(op, "Memory must be at least 128 MiB");
    if (mb % 2)
        return refuse(op, "Memory must be divisible by 2");
    if (mb > most)
        return op_fail(op, FAULT_INVALID, EINVAL,
                       "Memory can't be higher than %lld MiB (which is what this host has)",
                       (long long)most);
    return 0;
}

static int read_request(struct op *op, const json_t *body, struct build_request *q)
{
    json_t *tags = NULL;
    int64_t disk = 0;
    *q = (struct build_request){ .cpus = CPUS, .memory_mb = MEMORY_MB };
    int r = api_field_str(op, body, "name", &q->name);
    if (r == 0 || (r == 1 && !q->name.n))
        r = api_field_str(op, body, "alias", &q->name);
    if (r >= 0)
        r = api_field_strings(op, body, "tags", 32, &tags);
    if (r >= 0)
        r = api_field_int(op, body, "cpuCount", &q->cpus);
    if (r >= 0)
        r = api_field_int(op, body, "memoryMB", &q->memory_mb);
    if (r >= 0)
        r = api_field_int(op, body, "minFreeDiskMb", &disk);
    if (r >= 0 && disk < 0)
        r = api_invalid(op, "minFreeDiskMb must be at least 0");
    q->tags = tags;
    if (r >= 0)
        r = check_cpus(op, q->cpus);
    return r < 0 ? r : check_memory(op, q->memory_mb);
}

static int see_public(void *data, const struct store_template *t)
{
    *(bool *)data = t->is_public;
    return 0;
}

static void request(struct api_call *c, const json_t *body)
{
    struct build_request q;
    struct build_made made;
    bool is_public = false;
    int r = read_request(&c->op, body, &q);
    if (r == 0)
        r = builds_request(c->api->spec.builds, &c->op, &q, &made);
    if (r < 0) {
        api_reply_fault(c);
        return;
    }
    (void)store_template_get(c->api->spec.store, made.template_id, see_public, &is_public);
    api_reply_json(c, 202, NULL,
                   json_pack("{s:s, s:s, s:b, s:[o], s:o, s:[s], s:i, s:i, s:i, s:i}", "templateID",
                             made.template_id, "buildID", made.build_id, "public", is_public,
                             "names", json_sprintf(TEMPLATE_SPACE "/%s", made.name), "tags",
                             api_strings(made.tags), "aliases", made.name, "cpuCount", (int)q.cpus,
                             "memoryMB", (int)q.memory_mb, "buildCount", 0, "spawnCount", 0));
}

void api_build_request(struct api_call *c) { api_take_body(c, false, request); }

/* Builds with a registry to push to: what today's clients do not do any more. */
void api_build_legacy(struct api_call *c)
{
    (void)op_fail(&c->op, FAULT_GONE, ENOSYS,
                  "builds with docker push are not there any more; use a newer e2b CLI or SDK "
                  "(template create)");
    api_reply_fault(c);
}

/* -- start -- */

static void start(struct api_call *c, const json_t *body)
{
    char id[64], build[64];
    int r = str_copy(c->id, id, sizeof id) && str_copy(c->sub, build, sizeof build)
                ? builds_start(c->api->spec.builds, &c->op, id, build, body)
                : op_fail(&c->op, FAULT_NOT_FOUND, ENOENT, "there is no such template or build");
    if (r < 0)
        api_reply_fault(c);
    else /* clients parse any body that is not said to be empty */
        api_reply(c, 202, NULL, STR_NONE);
}

void api_build_start(struct api_call *c)
{
    api_take_body_of(c, LIMIT_BUILD_BODY_SIZE, false, start);
}

/* Ours: upstream's only route for it is an administrator's. */
void api_build_cancel(struct api_call *c)
{
    char id[64], build[64];
    int r = str_copy(c->id, id, sizeof id) && str_copy(c->sub, build, sizeof build)
                ? builds_cancel(c->api->spec.builds, &c->op, id, build)
                : op_fail(&c->op, FAULT_NOT_FOUND, ENOENT, "there is no such template or build");
    if (r < 0)
        api_reply_fault(c);
    else
        api_reply_empty(c);
}

/* -- status and log -- */

static const char *const level_names[] = { "debug", "info", "warn", "error" };

struct page {
    int64_t offset;
    int level;
    uint32_t limit;
    struct buf *b;
    uint32_t rows;
};

static int read_level(struct op *op, struct str value, int *level)
{
    for (int i = 0; i < 4; i++)
        if (str_eq(value, str_of(level_names[i]))) {
            *level = i;
            return 0;
        }
    return api_invalid(op, "level must be debug, info, warn or error");
}

static int read_query(struct api_call *c, struct page *p)
{
    struct str rest = c->query, n, v, name, value;
    int r = 0;
    while (r == 0 && uri_query_next(&rest, &n, &v)) {
        uint64_t number = 0;
        if (!uri_decode(&c->arena, n, true, &name) || !uri_decode(&c->arena, v, true, &value))
            return api_invalid(&c->op, "the query is not well encoded");
        bool is_offset = str_eq(name, STR("logsOffset")), is_limit = str_eq(name, STR("limit"));
        if ((is_offset || is_limit) && !str_to_u64(value, INT32_MAX, &number))
            return api_invalid(&c->op, STR_FMT " must be an integer of 0 or more", STR_ARG(name));
        if (is_offset)
            p->offset = (int64_t)number;
        if (is_limit)
            p->limit = number < LIMIT_LIST_PAGE ? (uint32_t)number : LIMIT_LIST_PAGE;
        if (str_eq(name, STR("level")))
            r = read_level(&c->op, value, &p->level);
    }
    return r;
}

static int put_line(void *data, const struct store_log *l)
{
    struct page *p = data;
    char at[CLOCK_RFC3339_SIZE];
    clock_format(l->at_us, at);
    (void)buf_printf(p->b,
                     "%s{\"timestamp\":\"%s\",\"level\":\"%s\",\"message\":", p->rows++ ? "," : "",
                     at, level_names[l->level & 3]);
    connect_string_put(p->b, str_of(l->message));
    if (l->step[0])
        (void)buf_printf(p->b, ",\"step\":\"%s\"", l->step);
    (void)buf_byte(p->b, '}');
    return 0;
}

static int put_lines(struct api_call *c, struct page *p, const char *id)
{
    (void)buf_byte(p->b, '[');
    int r = builds_log_page(c->api->spec.builds, id, p->level, p->offset, p->limit, put_line, p);
    (void)buf_byte(p->b, ']');
    return r;
}

struct seen_job {
    struct api_call *call;
    struct buf *b;
    char id[37], state[16];
    bool is_foreign;
};

/* The head of the status, up to the log. */
static int put_status(void *data, const struct store_job *j)
{
    struct seen_job *s = data;
    bool is_retired = strcmp(j->state, "retired") == 0;
    s->is_foreign = !str_eq(s->call->id, str_of(j->template_id));
    (void)str_copy(str_of(is_retired ? "ready" : j->state), s->state, sizeof s->state);
    (void)str_copy(str_of(j->id), s->id, sizeof s->id);
    (void)buf_printf(s->b, "{\"templateID\":\"%s\",\"buildID\":\"%s\",\"status\":\"%s\",",
                     j->template_id, j->id, s->state);
    if (strcmp(s->state, "error") == 0) {
        (void)buf_append(s->b, STR("\"reason\":{\"message\":"));
        connect_string_put(s->b, str_of(j->reason));
        if (j->step[0])
            (void)buf_printf(s->b, ",\"step\":\"%s\"", j->step);
        (void)buf_append(s->b, STR(",\"logEntries\":[]},"));
    }
    (void)buf_append(s->b, STR("\"logs\":[],\"logEntries\":"));
    return 0;
}

/* The build of the path, told to `s`. False: answered already. */
static bool find_build(struct api_call *c, struct seen_job *s)
{
    char id[64];
    bool good = str_copy(c->sub, id, sizeof id);
    buf_reset(s->b);
    if (!good || strlen(id) != 36) {
        (void)op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid build id");
        api_reply_fault(c);
        return false;
    }
    int r = store_job_get(c->api->spec.store, id, put_status, s);
    if (r < 0)
        (void)op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the build cannot be read");
    else if (r == 0 || s->is_foreign)
        (void)op_fail(&c->op, FAULT_INVALID, ENOENT, "Build '%s' not found", id);
    if (r == 1 && !s->is_foreign)
        return true;
    api_reply_fault(c);
    return false;
}

/* `head`, the log, and a closing brace. NULL head: that of the status. */
static void reply_log(struct api_call *c, const char *head)
{
    struct buf *b = &c->api->out;
    struct page p = { .limit = LIMIT_LIST_PAGE, .b = b };
    struct seen_job s = { .call = c, .b = b };
    if (read_query(c, &p) < 0) {
        api_reply_fault(c);
        return;
    }
    if (!find_build(c, &s))
        return;
    if (head) {
        buf_reset(b);
        (void)buf_append(b, str_of(head));
    }
    int r = put_lines(c, &p, s.id);
    (void)buf_byte(b, '}');
    if (r < 0 || b->failed) {
        (void)op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "the log cannot be read");
        api_reply_fault(c);
        return;
    }
    api_reply(c, 200, NULL, buf_str(b));
}

void api_build_status(struct api_call *c) { reply_log(c, NULL); }

void api_build_logs(struct api_call *c) { reply_log(c, "{\"logs\":"); }

/* -- files -- */

static bool knows_template(struct api_call *c)
{
    char id[64];
    bool unused;
    if (str_copy(c->id, id, sizeof id) &&
        store_template_get(c->api->spec.store, id, see_public, &unused) == 1)
        return true;
    (void)op_fail(&c->op, FAULT_NOT_FOUND, ENOENT, "Template '" STR_FMT "' not found",
                  STR_ARG(c->id.n < 100 ? c->id : str_make(c->id.p, 100)));
    return false;
}

/* The upload goes to where this request came to. */
void api_build_file(struct api_call *c)
{
    struct uploads *u = builds_uploads(c->api->spec.builds);
    struct str url;
    int64_t expires = clock_wall_us() / 1000000 + LIMIT_BUILD_UPLOAD_S;
    char token[UPLOAD_TOKEN_SIZE], hash[UPLOAD_HASH_SIZE];
    if (!uploads_is_hash(c->sub) || !str_copy(c->sub, hash, sizeof hash)) {
        (void)op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid files hash");
        api_reply_fault(c);
        return;
    }
    if (!knows_template(c) || api_own_url(c, &url) < 0) {
        api_reply_fault(c);
        return;
    }
    uploads_token(u, c->sub, expires, token);
    api_reply_json(
        c, 201, NULL,
        json_pack("{s:b, s:o}", "present", uploads_has(u, hash), "url",
                  json_sprintf(STR_FMT "/templates/" STR_FMT "/files/%s?expires=%lld&token=%s",
                               STR_ARG(url), STR_ARG(c->id), hash, (long long)expires, token)));
}

struct put {
    struct upload upload;
};
static void put_free(void *data)
{
    struct put *p = data;
    upload_cancel(&p->upload);
    free(p);
}

static void on_put_body(struct http_call *h, struct str piece)
{
    struct api_call *c = h->data;
    struct put *p = c->work;
    if (upload_write(&c->op, &p->upload, piece) < 0)
        api_reply_fault(c);
}

static void on_put_end(struct http_call *h)
{
    struct api_call *c = h->data;
    struct put *p = c->work;
    if (upload_end(&c->op, &p->upload) < 0)
        api_reply_fault(c);
    else
        api_reply(c, 200, NULL, STR_NONE);
}

static void on_put_gone(struct http_call *h) { api_call_gone(h->data); }

/* The bearer of this URL may upload this file. */
static int check_token(struct api_call *c)
{
    struct str expires, token;
    int64_t until;
    char want[UPLOAD_TOKEN_SIZE];
    if (!uploads_is_hash(c->sub))
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid files hash");
    if (uri_query_get(&c->arena, c->query, "expires", &expires) != 1 ||
        uri_query_get(&c->arena, c->query, "token", &token) != 1 || !str_to_i64(expires, &until))
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "the URL lacks expires or token");
    uploads_token(builds_uploads(c->api->spec.builds), c->sub, until, want);
    if (!str_secret_eq(token, str_of(want)))
        return op_fail(&c->op, FAULT_FORBIDDEN, EACCES, "the token of the URL is not valid");
    if (until < clock_wall_us() / 1000000)
        return op_fail(&c->op, FAULT_FORBIDDEN, EACCES, "the URL has expired");
    return 0;
}

void api_build_upload(struct api_call *c)
{
    static const struct http_call_ops ops = { .on_body = on_put_body,
                                              .on_end = on_put_end,
                                              .on_gone = on_put_gone };
    struct put *p = NULL;
    int r = check_token(c);
    if (r == 0 && !(p = calloc(1, sizeof *p)))
        r = op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    c->work = p;
    c->work_free = put_free;
    if (r == 0)
        r = upload_begin(&c->op, &p->upload, builds_uploads(c->api->spec.builds), c->sub);
    if (r < 0) {
        api_reply_fault(c);
        return;
    }
    c->http->ops = &ops;
}
