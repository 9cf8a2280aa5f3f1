#include "client/client_context.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "gen/limits.h"

/* -- the directory -- */

static int read_ignore(struct client_context *c)
{
    CLEANUP(freep) char *path = NULL, *text = NULL;
    if (asprintf(&path, "%s/.dockerignore", c->root) < 0)
        return client_no_memory(c->b);
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    text = malloc(LIMIT_IGNORE_SIZE + 1);
    if (!text)
        return client_no_memory(c->b);
    size_t n = 0;
    ssize_t r = fd < 0 ? -1 : 1;
    while (r > 0 && n <= LIMIT_IGNORE_SIZE) {
        r = read(fd, text + n, LIMIT_IGNORE_SIZE + 1 - n);
        n += r > 0 ? (size_t)r : 0;
    }
    if (r < 0)
        return client_fail(c->b, errno, "%s cannot be read: %s", path, strerror(errno));
    int rc = n > LIMIT_IGNORE_SIZE ? -E2BIG
                                   : recipe_ignore_parse(&c->mem, str_make(text, n), &c->ignore);
    if (rc == -E2BIG)
        return client_fail(c->b, E2BIG, "%s is larger than %d bytes or %d lines", path,
                           LIMIT_IGNORE_SIZE, LIMIT_IGNORE_PATTERNS);
    return rc < 0 ? client_no_memory(c->b) : 0;
}

int client_context_init(struct client_context *c, struct belljar *b, const char *directory)
{
    struct stat st;
    *c = (struct client_context){ .b = b };
    arena_init(&c->mem, 0);
    if (!directory)
        return 0;
    c->root = realpath(directory, NULL);
    if (!c->root || stat(c->root, &st) < 0)
        return client_fail(b, errno, "the build's directory '%s' cannot be opened: %s", directory,
                           strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return client_fail(b, ENOTDIR, "the build's directory '%s' is not a directory", directory);
    return read_ignore(c);
}

void client_context_deinit(struct client_context *c)
{
    free(c->root);
    arena_deinit(&c->mem);
    *c = (struct client_context){ 0 };
}

/* -- entries -- */

static int out_of_memory(struct client_pack *p) { return client_no_memory(p->context->b); }

static int add(struct client_pack *p, struct client_entry e)
{
    struct client_context *c = p->context;
    if (p->count == LIMIT_CONTEXT_FILES)
        return client_fail(c->b, E2BIG,
                           "%s: COPY takes more than %d files; leave some out in .dockerignore",
                           c->prefix, LIMIT_CONTEXT_FILES);
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 64;
        struct client_entry *more = realloc(p->entries, cap * sizeof *more);
        if (!more)
            return out_of_memory(p);
        p->entries = more;
        p->cap = cap;
    }
    p->size += e.size;
    p->entries[p->count++] = e;
    return 0;
}

/* "a/b", or "b" when there is no a. */
static char *join(struct client_pack *p, const char *a, const char *b)
{
    return arena_printf(&p->mem, "%s%s%s", a, *a && *b ? "/" : "", b);
}

static int cannot(struct client_pack *p, const char *path, const char *what)
{
    int err = errno;
    return client_fail(p->context->b, err, "%s: '%s' cannot be %s: %s", p->context->prefix, path,
                       what, strerror(err));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not as the locale has it */
}

static int no_dots(const struct dirent *d)
{
    return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

struct names {
    struct dirent **p;
    int n;
};
static void names_free(struct names *n)
{
    for (int i = 0; i < n->n; i++)
        free(n->p[i]);
    free(n->p);
}

static int add_tree(struct client_pack *p, const char *real, const char *rel, const char *path);

/* One of a tree. What is neither file, directory nor link is left out, as by Docker. */
static int add_node(struct client_pack *p, const char *real, const char *rel, const char *path)
{
    struct stat st;
    bool is_out = recipe_ignore_has(&p->context->ignore, str_of(rel));
    if (lstat(real, &st) < 0)
        return cannot(p, rel, "read");
    struct client_entry e = { .path = str_of(path), .real = real, .mode = st.st_mode & 07777 };
    if (S_ISDIR(st.st_mode)) {
        char *slash = arena_printf(&p->mem, "%s/", path);
        if (!slash)
            return out_of_memory(p);
        e.type = TAR_DIRECTORY;
        e.path = str_of(slash);
        int rc = is_out ? 0 : add(p, e);
        bool goes_on = !is_out || p->context->ignore.has_exceptions;
        return rc || !goes_on ? rc : add_tree(p, real, rel, path);
    }
    if (is_out)
        return 0;
    if (S_ISLNK(st.st_mode)) {
        char *target = p->context->link;
        ssize_t n = readlink(real, target, sizeof p->context->link);
        char *copy = n < 0 ? NULL : arena_str(&p->mem, str_make(target, (size_t)n));
        if (!copy)
            return n < 0 ? cannot(p, rel, "read") : out_of_memory(p);
        e.type = TAR_SYMLINK;
        e.text = str_make(copy, (size_t)n);
    } else if (S_ISREG(st.st_mode)) {
        e.type = TAR_FILE;
        e.size = st.st_size;
    }
    return S_ISLNK(st.st_mode) || S_ISREG(st.st_mode) ? add(p, e) : 0;
}

/* What is in a directory: `real` on the disk, `rel` below the root, `path` in the archive. */
static int add_tree(struct client_pack *p, const char *real, const char *rel, const char *path)
{
    CLEANUP(names_free) struct names names = { 0 };
    names.n = scandir(real, &names.p, no_dots, by_name);
    if (names.n < 0) {
        names.n = 0;
        return cannot(p, rel, "read");
    }
    for (int i = 0; i < names.n; i++) {
        const char *name = names.p[i]->d_name;
        char *r = join(p, real, name), *l = join(p, rel, name), *a = join(p, path, name);
        int rc = r && l && a ? add_node(p, r, l, a) : out_of_memory(p);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* -- sources -- */

struct source {
    struct client_pack *pack;
    struct str written;
    size_t matches;
    bool is_ignored; /* one that .dockerignore leaves out */
};

static bool is_below(const char *root, const char *path)
{
    size_t n = strlen(root);
    return strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == '\0' || n == 1);
}

/* A source that is there. A link is followed as long as it stays below the root. */
static int add_source(struct source *s, const char *rel)
{
    struct client_pack *p = s->pack;
    struct client_context *c = p->context;
    struct stat st;
    char *path = arena_printf(&p->mem, "%s/%s", c->root, rel);
    CLEANUP(freep) char *resolved = path ? realpath(path, NULL) : NULL;
    if (!path)
        return out_of_memory(p);
    if (!resolved || stat(resolved, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : cannot(p, rel, "opened");
    if (!is_below(c->root, resolved))
        return client_fail(c->b, EXDEV,
                           "%s: '%s' is a link that leads out of the build's directory", c->prefix,
                           rel);
    char *real = arena_str(&p->mem, str_of(resolved));
    const char *name = strrchr(rel, '/') ? strrchr(rel, '/') + 1 : rel;
    if (!real)
        return out_of_memory(p);
    bool is_out = *rel && recipe_ignore_has(&c->ignore, str_of(rel));
    bool goes_on = S_ISDIR(st.st_mode) && (!is_out || c->ignore.has_exceptions);
    s->is_ignored |= is_out;
    if (is_out && !goes_on)
        return 0;
    s->matches++;
    if (S_ISDIR(st.st_mode))
        return add_tree(p, real, rel, "");
    if (!S_ISREG(st.st_mode))
        return client_fail(c->b, EINVAL, "%s: '%s' is neither a file nor a directory", c->prefix,
                           rel);
    char *copy = arena_str(&p->mem, str_of(name));
    return copy ? add(p, (struct client_entry){ .path = str_of(copy),
                                                .real = real,
                                                .type = TAR_FILE,
                                                .mode = st.st_mode & 07777,
                                                .size = st.st_size })
                : out_of_memory(p);
}

/* "a[b" of "a\[b". */
static char *unescaped(struct client_pack *p, struct str part)
{
    char *out = arena_alloc(&p->mem, part.n + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < part.n; i++) {
        i += part.p[i] == '\\' && i + 1 < part.n;
        out[n++] = part.p[i];
    }
    return out;
}

static int expand(struct source *s, const char *rel, struct str rest);

static int expand_pattern(struct source *s, const char *rel, struct str part, struct str rest)
{
    struct client_pack *p = s->pack;
    CLEANUP(names_free) struct names names = { 0 };
    char *real = join(p, p->context->root, rel);
    if (!real)
        return out_of_memory(p);
    CLEANUP(freep) char *resolved = realpath(real, NULL);
    if (!resolved || !is_below(p->context->root, resolved))
        return 0;
    names.n = scandir(resolved, &names.p, no_dots, by_name);
    if (names.n < 0) {
        names.n = 0;
        return errno == ENOENT || errno == ENOTDIR ? 0 : cannot(p, rel, "read");
    }
    for (int i = 0; i < names.n; i++) {
        const char *name = names.p[i]->d_name;
        if (!recipe_match_name(part, str_of(name)))
            continue;
        char *next = join(p, rel, name);
        int rc = next ? expand(s, next, rest) : out_of_memory(p);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* `rest` below `rel`, part by part. */
static int expand(struct source *s, const char *rel, struct str rest)
{
    struct str part;
    while (rest.n) {
        (void)str_cut(rest, '/', &part, &rest);
        if (!part.n || str_eq(part, STR(".")))
            continue;
        if (recipe_is_pattern(part))
            return expand_pattern(s, rel, part, rest);
        char *name = unescaped(s->pack, part);
        rel = name ? join(s->pack, rel, name) : NULL;
        if (!rel)
            return out_of_memory(s->pack);
    }
    return add_source(s, rel);
}

static int add_written(struct client_pack *p, struct str written, size_t *matches)
{
    struct client_context *c = p->context;
    struct source s = { .pack = p, .written = written };
    if (!c->root)
        return client_fail(c->b, EINVAL, "%s: COPY needs a directory to take files from",
                           c->prefix);
    int rc = expand(&s, "", written);
    if (!rc && !s.matches)
        rc = client_fail(c->b, ENOENT, "%s: COPY: there is no '" STR_FMT "' in %s%s", c->prefix,
                         STR_ARG(written), c->root,
                         s.is_ignored ? ": .dockerignore leaves it out" : "");
    *matches += s.matches;
    return rc;
}

/* -- the whole -- */

static bool is_directory_name(struct str s)
{
    return s.n && (s.p[s.n - 1] == '/' || str_eq(s, STR(".")) ||
                   (s.n > 1 && s.p[s.n - 2] == '/' && s.p[s.n - 1] == '.'));
}

/* The server would take it for a pattern. */
static bool is_server_pattern(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (strchr("*?[]{}!()", s.p[i]))
            return true;
    return false;
}

static int lay_out(struct client_pack *p, struct str dest, size_t matches)
{
    struct client_context *c = p->context;
    bool is_file = matches == 1 && p->count == 1 && p->entries[0].type == TAR_FILE &&
                   !memchr(p->entries[0].path.p, '/', p->entries[0].path.n);
    bool is_dir = is_directory_name(dest);
    p->source = STR(".");
    if (matches > 1 && !is_dir)
        return client_fail(c->b, ENOTDIR,
                           "%s: COPY takes %zu files to '" STR_FMT "', which then must end with /",
                           c->prefix, matches, STR_ARG(dest));
    if (is_file && !is_server_pattern(p->entries[0].path))
        p->source = p->entries[0].path;
    else if (is_file && !is_dir)
        return client_fail(c->b, EINVAL,
                           "%s: a file with one of *?[]{}!() in its name is copied into a "
                           "directory only: COPY " STR_FMT " DIRECTORY/",
                           c->prefix, STR_ARG(p->entries[0].path));
    return 0;
}

/* --chmod is done here: the server's would be for a directory that it makes around them, too. */
static void set_mode(struct client_pack *p, struct str octal)
{
    uint32_t mode = 0;
    for (size_t i = 0; i < octal.n; i++)
        mode = mode * 8 + (uint32_t)(octal.p[i] - '0');
    for (size_t i = 0; octal.n && i < p->count; i++)
        if (p->entries[i].type != TAR_SYMLINK)
            p->entries[i].mode = mode;
}

int client_pack_init(struct client_pack *p, struct client_context *c,
                     const struct recipe_dockerfile_step *s)
{
    size_t matches = s->file_count;
    int rc = 0;
    *p = (struct client_pack){ .context = c };
    arena_init(&p->mem, 0);
    for (uint32_t i = 0; !rc && i + 1 < s->arg_count; i++)
        rc = add_written(p, s->args[i], &matches);
    for (uint32_t i = 0; !rc && i < s->file_count; i++)
        rc = add(p, (struct client_entry){ .path = s->files[i].name,
                                           .text = s->files[i].text,
                                           .type = TAR_FILE,
                                           .mode = 0644,
                                           .size = (int64_t)s->files[i].text.n });
    if (!rc)
        rc = lay_out(p, s->args[s->arg_count - 1], matches);
    set_mode(p, s->mode);
    return rc ? rc : client_pack_run(p, -1, p->hash);
}

void client_pack_deinit(struct client_pack *p)
{
    free(p->entries);
    arena_deinit(&p->mem);
    *p = (struct client_pack){ 0 };
}
