/* POST /sandboxes and POST /v2/sandboxes. Every default is the server's: the SDKs of today send
 * only what their user chose (delta.md 1). */
#include <string.h>

#include "api/api_internal.h"
#include "wire/json.h"

enum {
    TIMEOUT_V1_S = 15,
    TIMEOUT_V2_S = 300,
    WAIT_MS = 15000, /* for an engine that is being restarted */
    TOKENS = 5,
};

static int read_template(struct api_call *c, const json_t *body, struct sandbox_spec *spec)
{
    struct str text;
    struct template_ref ref;
    int r = api_field_str(&c->op, body, "templateID", &text);
    if (r < 0)
        return r;
    if (r == 0)
        return api_invalid(&c->op, "templateID is missing");
    if (template_ref_parse(text, &ref) < 0) {
        if (text.n > 100)
            text.n = 100;
        return op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid template reference: " STR_FMT,
                       STR_ARG(text));
    }
    struct templates in = fleet_templates(c->api->spec.fleet);
    r = template_find(&c->op, &in, &ref, &spec->template);
    if (r < 0)
        return r;
    int64_t cpus = json_integer_value(json_object_get(spec->template.config, "cpus"));
    int64_t memory_mb = json_integer_value(json_object_get(spec->template.config, "memoryMB"));
    if (cpus > 0)
        spec->cpus_milli = (uint64_t)cpus * 1000;
    if (memory_mb > 0)
        spec->memory_bytes = (uint64_t)memory_mb << 20;
    return 0;
}

/* autoPause, autoPauseMemory, autoResume. */
static int read_lifecycle(struct op *op, const json_t *body, struct sandbox_spec *spec)
{
    json_t *resume;
    bool memory = true;
    int r = api_field_object(op, body, "autoResume", &resume);
    if (r < 0 || api_field_bool(op, body, "autoPause", &spec->auto_pause) < 0 ||
        api_field_bool(op, body, "autoPauseMemory", &memory) < 0)
        return -EINVAL;
    if (r == 1) {
        r = json_get_bool(resume, "enabled", &spec->auto_resume);
        if (r <= 0)
            return api_invalid(op, "autoResume.enabled %s",
                               r < 0 ? "must be true or false" : "is missing");
    }
    if (memory)
        return 0;
    if (!spec->auto_pause)
        return api_invalid(op, "autoPauseMemory false needs autoPause true");
    if (spec->auto_resume)
        return api_invalid(op, "autoPauseMemory false and autoResume.enabled exclude each other");
    spec->drops_memory = true;
    return 0;
}

/* startCmd and readyCmd, extensions: instead of the template's; "" for none. */
static int read_commands(struct op *op, const json_t *body, struct sandbox_spec *spec)
{
    static const char *const keys[] = { "startCmd", "readyCmd" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct str text;
        int r = api_field_str(op, body, keys[i], &text);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        spec->is_one_off = true;
        if (!spec->template.config)
            spec->template.config = json_object();
        r = text.n ? json_object_set(spec->template.config, keys[i], json_object_get(body, keys[i]))
                   : (json_object_del(spec->template.config, keys[i]), 0);
        if (r < 0)
            return op_fail(op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    }
    return 0;
}

/* Identities for workloads: checked, then refused, for they cannot be handed out here. */
static int read_iam(struct op *op, const json_t *body)
{
    json_t *iam, *tokens, *token;
    const char *name;
    struct str text;
    int r = api_field_object(op, body, "iam", &iam);
    if (r == 1)
        r = api_field_object(op, iam, "tokens", &tokens);
    if (r <= 0)
        return r;
    if (json_object_size(tokens) > TOKENS)
        return api_invalid(op, "iam.tokens has more than %d entries", TOKENS);
    json_object_foreach(tokens, name, token)
    {
        bool good = json_is_object(token) && json_get_str(token, "audience", &text) == 1;
        if (!good)
            return api_invalid(op, "iam.tokens.%.64s.audience must be a string", name);
        if (json_get_str(token, "tokenType", &text) != 1 || !str_eq(text, STR("JWT-SVID")))
            return api_invalid(op, "iam.tokens.%.64s.tokenType must be JWT-SVID", name);
    }
    if (json_object_size(tokens))
        return op_fail(op, FAULT_UNSUPPORTED, ENOSYS, "iam.tokens is not there on this server");
    return 0;
}

static int read_mounts(struct op *op, const json_t *body)
{
    json_t *mounts = json_object_get(body, "volumeMounts");
    struct str name, path;
    if (!mounts || json_is_null(mounts))
        return 0;
    if (!json_is_array(mounts))
        return api_invalid(op, "volumeMounts must be an array");
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        const json_t *m = json_array_get(mounts, i);
        if (!json_is_object(m) || json_get_str(m, "name", &name) != 1 ||
            json_get_str(m, "path", &path) != 1)
            return api_invalid(op, "volumeMounts[%zu] must have name and path, both strings", i);
        if (name.n > 100)
            name.n = 100;
        return op_fail(op, FAULT_INVALID, EINVAL, "volume '" STR_FMT "' not found", STR_ARG(name));
    }
    return 0;
}

static bool is_env_name(const char *name) { return name[0] && !strchr(name, '='); }

static int read_maps(struct op *op, const json_t *body, struct sandbox_spec *spec)
{
    json_t *envs, *metadata, *value;
    const char *name;
    if (api_field_map(op, body, "envVars", LIMIT_SANDBOX_ENVS, &envs) < 0 ||
        api_field_map(op, body, "metadata", LIMIT_SANDBOX_METADATA, &metadata) < 0)
        return -EINVAL;
    json_object_foreach(envs, name, value) if (!is_env_name(name)) return api_invalid(
        op, "envVars has a name that is empty or holds '='");
    if (envs) {
        json_decref(spec->envs);
        spec->envs = json_incref(envs);
    }
    if (metadata) {
        json_decref(spec->metadata);
        spec->metadata = json_incref(metadata);
    }
    return 0;
}

/* What the agent is told must fit one message. */
static int check_boot(struct api_call *c, const struct sandbox_spec *spec)
{
    struct buf *b = &c->api->out;
    buf_reset(b);
    bool good = sandbox_spec_boot(b, spec, "i00000000000000000000", spec->template.id, false, 0);
    if (!good || buf_used(b) + 256 > LIMIT_SANDBOX_BOOT_SIZE)
        return api_invalid(&c->op, "envVars and commands are larger than %d bytes",
                           LIMIT_SANDBOX_BOOT_SIZE);
    return 0;
}

int api_create_parse(struct api_call *c, const json_t *body, struct sandbox_spec *spec)
{
    const struct api_spec *has = &c->api->spec;
    struct op *op = &c->op;
    json_t *mcp;
    bool internet;
    spec->timeout_s = c->version == 1 ? TIMEOUT_V1_S : TIMEOUT_V2_S;
    spec->secure = c->version != 1;
    spec->memory_bytes = has->memory_bytes;
    spec->cpus_milli = has->cpus_milli;
    spec->disk_bytes = has->disk_bytes;
    spec->pids = has->pids;
    int r = api_field_timeout(op, body, false, &spec->timeout_s);
    if (r >= 0 && c->version == 1)
        r = api_field_bool(op, body, "secure", &spec->secure);
    if (r >= 0)
        r = api_field_bool(op, body, "allow_internet_access", &internet);
    if (r == 1)
        spec->internet = internet;
    if (r >= 0)
        r = api_field_object(op, body, "mcp", &mcp); /* the SDK acts on it by itself */
    if (r < 0 || read_maps(op, body, spec) < 0 || read_lifecycle(op, body, spec) < 0 ||
        read_iam(op, body) < 0 || read_mounts(op, body) < 0)
        return -EINVAL;
    r = read_template(c, body, spec);
    if (r == 0)
        r = read_commands(op, body, spec);
    if (r == 0)
        r = api_network_parse(op, body, spec);
    return r < 0 ? r : check_boot(c, spec);
}

static void create(struct api_call *c, const json_t *body);

static void on_created(struct sandbox_wait *w, struct sandbox *s, const struct fault *fault)
{
    struct api_call *c = w->data;
    if (s && !fault) {
        api_reply_sandbox(c, 201, s);
        return;
    }
    c->op.fault = fault ? *fault
                        : (struct fault){ .code = FAULT_CREATE_FAILED,
                                          .text = "Failed to place sandbox: it was killed" };
    /* The engine went away in the middle. What it began is destroyed; nobody has seen its id, so
     * the client need not know: begin once more. */
    bool again = c->op.fault.code == FAULT_UNAVAILABLE && c->http && c->rounds++ == 0 &&
                 loop_now_ms(c->api->spec.loop) < c->deadline_ms;
    if (!again) {
        api_reply_fault(c);
        return;
    }
    c->op.fault = (struct fault){ 0 };
    create(c, c->body);
}

static void create(struct api_call *c, const json_t *body)
{
    struct sandbox_spec spec;
    bool is_first = c->rounds == 0;
    c->deadline_ms = loop_now_ms(c->api->spec.loop) + WAIT_MS;
    api_wait_init(c, on_created);
    int r = sandbox_spec_init(&spec) ? api_create_parse(c, body, &spec)
                                     : op_fail(&c->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    if (r == 0 && is_first && api_idempotency_begin(c, &spec)) {
        sandbox_spec_deinit(&spec);
        return;
    }
    if (r == 0)
        r = fleet_create(c->api->spec.fleet, &c->op, &spec, c->deadline_ms, &c->wait);
    if (r < 0) {
        sandbox_spec_deinit(&spec);
        api_reply_fault(c);
    }
}

void api_sandbox_create_v1(struct api_call *c) { api_take_body(c, false, create); }

void api_sandbox_create_v2(struct api_call *c)
{
    c->version = 2;
    if (api_idempotency_check(c) < 0)
        api_reply_fault(c);
    else
        api_take_body(c, false, create);
}
