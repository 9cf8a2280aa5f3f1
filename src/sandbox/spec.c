#include "sandbox/spec.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "wire/json.h"

bool sandbox_spec_init(struct sandbox_spec *s)
{
    *s = (struct sandbox_spec){
        .internet = -1, .envs = json_object(), .metadata = json_object(), .mounts = json_array()
    };
    return s->envs && s->metadata && s->mounts;
}

void sandbox_spec_deinit(struct sandbox_spec *s)
{
    json_decref(s->envs);
    json_decref(s->metadata);
    json_decref(s->mounts);
    json_decref(s->network);
    template_deinit(&s->template);
    s->envs = s->metadata = s->mounts = s->network = NULL;
}

bool sandbox_spec_print(struct buf *b, const struct sandbox_spec *s)
{
    json_t *v = json_pack(
        "{s:s, s:b, s:s, s:s, s:s, s:I, s:b, s:i, s:b, s:b, s:b, s:b, s:s, s:O, s:O, s:O, s:O?, "
        "s:I, s:I, s:I, s:I, s:b, s:s*, s:O*}",
        "template", s->template.id, "cas", s->template.has_cas, "isolation", s->isolation, "alias",
        s->template.alias, "rootfs", s->template.rootfs, "timeout", (json_int_t)s->timeout_s,
        "secure", s->secure, "internet", s->internet, "cutOff", s->is_cut_off, "autoPause",
        s->auto_pause, "autoResume", s->auto_resume, "privateTraffic", s->has_private_traffic,
        "maskHost", s->mask_host, "envs", s->envs, "metadata", s->metadata, "mounts", s->mounts,
        "network", s->network, "memory", (json_int_t)s->memory_bytes, "cpus",
        (json_int_t)s->cpus_milli, "disk", (json_int_t)s->disk_bytes, "pids", (json_int_t)s->pids,
        "dropsMemory", s->drops_memory, "layers", s->template.layers, "config", s->template.config);
    bool good = v && json_put(b, v);
    json_decref(v);
    return good;
}

static bool read_text(const json_t *v, const char *key, char *out, size_t size)
{
    struct str s;
    return json_get_str(v, key, &s) == 1 && str_copy(s, out, size);
}

static bool read_number(const json_t *v, const char *key, uint64_t *out)
{
    int64_t n;
    if (json_get_int(v, key, &n) != 1 || n < 0)
        return false;
    *out = (uint64_t)n;
    return true;
}

static bool read_object(const json_t *v, const char *key, json_t **out)
{
    json_t *member = json_object_get(v, key);
    if (!json_is_object(member) && !json_is_array(member))
        return false;
    json_decref(*out);
    *out = json_incref(member);
    return true;
}

/* What records of before the first snapshot do not have. */
static bool read_later_members(const json_t *v, struct sandbox_spec *s)
{
    struct str layers;
    int r = json_get_str(v, "layers", &layers);
    if (r < 0 || (r == 1 && !(s->template.layers = str_dup(layers))) ||
        json_get_bool(v, "dropsMemory", &s->drops_memory) < 0)
        return false;
    const json_t *config = json_object_get(v, "config");
    return !config || (s->template.config = template_config(config));
}

bool sandbox_spec_parse(struct str text, struct sandbox_spec *s)
{
    json_t *v = json_parse(text, NULL);
    int64_t internet = -1;
    bool good = v && read_text(v, "template", s->template.id, sizeof s->template.id) &&
                read_text(v, "alias", s->template.alias, sizeof s->template.alias) &&
                read_text(v, "rootfs", s->template.rootfs, sizeof s->template.rootfs) &&
                json_get_bool(v, "cas", &s->template.has_cas) == 1 &&
                read_text(v, "maskHost", s->mask_host, sizeof s->mask_host) &&
                read_text(v, "isolation", s->isolation, sizeof s->isolation) &&
                json_get_int(v, "timeout", &s->timeout_s) == 1 &&
                json_get_int(v, "internet", &internet) == 1 &&
                json_get_bool(v, "secure", &s->secure) == 1 &&
                json_get_bool(v, "cutOff", &s->is_cut_off) == 1 &&
                json_get_bool(v, "autoPause", &s->auto_pause) == 1 &&
                json_get_bool(v, "autoResume", &s->auto_resume) == 1 &&
                json_get_bool(v, "privateTraffic", &s->has_private_traffic) == 1 &&
                read_object(v, "envs", &s->envs) && read_object(v, "metadata", &s->metadata) &&
                read_object(v, "mounts", &s->mounts) &&
                read_number(v, "memory", &s->memory_bytes) &&
                read_number(v, "cpus", &s->cpus_milli) && read_number(v, "disk", &s->disk_bytes) &&
                read_number(v, "pids", &s->pids) && read_later_members(v, s);
    if (good && !json_is_null(json_object_get(v, "network")))
        good = read_object(v, "network", &s->network);
    s->internet = (int)internet;
    json_decref(v);
    return good;
}

bool sandbox_spec_copy(const struct sandbox_spec *from, struct sandbox_spec *to)
{
    struct buf b;
    buf_init(&b, 0);
    bool good = sandbox_spec_print(&b, from) && sandbox_spec_parse(buf_str(&b), to);
    buf_deinit(&b);
    return good;
}

const char *sandbox_spec_config(const struct sandbox_spec *s, const char *key)
{
    return json_string_value(json_object_get(s->template.config, key));
}

bool sandbox_spec_has_start(const struct sandbox_spec *s)
{
    return sandbox_spec_config(s, "startCmd") || sandbox_spec_config(s, "readyCmd");
}

/* What every command finds in its environment, below what the client asked for. A network that
 * intercepts TLS is trusted through the system's bundle, into which the engine puts the host's
 * extra authorities; every language brings a store of its own and a variable to point it there. */
static json_t *system_env(const struct sandbox_spec *s)
{
    static const char *const for_cas[] = { "SSL_CERT_FILE",  "NODE_EXTRA_CA_CERTS",
                                           "PIP_CERT",       "REQUESTS_CA_BUNDLE",
                                           "CURL_CA_BUNDLE", "GIT_SSL_CAINFO" };
    json_t *env = json_pack("{s:s}", "LANG", "C.UTF-8");
    for (size_t i = 0; s->template.has_cas && i < sizeof for_cas / sizeof *for_cas; i++)
        (void)json_object_set_new(env, for_cas[i], json_string(TEMPLATE_CAS));
    json_t *own = json_object_get(s->template.config, "envs");
    if (own)
        (void)json_object_update(env, own);
    return env;
}

/* A command of the template with the environment it was built with. NULL: none, or no memory. */
static char *command(const struct sandbox_spec *s, const char *key)
{
    const char *text = sandbox_spec_config(s, key), *name;
    json_t *envs = json_object_get(s->template.config, "buildEnvs"), *value;
    struct buf b;
    if (!text)
        return NULL;
    buf_init(&b, 0);
    json_object_foreach(envs, name, value)
    {
        (void)buf_printf(&b, "export %s='", name);
        for (const char *p = json_string_value(value); *p; p++)
            (void)buf_append(&b, *p == '\'' ? STR("'\\''") : str_make(p, 1));
        (void)buf_append(&b, STR("'; "));
    }
    (void)buf_append(&b, str_of(text));
    char *out = b.failed ? NULL : str_dup(buf_str(&b));
    buf_deinit(&b);
    return out;
}

bool sandbox_spec_boot(struct buf *b, const struct sandbox_spec *s, const char *id,
                       const char *token, bool warm, int64_t now_us)
{
    char now[CLOCK_RFC3339_SIZE];
    const char *user = sandbox_spec_config(s, "user"), *dir = sandbox_spec_config(s, "workdir");
    CLEANUP(freep) char *start = command(s, "startCmd");
    CLEANUP(freep) char *ready = command(s, "readyCmd");
    clock_format(now_us, now);
    json_t *v =
        json_pack("{s:s, s:s, s:O, s:o, s:s*, s:s, s:s, s:s, s:s, s:s*, s:s*, s:o*}", "sandboxID",
                  id, "templateID", s->template.id, "envVars", s->envs, "systemEnv", system_env(s),
                  "accessToken", token, "defaultUser", user ? user : "user", "defaultWorkdir",
                  dir ? dir : "/home/user", "hostname", "e2b.local", "timestamp", now, "startCmd",
                  start, "readyCmd", ready, "warm", warm ? json_true() : NULL);
    bool good = v && json_put(b, v);
    json_decref(v);
    return good;
}
