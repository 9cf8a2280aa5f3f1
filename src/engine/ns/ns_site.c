#include "engine/ns/ns_site.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "os/os_file.h"
#include "os/os_sys.h"

#define EXTRA_CAS "usr/local/share/ca-certificates" /* of the host, and inside */
#define BUNDLE "etc/ssl/certs/ca-certificates.crt"
#define BUNDLE_SIZE (8u << 20)
#define KNOWN 64
#define FILE_SIZE (4u << 20) /* of a site's own */
#define FILES_MOST 1000
#define FILES_DEEP 16

static const char hosts[] = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
                            "127.0.1.1 " NS_HOSTNAME " e2b\n127.0.0.1 events.e2b.local\n";

/* A network that intercepts TLS: every language brings a trust store of its own, and a variable to
 * point it to the system's. */
static const char environment[] = "LANG=C.UTF-8\n"
                                  "SSL_CERT_FILE=/" BUNDLE "\n"
                                  "NODE_EXTRA_CA_CERTS=/" BUNDLE "\n"
                                  "PIP_CERT=/" BUNDLE "\n"
                                  "REQUESTS_CA_BUNDLE=/" BUNDLE "\n"
                                  "CURL_CA_BUNDLE=/" BUNDLE "\n"
                                  "GIT_SSL_CAINFO=/" BUNDLE "\n";

int ns_site_resolvers(uint32_t out[NS_SITE_RESOLVERS])
{
    /* systemd-resolved puts a stub on 127.0.0.53 into the first file and the truth into the second.
     */
    static const char *const files[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf" };
    int count = 0;
    for (int i = 0; i < 2 && count == 0; i++) {
        char text[8192], word[64];
        if (file_get(AT_FDCWD, files[i], text, sizeof text) < 0)
            continue;
        struct str rest = str_of(text), line;
        while (rest.n && count < NS_SITE_RESOLVERS) {
            (void)str_cut(rest, '\n', &line, &rest);
            if (!str_starts(line, STR("nameserver")))
                continue;
            struct in_addr a;
            line = str_trim(str_skip(line, 10));
            line.n = str_find(line, ' ');
            if (str_copy(line, word, sizeof word) && inet_pton(AF_INET, word, &a) == 1 &&
                (ntohl(a.s_addr) >> 24) != 127)
                out[count++] = a.s_addr;
        }
    }
    return count;
}

static void resolv_print(struct buf *b)
{
    uint32_t all[NS_SITE_RESOLVERS];
    int count = ns_site_resolvers(all);
    for (int i = 0; i < count; i++) {
        char text[INET_ADDRSTRLEN];
        (void)buf_printf(b, "nameserver %s\n", inet_ntop(AF_INET, &all[i], text, sizeof text));
    }
    if (count == 0)
        (void)buf_append(b, STR("nameserver 8.8.8.8\n"));
}

/* Opens inside the template as the template sees it: its links may not lead out to host files. */
static int template_open(int root, const char *path, int flags)
{
    struct {
        uint64_t flags, mode, resolve;
    } how = { (uint64_t)(unsigned)flags | O_CLOEXEC, 0,
              0x10 /* RESOLVE_IN_ROOT */ | 0x02 /* RESOLVE_NO_MAGICLINKS */ };
    return os_ret(syscall(437 /* openat2 */, root, path, &how, sizeof how));
}

static bool append_file(int fd, struct buf *b)
{
    for (;;) {
        char *room = buf_room(b, 65536);
        ssize_t n = room ? read(fd, room, 65536) : -1;
        if (n <= 0)
            return n == 0;
        buf_added(b, (size_t)n);
    }
}

/* A directory of the layer looks as the template's: of a merged directory overlayfs shows the owner
 * and mode of the topmost. */
static int layer_mkdirs(int template, int layer, const char *file)
{
    char part[256];
    for (size_t i = 1; file[i]; i++) {
        if (file[i] != '/')
            continue;
        struct stat st = { .st_mode = 0755 };
        (void)str_copy(str_make(file, i), part, sizeof part);
        CLEANUP(fd_closep) int from = template_open(template, part, O_PATH | O_DIRECTORY);
        if (from >= 0)
            (void)fstat(from, &st);
        int r = file_mkdir(layer, part, 0700);
        if (r < 0)
            return TRACE(r);
        if (fchmodat(layer, part, st.st_mode & 07777, 0) < 0 ||
            fchownat(layer, part, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
            return RAISE(-errno);
    }
    return 0;
}

/* FNV-1a: names a layer by its content; nothing hostile is hashed against it. */
static void hash_add(uint64_t *h, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        *h = (*h ^ (unsigned char)s.p[i]) * 0x100000001b3ull;
}

struct layer {
    int template, dir;
    uint64_t hash; /* of all files put */
    uint32_t own_files;
};

static int layer_put_mode(struct layer *l, const char *file, mode_t mode, struct str text)
{
    hash_add(&l->hash, str_of(file));
    hash_add(&l->hash, str_make((const char *)&mode, sizeof mode));
    hash_add(&l->hash, text);
    int r = layer_mkdirs(l->template, l->dir, file);
    return r < 0 ? TRACE(r) : TRACE(file_save(l->dir, file, mode, text));
}

static int layer_put(struct layer *l, const char *file, struct str text)
{
    return TRACE(layer_put_mode(l, file, 0644, text));
}

/* Copies the host's extra authorities and appends them to the template's bundle. */
static int authorities_put(struct layer *l)
{
    struct buf bundle;
    buf_init(&bundle, BUNDLE_SIZE);
    CLEANUP(fd_closep) int own = template_open(l->template, BUNDLE, O_RDONLY);
    CLEANUP(dir_closep) DIR *d = opendir("/" EXTRA_CAS);
    int r = own >= 0 && !append_file(own, &bundle) ? RAISE(-EIO) : 0;
    for (struct dirent *e; d && r == 0 && (e = readdir(d));) {
        char name[320];
        size_t n = strlen(e->d_name);
        if (n < 5 || strcmp(e->d_name + n - 4, ".crt") != 0)
            continue;
        CLEANUP(fd_closep) int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
        (void)snprintf(name, sizeof name, "%s/%s", EXTRA_CAS, e->d_name);
        size_t at = bundle.len;
        if (fd < 0 || !append_file(fd, &bundle))
            r = RAISE(fd < 0 ? -errno : -EIO);
        else
            r = layer_put(l, name, str_make(bundle.p + at, bundle.len - at));
        (void)buf_byte(&bundle, '\n');
    }
    if (r == 0 && bundle.len)
        r = layer_put(l, BUNDLE, buf_str(&bundle));
    buf_deinit(&bundle);
    return TRACE(r);
}

/* -- files of this host's own -- */

static int own_file_put(struct layer *l, int fd, mode_t mode, const char *path)
{
    struct buf text;
    buf_init(&text, FILE_SIZE);
    int r = ++l->own_files > FILES_MOST ? RAISE(-E2BIG)
            : append_file(fd, &text)    ? 0
                                        : RAISE(-EFBIG);
    r = r < 0 ? r : layer_put_mode(l, path, mode & 0111 ? 0755 : 0644, buf_str(&text));
    buf_deinit(&text);
    return TRACE(r);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Everything in the directory `path` below `all`, in the order of names: the hash depends on it. */
static int own_files_put(struct layer *l, int all, const char *path, int depth)
{
    struct dirent **names = NULL;
    int count = depth > FILES_DEEP ? -1 : scandirat(all, *path ? path : ".", &names, NULL, by_name);
    int r = count < 0 ? RAISE(depth > FILES_DEEP ? -ELOOP : -errno) : 0;
    if (r < 0)
        log_error("site directory %s: %s; at most %d may lie within each other", path, strerror(-r),
                  FILES_DEEP);
    for (int i = 0; i < count; i++) {
        CLEANUP(freep) struct dirent *e = names[i];
        struct stat st = { 0 };
        char at[512];
        if (r < 0 || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int n = snprintf(at, sizeof at, "%s%s%s", path, *path ? "/" : "", e->d_name);
        CLEANUP(fd_closep) int fd = openat(all, at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (n >= (int)sizeof at || fd < 0 || fstat(fd, &st) < 0)
            r = RAISE(n >= (int)sizeof at ? -ENAMETOOLONG : -errno);
        else if (S_ISDIR(st.st_mode))
            r = own_files_put(l, all, at, depth + 1);
        else if (S_ISREG(st.st_mode))
            r = own_file_put(l, fd, st.st_mode, at);
        else
            r = RAISE(-EINVAL);
        if (r < 0 && !(fd >= 0 && S_ISDIR(st.st_mode)))
            log_error(
                "site file %s: %s; only files and directories, of at most %u MiB, can be given", at,
                strerror(-r), FILE_SIZE >> 20);
    }
    free(names);
    return r;
}

static int site_files_put(struct layer *l, const char *dir)
{
    CLEANUP(fd_closep) int all = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (all < 0) /* most hosts have none */
        return !dir || errno == ENOENT ? 0 : RAISE(-errno);
    return TRACE(own_files_put(l, all, "", 0));
}

static int layer_fill(struct layer *l, const char *site_files)
{
    struct buf resolv;
    buf_init(&resolv, 4096);
    resolv_print(&resolv);
    int r = layer_put(l, "etc/hosts", str_make(hosts, sizeof hosts - 1));
    if (r == 0)
        r = layer_put(l, "etc/hostname", STR(NS_HOSTNAME "\n"));
    if (r == 0)
        r = layer_put(l, "etc/environment", str_make(environment, sizeof environment - 1));
    if (r == 0)
        r = layer_put(l, "etc/resolv.conf", buf_str(&resolv));
    buf_deinit(&resolv);
    if (r == 0)
        r = authorities_put(l);
    return r < 0 ? TRACE(r) : TRACE(site_files_put(l, site_files));
}

/* The root of the layer stands for "/" itself. */
static int layer_make(const char *template, const char *site_files, const char *path,
                      uint64_t *content)
{
    struct stat st;
    CLEANUP(fd_closep) int root = open(template, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || fstat(root, &st) < 0 || mkdir(path, 0755) < 0)
        return RAISE(-errno);
    CLEANUP(fd_closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fchmod(dir, st.st_mode & 07777) < 0)
        return RAISE(-errno);
    struct layer l = { .template = root, .dir = dir, .hash = 0xcbf29ce484222325ull };
    hash_add(&l.hash, str_of(template));
    int r = layer_fill(&l, site_files);
    *content = l.hash;
    return TRACE(r);
}

static struct {
    char template[512], path[512];
} known[KNOWN];
static int known_count;

/* Made beside and renamed. The same content made at an earlier start is taken again: sandboxes that
 * live on may stand on it. */
static int layer_get(const struct ns_host *h, const char *template, char *path, size_t size)
{
    char made[560];
    uint64_t content = 0;
    (void)file_remove_tree(h->state, "site/.new");
    (void)snprintf(made, sizeof made, "%s/site/.new", h->config->state);
    int r = layer_make(template, h->config->site_files, made, &content);
    if (r == 0) {
        (void)snprintf(path, size, "%s/site/%016llx", h->config->state,
                       (unsigned long long)content);
        if (access(path, F_OK) < 0 && rename(made, path) < 0)
            r = RAISE(-errno);
    }
    (void)file_remove_tree(h->state, "site/.new");
    return TRACE(r);
}

int ns_site_get(const struct ns_host *h, const char *template, const char **path)
{
    for (int i = 0; i < known_count; i++)
        if (strcmp(known[i].template, template) == 0) {
            *path = known[i].path;
            return 0;
        }
    if (known_count == KNOWN)
        known_count = 0; /* they are only remembered; their directories stay */
    int at = known_count;
    if (!str_copy(str_of(template), known[at].template, sizeof known[at].template))
        return RAISE(-ENAMETOOLONG);
    int r = layer_get(h, template, known[at].path, sizeof known[at].path);
    if (r < 0)
        return TRACE(r);
    known_count++;
    *path = known[at].path;
    return 0;
}
