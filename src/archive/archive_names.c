#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive/archive.h"
#include "base/cleanup.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct str *)a)->p, ((const struct str *)b)->p);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

int archive_names(struct arena *a, const char *path, uint32_t max, struct str **out,
                  uint32_t *count)
{
    CLEANUP(dir_closep) DIR *d = opendir(path);
    struct dirent *e;
    uint32_t room = 0;
    *out = NULL;
    *count = 0;
    if (!d)
        return -errno;
    while ((e = readdir(d))) {
        if (is_dots(e->d_name))
            continue;
        if (*count >= max)
            return -E2BIG;
        if (*count == room) {
            struct str *more = arena_alloc(a, (room ? room * 2 : 16) * sizeof *more);
            if (!more)
                return -ENOMEM;
            if (*count)
                memcpy(more, *out, *count * sizeof *more);
            *out = more;
            room = room ? room * 2 : 16;
        }
        struct str name = str_of(e->d_name);
        name.p = arena_str(a, name);
        if (!name.p)
            return -ENOMEM;
        (*out)[(*count)++] = name;
    }
    if (*count)
        qsort(*out, *count, sizeof **out, by_name);
    return 0;
}
