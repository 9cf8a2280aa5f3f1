#include "agent/env.h"

#include "agent/path.h"
#include "wire/connect.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct env_var {
    struct str name, value;
    struct env_var *next; /* newest first */
};

void env_init(struct env *e, struct arena *a)
{
    *e = (struct env){ .mem = a };
    map_init(&e->names);
}

void env_deinit(struct env *e) { map_deinit(&e->names); }

void env_set(struct env *e, struct str name, struct str value)
{
    struct env_var *v = map_get(&e->names, name);
    if (!v && name.n) {
        v = arena_alloc(e->mem, sizeof *v);
        if (!v || !(v->name = name, map_put(&e->names, name, v))) {
            e->failed = true;
            return;
        }
        v->next = e->vars;
        e->vars = v;
        e->count++;
    }
    if (v)
        v->value = value;
}

static void set_one(void *data, struct str name, struct str value) { env_set(data, name, value); }

bool env_fill(struct env *e, const struct identity *id, const struct user *u,
              const struct message_list *request)
{
    const struct message_pair *p = request->at;
    env_set(e, STR("PATH"), STR(DEFAULT_PATH));
    env_set(e, STR("HOME"), u->home);
    env_set(e, STR("USER"), u->name);
    env_set(e, STR("LOGNAME"), u->name);
    identity_envs(id, set_one, e);
    for (uint32_t i = 0; i < request->count; i++)
        env_set(e, p[i].key, p[i].value);
    return !e->failed;
}

void env_fill_global(struct env *e, const struct identity *id) { identity_envs(id, set_one, e); }

void env_print(const struct env *e, struct buf *b)
{
    (void)buf_byte(b, '{');
    for (const struct env_var *v = e->vars; v; v = v->next) {
        connect_string_put(b, v->name);
        (void)buf_byte(b, ':');
        connect_string_put(b, v->value);
        if (v->next)
            (void)buf_byte(b, ',');
    }
    (void)buf_byte(b, '}');
}

char **env_array(struct env *e)
{
    char **out = arena_alloc(e->mem, (e->count + 1) * sizeof *out);
    uint32_t at = e->count;
    for (struct env_var *v = e->vars; out && v; v = v->next) {
        char *p = arena_alloc(e->mem, v->name.n + v->value.n + 2);
        if (!p)
            return NULL;
        memcpy(p, v->name.p, v->name.n);
        p[v->name.n] = '=';
        if (v->value.n)
            memcpy(p + v->name.n + 1, v->value.p, v->value.n);
        out[--at] = p;
    }
    return out;
}

char **env_candidates(struct env *e, struct str cmd)
{
    const struct env_var *path = map_get(&e->names, STR("PATH"));
    struct str rest = path ? path->value : STR_NONE, dir;
    if (cmd.n == 0 || memchr(cmd.p, '/', cmd.n))
        rest = STR_NONE;
    size_t count = 2;
    for (size_t i = 0; i < rest.n; i++)
        count += rest.p[i] == ':';
    char **out = arena_alloc(e->mem, (count + 1) * sizeof *out);
    if (!out)
        return NULL;
    size_t at = 0;
    while (rest.n) {
        (void)str_cut(rest, ':', &dir, &rest);
        struct str p = path_join(e->mem, dir.n ? dir : STR("."), cmd);
        if (!p.p)
            return NULL;
        out[at++] = (char *)(uintptr_t)p.p;
    }
    if (at == 0)
        out[at++] = (char *)(uintptr_t)cmd.p;
    return out;
}
