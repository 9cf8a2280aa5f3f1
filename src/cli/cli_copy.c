/* belljar sandbox cp: a tar stream between a tree here and one in a sandbox. The library moves it
 * through a pipe; a thread of ours (cli_mover) makes or unpacks it at the other end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/cli_commands.h"
#include "cli/cli_mover.h"
#include "cli/cli_print.h"
#include "cli/cli_server.h"

struct copy {
    struct cli *c;
    struct belljar_sandbox *s;
    const char *local, *remote; /* remote: behind the colon */
    struct cli_mover mover;
    int64_t began_ms;
};

/* The length of "ID" in "ID:PATH"; 0: it is a path here. */
static size_t id_length(const char *word)
{
    size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789");
    return word[n] == ':' ? n : 0;
}

static bool has_end(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* What is in it is meant, not the directory by its name. */
static bool means_contents(const char *path)
{
    return !path[0] || strcmp(path, ".") == 0 || strcmp(path, "..") == 0 ||
           strcmp(path, "~") == 0 || has_end(path, "/.") || has_end(path, "/..") ||
           strspn(path, "/") == strlen(path);
}

/* `path` as its directory ("" : none is named) and its last part. */
static bool split(struct arena *a, const char *path, const char **dir, const char **name)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t at = n;
    while (at && path[at - 1] != '/')
        at--;
    *name = arena_str(a, str_make(path + at, n - at));
    *dir = at ? arena_str(a, str_make(path, at)) : "";
    return *name && *dir;
}

/* -- the end of it -- */

static int say_done(struct copy *y)
{
    const struct cli_mover *m = &y->mover;
    if (cli_flag(y->c, "json")) {
        json_t *v = json_pack("{s:I, s:I}", "bytes", (json_int_t)m->bytes, "milliseconds",
                              (json_int_t)(clock_mono_ms() - y->began_ms));
        (void)cli_print_json(v);
        json_decref(v);
    }
    return 0;
}

/* `r`: what the library said. What went wrong on our side is the cause of what went wrong there. */
static int finish(struct copy *y, int r)
{
    struct cli_mover *m = &y->mover;
    cli_mover_join(m);
    if (m->why[0])
        return cli_fail(y->c, m->fault, "%s", m->why);
    if (r == 0 && m->is_cut)
        return cli_fail(y->c, FAULT_INTERNAL, "what the sandbox sent breaks off");
    return r < 0 ? cli_server_fail(y->c) : say_done(y);
}

static int start(struct copy *y)
{
    y->began_ms = clock_mono_ms();
    y->mover.shows = isatty(STDERR_FILENO) == 1 && !cli_flag(y->c, "quiet");
    int r = cli_mover_start(&y->mover);
    return r < 0 ? cli_fail(y->c, FAULT_INTERNAL, "cannot start to copy: %s", strerror(-r)) : 0;
}

static int no_file(struct copy *y, const char *path, int err)
{
    return cli_fail(y->c, err == ENOENT ? FAULT_NOT_FOUND : FAULT_INVALID, "%s: %s", path,
                    strerror(err));
}

/* -- into a sandbox -- */

static int upload(struct copy *y, const char *target)
{
    int status = start(y);
    if (status)
        return status;
    int r = belljar_upload_tar(y->s, target[0] ? target : ".", y->mover.pipe);
    return finish(y, r);
}

static int copy_in(struct copy *y, struct arena *a)
{
    char real[PATH_MAX];
    const char *dir, *name, *last;
    struct stat st;
    struct belljar_file there = { 0 };
    if (strcmp(y->local, "-") == 0) {
        if (means_contents(y->remote) || has_end(y->remote, "/"))
            return cli_fail(y->c, FAULT_INVALID,
                            "standard input needs the name of a file: ID:PATH");
        return belljar_upload(y->s, y->remote, STDIN_FILENO) < 0 ? cli_server_fail(y->c) : 0;
    }
    if (!realpath(y->local, real) || stat(real, &st) < 0)
        return no_file(y, y->local, errno);
    bool is_contents = S_ISDIR(st.st_mode) && means_contents(y->local);
    if (!split(a, is_contents ? real : y->local, &dir, &last))
        return cli_fail(y->c, FAULT_INTERNAL, "memory is out");
    y->mover.kind = is_contents ? CLI_PACK_CONTENTS : CLI_PACK;
    y->mover.path = real;
    if (is_contents)
        return upload(y, y->remote);
    bool is_into = means_contents(y->remote) || has_end(y->remote, "/");
    if (!is_into && belljar_stat(y->s, y->remote, &there) == 0)
        is_into = there.type == 'd' || (there.type == 'l' && S_ISDIR(st.st_mode));
    belljar_file_free(&there);
    if (is_into) {
        y->mover.as = last;
        return upload(y, y->remote);
    }
    if (!split(a, y->remote, &dir, &name))
        return cli_fail(y->c, FAULT_INTERNAL, "memory is out");
    y->mover.as = name;
    return upload(y, dir);
}

/* -- out of a sandbox -- */

/* Where it goes here: the target, or below it by the source's name. */
static const char *local_target(struct copy *y, struct arena *a, bool is_contents)
{
    struct stat st;
    const char *dir, *name;
    bool is_dir = stat(y->local, &st) == 0 && S_ISDIR(st.st_mode);
    if (!(is_dir || has_end(y->local, "/")) || is_contents)
        return y->local;
    if (!split(a, y->remote, &dir, &name))
        return NULL;
    return arena_printf(a, "%s/%s", y->local, name);
}

static int download_tree(struct copy *y, const char *target)
{
    if (mkdir(target, 0777) < 0 && errno != EEXIST)
        return no_file(y, target, errno);
    y->mover.kind = CLI_UNPACK;
    y->mover.fd = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (y->mover.fd < 0)
        return no_file(y, target, errno);
    int status = start(y);
    return status ? status
                  : finish(y, belljar_download_tar(y->s, y->remote[0] ? y->remote : ".",
                                                   y->mover.pipe));
}

static int download_file(struct copy *y, const char *target, unsigned mode)
{
    struct cli_mover *m = &y->mover;
    m->kind = CLI_SAVE;
    m->path = target;
    m->fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
    bool is_new = m->fd >= 0;
    if (!is_new && errno == EEXIST) /* its rights stay */
        m->fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, mode & 0777);
    if (m->fd < 0)
        return no_file(y, target, errno);
    int status = start(y);
    if (status)
        return status;
    int r = belljar_download(y->s, y->remote, m->pipe);
    cli_mover_join(m);
    /* what was there goes with the first byte, or when there is none: one that cannot be read
     * leaves it alone */
    if (r == 0 && !m->bytes && !cli_mover_empty(m->fd))
        return no_file(y, target, errno);
    if (r < 0 && !m->bytes && is_new)
        (void)unlink(target);
    return finish(y, r);
}

static int copy_out(struct copy *y, struct arena *a)
{
    struct belljar_file f = { 0 };
    const char *path = y->remote[0] ? y->remote : ".";
    if (belljar_stat(y->s, path, &f) < 0)
        return cli_server_fail(y->c);
    if (f.type == 'l' && f.target) { /* where it leads in the end */
        const char *end = arena_str(a, str_of(f.target));
        belljar_file_free(&f);
        if (belljar_stat(y->s, end ? end : "", &f) < 0)
            return cli_server_fail(y->c);
    }
    char type = f.type;
    unsigned mode = f.mode;
    belljar_file_free(&f);
    if (type != 'd' && type != 'f')
        return cli_fail(y->c, FAULT_INVALID, "%s is no file and no directory", path);
    if (strcmp(y->local, "-") == 0) {
        if (type == 'd')
            return cli_fail(y->c, FAULT_INVALID, "%s is a directory: it needs a target", path);
        return belljar_download(y->s, path, STDOUT_FILENO) < 0 ? cli_server_fail(y->c) : 0;
    }
    const char *target = local_target(y, a, type == 'd' && means_contents(y->remote));
    if (!target)
        return cli_fail(y->c, FAULT_INTERNAL, "memory is out");
    return type == 'd' ? download_tree(y, target) : download_file(y, target, mode);
}

int cli_copy_run(struct cli *c)
{
    struct copy y = { .c = c };
    struct arena a;
    int status;
    size_t from = id_length(c->words[0]), to = id_length(c->words[1]);
    if (!from == !to)
        return cli_fail(c, FAULT_INVALID,
                        from ? "one side is here: copy out of one sandbox, then into the other"
                             : "one side is in a sandbox: ID:PATH");
    const char *there = c->words[from ? 0 : 1];
    arena_init(&a, 0);
    cli_mover_init(&y.mover);
    y.local = c->words[from ? 1 : 0];
    y.remote = there + (from ? from : to) + 1;
    y.s = cli_sandbox(c, arena_str(&a, str_make(there, from ? from : to)), &status);
    if (y.s)
        status = from ? copy_out(&y, &a) : copy_in(&y, &a);
    cli_mover_deinit(&y.mover);
    belljar_sandbox_free(y.s);
    arena_deinit(&a);
    return status;
}
