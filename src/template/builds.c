#include "template/builds.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "gen/limits.h"
#include "template/build.h"
#include "wire/json.h"

enum { SWEEP_MS = 60000 };

struct guest builds_guest(const struct builds *all, const char *id)
{
    return (struct guest){ all->spec.loop, all->run_dir, id };
}

struct uploads *builds_uploads(struct builds *all) { return &all->uploads; }

/* -- names and tags -- */

static bool is_uuid(const char *s)
{
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s[i] != '-' : !s[i] || !strchr("0123456789abcdef", s[i]))
            return false;
    }
    return s[36] == '\0';
}

static bool has_tag(const char *list, const char *tag)
{
    struct str rest = str_of(list), one;
    while (rest.n) {
        (void)str_cut(rest, ',', &one, &rest);
        if (str_eq(one, str_of(tag)))
            return true;
    }
    return false;
}

static bool shares_tag(const char *a, const char *b)
{
    struct str rest = str_of(a), one;
    char tag[TEMPLATE_NAME_SIZE];
    while (rest.n) {
        (void)str_cut(rest, ',', &one, &rest);
        if (str_copy(one, tag, sizeof tag) && has_tag(b, tag))
            return true;
    }
    return false;
}

static int add_tag(struct op *op, struct str text, char out[4096])
{
    char ref[TEMPLATE_NAME_SIZE + 4];
    struct template_ref parsed;
    size_t at = strlen(out);
    bool fits = text.n && text.n < TEMPLATE_NAME_SIZE;
    (void)snprintf(ref, sizeof ref, "x:" STR_FMT, STR_ARG(fits ? text : STR("")));
    if (!fits || template_ref_parse(str_of(ref), &parsed) < 0 || memchr(text.p, ':', text.n))
        return op_fail(op, FAULT_INVALID, EINVAL, "Invalid tag: " STR_FMT,
                       STR_ARG(text.n < 100 ? text : str_make(text.p, 100)));
    if (is_uuid(parsed.tag))
        return op_fail(op, FAULT_INVALID, EINVAL, "Invalid tag: tag cannot be a UUID");
    if (has_tag(out, parsed.tag))
        return 0;
    if (at + strlen(parsed.tag) + 2 > 4096)
        return op_fail(op, FAULT_INVALID, EINVAL, "Invalid tag: there are too many");
    (void)snprintf(out + at, 4096 - at, "%s%s", at ? "," : "", parsed.tag);
    return 0;
}

int builds_parse_tags(struct op *op, const json_t *tags, struct str first, char out[4096])
{
    int r = 0;
    out[0] = '\0';
    if (first.n)
        r = add_tag(op, first, out);
    for (size_t i = 0; r == 0 && i < json_array_size(tags); i++) {
        const json_t *v = json_array_get(tags, i);
        r = add_tag(op, str_make(json_string_value(v), json_string_length(v)), out);
    }
    return r;
}

static int parse_name(struct op *op, struct str text, struct template_ref *ref)
{
    if (!str_trim(text).n)
        return op_fail(op, FAULT_INVALID, EINVAL, "Name is required");
    if (template_ref_parse(text, ref) < 0)
        return op_fail(op, FAULT_INVALID, EINVAL, "Invalid name: " STR_FMT,
                       STR_ARG(text.n < 100 ? text : str_make(text.p, 100)));
    if (ref->space[0] && strcmp(ref->space, TEMPLATE_SPACE) != 0)
        return op_fail(op, FAULT_INVALID, EINVAL,
                       "namespace '%.100s' must match your team '" TEMPLATE_SPACE "'", ref->space);
    return 0;
}

/* -- ends -- */

static struct build *find(const struct builds *all, const char *id)
{
    LIST_EACH(it, &all->active) {
        struct build *b = LIST_OF(it, struct build, node);
        if (strcmp(b->id, id) == 0)
            return b;
    }
    return NULL;
}

/* Records in `state` that end, because of what `reason` says. */
struct ending {
    const char *tags;  /* only those that share one; NULL: any */
    int64_t before_us; /* only those that are older; 0: any */
    char ids[64][37], template_ids[64][21];
    uint32_t count;
};
static int collect_ending(void *data, const struct store_job *j)
{
    struct ending *e = data;
    if ((e->tags && !shares_tag(e->tags, j->tags)) ||
        (e->before_us && j->created_us > e->before_us))
        return 0;
    (void)str_copy(str_of(j->id), e->ids[e->count], sizeof e->ids[0]);
    (void)str_copy(str_of(j->template_id), e->template_ids[e->count], sizeof e->template_ids[0]);
    return ++e->count == 64 ? 1 : 0;
}

static int end_record(struct builds *all, const char *template_id, const char *id,
                      const char *reason)
{
    const struct store_log line = { clock_wall_us(), LOG_OF_ERROR, "", reason };
    const struct store_job j = {
        .id = id, .template_id = template_id, .reason = reason, .finished_us = clock_wall_us()
    };
    return store_job_fail(all->spec.store, &j, (struct store_logs){ &line, 1 });
}

static void end_records(struct builds *all, const char *template_id, const char *state,
                        struct ending *e, const char *reason)
{
    struct store_job_page page = { .template_id = template_id, .state = state, .limit = 1000 };
    if (store_job_each(all->spec.store, &page, collect_ending, e) < 0)
        return;
    for (uint32_t i = 0; i < e->count; i++)
        (void)end_record(all, e->template_ids[i], e->ids[i], reason);
}

static const char cancelled[] = "build was cancelled"; /* templates.md section 1 */

struct progress {
    const char *template_id;
    char state[16];
    bool is_foreign;
};
static int see_progress(void *data, const struct store_job *j)
{
    struct progress *p = data;
    p->is_foreign = strcmp(p->template_id, j->template_id) != 0;
    (void)str_copy(str_of(j->state), p->state, sizeof p->state);
    return 0;
}

int builds_cancel(struct builds *all, struct op *op, const char *template_id, const char *build_id)
{
    struct progress p = { .template_id = template_id };
    struct build *b = find(all, build_id);
    int r = store_job_get(all->spec.store, build_id, see_progress, &p);
    if (r == 0 || (r > 0 && p.is_foreign))
        return op_fail(op, FAULT_NOT_FOUND, ENOENT, "Build '%s' not found", build_id);
    if (r > 0 && strcmp(p.state, "waiting") != 0 && strcmp(p.state, "building") != 0)
        return op_fail(op, FAULT_CONFLICT, EALREADY,
                       "Build '%s' has ended already: there is nothing to cancel", build_id);
    if (r > 0 && b)
        r = build_fail(b, "%s", cancelled);
    else if (r > 0)
        r = end_record(all, template_id, build_id, cancelled);
    return r < 0 ? op_fail(op, FAULT_UNAVAILABLE, -r, "the end of the build cannot be recorded")
                 : 0;
}

void builds_cancel_template(struct builds *all, const char *template_id)
{
    LIST_EACH_SAFE(it, &all->active) {
        struct build *b = LIST_OF(it, struct build, node);
        if (strcmp(b->template_id, template_id) == 0)
            build_fail(b, "%s", cancelled);
    }
}

static void on_sweep(struct loop_timer *t)
{
    struct builds *all = t->data;
    struct ending old = { .before_us = clock_wall_us() - (int64_t)LIMIT_BUILD_WAITING_S * 1000000 };
    end_records(all, NULL, "waiting", &old, "build is in waiting state for too long");
    (void)loop_timer_start(all->spec.loop, &all->sweep, SWEEP_MS);
}

/* -- request -- */

static int count_one(void *data, const struct store_job *j)
{
    uint32_t *n = data;
    (void)j;
    ++*n;
    return 0;
}

static int check_count(struct builds *all, struct op *op)
{
    uint32_t n = 0;
    static const char *const states[] = { "waiting", "building" };
    for (size_t i = 0; i < 2; i++) {
        struct store_job_page page = { .state = states[i], .limit = LIMIT_BUILDS };
        int r = store_job_each(all->spec.store, &page, count_one, &n);
        if (r < 0)
            return op_fail(op, FAULT_UNAVAILABLE, -r, "the builds cannot be counted");
    }
    if (n < LIMIT_BUILDS)
        return 0;
    return op_fail(op, FAULT_LIMIT, EDQUOT,
                   "you have reached the maximum number of concurrent template builds (%d). Please "
                   "wait for some of them to finish",
                   LIMIT_BUILDS);
}

static int see_kind(void *data, const struct store_template *t)
{
    *(bool *)data = strcmp(t->kind, "template") == 0;
    return 0;
}

/* The template that has the name, or a new id. */
static int claim_name(struct builds *all, struct op *op, const char *name, char id[21])
{
    char other[TEMPLATE_NAME_SIZE];
    bool is_template = false;
    int r = store_template_by_name(all->spec.store, name, id, 21);
    if (r == 1)
        r = store_template_get(all->spec.store, id, see_kind, &is_template);
    if (r == 1 && !is_template)
        return op_fail(op, FAULT_CONFLICT, EEXIST, "Alias '%s' is already used by a snapshot",
                       name);
    if (r != 0)
        return r < 0 ? op_fail(op, FAULT_UNAVAILABLE, -r, "the templates cannot be read") : 0;
    r = store_template_by_id(all->spec.store, name, other, sizeof other);
    if (r == 1)
        return op_fail(op, FAULT_CONFLICT, EEXIST, "Alias '%s' is already used", name);
    rand_id(id, 20);
    return 0;
}

int builds_request(struct builds *all, struct op *op, const struct build_request *q,
                   struct build_made *out)
{
    struct template_ref ref;
    int r = parse_name(op, q->name, &ref);
    if (r == 0)
        r = builds_parse_tags(op, q->tags, str_of(ref.tag), out->tags);
    if (r == 0 && !out->tags[0])
        memcpy(out->tags, TEMPLATE_DEFAULT_TAG, sizeof TEMPLATE_DEFAULT_TAG);
    if (r == 0)
        r = claim_name(all, op, ref.name, out->template_id);
    if (r < 0)
        return r;
    struct ending older = { .tags = out->tags };
    end_records(all, out->template_id, "waiting", &older,
                "The build was canceled because it was superseded by a newer one.");
    r = check_count(all, op);
    if (r < 0)
        return r;
    memcpy(out->name, ref.name, sizeof out->name);
    rand_uuid(out->build_id);
    const struct store_job j = { .id = out->build_id,
                                 .template_id = out->template_id,
                                 .name = out->name,
                                 .tags = out->tags,
                                 .cpus = q->cpus,
                                 .memory_mb = q->memory_mb,
                                 .created_us = clock_wall_us() };
    r = store_job_add(all->spec.store, &j);
    return r < 0 ? op_fail(op, FAULT_UNAVAILABLE, -r, "the build cannot be recorded") : 0;
}

/* -- start -- */

static int copy_job(void *data, const struct store_job *j)
{
    struct build *b = data;
    if (strcmp(j->template_id, b->template_id) != 0)
        return -ENOENT;
    if (strcmp(j->state, "waiting") != 0)
        return -EALREADY;
    b->cpus = j->cpus;
    b->memory_mb = j->memory_mb;
    return str_copy(str_of(j->tags), b->tags, sizeof b->tags) ? 0 : -EOVERFLOW;
}

static int read_job(struct build *b, struct op *op)
{
    bool is_there = false;
    int r = store_template_get(b->all->spec.store, b->template_id, see_kind, &is_there);
    if (r == 0)
        return op_fail(op, FAULT_NOT_FOUND, ENOENT,
                       "Template '%s' has been deleted and cannot be rebuilt", b->template_id);
    if (r > 0)
        r = store_job_get(b->all->spec.store, b->id, copy_job, b);
    if (r == 0 || r == -ENOENT)
        return op_fail(op, FAULT_NOT_FOUND, ENOENT, "Build '%s' not found", b->id);
    if (r == -EALREADY)
        return op_fail(op, FAULT_INVALID, EALREADY, "build is not in waiting state");
    return r < 0 ? op_fail(op, FAULT_UNAVAILABLE, -r, "the build cannot be read") : 0;
}

static void on_begin(struct loop_task *t) { build_begin(t->data); }
static void on_deadline(struct loop_timer *t) { build_fail(t->data, "build timed out"); }

/* Those under way that would be replaced at once. */
static void cancel_others(struct build *b)
{
    LIST_EACH_SAFE(it, &b->all->active) {
        struct build *o = LIST_OF(it, struct build, node);
        if (o != b && strcmp(o->template_id, b->template_id) == 0 && shares_tag(o->tags, b->tags))
            build_fail(o, "%s", cancelled);
    }
}

int builds_start(struct builds *all, struct op *op, const char *template_id, const char *build_id,
                 const json_t *body)
{
    if (!is_uuid(build_id))
        return op_fail(op, FAULT_INVALID, EINVAL, "Invalid build ID: %.64s", build_id);
    struct build *b = calloc(1, sizeof *b);
    if (!b)
        return op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    b->all = all;
    list_init(&b->node);
    arena_init(&b->arena, 4 * LIMIT_BUILD_BODY_SIZE);
    b->begin = (struct loop_task){ .fn = on_begin, .data = b };
    b->deadline = (struct loop_timer){ .fn = on_deadline, .data = b };
    b->started_ms = loop_now_ms(all->spec.loop);
    int r = str_copy(str_of(template_id), b->template_id, sizeof b->template_id)
                ? 0
                : op_fail(op, FAULT_NOT_FOUND, ENOENT, "Template '%.64s' not found", template_id);
    (void)str_copy(str_of(build_id), b->id, sizeof b->id);
    if (r == 0)
        r = read_job(b, op);
    if (r == 0)
        r = recipe_parse(op, &b->arena, body, &b->recipe);
    if (r == 0 && (r = store_job_start(all->spec.store, b->id, clock_wall_us())) < 0)
        (void)op_fail(op, FAULT_UNAVAILABLE, -r, "the build cannot be recorded");
    if (r < 0) {
        build_free(b);
        return r;
    }
    list_push(&all->active, &b->node);
    cancel_others(b);
    loop_task_post(all->spec.loop, &b->begin);
    (void)loop_timer_start(all->spec.loop, &b->deadline, (int64_t)LIMIT_BUILD_RUN_S * 1000);
    return 0;
}

int builds_log_page(struct builds *all, const char *build_id, int level, int64_t offset,
                    uint32_t limit, store_log_fn fn, void *data)
{
    const struct build *b = find(all, build_id);
    int r = 0;
    if (!b)
        return store_log_page(all->spec.store, build_id, level, offset, limit, fn, data);
    for (uint32_t i = 0; r == 0 && limit && i < b->log.count; i++) {
        if (b->log.at[i].level < level || offset-- > 0)
            continue;
        limit--;
        r = fn(data, &b->log.at[i]);
    }
    return r;
}

/* -- beginning and end -- */

static int start(struct op *op, struct builds *all)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/run/s", all->spec.state);
    all->run_dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (all->run_dir < 0)
        return op_fail(op, FAULT_HOST, errno, "%s cannot be used: %s", path, strerror(errno));
    int r = uploads_open(op, &all->uploads, all->spec.state, all->spec.store);
    if (r < 0)
        return r;
    r = build_kept_load(all);
    if (r < 0)
        return op_fail(op, FAULT_HOST, -r, "the results of builds cannot be read");
    struct ending broken = { 0 };
    do { /* 64 at once */
        broken.count = 0;
        end_records(all, NULL, "building", &broken,
                    "Build failed: the server was restarted meanwhile");
    } while (broken.count == 64);
    on_sweep(&all->sweep);
    return 0;
}

int builds_new(struct op *op, const struct builds_spec *spec, struct builds **out)
{
    struct builds *all = calloc(1, sizeof *all);
    *out = NULL;
    if (!all)
        return op_fail(op, FAULT_HOST, ENOMEM, "out of memory");
    all->spec = *spec;
    all->run_dir = all->uploads.dir = -1;
    list_init(&all->active);
    all->sweep = (struct loop_timer){ .fn = on_sweep, .data = all };
    int r = start(op, all);
    if (r < 0) {
        builds_free(all);
        return r;
    }
    *out = all;
    return 0;
}

void builds_free(struct builds *all)
{
    if (!all)
        return;
    loop_timer_cancel(&all->sweep);
    while (!list_empty(&all->active))
        build_free(LIST_OF(all->active.next, struct build, node));
    uploads_close(&all->uploads);
    fd_closep(&all->run_dir);
    free(all);
}
