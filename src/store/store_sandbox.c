#include "store/store_internal.h"

static void bind(sqlite3_stmt *q, const struct store_sandbox *r)
{
    store_bind_text(q, 1, r->id);
    store_bind_text(q, 2, r->state);
    (void)sqlite3_bind_int64(q, 5, r->started_us);
    (void)sqlite3_bind_int64(q, 6, r->end_us);
}

int store_sandbox_add(struct store *s, const struct store_sandbox *r)
{
    sqlite3_stmt *q = store_sql(s, SQL_SANDBOX_ADD);
    if (!q)
        return -EIO;
    bind(q, r);
    store_bind_text(q, 3, r->spec);
    (void)sqlite3_bind_int64(q, 4, r->created_us);
    return store_run(s, q);
}

int store_sandbox_set(struct store *s, const struct store_sandbox *r)
{
    sqlite3_stmt *q = store_sql(s, SQL_SANDBOX_SET);
    if (!q)
        return -EIO;
    bind(q, r);
    (void)sqlite3_bind_int(q, 7, r->has_lost_memory);
    return store_run(s, q);
}

int store_sandbox_set_spec(struct store *s, const char *id, const char *spec)
{
    sqlite3_stmt *q = store_sql(s, SQL_SANDBOX_SET_SPEC);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, id);
    store_bind_text(q, 2, spec);
    return store_run(s, q);
}

int store_sandbox_remove(struct store *s, const char *id)
{
    sqlite3_stmt *q = store_sql(s, SQL_SANDBOX_REMOVE);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, id);
    return store_run(s, q);
}

int store_sandbox_each(struct store *s, int (*fn)(void *data, const struct store_sandbox *r),
                       void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_SANDBOX_EACH);
    int r = q ? 0 : -EIO, step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_sandbox row = { .id = (const char *)sqlite3_column_text(q, 0),
                                     .state = (const char *)sqlite3_column_text(q, 1),
                                     .spec = (const char *)sqlite3_column_text(q, 2),
                                     .created_us = sqlite3_column_int64(q, 3),
                                     .started_us = sqlite3_column_int64(q, 4),
                                     .end_us = sqlite3_column_int64(q, 5),
                                     .has_lost_memory = sqlite3_column_int(q, 6) != 0 };
        r = fn(data, &row);
    }
    if (r == 0 && step != SQLITE_DONE)
        r = store_error(s, "sandboxes");
    if (q)
        (void)sqlite3_reset(q);
    return r;
}
