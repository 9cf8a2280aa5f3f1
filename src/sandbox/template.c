#include "sandbox/template.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Explicit namespace of everything on this server; there is one team. */
#define OWN_SPACE "belljar"

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
    return ref->space[0] == '\0' || strcmp(ref->space, OWN_SPACE) == 0;
}

int template_find(struct op *op, const char *state, const struct template_ref *ref,
                  struct template *out)
{
    const char *name = is_own(ref) ? real_name(state, ref->name, out->rootfs) : NULL;
    if (!name) {
        (void)op_fail(op, FAULT_NOT_FOUND, ENOENT, "template '%s%s%s' not found", ref->space,
                      ref->space[0] ? "/" : "", ref->name);
        return -ENOENT;
    }
    if (ref->tag[0] && strcmp(ref->tag, "default") != 0) {
        (void)op_fail(op, FAULT_NOT_FOUND, ENOENT, "tag '%s' does not exist for template '%s'",
                      ref->tag, ref->name);
        return -ENOENT;
    }
    char cas[PATH_MAX + sizeof TEMPLATE_CAS];
    (void)snprintf(cas, sizeof cas, "%s" TEMPLATE_CAS, out->rootfs);
    out->has_cas = access(cas, F_OK) == 0;
    memcpy(out->id, name, strlen(name) + 1);
    memcpy(out->alias, ref->name, sizeof out->alias);
    return 0;
}

bool template_resolve(const char *state, const struct template_ref *ref,
                      char id[TEMPLATE_NAME_SIZE])
{
    const char *name = is_own(ref) ? real_name(state, ref->name, NULL) : NULL;
    if (name)
        memcpy(id, name, strlen(name) + 1);
    return name != NULL;
}
