/* Inside store/ only. */
#pragma once

#include <sqlite3.h>

#include "store/store.h"

enum store_sql {
    SQL_SECRET_GET,
    SQL_SECRET_PUT,
    SQL_SANDBOX_ADD,
    SQL_SANDBOX_SET,
    SQL_SANDBOX_SET_SPEC,
    SQL_SANDBOX_REMOVE,
    SQL_SANDBOX_EACH,
    SQL_ANSWER_GET,
    SQL_ANSWER_RESERVE,
    SQL_ANSWER_SET,
    SQL_ANSWER_EXPIRE,
    SQL_TEMPLATE_ADD,
    SQL_TEMPLATE_REMOVE,
    SQL_TEMPLATE_REMOVE_EMPTY,
    SQL_TEMPLATE_BY_ID,
    SQL_TEMPLATE_BY_NAME,
    SQL_BUILD_ADD,
    SQL_BUILD_READY,
    SQL_BUILD_REMOVE,
    SQL_BUILD_RETIRE,
    SQL_BUILD_REMOVE_READY,
    SQL_BUILD_UNTAGGED,
    SQL_BUILD_EACH,
    SQL_BUILD_TAGGED,
    SQL_BUILD_OF,
    SQL_BUILD_PAGE,
    SQL_TAG_SET,
    SQL_TAG_REMOVE,
    SQL_TAG_OF,
    SQL_TEMPLATE_ROWS,
    SQL_TEMPLATE_ROW,
    SQL_TEMPLATE_PUBLIC,
    SQL_TEMPLATE_TOUCH,
    SQL_JOB_BUILD_ADD,
    SQL_JOB_ADD,
    SQL_JOB_GET,
    SQL_JOB_EACH,
    SQL_JOB_BUILD_SET,
    SQL_JOB_STATE,
    SQL_JOB_END,
    SQL_JOB_TRIM,
    SQL_LOG_ADD,
    SQL_LOG_PAGE,
    SQL_KEPT_GET,
    SQL_KEPT_TOUCH,
    SQL_KEPT_PUT,
    SQL_KEPT_REMOVE,
    SQL_KEPT_EACH,
    SQL_KEY_ADD,
    SQL_KEY_RENAME,
    SQL_KEY_USED,
    SQL_KEY_REMOVE,
    SQL_KEY_EACH,
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_COUNT,
};

/* What store_build_row reads. */
#define STORE_BUILD_SELECT                                                                         \
    "SELECT b.id, b.template_id, p.name, p.kind, b.state, b.layers, b.rootfs, b.config, b.source," \
    " t.tag, COALESCE(t.created_us, b.created_us) FROM build b JOIN template p ON p.id = "         \
    "b.template_id"

/* What store_job.c reads. */
#define STORE_JOB_SELECT                                                                           \
    "SELECT b.id, b.template_id, p.name, b.state, j.tags, j.reason, j.step, j.cpus, j.memory_mb,"  \
    " b.created_us, j.updated_us, j.finished_us FROM build b JOIN job j ON j.build_id = b.id"      \
    " JOIN template p ON p.id = b.template_id"
/* A template, its ready default build and its newest one; what is public and its numbers. */
#define STORE_TEMPLATE_SELECT                                                                      \
    "SELECT p.id, p.name, p.kind, p.is_public, p.created_us, max(p.updated_us, p.created_us),"     \
    " (SELECT t.build_id FROM tag t WHERE t.template_id = p.id AND t.tag = 'default'),"            \
    " (SELECT b.state FROM build b WHERE b.template_id = p.id ORDER BY b.created_us DESC LIMIT "   \
    "1),"                                                                                          \
    " (SELECT count(*) FROM build b WHERE b.template_id = p.id),"                                  \
    " (SELECT j.cpus FROM build b JOIN job j ON j.build_id = b.id WHERE b.template_id = p.id"      \
    "  ORDER BY b.created_us DESC LIMIT 1),"                                                       \
    " (SELECT j.memory_mb FROM build b JOIN job j ON j.build_id = b.id WHERE b.template_id = p.id" \
    "  ORDER BY b.created_us DESC LIMIT 1) FROM template p"

struct store {
    sqlite3 *db;
    sqlite3_stmt *sql[SQL_COUNT]; /* prepared at first use */
    int wal_pages;                /* in the log, after the last commit */
    bool wants_sync;              /* store_tidy syncs even a short log */
};

/* The statement, reset and without bindings, or NULL (logged). */
sqlite3_stmt *store_sql(struct store *s, enum store_sql which);
/* Runs a statement that returns no row, and resets it. 0, -EEXIST or another negative errno. */
int store_run(struct store *s, sqlite3_stmt *q);
/* The errno for what SQLite just reported, logged. */
int store_error(struct store *s, const char *what);
void store_bind_text(sqlite3_stmt *q, int at, const char *text); /* borrowed until it has run */
void store_bind_or_null(sqlite3_stmt *q, int at, const char *text);
/* Runs a statement of up to two texts. */
int store_run_texts(struct store *s, enum store_sql which, const char *a, const char *b);
int store_begin(struct store *s);
/* Ends the transaction as `r` says, and returns it or why it could not be ended. */
int store_end(struct store *s, int r);
/* Tags a build; inside a transaction. */
int store_tag_set(struct store *s, const char *template_id, const char *tag, const char *build_id,
                  int64_t created_us);
/* Builds that no tag names any more: told to `gone`, then removed or, when somebody asked for
 * them, retired: their records stay. Inside a transaction. */
int store_remove_untagged(struct store *s, const char *template_id, store_build_fn gone,
                          void *data);
