#include "sandbox/template.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "store/store_job.h"
#include "wire/json.h"

/* Names that SDKs ask for and that another template serves until $STATE/templates has them. */
static const struct {
    const char *alias, *name;
} aliases[] = {
    { "code-interpreter-v1", "base" },
    { "code-interpreter", "code-interpreter-v1" },
};

static bool copy_part(struct str s, bool dots, char out[TEMPLATE_NAME_SIZE])
{
    if (s.n == 0 || s.n >= TEMPLATE_NAME_SIZE)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                    (dots && c == '.');
        if (!good)
            return false;
        out[i] = c;
    }
    out[s.n] = '\0';
    return true;
}

int template_ref_parse(struct str text, struct template_ref *out)
{
    *out = (struct template_ref){ 0 };
    while (text.n > 0 && strchr(" \t\r\n", text.p[0]))
        text = str_skip(text, 1);
    while (text.n > 0 && strchr(" \t\r\n", text.p[text.n - 1]))
        text.n--;
    struct str space, rest, name, tag;
    if (str_cut(text, '/', &space, &rest)) {
        if (!copy_part(space, false, out->space))
            return -EINVAL;
    } else {
        rest = text;
    }
    if (str_cut(rest, ':', &name, &tag) && !copy_part(tag, true, out->tag))
        return -EINVAL;
    return copy_part(name, false, out->name) ? 0 : -EINVAL;
}

static bool has_rootfs(const char *state, const char *name, char *rootfs)
{
    char path[PATH_MAX], real[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/templates/%s/rootfs", state, name);
    if (n < 0 || (size_t)n >= sizeof path || !realpath(path, real))
        return false;
    if (rootfs)
        memcpy(rootfs, real, strlen(real) + 1);
    return true;
}

/* The name under which `name` is there, following aliases; NULL: nothing is. */
static const char *real_name(const char *state, const char *name, char *rootfs)
{
    for (size_t hops = 0; hops <= sizeof aliases / sizeof *aliases; hops++) {
        if (has_rootfs(state, name, rootfs))
            return name;
        const char *next = NULL;
        for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
            if (strcmp(name, aliases[i].alias) == 0)
                next = aliases[i].name;
        if (!next)
            return NULL;
        name = next;
    }
    return NULL;
}

static bool is_own(const struct template_ref *ref)
{
    return ref->space[0] == '\0' || strcmp(ref->space, TEMPLATE_SPACE) == 0;
}

void template_deinit(struct template *t)
{
    free(t->layers);
    json_decref(t->config);
    t->layers = NULL;
    t->config = NULL;
}

json_t *template_config(const json_t *config)
{
    static const char *const texts[] = { "startCmd", "readyCmd", "user", "workdir" };
    static const char *const numbers[] = { "cpus", "memoryMB" };
    static const char *const maps[] = { "envs", "buildEnvs" };
    json_t *out = json_object(), *envs;
    struct str text;
    int64_t number;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (json_get_str(config, texts[i], &text) == 1 && text.n)
            (void)json_object_set(out, texts[i], json_object_get(config, texts[i]));
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        if (json_get_map(config, maps[i], &envs) == 1)
            (void)json_object_set(out, maps[i], envs);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (json_get_int(config, numbers[i], &number) == 1 && number > 0)
            (void)json_object_set(out, numbers[i], json_object_get(config, numbers[i]));
    return out;
}

uint32_t template_layer_count(const char *layers)
{
    uint32_t n = layers && *layers;
    for (; layers && *layers; layers++)
        n += *layers == ',';
    return n;
}

/* -- built-in ones -- */

/* What the template's template.json says; a file that is not understood is said once per create and
 * taken for none: the template is usable without. NULL: none. */
static json_t *read_config(const char *state, const char *name)
{
    char path[PATH_MAX];
    json_error_t e;
    int n = snprintf(path, sizeof path, "%s/templates/%s/template.json", state, name);
    if (n < 0 || (size_t)n >= sizeof path || access(path, F_OK) != 0)
        return NULL;
    json_t *v = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(v))
        log_warn("%s is not understood: %s", path, v ? "it is no object" : e.text);
    json_t *config = json_is_object(v) ? template_config(v) : NULL;
    json_decref(v);
    return config;
}

static void finish(struct template *t, const char *id, const char *alias)
{
    char cas[PATH_MAX + sizeof TEMPLATE_CAS];
    (void)snprintf(cas, sizeof cas, "%s" TEMPLATE_CAS, t->rootfs);
    t->has_cas = access(cas, F_OK) == 0;
    (void)str_copy(str_of(id), t->id, sizeof t->id);
    (void)str_copy(str_of(alias), t->alias, sizeof t->alias);
}

static int no_tag(struct op *op, const struct template_ref *ref)
{
    (void)op_fail(op, FAULT_NOT_FOUND, ENOENT, "tag '%s' does not exist for template '%s'",
                  ref->tag[0] ? ref->tag : TEMPLATE_DEFAULT_TAG, ref->name);
    return -ENOENT;
}

/* 1 found, 0 there is none of that name, or a negative errno. */
static int find_builtin(struct op *op, const struct templates *in, const struct template_ref *ref,
                        struct template *out)
{
    const char *name = is_own(ref) ? real_name(in->state, ref->name, out->rootfs) : NULL;
    if (!name)
        return 0;
    if (ref->tag[0] && strcmp(ref->tag, TEMPLATE_DEFAULT_TAG) != 0)
        return no_tag(op, ref);
    finish(out, name, ref->name);
    out->config = read_config(in->state, name);
    return 1;
}

/* -- those of the store -- */

static int copy_build(void *data, const struct store_build *b)
{
    struct template *t = data;
    json_t *config = json_parse(str_of(b->config), NULL);
    t->config = template_config(config);
    json_decref(config);
    t->layers = b->layers[0] ? str_dup(str_of(b->layers)) : NULL;
    if (!t->config || (b->layers[0] && !t->layers) ||
        !str_copy(str_of(b->rootfs), t->rootfs, sizeof t->rootfs))
        return -ENOMEM;
    finish(t, b->template_id, b->name ? b->name : "");
    return 0;
}

/* The store's id of what `ref` names: by name, then, without a namespace, by id. 1, 0 or < 0. */
static int stored_id(const struct templates *in, const struct template_ref *ref, bool by_id,
                     char id[TEMPLATE_NAME_SIZE])
{
    if (!in->store || !is_own(ref) || (by_id && ref->space[0]))
        return 0;
    return by_id ? store_template_by_id(in->store, ref->name, id, TEMPLATE_NAME_SIZE)
                 : store_template_by_name(in->store, ref->name, id, TEMPLATE_NAME_SIZE);
}

static int on_tag(void *data, const struct store_build *b)
{
    (void)data;
    (void)b;
    return 1;
}

/* Some tag of it names a build. */
static bool has_build(const struct templates *in, const char *id)
{
    return store_tag_each(in->store, id, on_tag, NULL) == 1;
}

int template_find(struct op *op, const struct templates *in, const struct template_ref *ref,
                  struct template *out)
{
    char id[TEMPLATE_NAME_SIZE];
    int r = stored_id(in, ref, false, id);
    bool is_unready = r > 0 && !has_build(in, id);
    if (r == 0 || is_unready) { /* one whose builds have all failed hides no built-in one */
        r = find_builtin(op, in, ref, out);
        if (r != 0)
            return r > 0 ? 0 : r;
        r = is_unready ? 1 : stored_id(in, ref, true, id);
    }
    if (r == 0) {
        (void)op_fail(op, FAULT_NOT_FOUND, ENOENT, "template '%s%s%s' not found", ref->space,
                      ref->space[0] ? "/" : "", ref->name);
        return -ENOENT;
    }
    if (r > 0)
        r = store_build_tagged(in->store, id, ref->tag[0] ? ref->tag : TEMPLATE_DEFAULT_TAG,
                               copy_build, out);
    if (r == 0)
        return no_tag(op, ref);
    return r > 0 ? 0 : op_fail(op, FAULT_UNAVAILABLE, -r, "the template cannot be read");
}

bool template_resolve(const struct templates *in, const struct template_ref *ref,
                      char id[TEMPLATE_NAME_SIZE], bool *is_builtin)
{
    const char *name = is_own(ref) ? real_name(in->state, ref->name, NULL) : NULL;
    bool is_stored = stored_id(in, ref, false, id) > 0 && (!name || has_build(in, id));
    if (!is_stored && !name)
        is_stored = stored_id(in, ref, true, id) > 0;
    if (is_builtin)
        *is_builtin = !is_stored && name;
    if (!is_stored && name)
        memcpy(id, name, strlen(name) + 1);
    return is_stored || name;
}
