/* Templates, their builds and tags. */
#include <string.h>

#include "store/store_internal.h"

void store_bind_or_null(sqlite3_stmt *q, int at, const char *text)
{
    if (text)
        store_bind_text(q, at, text);
}

static struct store_build build_row(sqlite3_stmt *q)
{
    const char *t[10];
    for (int i = 0; i < 10; i++)
        t[i] = (const char *)sqlite3_column_text(q, i);
    return (struct store_build){ .id = t[0],
                                 .template_id = t[1],
                                 .name = t[2],
                                 .kind = t[3],
                                 .state = t[4],
                                 .layers = t[5],
                                 .rootfs = t[6],
                                 .config = t[7],
                                 .source = t[8],
                                 .tag = t[9],
                                 .created_us = sqlite3_column_int64(q, 10) };
}

/* Calls `fn` for every row and resets `q`. */
static int each_build(struct store *s, sqlite3_stmt *q, store_build_fn fn, void *data)
{
    int r = 0, step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_build b = build_row(q);
        r = fn(data, &b);
    }
    if (r == 0 && step != SQLITE_DONE)
        r = store_error(s, "builds");
    (void)sqlite3_reset(q);
    (void)sqlite3_clear_bindings(q);
    return r;
}

int store_run_texts(struct store *s, enum store_sql which, const char *a, const char *b)
{
    sqlite3_stmt *q = store_sql(s, which);
    if (!q)
        return -EIO;
    store_bind_or_null(q, 1, a);
    store_bind_or_null(q, 2, b);
    return store_run(s, q);
}

int store_begin(struct store *s) { return store_run_texts(s, SQL_BEGIN, NULL, NULL); }

int store_end(struct store *s, int r)
{
    if (r == 0)
        r = store_run_texts(s, SQL_COMMIT, NULL, NULL);
    if (r != 0)
        (void)store_run_texts(s, SQL_ROLLBACK, NULL, NULL);
    return r;
}

static int add(struct store *s, const struct store_build *b)
{
    sqlite3_stmt *t = store_sql(s, SQL_TEMPLATE_ADD), *q = store_sql(s, SQL_BUILD_ADD);
    if (!t || !q)
        return -EIO;
    store_bind_text(t, 1, b->template_id);
    store_bind_or_null(t, 2, b->name);
    store_bind_text(t, 3, b->kind);
    (void)sqlite3_bind_int64(t, 4, b->created_us);
    int r = store_run(s, t);
    if (r < 0)
        return r;
    const char *texts[] = { b->id, b->template_id, b->layers, b->rootfs, b->config, b->source };
    for (int i = 0; i < 6; i++)
        store_bind_text(q, i + 1, texts[i]);
    (void)sqlite3_bind_int64(q, 7, b->created_us);
    return store_run(s, q);
}

int store_build_add(struct store *s, const struct store_build *b)
{
    int r = store_begin(s);
    return r < 0 ? r : store_end(s, add(s, b));
}

int store_remove_untagged(struct store *s, const char *template_id, store_build_fn gone, void *data)
{
    for (int r = 0;;) {
        char id[64];
        sqlite3_stmt *q = store_sql(s, SQL_BUILD_UNTAGGED);
        if (!q)
            return -EIO;
        store_bind_text(q, 1, template_id);
        int step = sqlite3_step(q);
        if (step == SQLITE_ROW) {
            struct store_build b = { .id = (const char *)sqlite3_column_text(q, 0),
                                     .template_id = template_id,
                                     .state = "ready",
                                     .layers = (const char *)sqlite3_column_text(q, 1),
                                     .rootfs = (const char *)sqlite3_column_text(q, 2) };
            (void)str_copy(str_of(b.id), id, sizeof id);
            (void)gone(data, &b);
        } else if (step != SQLITE_DONE) {
            r = store_error(s, "untagged builds");
        }
        (void)sqlite3_reset(q);
        if (r == 0 && step == SQLITE_ROW)
            r = store_run_texts(s, SQL_BUILD_RETIRE, id, NULL);
        if (r == 0 && step == SQLITE_ROW)
            r = store_run_texts(s, SQL_BUILD_REMOVE_READY, id, NULL);
        if (r != 0 || step != SQLITE_ROW)
            return r < 0 ? r : store_run_texts(s, SQL_TEMPLATE_REMOVE_EMPTY, template_id, NULL);
    }
}

int store_tag_set(struct store *s, const char *template_id, const char *tag, const char *build_id,
                  int64_t created_us)
{
    sqlite3_stmt *q = store_sql(s, SQL_TAG_SET);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, template_id);
    store_bind_text(q, 2, tag);
    store_bind_text(q, 3, build_id);
    (void)sqlite3_bind_int64(q, 4, created_us);
    return store_run(s, q);
}

int store_build_ready(struct store *s, const struct store_build *b, const char *tag,
                      store_build_fn gone, void *data)
{
    int r = store_begin(s);
    if (r < 0)
        return r;
    r = store_run_texts(s, SQL_BUILD_READY, b->id, NULL);
    if (r == 0)
        r = store_tag_set(s, b->template_id, tag, b->id, b->created_us);
    if (r == 0)
        r = store_remove_untagged(s, b->template_id, gone, data);
    return store_end(s, r);
}

int store_build_remove(struct store *s, const struct store_build *b)
{
    int r = store_begin(s);
    if (r < 0)
        return r;
    r = store_run_texts(s, SQL_BUILD_REMOVE, b->id, NULL);
    if (r == 0)
        r = store_run_texts(s, SQL_TEMPLATE_REMOVE_EMPTY, b->template_id, NULL);
    return store_end(s, r);
}

int store_build_each(struct store *s, store_build_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_BUILD_EACH);
    return q ? each_build(s, q, fn, data) : -EIO;
}

static int template_id(struct store *s, enum store_sql which, const char *key, char *id,
                       size_t size)
{
    sqlite3_stmt *q = store_sql(s, which);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, key);
    int step = sqlite3_step(q), r = 0;
    if (step == SQLITE_ROW)
        r = str_copy(str_of((const char *)sqlite3_column_text(q, 0)), id, size) ? 1 : -EOVERFLOW;
    else if (step != SQLITE_DONE)
        r = store_error(s, "template");
    (void)sqlite3_reset(q);
    return r;
}

int store_template_by_name(struct store *s, const char *name, char *id, size_t size)
{
    return template_id(s, SQL_TEMPLATE_BY_NAME, name, id, size);
}

int store_template_by_id(struct store *s, const char *name, char *id, size_t size)
{
    return template_id(s, SQL_TEMPLATE_BY_ID, name, id, size);
}

struct first {
    store_build_fn fn;
    void *data;
    int result;
};
static int on_first(void *data, const struct store_build *b)
{
    struct first *f = data;
    int r = f->fn(f->data, b);
    f->result = r < 0 ? r : 1;
    return 1;
}

int store_build_tagged(struct store *s, const char *template_id, const char *tag, store_build_fn fn,
                       void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_BUILD_TAGGED);
    struct first first = { .fn = fn, .data = data };
    if (!q)
        return -EIO;
    store_bind_text(q, 1, template_id);
    store_bind_text(q, 2, tag);
    int r = each_build(s, q, on_first, &first);
    return r < 0 ? r : first.result;
}

int store_tag_remove(struct store *s, const char *template_id, const char *tag, store_build_fn gone,
                     void *data)
{
    int r = store_begin(s);
    if (r < 0)
        return r;
    if (tag) {
        r = store_run_texts(s, SQL_TAG_REMOVE, template_id, tag);
        if (r == 0)
            r = store_remove_untagged(s, template_id, gone, data);
        return store_end(s, r);
    }
    sqlite3_stmt *q = store_sql(s, SQL_BUILD_OF);
    if (q)
        store_bind_text(q, 1, template_id);
    r = q ? each_build(s, q, gone, data) : -EIO;
    return store_end(s, r == 0 ? store_run_texts(s, SQL_TEMPLATE_REMOVE, template_id, NULL) : r);
}

int store_build_page(struct store *s, const struct store_page *p, store_build_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_BUILD_PAGE);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, p->kind);
    store_bind_or_null(q, 2, p->source);
    store_bind_or_null(q, 3, p->template_id);
    store_bind_or_null(q, 4, p->tag);
    (void)sqlite3_bind_int64(q, 5, p->before_us);
    store_bind_text(q, 6, p->before_id ? p->before_id : "");
    (void)sqlite3_bind_int64(q, 7, p->limit);
    return each_build(s, q, fn, data);
}
