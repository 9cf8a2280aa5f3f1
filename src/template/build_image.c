/* The base of a build from an image: belljar-pull gets its layers as files, a bench on the empty
 * root file system unpacks them one on another (src/unpack), and what came of it is one layer of
 * the engine, kept by the digest of the image. No process of ours writes it with privilege. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "gen/limits.h"
#include "ipc/link.h"
#include "ipc/pull_proto.h"
#include "recipe/recipe_image.h"
#include "template/build.h"
#include "wire/json.h"

#define UNPACK "/.belljar/unpack"

struct build_image {
    struct link link;
    struct {
        char file[32];
        int64_t size;
    } layers[LIMIT_IMAGE_LAYERS];
    uint32_t count, at;
    char digest[72];
    json_t *envs;  /* array of "NAME=value" */
    char why[256]; /* it failed; "": it did not */
};

void build_image_free(struct build *b)
{
    struct build_image *i = TAKE_PTR(b->image);
    if (!i)
        return;
    link_close(&i->link);
    for (uint32_t k = 0; k < i->count; k++)
        (void)unlinkat(b->all->uploads.dir, i->layers[k].file, 0);
    json_decref(i->envs);
    free(i);
}

/* -- the base -- */

/* The environment of the image, as far as it is one. */
static json_t *envs_of(const json_t *list)
{
    json_t *out = json_object(), *v;
    size_t n;
    json_array_foreach(list, n, v)
    {
        struct str name, value;
        bool good =
            json_is_string(v) &&
            str_cut(str_make(json_string_value(v), json_string_length(v)), '=', &name, &value);
        struct str args[] = { good ? name : STR_NONE, good ? value : STR_NONE };
        const struct recipe_step s = { .kind = RECIPE_ENV, .args = args, .arg_count = 2 };
        char why[RECIPE_WHY_SIZE], key[256];
        if (good && recipe_check(&s, why) && str_copy(name, key, sizeof key))
            (void)json_object_set_new(out, key, json_stringn(value.p, value.n));
    }
    return out;
}

static bool set_root(struct build *b)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/templates/.image/rootfs", b->all->spec.state);
    return realpath(path, b->base.rootfs) != NULL;
}

/* `layers` (copied) stand for the image. */
static void found(struct build *b, const char *layers)
{
    json_t *envs = envs_of(b->image->envs);
    free(b->base.layers);
    b->base.layers = str_dup(str_of(layers));
    json_decref(b->base.config);
    b->base.config = json_pack("{s:o}", "buildEnvs", envs);
    build_image_free(b);
    if (!b->base.layers || !b->base.config)
        build_fail(b, "out of memory");
    else
        build_base_found(b);
}

static void on_captured(struct build *b)
{
    char layer[SANDBOX_LAYER_SIZE];
    memcpy(layer, b->bench.layer, sizeof layer);
    build_keep(b->all, &kept_images, b->image->digest, json_pack("{s:s}", "layers", layer),
               b->layer_bytes);
    found(b, layer);
}

static void next_layer(struct build *b);

static void run_unpack(struct build *b, struct str argument, void (*then)(struct build *b))
{
    b->op = (struct recipe_op){ .command = argument,
                                .program = UNPACK,
                                .user = STR("root"),
                                .workdir = STR("/"),
                                .is_quiet = true };
    build_exec(b, then);
}

static bool has_failed(struct build *b)
{
    struct str said = buf_str(&b->run.lines[GUEST_ERR]);
    if (b->run.exit_code == 0)
        return false;
    while (said.n && said.p[said.n - 1] == '\n')
        said.n--;
    if (!said.n) /* killed: by the kernel, most likely */
        said = STR("unpacking it was cut short; the sandbox that does it may lack memory");
    build_fail(b, "failed to pull image '" STR_FMT "': layer %u: " STR_FMT,
               STR_ARG(b->recipe.image), b->image->at + 1,
               STR_ARG(said.n < 300 ? said : str_make(said.p, 300)));
    return true;
}

/* An image without them is of use to many: it goes on. */
static void on_provisioned(struct build *b)
{
    if (b->run.exit_code != 0)
        build_say(b, LOG_OF_WARN, "[base] the image is used as it is; skipCache tries it again");
    build_capture(b, on_captured);
}

static void on_cleared(struct build *b)
{
    if (has_failed(b))
        return;
    if (!buf_used(&b->run.lines[GUEST_OUT])) { /* no shell */
        build_capture(b, on_captured);
        return;
    }
    (void)snprintf(b->prefix, sizeof b->prefix, "base");
    b->op = (struct recipe_op){ .command = str_of(recipe_provision()),
                                .user = STR("root"),
                                .workdir = STR("/") };
    build_exec(b, on_provisioned);
}

static void on_unpacked(struct build *b)
{
    if (has_failed(b))
        return;
    b->image->at++;
    next_layer(b);
}

static void ignore_body(struct http_fetch *f, struct str piece)
{
    (void)f;
    (void)piece;
}

static void on_uploaded(struct http_fetch *f, int r)
{
    struct build *b = f->data;
    if (r < 0 || f->status != 200)
        build_fail(b, "failed to pull image '" STR_FMT "': layer %u cannot be written: %s",
                   STR_ARG(b->recipe.image), b->image->at + 1,
                   f->status == 507 ? "the disk is full"
                   : r < 0          ? strerror(-r)
                                    : "the sandbox refused it");
    else
        run_unpack(b, STR(RECIPE_FILES), on_unpacked);
}

static void next_layer(struct build *b)
{
    static const struct http_fetch_ops ops = { .on_body = ignore_body, .on_end = on_uploaded };
    struct build_image *i = b->image;
    if (i->at == i->count) {
        run_unpack(b, STR("--done"), on_cleared);
        return;
    }
    struct guest in = builds_guest(b->all, b->bench.id);
    int fd = openat(b->all->uploads.dir, i->layers[i->at].file, O_RDONLY | O_CLOEXEC);
    b->upload.ops = &ops;
    b->upload.data = b;
    int r =
        fd < 0 ? -errno : guest_upload(&b->upload, &in, RECIPE_FILES, fd, i->layers[i->at].size);
    if (r < 0)
        build_fail(b, "the layers of the image cannot be read: %s", strerror(-r));
}

/* -- the puller -- */

/* Not inside the link's callback, which may close the link, not free it. */
static void on_pulled(struct loop_task *t)
{
    struct build *b = t->data;
    struct build_image *i = b->image;
    CLEANUP(freep) char *layers = NULL;
    if (i->why[0] || !set_root(b)) {
        build_fail(b, "failed to pull image '" STR_FMT "': %s", STR_ARG(b->recipe.image),
                   i->why[0] ? i->why : "it cannot be used");
        return;
    }
    int r = build_kept_layers(b->all, &kept_images, i->digest, &layers);
    if (i->count) {
        build_say(b, LOG_OF_INFO, "[base] unpacking image %.19s, %u layers", i->digest, i->count);
        build_open(b, next_layer);
    } else if (r == 1) {
        build_say(b, LOG_OF_INFO, "CACHED [base] image %.19s", i->digest);
        found(b, layers);
    } else {
        build_fail(b, "the image was forgotten meanwhile");
    }
}

/* The puller has said its last word. */
static void end_pull(struct build *b, struct str why)
{
    struct build_image *i = b->image;
    link_close(&i->link);
    (void)snprintf(i->why, sizeof i->why, STR_FMT,
                   STR_ARG(why.n < sizeof i->why ? why : str_make(why.p, sizeof i->why - 1)));
    b->begin.fn = on_pulled;
    loop_task_post(b->all->spec.loop, &b->begin);
}

static bool take_result(struct build_image *i, const struct msg *m)
{
    struct str digest, envs;
    return msg_get_str(m, PK_DIGEST, &digest) && msg_get_str(m, PK_CONFIG, &envs) &&
           str_copy(digest, i->digest, sizeof i->digest) && (i->envs = json_parse(envs, NULL));
}

static bool take_layer(struct build *b, const struct msg *m)
{
    struct build_image *i = b->image;
    struct str file;
    uint64_t size;
    bool good = i->count < LIMIT_IMAGE_LAYERS && msg_get_str(m, PK_FILE, &file) &&
                msg_get_u64(m, PK_SIZE, &size) && !memchr(file.p, '/', file.n) &&
                str_copy(file, i->layers[i->count].file, sizeof i->layers[0].file);
    if (good)
        i->layers[i->count++].size = (int64_t)size;
    return good;
}

static void on_message(struct link *k, const struct msg *m, int *fds, int fd_count)
{
    struct build *b = k->data;
    struct str text = STR_NONE;
    (void)fds;
    (void)fd_count;
    (void)msg_get_str(m, PK_TEXT, &text);
    if (m->verb == PULL_SAY)
        build_say(b, LOG_OF_INFO, STR_FMT, STR_ARG(text));
    else if (m->verb == PULL_FAILED)
        end_pull(b, text.n ? text : STR("it says not why"));
    else if (m->verb == PULL_DONE && take_result(b->image, m))
        end_pull(b, STR(""));
    else if (m->verb != PULL_LAYER || !take_layer(b, m))
        end_pull(b, STR("the puller is not understood"));
}

static void on_closed(struct link *k)
{
    struct build *b = k->data;
    build_fail(b, "failed to pull image '" STR_FMT "': the puller ended", STR_ARG(b->recipe.image));
}

static int collect_known(void *data, const struct store_kept *k)
{
    (void)buf_printf(data, "%s%s", buf_used(data) ? "," : "", k->key);
    return 0;
}

static void put_start(struct build *b, const struct recipe_image *image, struct buf *out)
{
    struct buf known;
    buf_init(&known, LIMIT_IPC_MESSAGE_SIZE / 2);
    if (!b->recipe.is_forced)
        (void)store_kept_each(b->all->spec.store, kept_images.name, collect_known, &known);
    msg_begin(out, PULL_START, 0, 1, 0);
    msg_str(out, PK_HOST, str_of(image->host));
    msg_str(out, PK_PATH, str_of(image->path));
    msg_str(out, PK_REFERENCE, str_of(image->reference));
    msg_u64(out, PK_PLAIN, image->is_plain);
    if (b->recipe.registry_user.n) {
        msg_str(out, PK_USER, b->recipe.registry_user);
        msg_str(out, PK_PASSWORD, b->recipe.registry_password);
    }
    if (b->recipe.aws_region.n)
        msg_str(out, PK_REGION, b->recipe.aws_region);
    msg_str(out, PK_KNOWN, buf_str(&known));
    msg_end(out);
    buf_deinit(&known);
}

static int ask(struct build *b, const struct recipe_image *image)
{
    static const struct link_ops ops = { .on_message = on_message, .on_closed = on_closed };
    char path[PATH_MAX];
    struct buf out;
    (void)snprintf(path, sizeof path, "%s/run/pull.sock", b->all->spec.state);
    int fd = link_connect(path);
    int r = fd < 0 ? fd : link_open(&b->image->link, b->all->spec.loop, fd, &ops, b);
    if (r < 0)
        return r;
    buf_init(&out, 0);
    put_start(b, image, &out);
    r = link_send(&b->image->link, &out, &b->all->uploads.dir, 1);
    buf_deinit(&out);
    return r;
}

void build_image_start(struct build *b)
{
    struct recipe_image image;
    struct str text = b->recipe.image;
    if (!recipe_image_parse(text, &image)) {
        build_fail(b, "invalid image reference '" STR_FMT "'",
                   STR_ARG(text.n < 200 ? text : str_make(text.p, 200)));
        return;
    }
    b->image = calloc(1, sizeof *b->image);
    int r = b->image ? ask(b, &image) : -ENOMEM;
    if (r < 0)
        build_fail(b, "failed to pull image '" STR_FMT "': the puller is not there: %s",
                   STR_ARG(text), strerror(-r));
}
