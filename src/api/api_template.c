/* Templates: lists, details, names and tags (templates.md 5, 6). */
#include <string.h>

#include "api/api_internal.h"
#include "base/clock.h"
#include "store/store_job.h"
#include "wire/json.h"
#include "wire/uri.h"

#define NO_BUILD "00000000-0000-0000-0000-000000000000"

static json_t *names_of(const char *name)
{
    return name ? json_pack("[o]", json_sprintf(TEMPLATE_SPACE "/%s", name)) : json_array();
}
static json_t *aliases_of(const char *name) { return name ? json_pack("[s]", name) : json_array(); }

/* What clients call the state of a build. */
static const char *shown(const char *state)
{
    return !state ? "waiting" : strcmp(state, "retired") == 0 ? "ready" : state;
}

/* -- lists -- */

struct rows {
    struct api_call *call;
    json_t *out;
    uint32_t limit;
    bool has_more;
    int64_t before_us, last_us;
    char before_id[64], last_id[64];
};

static int put_row(void *data, const struct store_template *t)
{
    struct rows *l = data;
    l->has_more = json_array_size(l->out) == l->limit;
    if (l->has_more)
        return 1;
    json_t *v = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:b, s:o, s:o, s:o, s:o, s:n, s:n, s:i, s:I, s:s, s:s}",
        "templateID", t->id, "buildID", t->build_id ? t->build_id : NO_BUILD, "cpuCount",
        (json_int_t)t->cpus, "memoryMB", (json_int_t)t->memory_mb, "diskSizeMB",
        (json_int_t)(l->call->api->spec.disk_bytes >> 20), "public", t->is_public, "aliases",
        aliases_of(t->name), "names", names_of(t->name), "createdAt", api_time(t->created_us),
        "updatedAt", api_time(t->updated_us), "createdBy", "lastSpawnedAt", "spawnCount", 0,
        "buildCount", (json_int_t)t->build_count, "envdVersion", API_ENVD_VERSION, "buildStatus",
        shown(t->build_state));
    l->last_us = t->created_us;
    (void)str_copy(str_of(t->id), l->last_id, sizeof l->last_id);
    return json_array_append_new(l->out, v) < 0 ? -ENOMEM : 0;
}

static int read_token(struct op *op, struct str value, struct rows *l)
{
    struct str time, id;
    bool good = value.n > 1 && value.p[0] == 't' && str_cut(str_skip(value, 1), '.', &time, &id) &&
                str_to_i64(time, &l->before_us) && l->before_us > 0 && id.n &&
                str_copy(id, l->before_id, sizeof l->before_id);
    return good ? 0 : op_fail(op, FAULT_INVALID, EINVAL, "Invalid next token");
}

static int read_query(struct api_call *c, struct rows *l)
{
    struct str rest = c->query, n, v, name, value;
    int r = 0;
    while (r == 0 && uri_query_next(&rest, &n, &v)) {
        if (!uri_decode(&c->arena, n, true, &name) || !uri_decode(&c->arena, v, true, &value))
            return api_invalid(&c->op, "the query is not well encoded");
        if (str_eq(name, STR("limit")))
            r = api_query_limit(&c->op, value, &l->limit);
        if (str_eq(name, STR("nextToken")) && value.n)
            r = read_token(&c->op, value, l);
    }
    return r;
}

/* Reads and answers one page; `fields` of the answer has the token of the next one. */
static void reply_page(struct api_call *c, struct rows *l)
{
    char fields[128] = "";
    int r = store_template_page(c->api->spec.store, l->before_us, l->before_id, l->limit + 1,
                                put_row, l);
    if (r < 0) {
        json_decref(l->out);
        (void)op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the templates cannot be listed");
        api_reply_fault(c);
        return;
    }
    if (l->has_more && c->version == 2)
        (void)snprintf(fields, sizeof fields, "X-Next-Token: t%lld.%s\r\n", (long long)l->last_us,
                       l->last_id);
    if (c->version == 1) /* oldest first */
        for (size_t i = json_array_size(l->out); i > 1; i--) {
            json_t *v = json_incref(json_array_get(l->out, 0));
            (void)json_array_remove(l->out, 0);
            (void)json_array_insert_new(l->out, i - 1, v);
        }
    api_reply_json(c, 200, fields, l->out);
}

/* The team that a command line was told, when it says one. */
static int check_team(struct api_call *c)
{
    struct str team;
    int r = uri_query_get(&c->arena, c->query, "teamID", &team);
    if (r < 0)
        return api_invalid(&c->op, "the query is not well encoded");
    return r == 0 || !team.n || str_eq(team, str_of(c->api->team))
               ? 0
               : op_fail(&c->op, FAULT_INVALID, EINVAL, "Team ID param mismatch with the API key");
}

void api_template_list_v1(struct api_call *c)
{
    if (check_team(c) < 0) {
        api_reply_fault(c);
        return;
    }
    struct rows l = { .call = c, .out = json_array(), .limit = LIMIT_TEMPLATES_LISTED };
    reply_page(c, &l);
}

void api_template_list_v2(struct api_call *c)
{
    struct rows l = { .call = c, .out = json_array(), .limit = LIMIT_LIST_PAGE };
    c->version = 2;
    if (check_team(c) < 0 || read_query(c, &l) < 0) {
        json_decref(l.out);
        api_reply_fault(c);
        return;
    }
    reply_page(c, &l);
}

/* -- one -- */

static int put_build(void *data, const struct store_job *j)
{
    struct rows *l = data;
    l->has_more = json_array_size(l->out) == l->limit;
    if (l->has_more)
        return 1;
    json_t *v = json_pack(
        "{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:s}", "buildID", j->id, "status", shown(j->state),
        "createdAt", api_time(j->created_us), "updatedAt", api_time(j->updated_us), "cpuCount",
        (json_int_t)j->cpus, "memoryMB", (json_int_t)j->memory_mb, "diskSizeMB",
        (json_int_t)(l->call->api->spec.disk_bytes >> 20), "envdVersion", API_ENVD_VERSION);
    if (v && j->finished_us)
        (void)json_object_set_new(v, "finishedAt", api_time(j->finished_us));
    l->last_us = j->created_us;
    (void)str_copy(str_of(j->id), l->last_id, sizeof l->last_id);
    return json_array_append_new(l->out, v) < 0 ? -ENOMEM : 0;
}

static int put_template(void *data, const struct store_template *t)
{
    json_t **out = data;
    if (strcmp(t->kind, "template") != 0)
        return 0;
    *out = json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:n, s:i}", "templateID", t->id, "public",
                     t->is_public, "aliases", aliases_of(t->name), "names", names_of(t->name),
                     "createdAt", api_time(t->created_us), "updatedAt", api_time(t->updated_us),
                     "lastSpawnedAt", "spawnCount", 0);
    return 0;
}

void api_template_get(struct api_call *c)
{
    struct rows l = { .call = c, .out = json_array(), .limit = LIMIT_LIST_PAGE };
    json_t *v = NULL;
    char id[64] = "", fields[128] = "";
    int r = read_query(c, &l);
    if (r == 0 && (!str_copy(c->id, id, sizeof id) ||
                   store_template_get(c->api->spec.store, id, put_template, &v) < 1 || !v))
        r = op_fail(&c->op, FAULT_NOT_FOUND, ENOENT, "Template %s not found", id);
    const struct store_job_page page = {
        .template_id = id, .before_us = l.before_us, .before_id = l.before_id, .limit = l.limit + 1
    };
    if (r == 0 && (r = store_job_each(c->api->spec.store, &page, put_build, &l)) < 0)
        (void)op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the builds cannot be listed");
    if (r < 0) {
        json_decref(l.out);
        json_decref(v);
        api_reply_fault(c);
        return;
    }
    if (l.has_more)
        (void)snprintf(fields, sizeof fields, "X-Next-Token: t%lld.%s\r\n", (long long)l.last_us,
                       l.last_id);
    (void)json_object_set_new(v, "builds", l.out);
    api_reply_json(c, 200, fields, v);
}

/* A reference of ours, or answered by the sentence in c->op. */
static int read_ref(struct api_call *c, struct str text, struct template_ref *ref)
{
    if (template_ref_parse(text, ref) < 0)
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid template reference: " STR_FMT,
                       STR_ARG(text.n < 100 ? text : str_make(text.p, 100)));
    return 0;
}

/* The id of what `ref` names. 0 or a negative errno with the fault in c->op. */
static int find_id(struct api_call *c, const struct template_ref *ref, bool builtin_too,
                   char id[TEMPLATE_NAME_SIZE], bool *is_builtin)
{
    struct templates in = fleet_templates(c->api->spec.fleet);
    if (!template_resolve(&in, ref, id, is_builtin))
        return op_fail(&c->op, FAULT_NOT_FOUND, ENOENT, "template '%s%s%s' not found", ref->space,
                       ref->space[0] ? "/" : "", ref->name);
    if (*is_builtin && !builtin_too)
        return op_fail(&c->op, FAULT_FORBIDDEN, EPERM, "template '%s' is built in", ref->name);
    return 0;
}

static int see_default(void *data, const struct store_template *t)
{
    struct alias {
        bool is_public, is_usable;
    } *a = data;
    a->is_public = t->is_public;
    a->is_usable = t->build_id || !t->build_state || strcmp(t->build_state, "error") != 0;
    return 0;
}

void api_template_alias(struct api_call *c)
{
    struct template_ref ref;
    struct {
        bool is_public, is_usable;
    } seen = { true, true };
    char id[TEMPLATE_NAME_SIZE];
    bool is_builtin = false;
    int r = read_ref(c, c->id, &ref);
    if (r == 0)
        r = find_id(c, &ref, true, id, &is_builtin);
    if (r == 0 && !is_builtin)
        (void)store_template_get(c->api->spec.store, id, see_default, &seen);
    bool has_tag = !ref.tag[0] || strcmp(ref.tag, TEMPLATE_DEFAULT_TAG) == 0;
    if (r == 0 && !has_tag) {
        struct templates in = fleet_templates(c->api->spec.fleet);
        struct template t = { 0 };
        r = template_find(&c->op, &in, &ref, &t);
        template_deinit(&t);
    }
    if (r == 0 && !seen.is_usable) /* all that there is are failures */
        r = op_fail(&c->op, FAULT_NOT_FOUND, ENOENT, "template '%s' not found", ref.name);
    if (r < 0)
        api_reply_fault(c);
    else
        api_reply_json(c, 200, NULL,
                       json_pack("{s:s, s:b}", "templateID", id, "public", seen.is_public));
}

struct patched {
    json_t *names;
};
static int see_names(void *data, const struct store_template *t)
{
    struct patched *p = data;
    p->names = names_of(t->name);
    return 0;
}

static void patch(struct api_call *c, const json_t *body)
{
    struct store *s = c->api->spec.store;
    struct template_ref ref;
    struct patched p = { NULL };
    char id[TEMPLATE_NAME_SIZE];
    bool is_builtin = false, is_public = false;
    int r = read_ref(c, c->id, &ref);
    if (r == 0)
        r = find_id(c, &ref, false, id, &is_builtin);
    if (r == 0 && (r = api_field_bool(&c->op, body, "public", &is_public)) == 1) {
        r = store_template_set_public(s, id, is_public, clock_wall_us());
        if (r < 0)
            (void)op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the template cannot be changed");
    }
    if (r < 0) {
        api_reply_fault(c);
        return;
    }
    (void)store_template_get(s, id, see_names, &p);
    if (c->version == 1) {
        json_decref(p.names);
        api_reply(c, 200, NULL, STR("null"));
    } else {
        api_reply_json(c, 200, NULL, json_pack("{s:o}", "names", p.names ? p.names : json_array()));
    }
}

void api_template_patch_v1(struct api_call *c) { api_take_body(c, true, patch); }
void api_template_patch_v2(struct api_call *c)
{
    c->version = 2;
    api_take_body(c, true, patch);
}

/* -- tags -- */

static int put_tag(void *data, const struct store_build *b)
{
    return json_array_append_new(data, json_pack("{s:s, s:s, s:o}", "tag", b->tag, "buildID", b->id,
                                                 "createdAt", api_time(b->created_us))) < 0
               ? -ENOMEM
               : 0;
}

void api_template_tags(struct api_call *c)
{
    struct template_ref ref;
    char id[TEMPLATE_NAME_SIZE];
    bool is_builtin = false;
    json_t *out = json_array();
    int r = read_ref(c, c->id, &ref);
    if (r == 0)
        r = find_id(c, &ref, false, id, &is_builtin);
    if (r == 0 && (r = store_tag_each(c->api->spec.store, id, put_tag, out)) < 0)
        (void)op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the tags cannot be listed");
    if (r < 0) {
        json_decref(out);
        api_reply_fault(c);
        return;
    }
    api_reply_json(c, 200, NULL, out);
}

static int copy_id(void *data, const struct store_build *b)
{
    return str_copy(str_of(b->id), data, 64) ? 0 : -EOVERFLOW;
}

/* The ready build that `ref` names. */
static int find_build(struct api_call *c, const struct template_ref *ref, const char *id,
                      char build[64])
{
    const char *tag = ref->tag[0] ? ref->tag : TEMPLATE_DEFAULT_TAG;
    int r = store_build_tagged(c->api->spec.store, id, tag, copy_id, build);
    if (r < 0)
        return op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the template cannot be read");
    return r == 1 ? 0
                  : op_fail(&c->op, FAULT_NOT_FOUND, ENOENT,
                            "Template '%s' with tag '%s' not found", ref->name, tag);
}

/* What both take: the template under `key` and the tags, joined
 * with commas. */
#define TAGS_SIZE 4096
static int read_tags(struct api_call *c, const json_t *body, const char *key,
                     struct template_ref *ref, char list[TAGS_SIZE])
{
    struct str name;
    json_t *tags = NULL;
    list[0] = '\0';
    int r = api_field_str(&c->op, body, key, &name);
    if (r == 0)
        r = api_invalid(&c->op, "%s is missing", key);
    if (r >= 0)
        r = api_field_strings(&c->op, body, "tags", 32, &tags);
    if (r >= 0 && !json_array_size(tags))
        r = op_fail(&c->op, FAULT_INVALID, EINVAL, "At least one tag is required");
    if (r >= 0)
        r = builds_parse_tags(&c->op, tags, STR_NONE, list);
    return r < 0 ? r : read_ref(c, name, ref);
}

static void tag_put(struct api_call *c, const json_t *body)
{
    struct fleet *f = c->api->spec.fleet;
    struct template_ref ref;
    char id[TEMPLATE_NAME_SIZE], build[64], list[TAGS_SIZE];
    bool is_builtin = false;
    int r = read_tags(c, body, "target", &ref, list);
    if (r >= 0)
        r = find_id(c, &ref, false, id, &is_builtin);
    if (r >= 0)
        r = find_build(c, &ref, id, build);
    struct buf gone;
    buf_init(&gone, 0);
    if (r == 0 && (r = store_tag_put(c->api->spec.store, id, build, list, clock_wall_us(),
                                     fleet_layers_collect, &gone)) < 0) {
        buf_reset(&gone);
        (void)op_fail(&c->op, FAULT_UNAVAILABLE, -r, "the tags cannot be set");
    }
    fleet_layers_gone(f, &gone);
    if (r < 0)
        api_reply_fault(c);
    else
        api_reply_json(c, 201, NULL,
                       json_pack("{s:s, s:o}", "buildID", build, "tags", api_strings(list)));
}

void api_tag_put(struct api_call *c) { api_take_body(c, false, tag_put); }

static int remove_tags(struct api_call *c, const char *id, const char *list)
{
    struct str rest = str_of(list), one;
    char tag[TEMPLATE_NAME_SIZE];
    int r = 0;
    while (r == 0 && rest.n) {
        (void)str_cut(rest, ',', &one, &rest);
        if (str_copy(one, tag, sizeof tag))
            r = fleet_tag_remove(c->api->spec.fleet, &c->op, id, tag);
    }
    return r;
}

static void tag_delete(struct api_call *c, const json_t *body)
{
    struct template_ref ref;
    char id[TEMPLATE_NAME_SIZE], list[TAGS_SIZE];
    bool is_builtin = false;
    int r = read_tags(c, body, "name", &ref, list);
    if (r == 0 && ref.tag[0])
        r = op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid name: it must not have a tag");
    for (struct str rest = str_of(list), one; r == 0 && rest.n;) {
        (void)str_cut(rest, ',', &one, &rest);
        if (str_eq(one, STR(TEMPLATE_DEFAULT_TAG)))
            r = op_fail(&c->op, FAULT_INVALID, EINVAL, "Cannot delete the 'default' tag");
    }
    if (r == 0)
        r = find_id(c, &ref, false, id, &is_builtin);
    if (r == 0)
        r = remove_tags(c, id, list);
    if (r < 0)
        api_reply_fault(c);
    else
        api_reply_empty(c);
}

void api_tag_delete(struct api_call *c) { api_take_body(c, false, tag_delete); }
