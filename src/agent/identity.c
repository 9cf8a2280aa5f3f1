#include "agent/identity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/schema.h"
#include "base/cleanup.h"

static bool copy_str(struct arena *a, struct str from, struct str *out)
{
    char *p = arena_str(a, from);
    *out = str_make(p, from.n);
    return p != NULL;
}

static bool copy_pairs(struct arena *a, const struct message_list *from, struct message_list *out)
{
    const struct message_pair *in = from->at;
    struct message_pair *at = arena_alloc(a, from->count * sizeof *at);
    if (!at)
        return false;
    for (uint32_t i = 0; i < from->count; i++)
        if (!copy_str(a, in[i].key, &at[i].key) || !copy_str(a, in[i].value, &at[i].value))
            return false;
    *out = (struct message_list){ at, from->count };
    return true;
}

bool identity_apply(struct identity *id, const struct schema_boot *b)
{
    struct identity next = { 0 };
    struct arena *a = &next.mem;
    arena_init(a, 0);
    bool ok =
        copy_str(a, b->has_sandbox_id ? b->sandbox_id : id->sandbox_id, &next.sandbox_id) &&
        copy_str(a, b->has_template_id ? b->template_id : id->template_id, &next.template_id) &&
        copy_str(a, b->has_events ? b->events : id->events, &next.events) &&
        copy_str(a, b->has_token ? b->token : id->token, &next.token) &&
        copy_str(a, b->has_user ? b->user : id->user, &next.user) &&
        copy_str(a, b->has_workdir ? b->workdir : id->workdir, &next.workdir) &&
        copy_pairs(a, b->has_system ? &b->system : &id->system, &next.system) &&
        copy_pairs(a, b->has_envs ? &b->envs : &id->envs, &next.envs);
    if (!ok) {
        arena_deinit(a);
        return false;
    }
    arena_deinit(&id->mem);
    *id = next;
    return true;
}

static void each(const struct message_list *l, void (*fn)(void *, struct str, struct str),
                 void *data)
{
    const struct message_pair *p = l->at;
    for (uint32_t i = 0; i < l->count; i++)
        fn(data, p[i].key, p[i].value);
}

void identity_envs(const struct identity *id, void (*fn)(void *, struct str, struct str),
                   void *data)
{
    each(&id->system, fn, data);
    each(&id->envs, fn, data);
    fn(data, STR("E2B_SANDBOX"), STR("true"));
    fn(data, STR("E2B_SANDBOX_ID"), id->sandbox_id);
    fn(data, STR("E2B_TEMPLATE_ID"), id->template_id);
    fn(data, STR("E2B_EVENTS_ADDRESS"), id->events.n ? id->events : STR("http://events.e2b.local"));
}

static void write_file(const char *path, struct str text)
{
    (void)unlink(path); /* an old one is read-only, and may be a link somebody planted */
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    ssize_t n = fd >= 0 ? write(fd, text.p, text.n) : 0;
    (void)n;
}

void identity_write_files(const struct identity *id)
{
    (void)mkdir("/run/e2b", 0755);
    write_file("/run/e2b/.E2B_SANDBOX", STR("true"));
    write_file("/run/e2b/.E2B_SANDBOX_ID", id->sandbox_id);
    write_file("/run/e2b/.E2B_TEMPLATE_ID", id->template_id);
}
