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
    SQL_BUILD_UNTAGGED,
    SQL_BUILD_EACH,
    SQL_BUILD_TAGGED,
    SQL_BUILD_OF,
    SQL_BUILD_PAGE,
    SQL_TAG_SET,
    SQL_TAG_REMOVE,
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
