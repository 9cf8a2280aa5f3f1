#include "store/store_job.h"

#include <string.h>

#include "gen/limits.h"
#include "store/store_internal.h"

static const char *text(sqlite3_stmt *q, int at)
{
    return (const char *)sqlite3_column_text(q, at);
}

/* Ends the use of a statement that was stepped by hand. */
static int finish(struct store *s, sqlite3_stmt *q, int step, int r, const char *what)
{
    if (r == 0 && step != SQLITE_DONE && step != SQLITE_ROW)
        r = store_error(s, what);
    (void)sqlite3_reset(q);
    (void)sqlite3_clear_bindings(q);
    return r;
}

static struct store_job job_row(sqlite3_stmt *q)
{
    return (struct store_job){ .id = text(q, 0),
                               .template_id = text(q, 1),
                               .name = text(q, 2),
                               .state = text(q, 3),
                               .tags = text(q, 4),
                               .reason = text(q, 5),
                               .step = text(q, 6),
                               .cpus = sqlite3_column_int64(q, 7),
                               .memory_mb = sqlite3_column_int64(q, 8),
                               .created_us = sqlite3_column_int64(q, 9),
                               .updated_us = sqlite3_column_int64(q, 10),
                               .finished_us = sqlite3_column_int64(q, 11) };
}

static int add(struct store *s, const struct store_job *j)
{
    sqlite3_stmt *t = store_sql(s, SQL_TEMPLATE_ADD), *b = store_sql(s, SQL_JOB_BUILD_ADD),
                 *q = store_sql(s, SQL_JOB_ADD);
    if (!t || !b || !q)
        return -EIO;
    store_bind_text(t, 1, j->template_id);
    store_bind_or_null(t, 2, j->name);
    store_bind_text(t, 3, "template");
    (void)sqlite3_bind_int64(t, 4, j->created_us);
    int r = store_run(s, t);
    if (r < 0)
        return r;
    store_bind_text(b, 1, j->id);
    store_bind_text(b, 2, j->template_id);
    (void)sqlite3_bind_int64(b, 3, j->created_us);
    r = store_run(s, b);
    if (r < 0)
        return r;
    store_bind_text(q, 1, j->id);
    store_bind_text(q, 2, j->tags);
    (void)sqlite3_bind_int64(q, 3, j->cpus);
    (void)sqlite3_bind_int64(q, 4, j->memory_mb);
    (void)sqlite3_bind_int64(q, 5, j->created_us);
    return store_run(s, q);
}

int store_job_add(struct store *s, const struct store_job *j)
{
    int r = store_begin(s);
    return r < 0 ? r : store_end(s, add(s, j));
}

int store_job_get(struct store *s, const char *id, store_job_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_JOB_GET);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, id);
    int step = sqlite3_step(q), r = 0;
    if (step == SQLITE_ROW) {
        struct store_job j = job_row(q);
        r = fn(data, &j);
    }
    r = finish(s, q, step, r, "build");
    return r < 0 ? r : step == SQLITE_ROW;
}

int store_job_each(struct store *s, const struct store_job_page *p, store_job_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_JOB_EACH);
    int r = 0, step = SQLITE_DONE;
    if (!q)
        return -EIO;
    store_bind_or_null(q, 1, p->template_id);
    store_bind_or_null(q, 2, p->state);
    if (p->before_us)
        (void)sqlite3_bind_int64(q, 3, p->before_us);
    store_bind_or_null(q, 4, p->before_id);
    (void)sqlite3_bind_int64(q, 5, p->limit);
    while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_job j = job_row(q);
        r = fn(data, &j);
    }
    return finish(s, q, step, r, "builds");
}

static int set_times(struct store *s, const struct store_job *j, int64_t updated_us)
{
    sqlite3_stmt *q = store_sql(s, SQL_JOB_END);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, j->id);
    (void)sqlite3_bind_int64(q, 2, updated_us);
    (void)sqlite3_bind_int64(q, 3, j->finished_us);
    store_bind_text(q, 4, j->reason ? j->reason : "");
    store_bind_text(q, 5, j->step ? j->step : "");
    return store_run(s, q);
}

int store_job_start(struct store *s, const char *id, int64_t now_us)
{
    int r = store_begin(s);
    if (r == 0) {
        r = store_run_texts(s, SQL_JOB_STATE, id, "building");
        if (r == 0)
            r = set_times(s, &(struct store_job){ .id = id }, now_us);
        r = store_end(s, r);
    }
    return r;
}

static int add_logs(struct store *s, const char *id, struct store_logs logs)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < logs.count; i++) {
        const struct store_log *l = &logs.at[i];
        sqlite3_stmt *q = store_sql(s, SQL_LOG_ADD);
        if (!q)
            return -EIO;
        store_bind_text(q, 1, id);
        (void)sqlite3_bind_int64(q, 2, i);
        (void)sqlite3_bind_int64(q, 3, l->at_us);
        (void)sqlite3_bind_int(q, 4, l->level);
        store_bind_text(q, 5, l->step);
        store_bind_text(q, 6, l->message);
        r = store_run(s, q);
    }
    return r;
}

/* Records of old failures and of what was replaced: not for ever. */
static int trim(struct store *s, const char *template_id)
{
    sqlite3_stmt *q = store_sql(s, SQL_JOB_TRIM);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, template_id);
    (void)sqlite3_bind_int64(q, 2, LIMIT_BUILD_RECORDS);
    return store_run(s, q);
}

int store_job_fail(struct store *s, const struct store_job *j, struct store_logs logs)
{
    int r = store_begin(s);
    if (r < 0)
        return r;
    r = store_run_texts(s, SQL_JOB_STATE, j->id, "error");
    if (r == 0)
        r = set_times(s, j, j->finished_us);
    if (r == 0)
        r = add_logs(s, j->id, logs);
    if (r == 0)
        r = trim(s, j->template_id);
    return store_end(s, r);
}

/* Each of `tags` names the build. */
static int set_tags(struct store *s, const char *template_id, const char *build_id,
                    const char *tags, int64_t now_us)
{
    struct str rest = str_of(tags), one;
    char tag[160];
    int r = 0;
    while (r == 0 && rest.n) {
        (void)str_cut(rest, ',', &one, &rest);
        r = str_copy(one, tag, sizeof tag) ? store_tag_set(s, template_id, tag, build_id, now_us)
                                           : -EOVERFLOW;
    }
    return r;
}

static int touch(struct store *s, const char *template_id, int64_t now_us)
{
    sqlite3_stmt *q = store_sql(s, SQL_TEMPLATE_TOUCH);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, template_id);
    (void)sqlite3_bind_int64(q, 2, now_us);
    return store_run(s, q);
}

static int set_build(struct store *s, const struct store_build *b)
{
    sqlite3_stmt *q = store_sql(s, SQL_JOB_BUILD_SET);
    if (!q)
        return -EIO;
    const char *texts[] = { b->id, "ready", b->layers, b->rootfs, b->config };
    for (int i = 0; i < 5; i++)
        store_bind_text(q, i + 1, texts[i]);
    return store_run(s, q);
}

int store_job_done(struct store *s, const struct store_build *b, const char *tags,
                   struct store_logs logs, store_build_fn gone, void *data)
{
    const struct store_job j = { .id = b->id, .finished_us = b->created_us };
    int r = store_begin(s);
    if (r < 0)
        return r;
    r = set_build(s, b);
    if (r == 0)
        r = set_times(s, &j, b->created_us);
    if (r == 0)
        r = add_logs(s, b->id, logs);
    if (r == 0)
        r = set_tags(s, b->template_id, b->id, tags, b->created_us);
    if (r == 0)
        r = touch(s, b->template_id, b->created_us);
    if (r == 0)
        r = store_remove_untagged(s, b->template_id, gone, data);
    if (r == 0)
        r = trim(s, b->template_id);
    return store_end(s, r);
}

int store_log_page(struct store *s, const char *id, int level, int64_t offset, uint32_t limit,
                   store_log_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_LOG_PAGE);
    int r = 0, step = SQLITE_DONE;
    if (!q)
        return -EIO;
    store_bind_text(q, 1, id);
    (void)sqlite3_bind_int(q, 2, level);
    (void)sqlite3_bind_int64(q, 3, offset);
    (void)sqlite3_bind_int64(q, 4, limit);
    while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_log l = { sqlite3_column_int64(q, 0), sqlite3_column_int(q, 1), text(q, 2),
                               text(q, 3) };
        r = fn(data, &l);
    }
    return finish(s, q, step, r, "log");
}

/* -- templates and tags -- */

static struct store_template template_row(sqlite3_stmt *q)
{
    return (struct store_template){ .id = text(q, 0),
                                    .name = text(q, 1),
                                    .kind = text(q, 2),
                                    .is_public = sqlite3_column_int(q, 3) != 0,
                                    .created_us = sqlite3_column_int64(q, 4),
                                    .updated_us = sqlite3_column_int64(q, 5),
                                    .build_id = text(q, 6),
                                    .build_state = text(q, 7),
                                    .build_count = sqlite3_column_int64(q, 8),
                                    .cpus = sqlite3_column_int64(q, 9),
                                    .memory_mb = sqlite3_column_int64(q, 10) };
}

int store_template_page(struct store *s, int64_t before_us, const char *before_id, uint32_t limit,
                        store_template_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_TEMPLATE_ROWS);
    int r = 0, step = SQLITE_DONE;
    if (!q)
        return -EIO;
    if (before_us)
        (void)sqlite3_bind_int64(q, 1, before_us);
    store_bind_or_null(q, 2, before_id);
    (void)sqlite3_bind_int64(q, 3, limit);
    while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_template t = template_row(q);
        r = fn(data, &t);
    }
    return finish(s, q, step, r, "templates");
}

int store_template_get(struct store *s, const char *id, store_template_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_TEMPLATE_ROW);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, id);
    int step = sqlite3_step(q), r = 0;
    if (step == SQLITE_ROW) {
        struct store_template t = template_row(q);
        r = fn(data, &t);
    }
    r = finish(s, q, step, r, "template");
    return r < 0 ? r : step == SQLITE_ROW;
}

int store_template_set_public(struct store *s, const char *id, bool is_public, int64_t now_us)
{
    sqlite3_stmt *q = store_sql(s, SQL_TEMPLATE_PUBLIC);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, id);
    (void)sqlite3_bind_int(q, 2, is_public);
    (void)sqlite3_bind_int64(q, 3, now_us);
    return store_run(s, q);
}

int store_tag_each(struct store *s, const char *template_id, store_build_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_TAG_OF);
    int r = 0, step = SQLITE_DONE;
    if (!q)
        return -EIO;
    store_bind_text(q, 1, template_id);
    while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_build b = { .tag = text(q, 0),
                                 .id = text(q, 1),
                                 .template_id = template_id,
                                 .created_us = sqlite3_column_int64(q, 2) };
        r = fn(data, &b);
    }
    return finish(s, q, step, r, "tags");
}

int store_tag_put(struct store *s, const char *template_id, const char *build_id, const char *tags,
                  int64_t now_us, store_build_fn gone, void *data)
{
    int r = store_begin(s);
    if (r < 0)
        return r;
    r = set_tags(s, template_id, build_id, tags, now_us);
    if (r == 0)
        r = store_remove_untagged(s, template_id, gone, data);
    return store_end(s, r);
}

/* -- kept -- */

int store_kept_get(struct store *s, const char *kind, const char *key, int64_t now_us,
                   store_kept_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_KEPT_GET), *touch_it = store_sql(s, SQL_KEPT_TOUCH);
    if (!q || !touch_it)
        return -EIO;
    store_bind_text(q, 1, kind);
    store_bind_text(q, 2, key);
    int step = sqlite3_step(q), r = 0;
    if (step == SQLITE_ROW) {
        struct store_kept k = { kind, key, text(q, 0), sqlite3_column_int64(q, 1), now_us };
        r = fn(data, &k);
    }
    r = finish(s, q, step, r, "kept");
    if (r < 0 || step != SQLITE_ROW)
        return r;
    store_bind_text(touch_it, 1, kind);
    store_bind_text(touch_it, 2, key);
    (void)sqlite3_bind_int64(touch_it, 3, now_us);
    r = store_run(s, touch_it);
    return r < 0 ? r : 1;
}

int store_kept_put(struct store *s, const struct store_kept *k)
{
    sqlite3_stmt *q = store_sql(s, SQL_KEPT_PUT);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, k->kind);
    store_bind_text(q, 2, k->key);
    store_bind_text(q, 3, k->value);
    (void)sqlite3_bind_int64(q, 4, k->bytes);
    (void)sqlite3_bind_int64(q, 5, k->used_us);
    return store_run(s, q);
}

int store_kept_remove(struct store *s, const char *kind, const char *key)
{
    return store_run_texts(s, SQL_KEPT_REMOVE, kind, key);
}

int store_kept_each(struct store *s, const char *kind, store_kept_fn fn, void *data)
{
    sqlite3_stmt *q = store_sql(s, SQL_KEPT_EACH);
    int r = 0, step = SQLITE_DONE;
    if (!q)
        return -EIO;
    store_bind_text(q, 1, kind);
    while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_kept k = { kind, text(q, 0), text(q, 1), sqlite3_column_int64(q, 2), 0 };
        r = fn(data, &k);
    }
    return finish(s, q, step, r, "kept");
}
