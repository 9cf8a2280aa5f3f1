#include "pull/pull.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/rand.h"
#include "gen/limits.h"
#include "pull/pull_http.h"
#include "wire/json.h"

#define ACCEPT                                                                                     \
    "Accept: application/vnd.oci.image.index.v1+json, "                                            \
    "application/vnd.docker.distribution.manifest.list.v2+json, "                                  \
    "application/vnd.oci.image.manifest.v1+json, "                                                 \
    "application/vnd.docker.distribution.manifest.v2+json"

struct pull {
    struct pull_registry registry;
    const struct pull_spec *spec;
    const struct pull_ops *ops;
    struct op *op;
    struct pull_result *out;
    char files[LIMIT_IMAGE_LAYERS][32];
    uint32_t file_count;
};

static int wrong(struct pull *p, const char *what)
{
    return op_fail(p->op, FAULT_UNAVAILABLE, EPROTO, "the registry's %s is not understood", what);
}

static bool is_digest(struct str s)
{
    for (size_t i = 7; i < s.n; i++)
        if (!memchr("0123456789abcdef", s.p[i], 16))
            return false;
    return s.n == 71 && str_starts(s, STR("sha256:"));
}

/* -- manifests -- */

/* The sentence for a status that is no success. */
static int refused(struct pull *p, int status)
{
    if (status == 404)
        return op_fail(p->op, FAULT_NOT_FOUND, ENOENT,
                       "not found: the image or tag does not exist in the registry");
    if (status == 401 || status == 403)
        return op_fail(p->op, FAULT_FORBIDDEN, EACCES, "access denied");
    return op_fail(p->op, FAULT_UNAVAILABLE, EIO, "the registry answers %d", status);
}

/* The manifest `reference` names, checked when that is a digest. NULL: the fault is in p->op. */
static json_t *get_manifest(struct pull *p, const char *reference, char digest[72])
{
    char path[512];
    struct buf body;
    json_t *v = NULL;
    buf_init(&body, LIMIT_IMAGE_MANIFEST_SIZE);
    (void)snprintf(path, sizeof path, "/v2/%s/manifests/%s", p->spec->path, reference);
    int status = pull_get(p->op, &p->registry, path, ACCEPT, &body);
    if (status > 0 && status != 200)
        (void)refused(p, status);
    if (status == 200) {
        pull_digest(buf_str(&body), digest);
        bool is_right = strncmp(reference, "sha256:", 7) != 0 || strcmp(reference, digest) == 0;
        v = is_right ? json_parse(buf_str(&body), NULL) : NULL;
        if (!is_right)
            (void)op_fail(p->op, FAULT_UNAVAILABLE, EBADMSG, "the digest of the manifest is wrong");
        else if (!json_is_object(v))
            (void)wrong(p, "manifest");
    }
    buf_deinit(&body);
    if (v && !json_is_object(v)) {
        json_decref(v);
        v = NULL;
    }
    return v;
}

static const char *machine(void)
{
    static struct utsname u;
    return uname(&u) == 0 && strcmp(u.machine, "aarch64") == 0 ? "arm64" : "amd64";
}

/* The digest in an index of the image for this machine. */
static bool choose(const json_t *index, char digest[72])
{
    const json_t *list = json_object_get(index, "manifests"), *v;
    size_t i;
    json_array_foreach(list, i, v)
    {
        const json_t *platform = json_object_get(v, "platform");
        struct str os, arch, found;
        if (json_get_str(platform, "os", &os) == 1 && str_eq(os, STR("linux")) &&
            json_get_str(platform, "architecture", &arch) == 1 && str_eq(arch, str_of(machine())) &&
            json_get_str(v, "digest", &found) == 1 && is_digest(found))
            return str_copy(found, digest, 72);
    }
    return false;
}

/* -- config and layers -- */

static int read_config(struct pull *p, const json_t *manifest)
{
    const json_t *d = json_object_get(manifest, "config");
    struct str digest;
    struct buf body;
    char path[512], got[72];
    if (json_get_str(d, "digest", &digest) != 1 || !is_digest(digest))
        return wrong(p, "manifest");
    buf_init(&body, LIMIT_IMAGE_MANIFEST_SIZE);
    (void)snprintf(path, sizeof path, "/v2/%s/blobs/" STR_FMT, p->spec->path, STR_ARG(digest));
    int status = pull_get(p->op, &p->registry, path, NULL, &body), r = status < 0 ? status : 0;
    pull_digest(buf_str(&body), got);
    if (status > 0 && status != 200)
        r = refused(p, status);
    else if (r == 0 && !str_eq(digest, str_of(got)))
        r = op_fail(p->op, FAULT_UNAVAILABLE, EBADMSG, "the digest of the configuration is wrong");
    json_t *v = r == 0 ? json_parse(buf_str(&body), NULL) : NULL;
    const json_t *envs = json_object_get(json_object_get(v, "config"), "Env");
    if (r == 0 && !v)
        r = wrong(p, "configuration");
    else if (r == 0 && (json_is_array(envs) ? !json_put(&p->out->envs, envs)
                                            : !buf_append(&p->out->envs, STR("[]"))))
        r = op_fail(p->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    json_decref(v);
    buf_deinit(&body);
    return r;
}

static int read_layer(struct pull *p, const json_t *v, size_t n, size_t of, uint64_t *total)
{
    struct str digest, type;
    int64_t size = 0;
    char text[72], line[160], *file = p->files[p->file_count];
    if (json_get_str(v, "digest", &digest) != 1 || !is_digest(digest) ||
        json_get_int(v, "size", &size) != 1 || size < 0 ||
        json_get_str(v, "mediaType", &type) < 0 || !str_copy(digest, text, sizeof text))
        return wrong(p, "manifest");
    *total += (uint64_t)size;
    if (*total > LIMIT_IMAGE_SIZE)
        return op_fail(p->op, FAULT_TOO_LARGE, EFBIG, "the image is larger than %lld bytes",
                       (long long)LIMIT_IMAGE_SIZE);
    (void)snprintf(line, sizeof line, "[base] layer %zu/%zu %.19s, %.1f MB", n + 1, of, text,
                   (double)size / 1e6);
    p->ops->say(p->ops->data, line);
    memcpy(file, "l-", 2); /* an upload has no such name */
    rand_id(file + 2, 22);
    CLEANUP(fd_closep)
    int fd = openat(p->spec->dir, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return op_fail(p->op, FAULT_UNAVAILABLE, errno, "the layer cannot be kept: %s",
                       strerror(errno));
    p->file_count++;
    int r = pull_blob(p->op, &p->registry, text, (uint64_t)size, fd);
    if (r == 0)
        p->ops->layer(p->ops->data, file, (uint64_t)size);
    return r;
}

static int read_layers(struct pull *p, const json_t *manifest)
{
    const json_t *layers = json_object_get(manifest, "layers"), *v;
    uint64_t total = 0;
    size_t i, of = json_array_size(layers);
    int r = 0;
    if (!json_is_array(layers) || !of || of > LIMIT_IMAGE_LAYERS)
        return wrong(p, "list of layers");
    json_array_foreach(layers, i, v) if (r == 0) r = read_layer(p, v, i, of, &total);
    return r;
}

static bool is_known(const struct pull *p)
{
    struct str rest = str_of(p->spec->known), one;
    while (rest.n) {
        (void)str_cut(rest, ',', &one, &rest);
        if (str_eq(one, str_of(p->out->digest)))
            return true;
    }
    return false;
}

static int pull_from(struct pull *p, const char *base)
{
    char digest[72];
    if (!pull_registry_open(&p->registry, p->spec, base))
        return op_fail(p->op, FAULT_UNAVAILABLE, ENOMEM, "out of memory");
    json_t *v = get_manifest(p, p->spec->reference, p->out->digest);
    if (v && json_object_get(v, "manifests")) {
        bool is_there = choose(v, digest);
        json_decref(v);
        v = is_there ? get_manifest(p, digest, p->out->digest) : NULL;
        if (!is_there)
            (void)op_fail(p->op, FAULT_NOT_FOUND, ENOENT, "the image is not made for linux/%s",
                          machine());
    }
    int r = v ? read_config(p, v) : -p->op->fault.err;
    if (r == 0 && !is_known(p))
        r = read_layers(p, v);
    json_decref(v);
    pull_registry_close(&p->registry);
    return r < 0 || v ? r : -EIO;
}

/* Without a password: that is for the registry which the image names, and the mirror is another. */
static int pull_from_mirror(struct pull *p)
{
    const struct pull_spec *own = p->spec;
    struct pull_spec open = *own;
    open.user = open.password = NULL;
    p->spec = &open;
    int r = pull_from(p, own->mirror);
    p->spec = own;
    return r;
}

/* The mirror is asked first; what it does not have is got from where it belongs. */
static int pull_any(struct pull *p)
{
    char base[300], line[400];
    if (p->spec->mirror && p->spec->mirror[0]) {
        (void)snprintf(line, sizeof line, "[base] asking the mirror %.200s", p->spec->mirror);
        p->ops->say(p->ops->data, line);
        int r = pull_from_mirror(p);
        if (r == 0 || p->file_count)
            return r;
        (void)snprintf(line, sizeof line, "[base] the mirror: %.200s", p->op->fault.text);
        p->ops->say(p->ops->data, line);
        p->op->fault = (struct fault){ 0 };
        buf_reset(&p->out->envs);
    }
    (void)snprintf(base, sizeof base, "%s://%.280s", p->spec->is_plain ? "http" : "https",
                   p->spec->host);
    return pull_from(p, base);
}

int pull_image(struct op *op, const struct pull_spec *spec, const struct pull_ops *ops,
               struct pull_result *out)
{
    struct pull_spec with = *spec;
    struct pull p = { .spec = &with, .ops = ops, .op = op, .out = out };
    CLEANUP(freep) char *user = NULL, *password = NULL;
    int r = spec->region ? pull_ecr_login(op, spec, &user, &password) : 0;
    if (user && password) {
        with.user = user;
        with.password = password;
    }
    if (r == 0)
        r = pull_any(&p);
    for (uint32_t i = 0; r < 0 && i < p.file_count; i++)
        (void)unlinkat(spec->dir, p.files[i], 0);
    return r;
}
