#include "agent/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "agent/path.h"
#include "base/cleanup.h"
#include "gen/limits.h"

#define PREFIX_SIZE (sizeof ENTRY_XATTR - 1)
#define XATTR_LIST_SIZE 65536 /* XATTR_LIST_MAX */

static int32_t type_of(mode_t mode)
{
    return S_ISREG(mode)   ? SCHEMA_TYPE_FILE
           : S_ISDIR(mode) ? SCHEMA_TYPE_DIRECTORY
                           : SCHEMA_TYPE_NONE;
}

/* As Go's fs.FileMode prints it. */
static struct str permissions_of(struct arena *a, mode_t mode)
{
    const struct {
        bool set;
        char letter;
    } letters[] = {
        { S_ISDIR(mode), 'd' },  { S_ISLNK(mode), 'L' },  { S_ISBLK(mode) || S_ISCHR(mode), 'D' },
        { S_ISFIFO(mode), 'p' }, { S_ISSOCK(mode), 'S' }, { mode & S_ISUID, 'u' },
        { mode & S_ISGID, 'g' }, { S_ISCHR(mode), 'c' },  { mode & S_ISVTX, 't' },
    };
    char text[24];
    size_t n = 0;
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if (letters[i].set)
            text[n++] = letters[i].letter;
    if (n == 0)
        text[n++] = '-';
    for (int i = 8; i >= 0; i--)
        text[n++] = mode & (1u << i) ? "xwr"[i % 3] : '-';
    return str_make(arena_str(a, str_make(text, n)), n);
}

/* -- metadata -- */

static struct str keep_value(struct arena *a, const char *path, const char *name)
{
    char value[LIMIT_METADATA_SIZE];
    ssize_t n = lgetxattr(path, name, value, sizeof value);
    char *p =
        n < 0 || memchr(value, 0, (size_t)n) ? NULL : arena_str(a, str_make(value, (size_t)n));
    return str_make(p, p ? (size_t)n : 0);
}

static void fill_metadata(struct arena *a, const char *path, struct message_list *out)
{
    char few[1024];
    CLEANUP(freep) char *many = NULL;
    char *names = few;
    ssize_t n = llistxattr(path, few, sizeof few);
    if (n < 0 && errno == ERANGE && (many = malloc(XATTR_LIST_SIZE))) {
        names = many;
        n = llistxattr(path, many, XATTR_LIST_SIZE);
    }
    uint32_t count = 0;
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1)
        count += strncmp(names + at, ENTRY_XATTR, PREFIX_SIZE) == 0;
    struct message_pair *pairs = count ? arena_alloc(a, count * sizeof *pairs) : NULL;
    if (!pairs)
        return;
    *out = (struct message_list){ pairs, 0 };
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
        if (strncmp(names + at, ENTRY_XATTR, PREFIX_SIZE) != 0)
            continue;
        struct str key = str_of(names + at + PREFIX_SIZE);
        struct message_pair pair = { str_make(arena_str(a, key), key.n),
                                     keep_value(a, path, names + at) };
        if (pair.key.p && pair.value.p && out->count < count)
            pairs[out->count++] = pair;
    }
}

static int metadata_clear(int fd)
{
    CLEANUP(freep) char *names = malloc(XATTR_LIST_SIZE);
    if (!names)
        return -ENOMEM;
    ssize_t n = flistxattr(fd, names, XATTR_LIST_SIZE);
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1)
        if (strncmp(names + at, ENTRY_XATTR, PREFIX_SIZE) == 0)
            (void)fremovexattr(fd, names + at);
    return 0;
}

int entry_metadata_set(int fd, const struct message_list *pairs, bool fresh)
{
    const struct message_pair *p = pairs->at;
    int r = fresh ? 0 : metadata_clear(fd);
    for (uint32_t i = 0; r == 0 && i < pairs->count; i++) {
        char name[256];
        if (p[i].key.n + PREFIX_SIZE >= sizeof name)
            return -ENAMETOOLONG;
        memcpy(name, ENTRY_XATTR, PREFIX_SIZE);
        memcpy(name + PREFIX_SIZE, p[i].key.p, p[i].key.n);
        name[PREFIX_SIZE + p[i].key.n] = 0;
        r = fsetxattr(fd, name, p[i].value.p, p[i].value.n, 0) < 0 ? -errno : 0;
    }
    return r;
}

/* -- the entry -- */

static bool fill_link(struct arena *a, struct str path, struct schema_entry *out)
{
    struct stat target;
    char *real = realpath(path.p, NULL);
    struct str s = real ? str_of(real) : path;
    out->symlink_target = str_make(arena_str(a, s), s.n);
    out->has_symlink_target = true;
    free(real);
    bool resolves = stat(path.p, &target) == 0;
    out->type = resolves ? type_of(target.st_mode) : SCHEMA_TYPE_NONE;
    if (resolves)
        out->mode = target.st_mode & 0777;
    return out->symlink_target.p != NULL;
}

int entry_fill(struct user_names *names, struct str path, struct schema_entry *out)
{
    struct stat st;
    struct arena *a = names->mem;
    if (lstat(path.p, &st) < 0)
        return -errno;
    *out = (struct schema_entry){ .name = path_name(path), .path = path };
    out->type = type_of(st.st_mode);
    /* some file systems say 0 of a directory; clients take that for a broken answer */
    out->size = S_ISDIR(st.st_mode) && st.st_size == 0 ? 4096 : st.st_size;
    out->mode = st.st_mode & 0777;
    out->permissions = permissions_of(a, st.st_mode);
    out->owner = user_names_user(names, st.st_uid);
    out->group = user_names_group(names, st.st_gid);
    out->modified = (struct message_time){ st.st_mtim.tv_sec, (int32_t)st.st_mtim.tv_nsec };
    if (S_ISLNK(st.st_mode) && !fill_link(a, path, out))
        return -ENOMEM;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        fill_metadata(a, path.p, &out->metadata);
    return out->permissions.p && out->owner.p && out->group.p ? 0 : -ENOMEM;
}
