#include <string.h>

#include "store/store_internal.h"

int store_answer_get(struct store *s, const char *key, struct store_answer *out)
{
    sqlite3_stmt *q = store_sql(s, SQL_ANSWER_GET);
    int r = -EIO;
    *out = (struct store_answer){ 0 };
    if (!q)
        return r;
    store_bind_text(q, 1, key);
    int step = sqlite3_step(q);
    if (step == SQLITE_DONE) {
        r = 0;
    } else if (step == SQLITE_ROW && sqlite3_column_bytes(q, 0) == (int)sizeof out->request) {
        memcpy(out->request, sqlite3_column_blob(q, 0), sizeof out->request);
        out->created_us = sqlite3_column_int64(q, 1);
        out->status = sqlite3_column_int(q, 2);
        out->body = str_dup(str_of((const char *)sqlite3_column_text(q, 3)));
        r = out->body ? 1 : -ENOMEM;
    } else {
        r = store_error(s, "answer");
    }
    (void)sqlite3_reset(q);
    return r;
}

int store_answer_reserve(struct store *s, const char *key, const unsigned char request[32],
                         int64_t created_us)
{
    sqlite3_stmt *q = store_sql(s, SQL_ANSWER_RESERVE);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, key);
    (void)sqlite3_bind_blob(q, 2, request, 32, SQLITE_STATIC);
    (void)sqlite3_bind_int64(q, 3, created_us);
    return store_run(s, q);
}

int store_answer_set(struct store *s, const char *key, int status, struct str body)
{
    sqlite3_stmt *q = store_sql(s, SQL_ANSWER_SET);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, key);
    (void)sqlite3_bind_int(q, 2, status);
    (void)sqlite3_bind_text(q, 3, body.p ? body.p : "", (int)body.n, SQLITE_STATIC);
    return store_run(s, q);
}

int store_answer_expire(struct store *s, int64_t created_us)
{
    sqlite3_stmt *q = store_sql(s, SQL_ANSWER_EXPIRE);
    if (!q)
        return -EIO;
    (void)sqlite3_bind_int64(q, 1, created_us);
    return store_run(s, q);
}
