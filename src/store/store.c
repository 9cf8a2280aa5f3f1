#include "store/store.h"

#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/rand.h"
#include "store/store_internal.h"

/* Version n is reached by running migrations[n - 1]. Rows are only ever added at the end. */
static const char *const migrations[] = {
    "CREATE TABLE secret(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE sandbox("
    "  id TEXT PRIMARY KEY, state TEXT NOT NULL, spec TEXT NOT NULL,"
    "  created_us INTEGER NOT NULL, started_us INTEGER NOT NULL, end_us INTEGER NOT NULL"
    ") WITHOUT ROWID;",
    "CREATE TABLE answer(key TEXT PRIMARY KEY, request BLOB NOT NULL, created_us INTEGER NOT NULL,"
    "  status INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;",
    "ALTER TABLE sandbox ADD COLUMN has_lost_memory INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE template(id TEXT PRIMARY KEY, name TEXT UNIQUE, kind TEXT NOT NULL,"
    "  created_us INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE build(id TEXT PRIMARY KEY,"
    "  template_id TEXT NOT NULL REFERENCES template(id) ON DELETE CASCADE,"
    "  state TEXT NOT NULL, layers TEXT NOT NULL, rootfs TEXT NOT NULL, config TEXT NOT NULL,"
    "  source TEXT NOT NULL, created_us INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX build_template ON build(template_id);"
    "CREATE TABLE tag(template_id TEXT NOT NULL REFERENCES template(id) ON DELETE CASCADE,"
    "  tag TEXT NOT NULL, build_id TEXT NOT NULL REFERENCES build(id) ON DELETE CASCADE,"
    "  created_us INTEGER NOT NULL, PRIMARY KEY(template_id, tag)) WITHOUT ROWID;"
    "CREATE INDEX tag_build ON tag(build_id);"
    "CREATE INDEX tag_created ON tag(created_us, build_id);",
    "ALTER TABLE template ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE template ADD COLUMN updated_us INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE job(build_id TEXT PRIMARY KEY REFERENCES build(id) ON DELETE CASCADE,"
    "  tags TEXT NOT NULL, cpus INTEGER NOT NULL, memory_mb INTEGER NOT NULL,"
    "  updated_us INTEGER NOT NULL, finished_us INTEGER NOT NULL, reason TEXT NOT NULL,"
    "  step TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE job_log(build_id TEXT NOT NULL REFERENCES build(id) ON DELETE CASCADE,"
    "  n INTEGER NOT NULL, at_us INTEGER NOT NULL, level INTEGER NOT NULL, step TEXT NOT NULL,"
    "  message TEXT NOT NULL, PRIMARY KEY(build_id, n)) WITHOUT ROWID;"
    "CREATE TABLE kept(kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
    "  bytes INTEGER NOT NULL, used_us INTEGER NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;"
    "CREATE INDEX kept_used ON kept(kind, used_us);",
    "CREATE TABLE api_key(id TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT NOT NULL,"
    "  hash BLOB NOT NULL UNIQUE, mask TEXT NOT NULL, is_login INTEGER NOT NULL,"
    "  created_us INTEGER NOT NULL, used_us INTEGER NOT NULL) WITHOUT ROWID;",
};
enum { VERSION = sizeof migrations / sizeof *migrations };

static const char *const statements[SQL_COUNT] = {
    [SQL_SECRET_GET] = "SELECT value FROM secret WHERE name = ?1",
    [SQL_SECRET_PUT] = "INSERT INTO secret(name, value) VALUES(?1, ?2)",
    [SQL_SANDBOX_ADD] = "INSERT INTO sandbox(id, state, spec, created_us, started_us, end_us)"
                        " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_SANDBOX_SET] = "UPDATE sandbox SET state = ?2, started_us = ?5, end_us = ?6,"
                        " has_lost_memory = ?7 WHERE id = ?1",
    [SQL_SANDBOX_SET_SPEC] = "UPDATE sandbox SET spec = ?2 WHERE id = ?1",
    [SQL_SANDBOX_REMOVE] = "DELETE FROM sandbox WHERE id = ?1",
    [SQL_SANDBOX_EACH] = "SELECT id, state, spec, created_us, started_us, end_us,"
                         " has_lost_memory FROM sandbox ORDER BY created_us, id",
    [SQL_ANSWER_GET] = "SELECT request, created_us, status, body FROM answer WHERE key = ?1",
    [SQL_ANSWER_RESERVE] = "INSERT INTO answer(key, request, created_us, status, body)"
                           " VALUES(?1, ?2, ?3, 0, '')",
    [SQL_ANSWER_SET] = "UPDATE answer SET status = ?2, body = ?3 WHERE key = ?1",
    [SQL_ANSWER_EXPIRE] = "DELETE FROM answer WHERE created_us < ?1",
    [SQL_TEMPLATE_ADD] = "INSERT INTO template(id, name, kind, created_us) VALUES(?1, ?2, ?3, ?4)"
                         " ON CONFLICT(id) DO NOTHING",
    [SQL_TEMPLATE_REMOVE] = "DELETE FROM template WHERE id = ?1",
    [SQL_TEMPLATE_REMOVE_EMPTY] = "DELETE FROM template WHERE id = ?1 AND NOT EXISTS"
                                  " (SELECT 1 FROM build WHERE template_id = ?1)",
    [SQL_TEMPLATE_BY_ID] = "SELECT id FROM template WHERE id = ?1",
    [SQL_TEMPLATE_BY_NAME] = "SELECT id FROM template WHERE name = ?1",
    [SQL_BUILD_ADD] = "INSERT INTO build(id, template_id, state, layers, rootfs, config, source,"
                      " created_us) VALUES(?1, ?2, 'capturing', ?3, ?4, ?5, ?6, ?7)",
    [SQL_BUILD_READY] = "UPDATE build SET state = 'ready' WHERE id = ?1",
    [SQL_BUILD_REMOVE] = "DELETE FROM build WHERE id = ?1",
    [SQL_BUILD_RETIRE] =
        "UPDATE build SET state = 'retired', layers = '', rootfs = '', config = '{}'"
        " WHERE id = ?1 AND EXISTS (SELECT 1 FROM job WHERE build_id = ?1)",
    [SQL_BUILD_REMOVE_READY] = "DELETE FROM build WHERE id = ?1 AND state = 'ready'",
    [SQL_BUILD_UNTAGGED] = "SELECT b.id, b.layers, b.rootfs FROM build b WHERE b.template_id = ?1"
                           " AND b.state = 'ready'"
                           " AND NOT EXISTS (SELECT 1 FROM tag WHERE build_id = b.id)",
    [SQL_BUILD_EACH] = STORE_BUILD_SELECT " LEFT JOIN tag t ON t.build_id = b.id"
                                          " GROUP BY b.id ORDER BY b.created_us",
    [SQL_BUILD_TAGGED] = STORE_BUILD_SELECT
    " JOIN tag t ON t.build_id = b.id WHERE t.template_id = ?1 AND (t.tag = ?2 OR b.id = ?2)"
    " GROUP BY b.id",
    [SQL_BUILD_OF] = STORE_BUILD_SELECT " LEFT JOIN tag t ON t.build_id = b.id"
                                        " WHERE b.template_id = ?1 GROUP BY b.id",
    [SQL_BUILD_PAGE] = STORE_BUILD_SELECT
    " JOIN tag t ON t.build_id = b.id WHERE p.kind = ?1 AND b.state = 'ready'"
    " AND (?2 IS NULL OR b.source = ?2) AND (?3 IS NULL OR p.id = ?3)"
    " AND (?4 IS NULL OR t.tag = ?4) AND (t.created_us, b.id) < (?5, ?6)"
    " ORDER BY t.created_us DESC, b.id DESC LIMIT ?7",
    [SQL_TAG_SET] = "INSERT INTO tag(template_id, tag, build_id, created_us) VALUES(?1, ?2, ?3, ?4)"
                    " ON CONFLICT(template_id, tag) DO UPDATE SET build_id = ?3, created_us = ?4",
    [SQL_TAG_REMOVE] = "DELETE FROM tag WHERE template_id = ?1 AND tag = ?2",
    [SQL_TAG_OF] = "SELECT t.tag, t.build_id, t.created_us FROM tag t WHERE t.template_id = ?1"
                   " ORDER BY t.tag",
    [SQL_TEMPLATE_ROWS] = STORE_TEMPLATE_SELECT
    " WHERE p.kind = 'template' AND EXISTS (SELECT 1 FROM build b WHERE b.template_id = p.id AND"
    " b.state IN ('ready', 'retired', 'building', 'waiting'))"
    " AND (?1 IS NULL OR (p.created_us, p.id) < (?1, ?2)) ORDER BY p.created_us DESC, p.id DESC"
    " LIMIT ?3",
    [SQL_TEMPLATE_ROW] = STORE_TEMPLATE_SELECT " WHERE p.id = ?1",
    [SQL_TEMPLATE_PUBLIC] = "UPDATE template SET is_public = ?2, updated_us = ?3 WHERE id = ?1",
    [SQL_TEMPLATE_TOUCH] = "UPDATE template SET updated_us = ?2 WHERE id = ?1",
    [SQL_JOB_BUILD_ADD] =
        "INSERT INTO build(id, template_id, state, layers, rootfs, config, source,"
        " created_us) VALUES(?1, ?2, 'waiting', '', '', '{}', '', ?3)",
    [SQL_JOB_ADD] = "INSERT INTO job(build_id, tags, cpus, memory_mb, updated_us, finished_us,"
                    " reason, step) VALUES(?1, ?2, ?3, ?4, ?5, 0, '', '')",
    [SQL_JOB_GET] = STORE_JOB_SELECT " WHERE b.id = ?1",
    [SQL_JOB_EACH] = STORE_JOB_SELECT
    " WHERE (?1 IS NULL OR b.template_id = ?1) AND (?2 IS NULL OR b.state = ?2)"
    " AND (?3 IS NULL OR (b.created_us, b.id) < (?3, ?4)) ORDER BY b.created_us DESC, b.id DESC"
    " LIMIT ?5",
    [SQL_JOB_BUILD_SET] = "UPDATE build SET state = ?2, layers = ?3, rootfs = ?4, config = ?5"
                          " WHERE id = ?1",
    [SQL_JOB_STATE] = "UPDATE build SET state = ?2 WHERE id = ?1",
    [SQL_JOB_END] = "UPDATE job SET updated_us = ?2, finished_us = ?3, reason = ?4, step = ?5"
                    " WHERE build_id = ?1",
    [SQL_JOB_TRIM] = "DELETE FROM build WHERE id IN (SELECT b.id FROM build b JOIN job j ON"
                     " j.build_id = b.id WHERE b.template_id = ?1 AND b.state IN ('error',"
                     " 'retired') ORDER BY b.created_us DESC LIMIT -1 OFFSET ?2)",
    [SQL_LOG_ADD] = "INSERT INTO job_log(build_id, n, at_us, level, step, message)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_LOG_PAGE] = "SELECT at_us, level, step, message FROM job_log WHERE build_id = ?1"
                     " AND level >= ?2 ORDER BY n LIMIT ?4 OFFSET ?3",
    [SQL_KEPT_GET] = "SELECT value, bytes FROM kept WHERE kind = ?1 AND key = ?2",
    [SQL_KEPT_TOUCH] = "UPDATE kept SET used_us = ?3 WHERE kind = ?1 AND key = ?2",
    [SQL_KEPT_PUT] = "INSERT INTO kept(kind, key, value, bytes, used_us) VALUES(?1, ?2, ?3, ?4, ?5)"
                     " ON CONFLICT(kind, key) DO UPDATE SET value = ?3, bytes = ?4, used_us = ?5",
    [SQL_KEPT_REMOVE] = "DELETE FROM kept WHERE kind = ?1 AND key = ?2",
    [SQL_KEPT_EACH] = "SELECT key, value, bytes FROM kept WHERE kind = ?1 ORDER BY used_us",
    [SQL_KEY_ADD] =
        "INSERT INTO api_key(id, parent, name, hash, mask, is_login, created_us, used_us)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [SQL_KEY_RENAME] = "UPDATE api_key SET name = ?2 WHERE id = ?1",
    [SQL_KEY_USED] = "UPDATE api_key SET used_us = ?2 WHERE id = ?1",
    [SQL_KEY_REMOVE] = "DELETE FROM api_key WHERE id = ?1 OR parent = ?1 OR parent IN"
                       " (SELECT id FROM api_key WHERE parent = ?1)",
    [SQL_KEY_EACH] =
        "SELECT id, parent, name, hash, mask, is_login, created_us, used_us FROM api_key"
        " ORDER BY created_us, id",
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
};

int store_error(struct store *s, const char *what)
{
    int code = sqlite3_errcode(s->db);
    log_error("store: %s: %s", what, sqlite3_errmsg(s->db));
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    default:
        return -EIO;
    }
}

sqlite3_stmt *store_sql(struct store *s, enum store_sql which)
{
    sqlite3_stmt **q = &s->sql[which];
    if (!*q && sqlite3_prepare_v3(s->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT, q,
                                  NULL) != SQLITE_OK) {
        (void)store_error(s, statements[which]);
        return NULL;
    }
    return *q;
}

int store_run(struct store *s, sqlite3_stmt *q)
{
    enum { WAL_MOST = 16384 }; /* 64 MiB: no quiet moment came */
    int r = sqlite3_step(q) == SQLITE_DONE ? 0 : store_error(s, sqlite3_sql(q));
    (void)sqlite3_reset(q);
    (void)sqlite3_clear_bindings(q);
    if (s->wal_pages > WAL_MOST)
        store_tidy(s);
    return r;
}

void store_bind_text(sqlite3_stmt *q, int at, const char *text)
{
    (void)sqlite3_bind_text(q, at, text, -1, SQLITE_STATIC);
}

static int exec(struct store *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_error(s, sql);
}

/* The number a pragma answers, or -1. */
static int pragma(struct store *s, const char *sql)
{
    sqlite3_stmt *q = NULL;
    int value = -1;
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        value = sqlite3_column_int(q, 0);
    (void)sqlite3_finalize(q);
    return value;
}

static int migrate(struct op *op, struct store *s)
{
    int have = pragma(s, "PRAGMA user_version");
    if (have < 0)
        return op_fail(op, FAULT_HOST, EIO, "the database cannot be read: %s",
                       sqlite3_errmsg(s->db));
    if (have > VERSION)
        return op_fail(op, FAULT_HOST, EPROTO,
                       "the database has version %d, this belljar knows %d: start the newer one",
                       have, VERSION);
    for (; have < VERSION; have++) {
        char version[64];
        (void)snprintf(version, sizeof version, "PRAGMA user_version = %d; COMMIT", have + 1);
        if (exec(s, "BEGIN IMMEDIATE") < 0 || exec(s, migrations[have]) < 0 || exec(s, version) < 0)
            return op_fail(op, FAULT_HOST, EIO, "the database cannot be brought to version %d: %s",
                           have + 1, sqlite3_errmsg(s->db));
    }
    return 0;
}

static int on_commit(void *data, sqlite3 *db, const char *name, int pages)
{
    struct store *s = data;
    (void)db;
    (void)name;
    s->wal_pages = pages;
    return SQLITE_OK;
}

int store_open(struct op *op, const char *path, struct store **out)
{
    /* EXCLUSIVE: one process owns the file, so no shared memory file and fewer locks per commit */
    static const char setup[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                                "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
                                "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";
    *out = NULL;
    mode_t mask = umask(0077); /* it holds environment variables and seeds */
    struct store *s = calloc(1, sizeof *s);
    int r =
        s ? sqlite3_open_v2(path, &s->db,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL)
          : SQLITE_NOMEM;
    (void)umask(mask);
    if (r != SQLITE_OK) {
        (void)op_fail(op, FAULT_HOST, EIO, "%s cannot be opened: %s", path, sqlite3_errstr(r));
        store_close(s);
        return -EIO;
    }
    /* the process before may be dying just now: its lock ends with it */
    (void)sqlite3_busy_timeout(s->db, 5000);
    if (exec(s, setup) < 0) {
        (void)op_fail(op, FAULT_HOST, EIO, "%s cannot be used: %s", path, sqlite3_errmsg(s->db));
        store_close(s);
        return -EIO;
    }
    (void)sqlite3_wal_hook(s->db, on_commit, s); /* wal_autocheckpoint above takes hooks away */
    s->wal_pages = 1 << 30;                      /* the process before may have left a long log */
    store_tidy(s);
    r = migrate(op, s);
    if (r < 0) {
        store_close(s);
        return r;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    for (int i = 0; i < SQL_COUNT; i++)
        (void)sqlite3_finalize(s->sql[i]);
    (void)sqlite3_close(s->db);
    free(s);
}

void store_want_sync(struct store *s) { s->wants_sync = true; }

void store_tidy(struct store *s)
{
    enum { WORTH_IT = 256 }; /* pages of 4 KiB */
    if (s->wal_pages < WORTH_IT && !s->wants_sync)
        return;
    s->wants_sync = false;
    s->wal_pages = 0; /* also when it fails: not again at every commit */
    if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
        (void)store_error(s, "checkpoint");
}

static int secret_get(struct store *s, const char *name, unsigned char out[32])
{
    sqlite3_stmt *q = store_sql(s, SQL_SECRET_GET);
    if (!q)
        return -EIO;
    store_bind_text(q, 1, name);
    int r = sqlite3_step(q), found = 0;
    if (r == SQLITE_ROW && sqlite3_column_bytes(q, 0) == 32) {
        memcpy(out, sqlite3_column_blob(q, 0), 32);
        found = 1;
    } else if (r != SQLITE_DONE) {
        found = store_error(s, "secret");
    }
    (void)sqlite3_reset(q);
    return found;
}

int store_secret(struct store *s, const char *name, unsigned char out[32])
{
    int found = secret_get(s, name, out);
    if (found != 0)
        return found < 0 ? found : 0;
    sqlite3_stmt *q = store_sql(s, SQL_SECRET_PUT);
    if (!q)
        return -EIO;
    rand_bytes(out, 32);
    store_bind_text(q, 1, name);
    (void)sqlite3_bind_blob(q, 2, out, 32, SQLITE_STATIC);
    return store_run(s, q);
}
