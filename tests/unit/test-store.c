#include "tests.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"

static char path[64], dir[32];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/test-store-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/b.db", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = { "b.db", "b.db-wal", "b.db-shm" };
    char file[80];
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(file, sizeof file, "%s/%s", dir, names[i]);
        (void)unlink(file);
    }
    return rmdir(dir);
}

static struct store *open_it(void)
{
    struct op op = { 0 };
    struct store *s;
    if (store_open(&op, path, &s) < 0)
        fail_msg("%s", op.fault.text);
    return s;
}

struct seen {
    int count;
    char text[256];
};
static int see(void *data, const struct store_sandbox *r)
{
    struct seen *n = data;
    n->count++;
    (void)snprintf(n->text, sizeof n->text, "%s %s %s %lld %lld %lld %s", r->id, r->state, r->spec,
                   (long long)r->created_us, (long long)r->started_us, (long long)r->end_us,
                   r->has_lost_memory ? "lost" : "kept");
    return 0;
}

static void records_outlive_the_process(void **state)
{
    (void)state;
    struct store *s = open_it();
    struct store_sandbox r = {
        .id = "i1", .state = "starting", .spec = "{\"a\":\"\xc3\xbc\"}", .created_us = 5
    };
    assert_int_equal(store_sandbox_add(s, &r), 0);
    assert_int_equal(store_sandbox_add(s, &r), -EEXIST);
    r.state = "running";
    r.started_us = 1790000000000000;
    r.end_us = 1790000300000000;
    r.has_lost_memory = true;
    assert_int_equal(store_sandbox_set(s, &r), 0);
    store_close(s);

    s = open_it();
    struct seen seen = { 0 };
    assert_int_equal(store_sandbox_each(s, see, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.text,
                        "i1 running {\"a\":\"\xc3\xbc\"} 5 1790000000000000 1790000300000000 lost");
    assert_int_equal(store_sandbox_set_spec(s, "i1", "{}"), 0);
    assert_int_equal(store_sandbox_remove(s, "i1"), 0);
    assert_int_equal(store_sandbox_remove(s, "i1"), 0);
    seen.count = 0;
    assert_int_equal(store_sandbox_each(s, see, &seen), 0);
    assert_int_equal(seen.count, 0);
    store_close(s);
}

static void secrets_stay(void **state)
{
    (void)state;
    unsigned char a[32], b[32], c[32];
    struct store *s = open_it();
    assert_int_equal(store_secret(s, "seed", a), 0);
    assert_int_equal(store_secret(s, "other", c), 0);
    store_close(s);
    s = open_it();
    assert_int_equal(store_secret(s, "seed", b), 0);
    store_close(s);
    assert_memory_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
}

static void answers_are_kept_per_key(void **state)
{
    (void)state;
    unsigned char hash[32] = { 7 };
    struct store_answer a;
    struct store *s = open_it();
    assert_int_equal(store_answer_get(s, "k", &a), 0);
    assert_int_equal(store_answer_reserve(s, "k", hash, 1000), 0);
    assert_int_equal(store_answer_reserve(s, "k", hash, 1000), -EEXIST);
    assert_int_equal(store_answer_get(s, "k", &a), 1);
    assert_int_equal(a.status, 0);
    free(a.body);
    assert_int_equal(store_answer_set(s, "k", 201, str_make("{\"x\":1}...", 7)), 0);
    store_close(s);
    s = open_it();
    assert_int_equal(store_answer_get(s, "k", &a), 1);
    assert_int_equal(a.status, 201);
    assert_int_equal(a.created_us, 1000);
    assert_string_equal(a.body, "{\"x\":1}");
    assert_memory_equal(a.request, hash, sizeof hash);
    free(a.body);
    assert_int_equal(store_answer_expire(s, 1000), 0);
    assert_int_equal(store_answer_get(s, "k", &a), 1);
    free(a.body);
    assert_int_equal(store_answer_expire(s, 1001), 0);
    assert_int_equal(store_answer_get(s, "k", &a), 0);
    store_close(s);
}

static void others_cannot_read_it(void **state)
{
    (void)state;
    struct store *s = open_it();
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    store_close(s);
}

static void log_is_copied_when_it_is_long(void **state)
{
    (void)state;
    struct store *s = open_it();
    char wal[80], id[16], spec[4000];
    memset(spec, 'x', sizeof spec - 1);
    spec[sizeof spec - 1] = '\0';
    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    for (int i = 0; i < 400; i++) {
        (void)snprintf(id, sizeof id, "t%d", i);
        struct store_sandbox r = { .id = id, .state = "running", .spec = spec };
        assert_int_equal(store_sandbox_add(s, &r), 0);
    }
    struct stat st;
    assert_int_equal(stat(wal, &st), 0);
    assert_true(st.st_size > 1 << 20);
    store_tidy(s);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_size, 0);
    struct seen seen = { 0 };
    assert_int_equal(store_sandbox_each(s, see, &seen), 0);
    assert_int_equal(seen.count, 400);
    store_close(s);
}

static void a_newer_database_is_refused(void **state)
{
    (void)state;
    struct store *s = open_it();
    store_close(s);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    struct op op = { 0 };
    assert_true(store_open(&op, path, &s) < 0);
    assert_null(s);
    assert_non_null(strstr(op.fault.text, "version 99"));
}

static void a_damaged_file_is_refused(void **state)
{
    (void)state;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        fputs("no database ", f);
    fclose(f);
    struct op op = { 0 };
    struct store *s;
    assert_true(store_open(&op, path, &s) < 0);
    assert_null(s);
    assert_true(op.fault.text[0] != '\0');
    assert_true(store_open(&op, "/nonexistent/x.db", &s) < 0);
}

static int see_build(void *data, const struct store_build *b)
{
    struct seen *n = data;
    size_t at = strlen(n->text);
    n->count++;
    assert_string_equal(b->rootfs, "/r");
    (void)snprintf(n->text + at, sizeof n->text - at, "%s:%s:%s ", b->id, b->tag ? b->tag : "-",
                   b->layers);
    return 0;
}

static struct seen page(struct store *s, struct store_page p)
{
    struct seen seen = { 0 };
    p.kind = "snapshot";
    p.before_us = p.before_us ? p.before_us : INT64_MAX;
    p.limit = p.limit ? p.limit : 100;
    assert_int_equal(store_build_page(s, &p, see_build, &seen), 0);
    return seen;
}

static void add_build(struct store *s, const char *id, const char *template_id, const char *name,
                      const char *layers, int64_t us)
{
    struct store_build b = { .id = id,
                             .template_id = template_id,
                             .name = name,
                             .kind = "snapshot",
                             .layers = layers,
                             .rootfs = "/r",
                             .config = "{}",
                             .source = "i1",
                             .created_us = us };
    assert_int_equal(store_build_add(s, &b), 0);
}

static struct seen ready(struct store *s, const char *id, const char *template_id, const char *tag,
                         int64_t us)
{
    struct seen gone = { 0 };
    struct store_build b = { .id = id, .template_id = template_id, .created_us = us };
    assert_int_equal(store_build_ready(s, &b, tag, see_build, &gone), 0);
    return gone;
}

static void builds_have_tags(void **state)
{
    (void)state;
    char id[32];
    struct seen seen = { 0 };
    struct store *s = open_it();
    add_build(s, "b1", "t1", NULL, "l1", 1);
    assert_int_equal(page(s, (struct store_page){ 0 }).count, 0); /* not finished */
    assert_int_equal(ready(s, "b1", "t1", "default", 2).count, 0);
    add_build(s, "b2", "t2", "n", "l2,l1", 3);
    assert_int_equal(ready(s, "b2", "t2", "default", 3).count, 0);
    add_build(s, "b3", "t2", "n", "l3,l1", 4);
    assert_int_equal(ready(s, "b3", "t2", "v1", 4).count, 0);
    store_close(s);
    s = open_it();
    assert_string_equal(page(s, (struct store_page){ 0 }).text,
                        "b3:v1:l3,l1 b2:default:l2,l1 b1:default:l1 ");
    assert_string_equal(page(s, (struct store_page){ .limit = 1 }).text, "b3:v1:l3,l1 ");
    assert_string_equal(page(s, (struct store_page){ .before_us = 3, .before_id = "b2" }).text,
                        "b1:default:l1 ");
    assert_int_equal(page(s, (struct store_page){ .source = "i1" }).count, 3);
    assert_int_equal(page(s, (struct store_page){ .source = "i2" }).count, 0);
    assert_int_equal(page(s, (struct store_page){ .template_id = "t2" }).count, 2);
    assert_int_equal(page(s, (struct store_page){ .template_id = "t2", .tag = "v1" }).count, 1);
    assert_int_equal(store_template_by_name(s, "n", id, sizeof id), 1);
    assert_string_equal(id, "t2");
    assert_int_equal(store_template_by_id(s, "t2", id, sizeof id), 1);
    assert_int_equal(store_template_by_id(s, "n", id, sizeof id), 0);
    assert_int_equal(store_template_by_name(s, "t1", id, sizeof id), 0);
    assert_int_equal(store_build_tagged(s, "t2", "v1", see_build, &seen), 1);
    assert_string_equal(seen.text, "b3:v1:l3,l1 ");
    assert_int_equal(store_build_tagged(s, "t2", "v2", see_build, &seen), 0);
    store_close(s);
}

static void builds_without_tags_go(void **state)
{
    (void)state;
    char id[32];
    struct seen gone = { 0 };
    struct store *s = open_it();
    add_build(s, "b1", "t1", "n", "l1", 1);
    assert_int_equal(ready(s, "b1", "t1", "default", 1).count, 0);
    add_build(s, "b2", "t1", "n", "l2", 2);
    add_build(s, "b3", "t1", "n", "l3", 3); /* under way: stays */
    assert_string_equal(ready(s, "b2", "t1", "default", 2).text, "b1:-:l1 ");
    assert_int_equal(store_tag_remove(s, "t1", "default", see_build, &gone), 0);
    assert_string_equal(gone.text, "b2:-:l2 ");
    assert_int_equal(store_template_by_name(s, "n", id, sizeof id), 1);
    assert_int_equal(ready(s, "b3", "t1", "v", 3).count, 0);
    gone = (struct seen){ 0 };
    assert_int_equal(store_tag_remove(s, "t1", NULL, see_build, &gone), 0);
    assert_string_equal(gone.text, "b3:v:l3 ");
    assert_int_equal(store_template_by_name(s, "n", id, sizeof id), 0);
    add_build(s, "b4", "t4", NULL, "", 4);
    struct store_build b = { .id = "b4", .template_id = "t4" };
    assert_int_equal(store_build_remove(s, &b), 0);
    assert_int_equal(store_build_remove(s, &b), 0);
    assert_int_equal(store_template_by_id(s, "t4", id, sizeof id), 0);
    /* its template was deleted while it was made: it does not come back */
    add_build(s, "b5", "t5", "m", "", 5);
    assert_int_equal(store_tag_remove(s, "t5", NULL, see_build, &gone), 0);
    b = (struct store_build){ .id = "b5", .template_id = "t5" };
    assert_true(store_build_ready(s, &b, "default", see_build, &gone) < 0);
    assert_int_equal(page(s, (struct store_page){ 0 }).count, 0);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_outlive_the_process, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_are_kept_per_key, setup, teardown),
        cmocka_unit_test_setup_teardown(builds_have_tags, setup, teardown),
        cmocka_unit_test_setup_teardown(builds_without_tags_go, setup, teardown),
        cmocka_unit_test_setup_teardown(others_cannot_read_it, setup, teardown),
        cmocka_unit_test_setup_teardown(log_is_copied_when_it_is_long, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_database_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
