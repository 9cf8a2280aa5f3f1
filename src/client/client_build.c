/* Builds of templates from Dockerfiles (templates.md section 1). */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/client_context.h"
#include "gen/limits.h"
#include "wire/json.h"

struct build {
    struct belljar *b;
    const struct belljar_build_options *o;
    const char *file; /* the Dockerfile's name in sentences */
    struct arena mem;
    struct recipe_dockerfile recipe;
    struct client_context context;
    json_t *steps;
    struct client_pack *packs; /* of each step; those of COPY are in use */
    char template_id[64], build_id[64];
    int64_t offset; /* of the log */
    bool is_asked;  /* the server has been asked for it, and it has not ended */
};

static void said(struct build *u, const char *level, const char *line)
{
    if (u->o->on_log)
        u->o->on_log(u->o->data, level, line);
}

__attribute__((format(printf, 3, 4))) static void say(struct build *u, const char *level,
                                                      const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    said(u, level, line);
}

/* -- the Dockerfile -- */

static int read_dockerfile(struct build *u, const char *text)
{
    const struct belljar_pair *given = u->o->args;
    struct op op = { 0 };
    size_t n = 0;
    while (given && given[n].name)
        n++;
    struct recipe_dockerfile_arg *args = arena_alloc(&u->mem, (n + 1) * sizeof *args);
    if (!args)
        return client_no_memory(u->b);
    for (size_t i = 0; i < n; i++)
        args[i] =
            (struct recipe_dockerfile_arg){ given[i].name, given[i].value ? given[i].value : "" };
    struct recipe_dockerfile_options o = {
        .name = u->file, .args = args, .start = u->o->start, .ready = u->o->ready
    };
    if (recipe_dockerfile_parse(&op, &u->mem, str_of(text), &o, &u->recipe) < 0)
        return client_fail(u->b, op.fault.err ? op.fault.err : EINVAL, "%s", op.fault.text);
    for (uint32_t i = 0; i < u->recipe.warning_count; i++) {
        const struct recipe_dockerfile_warning *w = &u->recipe.warnings[i];
        if (w->line)
            say(u, "warn", "%s:%u: %s", u->file, w->line, w->text);
        else
            say(u, "warn", "%s: %s", u->file, w->text);
    }
    return 0;
}

static int add_strings(json_t *array, const struct str *s, uint32_t n)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < n; i++)
        rc = json_array_append_new(array, json_stringn(s[i].p ? s[i].p : "", s[i].n));
    return rc;
}

static int add_step(struct build *u, uint32_t i)
{
    static const char *const types[] = { "RUN", "COPY", "ENV", "WORKDIR", "USER" };
    const struct recipe_dockerfile_step *s = &u->recipe.steps[i];
    json_t *args = json_array();
    int rc = 0;
    if (s->kind == RECIPE_COPY) {
        struct str four[] = { u->packs[i].source, s->args[s->arg_count - 1], s->owner, STR("") };
        rc = add_strings(args, four, 4);
    } else {
        rc = add_strings(args, s->args, s->arg_count);
    }
    json_t *step = rc ? NULL
                      : json_pack("{s:s, s:O, s:b}", "type", types[s->kind], "args", args, "force",
                                  u->o->skips_cache);
    if (step && s->kind == RECIPE_COPY)
        rc = json_object_set_new(step, "filesHash", json_string(u->packs[i].hash));
    json_decref(args);
    if (!step || rc || json_array_append_new(u->steps, step) < 0)
        return client_fail(u->b, EILSEQ,
                           "%s:%u: a name of a file is not UTF-8; rename it, or leave it out",
                           u->file, s->line);
    return 0;
}

/* Sentences of the context are about this step from now on. */
static void go_to_step(struct build *u, uint32_t i)
{
    (void)snprintf(u->context.prefix, sizeof u->context.prefix, "%.40s:%u", u->file,
                   u->recipe.steps[i].line);
}

/* Every file is looked at before anything is sent. */
static int gather(struct build *u)
{
    u->packs = calloc(u->recipe.step_count + 1, sizeof *u->packs);
    u->steps = json_array();
    if (!u->packs || !u->steps)
        return client_no_memory(u->b);
    int rc = client_context_init(&u->context, u->b, u->o->context);
    for (uint32_t i = 0; !rc && (rc = client_stopped(u->b)) == 0 && i < u->recipe.step_count; i++) {
        go_to_step(u, i);
        if (u->recipe.steps[i].kind == RECIPE_COPY)
            rc = client_pack_init(&u->packs[i], &u->context, &u->recipe.steps[i]);
        if (!rc)
            rc = add_step(u, i);
    }
    return rc;
}

/* -- what the server is asked -- */

static int not_understood(struct build *u)
{
    return client_fail(u->b, EPROTO,
                       "the server's answer is not one to a build; is the URL right?");
}

/* Ids come into paths of URLs. */
static bool is_id(const char *id)
{
    static const char of[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    return id && id[0] && strlen(id) < 64 && strspn(id, of) == strlen(id);
}

static bool take_id(const json_t *o, const char *key, char out[64])
{
    struct str id;
    return json_get_str(o, key, &id) == 1 && str_copy(id, out, 64) && is_id(out);
}

static int ask_for_build(struct build *u)
{
    json_t *answer = NULL;
    json_t *body =
        json_pack("{s:s, s:i, s:i}", "name", u->o->name, "cpuCount", u->o->cpus ? u->o->cpus : 2,
                  "memoryMB", u->o->memory_mb ? u->o->memory_mb : 1024);
    if (!body)
        return client_fail(u->b, EILSEQ, "the name of the template is not UTF-8");
    int stop = u->b->stop; /* without the ids nobody could cancel it */
    u->b->stop = -1;
    int rc = client_api(u->b, "POST", "/v3/templates", body, &answer);
    u->b->stop = stop;
    if (!rc && (!take_id(answer, "templateID", u->template_id) ||
                !take_id(answer, "buildID", u->build_id)))
        rc = not_understood(u);
    json_decref(answer);
    u->is_asked = rc == 0;
    return rc;
}

static int send_archive(struct build *u, const json_t *link, struct client_pack *p)
{
    const char *url = json_string_value(json_object_get(link, "url")), *name;
    CLEANUP(fd_closep) int fd = -1;
    json_t *value;
    int64_t size;
    struct client_call c;
    int rc = url ? client_pack_write(p, &fd, &size) : not_understood(u);
    if (rc < 0)
        return rc;
    rc = client_call_init(&c, u->b, "PUT", url);
    c.in_fd = fd;
    c.in_size = size;
    json_object_foreach(json_object_get(link, "headers"), name, value)
    {
        if (json_is_string(value) && !str_ieq(str_of(name), STR("content-length")))
            client_call_field(&c, "%s: %s", name, json_string_value(value));
    }
    if (!rc)
        rc = client_call_start(&c, NULL, STR_NONE);
    if (!rc)
        rc = client_call_finish(&c);
    if (!rc && (c.status < 200 || c.status >= 300))
        rc = client_call_refused(&c);
    client_call_deinit(&c);
    if (!rc)
        say(u, "info", "%s: %zu files uploaded, %" PRId64 " bytes as archive", u->context.prefix,
            p->count, size);
    return rc;
}

static int upload(struct build *u, uint32_t i)
{
    struct client_pack *p = &u->packs[i];
    char path[192];
    json_t *link = NULL;
    go_to_step(u, i);
    (void)snprintf(path, sizeof path, "/templates/%s/files/%s", u->template_id, p->hash);
    int rc = client_api(u->b, "GET", path, NULL, &link);
    if (!rc && (!json_is_object(link) || !json_is_boolean(json_object_get(link, "present"))))
        rc = not_understood(u);
    if (!rc && !json_is_true(json_object_get(link, "present")))
        rc = send_archive(u, link, p);
    json_decref(link);
    return rc;
}

static int set_text(json_t *o, const char *key, struct str s)
{
    return s.n ? json_object_set_new(o, key, json_stringn(s.p, s.n)) : 0;
}

static int start(struct build *u)
{
    const struct recipe_dockerfile *r = &u->recipe;
    char path[192];
    (void)snprintf(path, sizeof path, "/v2/templates/%s/builds/%s", u->template_id, u->build_id);
    json_t *body = json_pack("{s:O, s:b}", "steps", u->steps, "force", u->o->skips_cache);
    if (!body || set_text(body, "fromImage", r->image) || set_text(body, "fromTemplate", r->from) ||
        set_text(body, "startCmd", r->start) || set_text(body, "readyCmd", r->ready)) {
        json_decref(body);
        return client_no_memory(u->b);
    }
    return client_api(u->b, "POST", path, body, NULL);
}

/* -- waiting -- */

/* New lines of the log. Their number. */
static size_t tell(struct build *u, const json_t *status)
{
    const json_t *entries = json_object_get(status, "logEntries"), *e;
    size_t i;
    json_array_foreach(entries, i, e)
    {
        const char *level = json_string_value(json_object_get(e, "level"));
        const char *line = json_string_value(json_object_get(e, "message"));
        said(u, level ? level : "info", line ? line : "");
    }
    u->offset += (int64_t)json_array_size(entries);
    return json_array_size(entries);
}

/* "Dockerfile:7: failed to run command ..." */
static int failed(struct build *u, const json_t *status)
{
    const json_t *reason = json_object_get(status, "reason");
    const char *message = json_string_value(json_object_get(reason, "message"));
    const char *step = json_string_value(json_object_get(reason, "step"));
    uint64_t n = 0;
    uint32_t line = 0;
    if (step && str_to_u64(str_of(step), u->recipe.step_count, &n) && n)
        line = u->recipe.steps[n - 1].line;
    if (step && strcmp(step, "base") == 0)
        line = u->recipe.from_line;
    message = message ? message : "the build failed, and the server does not say why";
    u->b->status = 0;
    if (line)
        return client_fail(u->b, ECANCELED, "%s:%u: %s", u->file, line, message);
    return client_fail(u->b, ECANCELED, "%s", message);
}

static int follow(struct build *u)
{
    int wait_ms = 10;
    for (;;) {
        char path[256];
        json_t *status = NULL;
        struct str state;
        (void)snprintf(path, sizeof path, "/templates/%s/builds/%s/status?logsOffset=%" PRId64,
                       u->template_id, u->build_id, u->offset);
        int rc = client_api(u->b, "GET", path, NULL, &status);
        if (!rc && json_get_str(status, "status", &state) != 1)
            rc = not_understood(u);
        size_t lines = rc ? 0 : tell(u, status);
        bool is_over = !rc && (str_eq(state, STR("ready")) || str_eq(state, STR("error")));
        u->is_asked = !is_over;
        if (is_over && !lines && str_eq(state, STR("error")))
            rc = failed(u, status);
        json_decref(status);
        if (rc || (is_over && !lines)) /* all of its log was told */
            return rc;
        if (is_over || lines >= LIMIT_LIST_PAGE)
            continue;
        rc = client_pause(u->b, wait_ms);
        if (rc)
            return rc;
        wait_ms = wait_ms * 2 < LIMIT_BUILD_POLL_MS ? wait_ms * 2 : LIMIT_BUILD_POLL_MS;
    }
}

/* -- giving up -- */

int belljar_build_cancel(struct belljar *b, const char *template_id, const char *build_id)
{
    char path[256];
    b->status = 0;
    if (!is_id(template_id) || !is_id(build_id))
        return client_fail(b, EINVAL, "such an id no template and no build has");
    (void)snprintf(path, sizeof path, "/templates/%s/builds/%s/cancel", template_id, build_id);
    return client_api(b, "POST", path, NULL, NULL);
}

/* Who gave up is not going to hear how it ends. */
static int cancel(struct build *u)
{
    struct belljar *b = u->b;
    int stop = b->stop;
    b->stop = -1;
    int rc = belljar_build_cancel(b, u->template_id, u->build_id);
    b->stop = stop;
    b->status = 0;
    if (rc == 0)
        return client_fail(b, ECANCELED, "the build was cancelled");
    if (rc == -EBUSY)
        return client_fail(b, ECANCELED, "the build had ended before it was cancelled");
    CLEANUP(freep) char *why = strdup(b->error);
    return client_fail(b, ECANCELED, "the build goes on, it cannot be cancelled: %s",
                       why ? why : "memory is out");
}

/* -- the whole -- */

static int run(struct build *u, const char *dockerfile)
{
    u->b->status = 0;
    if (!u->o->name || !*u->o->name)
        return client_fail(u->b, EINVAL, "a template needs a name");
    int rc = client_need(u->b, dockerfile, "the text of the Dockerfile");
    if (!rc)
        rc = read_dockerfile(u, dockerfile);
    if (!rc)
        rc = gather(u);
    if (!rc)
        rc = ask_for_build(u);
    for (uint32_t i = 0; !rc && i < u->recipe.step_count; i++)
        if (u->recipe.steps[i].kind == RECIPE_COPY)
            rc = upload(u, i);
    if (!rc)
        rc = start(u);
    if (!rc)
        rc = follow(u);
    return rc && u->is_asked && client_stopped(u->b) == -ECANCELED ? cancel(u) : rc;
}

char *belljar_build(struct belljar *b, const char *dockerfile,
                    const struct belljar_build_options *o)
{
    static const struct belljar_build_options none;
    struct build u = { .b = b, .o = o ? o : &none };
    char *out = NULL;
    u.file = u.o->file ? u.o->file : "Dockerfile";
    arena_init(&u.mem, 0);
    if (run(&u, dockerfile) == 0) {
        out = strdup(u.template_id);
        if (!out)
            (void)client_no_memory(b);
    }
    for (uint32_t i = 0; u.packs && i < u.recipe.step_count; i++)
        if (u.packs[i].context)
            client_pack_deinit(&u.packs[i]);
    free(u.packs);
    json_decref(u.steps);
    client_context_deinit(&u.context);
    arena_deinit(&u.mem);
    return out;
}
