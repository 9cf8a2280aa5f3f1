#include "sandbox/layers.h"

#include <stdlib.h>
#include <string.h>

enum { ROOT_NAME = 33 }; /* '.' and half of a SHA-256, as src/transfer names it */

struct layer {
    uint32_t holders;
    size_t n;
    char name[];
};

void layers_init(struct layers *l, void (*on_free)(void *data, struct str name), void *data)
{
    map_init(&l->by_name);
    l->on_free = on_free;
    l->data = data;
}

void layers_deinit(struct layers *l)
{
    MAP_EACH(i, &l->by_name)
        free(l->by_name.slots[i].value);
    map_deinit(&l->by_name);
}

static bool hold_one(struct layers *l, struct str name)
{
    struct layer *y = map_get(&l->by_name, name);
    if (!y) {
        y = malloc(sizeof *y + name.n);
        if (!y)
            return false;
        y->holders = 0;
        y->n = name.n;
        memcpy(y->name, name.p, name.n);
        if (!map_put(&l->by_name, str_make(y->name, y->n), y)) {
            free(y);
            return false;
        }
    }
    y->holders++;
    return true;
}

static void release_one(struct layers *l, struct str name)
{
    struct layer *y = map_get(&l->by_name, name);
    if (!y || --y->holders)
        return;
    struct str own = str_make(y->name, y->n);
    (void)map_remove(&l->by_name, own);
    l->on_free(l->data, own);
    free(y);
}

struct str layers_root(const char *rootfs)
{
    static const char end[] = "/rootfs";
    size_t n = rootfs ? strlen(rootfs) : 0;
    if (n < ROOT_NAME + sizeof end || strcmp(rootfs + n - sizeof end + 1, end) != 0)
        return STR_NONE;
    const char *name = rootfs + n - sizeof end + 1 - ROOT_NAME;
    bool good = name[-1] == '/' && name[0] == '.';
    for (size_t i = 1; i < ROOT_NAME; i++)
        good = good && memchr("0123456789abcdef", name[i], 16);
    return good ? str_make(name, ROOT_NAME) : STR_NONE;
}

static bool hold_list(struct layers *l, const char *list)
{
    struct str rest = str_of(list), name;
    while (rest.n) {
        (void)str_cut(rest, ',', &name, &rest);
        if (hold_one(l, name))
            continue;
        for (struct str done = str_make(list, (size_t)(name.p - list)); done.n;) {
            struct str one;
            (void)str_cut(done, ',', &one, &done);
            if (one.n)
                release_one(l, one);
        }
        return false;
    }
    return true;
}

bool layers_hold(struct layers *l, const char *rootfs, const char *list)
{
    struct str root = layers_root(rootfs);
    if (root.n && !hold_one(l, root))
        return false;
    if (hold_list(l, list))
        return true;
    if (root.n)
        release_one(l, root);
    return false;
}

void layers_release(struct layers *l, const char *rootfs, const char *list)
{
    struct str rest = str_of(list), name, root = layers_root(rootfs);
    while (rest.n) {
        (void)str_cut(rest, ',', &name, &rest);
        release_one(l, name);
    }
    if (root.n)
        release_one(l, root);
}

bool layers_has(const struct layers *l, struct str name) { return map_get(&l->by_name, name); }
