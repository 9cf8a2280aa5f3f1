#include "store/store_key.h"

#include "store/store_internal.h"

int store_key_add(struct store *s, const struct store_key *k)
{
    sqlite3_stmt *q = store_sql(s, SQL_KEY_ADD);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, k->id);
    store_bind_text(q, 2, k->parent);
    store_bind_text(q, 3, k->name);
    (void)sqlite3_bind_blob(q, 4, k->hash, 32, SQLITE_STATIC);
    store_bind_text(q, 5, k->mask);
    (void)sqlite3_bind_int(q, 6, k->is_login);
    (void)sqlite3_bind_int64(q, 7, k->created_us);
    (void)sqlite3_bind_int64(q, 8, k->used_us);
    return store_run(s, q);
}

int store_key_rename(struct store *s, const char *id, const char *name)
{
    return store_run_texts(s, SQL_KEY_RENAME, id, name);
}

int store_key_used(struct store *s, const char *id, int64_t used_us)
{
    sqlite3_stmt *q = store_sql(s, SQL_KEY_USED);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, id);
    (void)sqlite3_bind_int64(q, 2, used_us);
    return store_run(s, q);
}

int store_key_remove(struct store *s, const char *id)
{
    sqlite3_stmt *q = store_sql(s, SQL_KEY_REMOVE);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, id);
    return store_run(s, q);
}

int store_key_each(struct store *s, store_key_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_KEY_EACH);
    int r = q ? 0 : -EIO, step = SQLITE_DONE;
    while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_key k = { .id = (const char *)sqlite3_column_text(q, 0),
                               .parent = (const char *)sqlite3_column_text(q, 1),
                               .name = (const char *)sqlite3_column_text(q, 2),
                               .hash = sqlite3_column_blob(q, 3),
                               .mask = (const char *)sqlite3_column_text(q, 4),
                               .is_login = sqlite3_column_int(q, 5),
                               .created_us = sqlite3_column_int64(q, 6),
                               .used_us = sqlite3_column_int64(q, 7) };
        r = sqlite3_column_bytes(q, 3) == 32 ? fn(data, &k) : -EIO;
    }
    if (r == 0 && step != SQLITE_DONE)
        r = store_error(s, "keys");
    if (q)
        (void)sqlite3_reset(q);
    return r;
}
