#include "recipe/recipe.h"

#include <string.h>

#include "gen/limits.h"
#include "recipe/recipe_internal.h"
#include "wire/json.h"

static const struct {
    struct str type;
    enum recipe_kind kind;
} kinds[] = {
    { { "RUN", 3 }, RECIPE_RUN },   { { "COPY", 4 }, RECIPE_COPY },
    { { "ADD", 3 }, RECIPE_COPY },  { { "ENV", 3 }, RECIPE_ENV },
    { { "ARG", 3 }, RECIPE_ENV },   { { "WORKDIR", 7 }, RECIPE_WORKDIR },
    { { "USER", 4 }, RECIPE_USER },
};

static int wrong(struct op *op, const char *what, const char *must)
{
    return op_fail(op, FAULT_INVALID, EINVAL, "validation error: %s must be %s", what, must);
}

static int copy(struct op *op, struct arena *a, struct str in, struct str *out)
{
    char *p = arena_str(a, in);
    if (!p)
        return op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    *out = str_make(p, in.n);
    return 0;
}

/* A text member; absent: empty. */
static int get_text(struct op *op, struct arena *a, const json_t *o, const char *key,
                    struct str *out)
{
    struct str text;
    int r = json_get_str(o, key, &text);
    *out = STR_NONE;
    if (r < 0 || (r == 1 && memchr(text.p, 0, text.n)))
        return wrong(op, key, "a string without NUL");
    return r == 1 ? copy(op, a, text, out) : 0;
}

static int read_type(struct op *op, struct arena *a, const json_t *o, struct recipe_step *s)
{
    int r = get_text(op, a, o, "type", &s->type);
    if (r < 0)
        return r;
    char *p = arena_str(a, s->type);
    if (!p)
        return op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    for (size_t i = 0; i < s->type.n; i++)
        if (p[i] >= 'a' && p[i] <= 'z')
            p[i] = (char)(p[i] - 'a' + 'A');
    s->type.p = p;
    s->kind = RECIPE_UNKNOWN;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_eq(s->type, kinds[i].type))
            s->kind = kinds[i].kind;
    return 0;
}

static int read_args(struct op *op, struct arena *a, const json_t *o, struct recipe_step *s)
{
    const json_t *args = json_object_get(o, "args");
    if (!args || json_is_null(args))
        return 0;
    if (!json_is_array(args))
        return wrong(op, "args of a step", "an array of strings");
    s->arg_count = (uint32_t)json_array_size(args);
    s->args = arena_alloc(a, (s->arg_count + 1) * sizeof *s->args);
    if (!s->args)
        return op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    for (uint32_t i = 0; i < s->arg_count; i++) {
        const json_t *v = json_array_get(args, i);
        struct str text = str_make(json_string_value(v), json_string_length(v));
        if (!json_is_string(v) || memchr(text.p, 0, text.n))
            return wrong(op, "args of a step", "an array of strings without NUL");
        int r = copy(op, a, text, &s->args[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_step(struct op *op, struct arena *a, const json_t *o, struct recipe_step *s)
{
    if (!json_is_object(o))
        return wrong(op, "steps", "an array of objects");
    int r = read_type(op, a, o, s);
    if (r == 0)
        r = read_args(op, a, o, s);
    if (r == 0)
        r = get_text(op, a, o, "filesHash", &s->files);
    if (r == 0 && json_get_bool(o, "force", &s->is_forced) < 0)
        r = wrong(op, "force of a step", "true or false");
    return r;
}

static int read_steps(struct op *op, struct arena *a, const json_t *body, struct recipe *out)
{
    const json_t *steps = json_object_get(body, "steps");
    bool is_forced = out->is_forced;
    if (!steps || json_is_null(steps))
        return 0;
    if (!json_is_array(steps))
        return wrong(op, "steps", "an array of objects");
    if (json_array_size(steps) > LIMIT_BUILD_STEPS)
        return op_fail(op, FAULT_INVALID, EINVAL, "a build may have at most %d steps",
                       LIMIT_BUILD_STEPS);
    out->step_count = (uint32_t)json_array_size(steps);
    out->steps = arena_alloc(a, (out->step_count + 1) * sizeof *out->steps);
    if (!out->steps)
        return op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    for (uint32_t i = 0; i < out->step_count; i++) {
        int r = read_step(op, a, json_array_get(steps, i), &out->steps[i]);
        if (r < 0)
            return r;
        is_forced = out->steps[i].is_forced = is_forced || out->steps[i].is_forced;
    }
    return 0;
}

/* Google's registries take the whole file of a service account for a password. */
static int check_gcp(struct op *op, struct recipe *out)
{
    struct str unused;
    json_t *v = json_parse(out->registry_password, NULL);
    bool good = json_get_str(v, "client_email", &unused) == 1 &&
                json_get_str(v, "private_key", &unused) == 1;
    json_decref(v);
    out->registry_user = STR("_json_key");
    return good ? 0
                : op_fail(
                      op, FAULT_INVALID, EINVAL,
                      "fromImageRegistry.serviceAccountJson is not the key of a service account");
}

static int check_aws(struct op *op, struct recipe *out)
{
    static const char of_regions[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    bool good = out->aws_region.n > 0 && out->aws_region.n <= 32;
    for (size_t i = 0; i < out->aws_region.n; i++)
        good = good && memchr(of_regions, out->aws_region.p[i], sizeof of_regions - 1);
    return good ? 0
                : op_fail(op, FAULT_INVALID, EINVAL,
                          "fromImageRegistry.awsRegion must be a region like eu-central-1");
}

/* templates.md 1.4 and 9.6 */
static const struct registry {
    const char *type, *user, *password, *region; /* names of the fields; NULL: it has none */
    int (*check)(struct op *op, struct recipe *out);
} registries[] = {
    { "registry", "username", "password", NULL, NULL },
    { "aws", "awsAccessKeyId", "awsSecretAccessKey", "awsRegion", check_aws },
    { "gcp", NULL, "serviceAccountJson", NULL, check_gcp },
};

static int get_part(struct op *op, struct arena *a, const json_t *o, const char *key,
                    struct str *out)
{
    int r = key ? get_text(op, a, o, key, out) : 0;
    if (r == 0 && key && !out->n)
        r = op_fail(op, FAULT_INVALID, EINVAL, "fromImageRegistry.%s is missing", key);
    return r;
}

static int read_registry(struct op *op, struct arena *a, const json_t *body, struct recipe *out)
{
    const json_t *o = json_object_get(body, "fromImageRegistry");
    struct str type;
    if (!o || json_is_null(o))
        return 0;
    int r = json_is_object(o) ? get_text(op, a, o, "type", &type)
                              : wrong(op, "fromImageRegistry", "an object");
    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof registries / sizeof *registries; i++) {
        const struct registry *g = &registries[i];
        if (!str_eq(type, str_of(g->type)))
            continue;
        if ((r = get_part(op, a, o, g->user, &out->registry_user)) == 0 &&
            (r = get_part(op, a, o, g->password, &out->registry_password)) == 0 &&
            (r = get_part(op, a, o, g->region, &out->aws_region)) == 0)
            r = g->check ? g->check(op, out) : 0;
        return r;
    }
    return wrong(op, "fromImageRegistry.type", "'registry', 'aws' or 'gcp'");
}

int recipe_parse(struct op *op, struct arena *a, const json_t *body, struct recipe *out)
{
    *out = (struct recipe){ 0 };
    int r = get_text(op, a, body, "fromImage", &out->image);
    if (r == 0)
        r = get_text(op, a, body, "fromTemplate", &out->from);
    if (r < 0)
        return r;
    if (!out->image.n == !out->from.n)
        return op_fail(op, FAULT_INVALID, EINVAL, "Error when starting template build: %s",
                       out->image.n ? "cannot specify both fromImage and fromTemplate"
                                    : "must specify either fromImage or fromTemplate");
    if (json_get_bool(body, "force", &out->is_forced) < 0)
        return wrong(op, "force", "true or false");
    r = get_text(op, a, body, "startCmd", &out->start);
    if (r == 0)
        r = get_text(op, a, body, "readyCmd", &out->ready);
    if (r == 0)
        r = read_registry(op, a, body, out);
    out->has_start = out->start.n || out->ready.n;
    return r < 0 ? r : read_steps(op, a, body, out);
}

/* -- checks -- */

bool recipe_is_name_byte(char c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!is_first && c >= '0' && c <= '9');
}

bool recipe_is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!recipe_is_name_byte(s.p[i], i == 0))
            return false;
    return s.n > 0;
}

static bool is_hash(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr("0123456789abcdef", s.p[i], 16))
            return false;
    return s.n == 64;
}

static bool is_mode(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '7')
            return false;
    return s.n <= 4;
}

/* It leads out of the directory that was uploaded. */
static bool leaves(struct str path)
{
    struct str part;
    while (path.n) {
        (void)str_cut(path, '/', &part, &path);
        if (str_eq(part, STR("..")))
            return true;
    }
    return false;
}

static const char *check_copy(const struct recipe_step *s)
{
    if (s->arg_count < 2 || s->arg_count > 4)
        return "COPY needs a source and a destination";
    if (!is_hash(s->files))
        return "COPY needs the hash of its uploaded files";
    if (leaves(s->args[0]))
        return "the source of COPY leaves the directory of the build";
    if (!s->args[1].n)
        return "the destination of COPY is empty";
    if (s->arg_count > 3 && !is_mode(s->args[3]))
        return "the mode of COPY must be octal, like 0755";
    if (s->arg_count > 2 && s->args[2].n && (s->args[2].p[0] == '-' || s->args[2].n > 256))
        return "the owner of COPY is not valid";
    return NULL;
}

static const char *check_env(const struct recipe_step *s)
{
    if (s->arg_count == 0 || s->arg_count % 2)
        return "ENV needs pairs of a name and a value";
    for (uint32_t i = 0; i < s->arg_count; i += 2)
        if (!recipe_is_name(s->args[i]))
            return "a name of ENV is not a valid name of a variable";
    return NULL;
}

bool recipe_check(const struct recipe_step *s, char why[RECIPE_WHY_SIZE])
{
    const char *text = NULL;
    switch (s->kind) {
    case RECIPE_RUN:
        text = s->arg_count < 1 || !s->args[0].n ? "RUN needs a command" : NULL;
        break;
    case RECIPE_COPY:
        text = check_copy(s);
        break;
    case RECIPE_ENV:
        text = check_env(s);
        break;
    case RECIPE_WORKDIR:
        text = s->arg_count < 1 || !s->args[0].n ? "WORKDIR needs a path" : NULL;
        break;
    case RECIPE_USER:
        text = s->arg_count < 1 || !s->args[0].n ? "USER needs a name" : NULL;
        break;
    case RECIPE_UNKNOWN:
        (void)snprintf(why, RECIPE_WHY_SIZE, "command type " STR_FMT " is not implemented",
                       STR_ARG(s->type.n > 64 ? str_make(s->type.p, 64) : s->type));
        return false;
    }
    if (text)
        (void)snprintf(why, RECIPE_WHY_SIZE, "%s", text);
    return !text;
}
