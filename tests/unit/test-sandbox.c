#include "tests.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "gen/limits.h"
#include "sandbox/identity.h"
#include "sandbox/layers.h"
#include "sandbox/metrics.h"
#include "sandbox/sandbox.h"
#include "sandbox/spec.h"
#include "sandbox/template.h"
#include "sandbox/turns.h"
#include "sandbox/warm.h"

static void references_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *space, *name, *tag; /* name NULL: refused */
    } cases[] = {
        { "base", "", "base", "" },
        { "  BASE \n", "", "base", "" },
        { "my_tpl-2", "", "my_tpl-2", "" },
        { "base:default", "", "base", "default" },
        { "base:v1.2_x", "", "base", "v1.2_x" },
        { "team/base", "team", "base", "" },
        { "Team/Base:V1", "team", "base", "v1" },
        { "", NULL, NULL, NULL },
        { "   ", NULL, NULL, NULL },
        { "base:", NULL, NULL, NULL },
        { "/base", NULL, NULL, NULL },
        { "team/", NULL, NULL, NULL },
        { "a/b/c", NULL, NULL, NULL },
        { "a:b:c", NULL, NULL, NULL },
        { "..", NULL, NULL, NULL },
        { "../../etc", NULL, NULL, NULL },
        { "ba se", NULL, NULL, NULL },
        { "b\xc3\xa4se", NULL, NULL, NULL },
        { "base.v1", NULL, NULL, NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct template_ref r;
        int got = template_ref_parse(str_of(cases[i].text), &r);
        assert_int_equal(got, cases[i].name ? 0 : -EINVAL);
        if (!cases[i].name)
            continue;
        assert_string_equal(r.space, cases[i].space);
        assert_string_equal(r.name, cases[i].name);
        assert_string_equal(r.tag, cases[i].tag);
    }
    char longest[200];
    struct template_ref r;
    memset(longest, 'a', sizeof longest);
    assert_int_equal(template_ref_parse(str_make(longest, 128), &r), 0);
    assert_int_equal(template_ref_parse(str_make(longest, 129), &r), -EINVAL);
}

static struct store *store; /* NULL: built-in templates only */

static int find(const char *state, const char *text, struct template *t, struct op *op)
{
    struct template_ref r;
    struct templates in = { .state = state, .store = store };
    *op = (struct op){ 0 };
    template_deinit(t);
    *t = (struct template){ 0 };
    assert_int_equal(template_ref_parse(str_of(text), &r), 0);
    return template_find(op, &in, &r, t);
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int ignore(void *data, const struct store_build *b)
{
    (void)data;
    (void)b;
    return 0;
}

static void snapshots_are_found(void **state)
{
    (void)state;
    char dir[] = "/tmp/test-sandbox-XXXXXX", path[128];
    struct template t = { 0 };
    struct op op = { 0 };
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/b.db", dir);
    assert_int_equal(store_open(&op, path, &store), 0);
    struct store_build b = { .id = "b1",
                             .template_id = "tid1",
                             .kind = "snapshot",
                             .layers = "l2,l1",
                             .rootfs = "/r",
                             .config = "{\"startCmd\":\"serve\"}",
                             .source = "i1" };
    assert_int_equal(store_build_add(store, &b), 0);
    assert_true(find(dir, "tid1", &t, &op) < 0); /* not finished */
    assert_int_equal(store_build_ready(store, &b, "default", ignore, NULL), 0);
    assert_int_equal(find(dir, "tid1:default", &t, &op), 0);
    assert_string_equal(t.id, "tid1");
    assert_string_equal(t.alias, "");
    assert_string_equal(t.layers, "l2,l1");
    assert_string_equal(json_string_value(json_object_get(t.config, "startCmd")), "serve");
    assert_int_equal(template_layer_count(t.layers), 2);
    assert_int_equal(template_layer_count(NULL), 0);
    assert_true(find(dir, "belljar/tid1", &t, &op) < 0); /* an id has no namespace */
    b.id = "b2";
    b.template_id = "tid2";
    b.name = "mine";
    assert_int_equal(store_build_add(store, &b), 0);
    assert_int_equal(store_build_ready(store, &b, "v1", ignore, NULL), 0);
    static const char *const refs[] = { "mine:v1", "belljar/mine:v1", "MINE:V1", "tid2:v1" };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(find(dir, refs[i], &t, &op), 0);
        assert_string_equal(t.id, "tid2");
        assert_string_equal(t.alias, "mine");
    }
    assert_true(find(dir, "mine", &t, &op) < 0);
    assert_string_equal(op.fault.text, "tag 'default' does not exist for template 'mine'");
    assert_true(find(dir, "other/mine:v1", &t, &op) < 0);
    char id[TEMPLATE_NAME_SIZE];
    bool is_builtin;
    struct templates in = { .state = dir, .store = store };
    assert_true(template_resolve(&in, &(struct template_ref){ .name = "mine" }, id, &is_builtin));
    assert_string_equal(id, "tid2");
    assert_false(is_builtin);
    assert_false(template_resolve(&in, &(struct template_ref){ .name = "no" }, id, NULL));
    template_deinit(&t);
    store_close(store);
    store = NULL;
    static const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/b.db%s", dir, ends[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

static void on_free_layer(void *data, struct str name)
{
    struct buf *b = data;
    (void)buf_printf(b, STR_FMT " ", STR_ARG(name));
}

static void layers_go_with_their_last_holder(void **state)
{
    (void)state;
    struct buf said;
    struct layers l;
    buf_init(&said, 0);
    layers_init(&l, on_free_layer, &said);
    assert_true(layers_hold(&l, NULL, "l1") && layers_hold(&l, NULL, "l2,l1") &&
                layers_hold(&l, NULL, NULL) && layers_hold(&l, NULL, ""));
    layers_release(&l, NULL, "l1");
    assert_int_equal(buf_used(&said), 0);
    assert_true(layers_has(&l, STR("l1")) && layers_has(&l, STR("l2")));
    assert_true(layers_hold(&l, NULL, "l3,l2,l1"));
    layers_release(&l, NULL, "l2,l1");
    layers_release(&l, NULL, "unknown");
    assert_int_equal(buf_used(&said), 0);
    layers_release(&l, NULL, "l3,l2,l1");
    assert_string_equal(buf_cstr(&said), "l3 l2 l1 ");
    assert_false(layers_has(&l, STR("l1")));
    layers_deinit(&l);
    buf_deinit(&said);
}

/* Only those that imports have placed, by their directory's name. */
static void root_file_systems_go_with_their_last_holder(void **state)
{
    (void)state;
#define SUM "0123456789abcdef0123456789abcdef"
    static const char *const others[] = { NULL,
                                          "",
                                          "/rootfs",
                                          "/s/templates/" SUM SUM "/rootfs",
                                          "/s/templates/.image/rootfs",
                                          "/s/templates/." SUM,
                                          "/s/templates/." SUM "/rootfs/x",
                                          "/s/templates/x." SUM "/rootfs",
                                          "/s/templates/.0123456789abcdeF0123456789abcdef/rootfs",
                                          "." SUM "/rootfs" };
    const char *root = "/s/templates/." SUM "/rootfs";
    struct buf said;
    struct layers l;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(layers_root(others[i]).n, 0);
    assert_true(str_eq(layers_root(root), STR("." SUM)));
    buf_init(&said, 0);
    layers_init(&l, on_free_layer, &said);
    assert_true(layers_hold(&l, root, "l1") && layers_hold(&l, root, NULL) &&
                layers_hold(&l, others[3], NULL));
    assert_true(layers_has(&l, STR("." SUM)));
    layers_release(&l, root, "l1");
    layers_release(&l, others[3], NULL);
    assert_string_equal(buf_cstr(&said), "l1 ");
    layers_release(&l, NULL, "." SUM); /* as what the store says is gone */
    assert_string_equal(buf_cstr(&said), "l1 ." SUM " ");
    assert_false(layers_has(&l, STR("." SUM)));
    layers_deinit(&l);
    buf_deinit(&said);
#undef SUM
}

static void templates_are_found(void **state)
{
    (void)state;
    char dir[] = "/tmp/test-sandbox-XXXXXX", path[128], target[128];
    struct template t = { 0 };
    struct op op;
    assert_non_null(mkdtemp(dir));
    const char *made[] = { "/templates", "/store", "/store/abc", "/store/abc/rootfs" };
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s%s", dir, made[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    (void)snprintf(path, sizeof path, "%s/templates/base", dir);
    (void)snprintf(target, sizeof target, "%s/store/abc", dir);
    assert_int_equal(symlink(target, path), 0);

    assert_int_equal(find(dir, "base", &t, &op), 0);
    assert_string_equal(t.id, "base");
    (void)snprintf(path, sizeof path, "%s/store/abc/rootfs", dir);
    assert_string_equal(t.rootfs, path);
    /* an alias of the table, until there is a template of that name */
    assert_int_equal(find(dir, "code-interpreter-v1", &t, &op), 0);
    assert_string_equal(t.id, "base");
    assert_string_equal(t.alias, "code-interpreter-v1");
    assert_string_equal(t.rootfs, path);
    assert_int_equal(find(dir, "belljar/base:default", &t, &op), 0);
    assert_true(find(dir, "nothing", &t, &op) < 0);
    assert_string_equal(op.fault.text, "template 'nothing' not found");
    assert_int_equal(op.fault.code, FAULT_NOT_FOUND);
    assert_true(find(dir, "other/base", &t, &op) < 0);
    assert_string_equal(op.fault.text, "template 'other/base' not found");
    assert_true(find(dir, "base:v2", &t, &op) < 0);
    assert_string_equal(op.fault.text, "tag 'v2' does not exist for template 'base'");

    /* what it says of itself; what is no template's to say is left out */
    (void)snprintf(path, sizeof path, "%s/store/abc/template.json", dir);
    put_file(path, "{\"startCmd\":\"serve\",\"readyCmd\":7,\"envs\":{\"A\":\"1\"},\"x\":1}");
    assert_int_equal(find(dir, "base", &t, &op), 0);
    assert_string_equal(json_string_value(json_object_get(t.config, "startCmd")), "serve");
    assert_int_equal(json_object_size(t.config), 2);
    put_file(path, "{\"startCmd\":");
    assert_int_equal(find(dir, "base", &t, &op), 0);
    assert_null(t.config);
    assert_int_equal(unlink(path), 0);
    template_deinit(&t);

    (void)snprintf(path, sizeof path, "%s/templates/base", dir);
    assert_int_equal(unlink(path), 0);
    for (size_t i = 4; i-- > 0;) {
        (void)snprintf(path, sizeof path, "%s%s", dir, made[i]);
        assert_int_equal(rmdir(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

enum { MANY = 200 };
static struct sandbox many[MANY];

static bool has_all(const struct sandbox *s, json_t *metadata)
{
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
    {
        if (!json_equal(json_object_get(s->spec.metadata, key), value))
            return false;
    }
    return true;
}

/* What a list of those with `metadata` and template 't' must be, the slow way. */
static void check_rows(struct listing *l, json_t *metadata, const char *template_id)
{
    struct listing_view v;
    uint32_t count = 0, running = 0, seen = 0;
    listing_find(l, metadata, template_id, &v);
    const struct listing_rows *r = v.rows;
    for (uint32_t i = 0; i < MANY; i++) {
        struct sandbox *s = &many[i];
        bool fits = s->place.groups && s->place.is_listed && has_all(s, metadata) &&
                    (!template_id[0] || strcmp(s->spec.template.id, template_id) == 0);
        count += fits;
        running += fits && s->state == LIFE_RUNNING;
    }
    for (uint32_t i = 0; i < r->len; i++) {
        struct sandbox *s = r->at[i];
        seen += listing_fits(&v, s);
        if (i)
            assert_true(
                r->at[i - 1]->started_us < s->started_us ||
                (r->at[i - 1]->started_us == s->started_us && strcmp(r->at[i - 1]->id, s->id) > 0));
        assert_int_equal(listing_lower_bound(r, s->started_us, str_of(s->id)), i);
    }
    assert_int_equal(seen, count);
    if (v.is_exact) {
        assert_int_equal(r->len, count);
        assert_int_equal(r->running, running);
    }
}

static void lists_are_in_order_whatever_happens(void **state)
{
    (void)state;
    static const enum life_state states[] = { LIFE_RUNNING, LIFE_PAUSED, LIFE_STOPPED,
                                              LIFE_KILLING };
    struct listing l;
    json_t *even = json_pack("{s:s}", "parity", "0"),
           *both = json_pack("{s:s,s:s}", "parity", "1", "third", "2"),
           *none = json_pack("{s:s}", "parity", "2"), *empty = json_object();
    char text[2][8];
    listing_init(&l);
    srand(7); /* any will do: the check is against the slow way */
    for (int i = 0; i < 20000; i++) {
        struct sandbox *s = &many[rand() % MANY];
        long n = s - many;
        if (!s->place.groups) {
            *s = (struct sandbox){ .state = LIFE_STARTING };
            assert_true(sandbox_spec_init(&s->spec));
            (void)snprintf(s->id, sizeof s->id, "i%ld", n);
            (void)snprintf(s->spec.template.id, sizeof s->spec.template.id, "t%ld", n % 5);
            (void)snprintf(text[0], sizeof text[0], "%ld", n % 2);
            (void)snprintf(text[1], sizeof text[1], "%ld", n % 3);
            json_object_set_new(s->spec.metadata, "parity", json_string(text[0]));
            json_object_set_new(s->spec.metadata, "third", json_string(text[1]));
            assert_true(listing_join(&l, s));
        } else if (rand() % 8 == 0) {
            listing_leave(&l, s);
            sandbox_spec_deinit(&s->spec);
        } else {
            listing_remove(&l, s);
            s->started_us = rand() % 50;
            listing_update(&l, s);
            s->state = states[rand() % 4];
            listing_update(&l, s);
        }
        if (i % 500 == 0) {
            check_rows(&l, even, "");
            check_rows(&l, both, "");
            check_rows(&l, both, "t1");
            check_rows(&l, none, "");
            check_rows(&l, empty, "t2");
            check_rows(&l, empty, "t9");
            check_rows(&l, empty, "");
        }
    }
    for (int i = 0; i < MANY; i++) {
        listing_leave(&l, &many[i]);
        sandbox_spec_deinit(&many[i].spec);
    }
    assert_int_equal(l.groups.len, 0);
    assert_int_equal(l.all.joined, 0);
    listing_deinit(&l);
    json_decref(even);
    json_decref(both);
    json_decref(none);
    json_decref(empty);
}

struct taker {
    struct turn turn;
    struct loop *loop;
    int *next, at; /* when it was given: the how many-th */
};

static void on_given(struct turn *t)
{
    struct taker *k = t->data;
    assert_true(t->is_held);
    k->at = ++*k->next;
    loop_stop(k->loop);
}

static void turns_are_given_in_order(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct turns all;
    struct taker k[6] = { 0 };
    int given = 0;
    turns_init(&all, l);
    assert_true(all.processors > 0);
    all.processors = 2;
    assert_true(turns_are_free(&all));
    for (int i = 0; i < 6; i++) {
        k[i] = (struct taker){ .loop = l, .next = &given };
        k[i].turn = (struct turn){ .fn = on_given, .data = &k[i] };
        assert_int_equal(turn_take(&all, &k[i].turn), i < 2);
        if (i == 3)
            loop_timer_cancel(&all.tick); /* by leaving alone */
    }
    assert_false(turns_are_free(&all));
    turn_leave(&k[3].turn); /* gives up */
    assert_int_equal(given, 0);
    for (int i = 0; i < 3; i++) {
        turn_leave(&k[i == 2 ? 4 : i].turn);
        assert_int_equal(given, i); /* not from within */
        assert_int_equal(loop_run(l), 0);
    }
    assert_true(k[2].at == 1 && k[4].at == 2 && k[5].at == 3 && k[3].at == 0);
    assert_int_equal(all.held, 2);
    turn_leave(&k[2].turn);
    turn_leave(&k[5].turn);
    turn_leave(&k[5].turn);
    assert_int_equal(all.held, 0);
    assert_true(turns_are_free(&all));
    turns_deinit(&all);
    loop_free(l);
}

static void idle_processors_give_more_turns(void **state)
{
    (void)state;
    assert_int_equal(turns_extra(0, 40, 4, 0), 0);
    assert_int_equal(turns_extra(4, 40, 4, 999), 0); /* less than half a processor */
    assert_int_equal(turns_extra(5, 40, 4, 0), 1);
    assert_int_equal(turns_extra(20, 40, 4, 0), 2);
    assert_int_equal(turns_extra(40, 40, 4, 0), 4);
    assert_int_equal(turns_extra(0, 40, 4, 1000), 1); /* busy with what is no start */
    assert_int_equal(turns_extra(0, 0, 4, 0), 0);     /* not known */
    assert_int_equal(turns_extra(0, 0, 4, 1000), 1);
    assert_int_equal(turns_extra(50, 40, 4, 0), 0);
}

static void demand_makes_stock_and_fades(void **state)
{
    (void)state;
    struct warm_demand d = { 0 };
    int64_t now = 1000000;
    assert_int_equal(warm_wanted(&d, now, 100), 0);
    warm_asked(&d, now);
    assert_int_equal(warm_wanted(&d, now, 100), 1);
    assert_int_equal(warm_wanted(&d, now, 0), 0);
    warm_started(&d, 3000);
    for (int i = 0; i < 1200; i++) /* two a second for ten minutes, each takes 3 s to start */
        warm_asked(&d, now += 500);
    assert_in_range(warm_wanted(&d, now, 100), 12, 13);
    assert_int_equal(warm_wanted(&d, now, 5), 5);
    uint32_t last = 13;
    for (int64_t t = now; t <= now + WARM_IDLE_MS; t += 1000) {
        uint32_t want = warm_wanted(&d, t, 100);
        assert_true(want >= 1 && want <= last);
        last = want;
    }
    assert_int_equal(last, 1);
    assert_int_equal(warm_wanted(&d, now + WARM_IDLE_MS + 1, 100), 0);
    /* what does not start is tried less and less often */
    assert_true(warm_may_try(&d, now));
    int64_t waits[12];
    for (int i = 0; i < 12; i++) {
        int64_t since = now;
        warm_failed(&d, now);
        while (!warm_may_try(&d, now))
            now += 100;
        waits[i] = now - since;
        assert_true(i == 0 || waits[i] >= waits[i - 1]);
    }
    assert_int_equal(waits[0], WARM_RETRY_MS);
    assert_int_equal(waits[11], WARM_RETRY_MAX_MS);
    warm_started(&d, 1000);
    assert_true(warm_may_try(&d, now));
    assert_int_equal(d.start_ms, 2500);
}

static void ids_lose_what_old_clients_append(void **state)
{
    (void)state;
    struct str id;
    char made[IDENTITY_ID_SIZE];
    identity_make_id(made);
    assert_int_equal(strlen(made), 21);
    assert_true(identity_parse_id(str_of(made), &id));
    assert_true(identity_parse_id(STR("iabc-be11ja40"), &id));
    assert_str(id, "iabc");
    assert_true(identity_parse_id(STR("nonexistingsandbox"), &id));
    static const char *const bad[] = {
        "",     "-",      "-x",    "iabc-",     "a-b-c",
        "iABC", "i/../x", "i abc", "i\xc3\xa4", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(identity_parse_id(str_of(bad[i]), &id));
}

static void tokens_follow_from_seed_and_id(void **state)
{
    (void)state;
    unsigned char seed[32] = { 1, 2, 3 }, other[32] = { 0 };
    char a[IDENTITY_TOKEN_SIZE], b[IDENTITY_TOKEN_SIZE];
    identity_make_token(seed, IDENTITY_ENVD, STR("iabc"), a);
    identity_make_token(seed, IDENTITY_ENVD, STR("iabc"), b);
    assert_string_equal(a, b);
    assert_int_equal(strspn(a, "0123456789abcdef"), 64);
    identity_make_token(seed, IDENTITY_TRAFFIC, STR("iabc"), b);
    assert_string_not_equal(a, b);
    identity_make_token(seed, IDENTITY_ENVD, STR("iabd"), b);
    assert_string_not_equal(a, b);
    identity_make_token(other, IDENTITY_ENVD, STR("iabc"), b);
    assert_string_not_equal(a, b);
}

static void specs_are_read_back(void **state)
{
    (void)state;
    struct sandbox_spec a, b;
    struct buf first, second;
    buf_init(&first, 0);
    buf_init(&second, 0);
    assert_true(sandbox_spec_init(&a) && sandbox_spec_init(&b));
    a.template = (struct template){ .id = "base", .alias = "b", .rootfs = "/t/rootfs" };
    a.template.layers = str_dup(STR("l2,l1"));
    a.template.config =
        json_pack("{s:s,s:s,s:{s:s}}", "startCmd", "serve", "user", "root", "envs", "T", "1");
    a.drops_memory = true;
    a.timeout_s = 300;
    a.secure = a.auto_pause = a.has_private_traffic = true;
    a.internet = 0;
    a.memory_bytes = UINT64_C(8) << 30;
    a.pids = 9;
    (void)snprintf(a.mask_host, sizeof a.mask_host, "localhost:${PORT}");
    json_object_set_new(a.envs, "A", json_string("\"quoted\" \xc3\xbc\n"));
    json_object_set_new(a.metadata, "k", json_string("v"));
    a.network = json_pack("{s:b}", "allowPublicTraffic", 0);
    assert_true(sandbox_spec_print(&first, &a));
    assert_true(sandbox_spec_parse(buf_str(&first), &b));
    assert_true(sandbox_spec_print(&second, &b));
    assert_true(str_eq(buf_str(&first), buf_str(&second)));
    assert_int_equal(b.internet, 0);
    assert_true(json_equal(a.envs, b.envs) && json_equal(a.network, b.network));
    sandbox_spec_deinit(&b);
    assert_true(sandbox_spec_init(&b));
    assert_false(sandbox_spec_parse(STR("{}"), &b));
    sandbox_spec_deinit(&b);
    assert_true(sandbox_spec_init(&b));
    assert_false(sandbox_spec_parse(STR("nonsense"), &b));

    buf_reset(&first);
    assert_true(sandbox_spec_boot(&first, &a, "iabc", NULL, false, 0));
    assert_null(strstr(buf_cstr(&first), "accessToken"));
    buf_reset(&first);
    assert_true(sandbox_spec_boot(&first, &a, "iabc", "t0", true, 1790000000000000));
    assert_non_null(strstr(buf_cstr(&first), "\"accessToken\":\"t0\""));
    static const char *const said[] = { "\"defaultUser\":\"root\"",
                                        "\"defaultWorkdir\":\"/home/user\"",
                                        "\"startCmd\":\"serve\"", "\"warm\":true", "\"T\":\"1\"" };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        assert_non_null(strstr(buf_cstr(&first), said[i]));
    assert_true(sandbox_spec_has_start(&a));

    sandbox_spec_deinit(&a);
    sandbox_spec_deinit(&b);
    buf_deinit(&first);
    buf_deinit(&second);
}

static void series_gets_thinner_with_age(void **state)
{
    (void)state;
    struct metrics m = { 0 };
    uint64_t cpu_us = 0;
    /* one of two processors busy: 50 % of all */
    for (int i = 1; i <= 2000; i++) {
        cpu_us += 5000000;
        struct metric s = { .at_us = i * INT64_C(5000000), .memory = (uint64_t)i };
        assert_true(metrics_add(&m, s, cpu_us, 2000, 0));
        assert_true(m.len <= LIMIT_METRICS_SAMPLES);
        assert_true(m.at[m.len - 1].cpu_pct > 49.9 && m.at[m.len - 1].cpu_pct < 50.1);
    }
    assert_int_equal(m.at[0].at_us, 5000000); /* the first one stays */
    assert_int_equal(m.at[m.len - 1].memory, 2000);
    for (uint32_t i = 1; i < m.len; i++)
        assert_true(m.at[i].at_us > m.at[i - 1].at_us);
    /* a counter that went back, and no time at all */
    struct metric s = { .at_us = m.at[m.len - 1].at_us };
    assert_true(metrics_add(&m, s, 0, 2000, 0));
    assert_true(m.at[m.len - 1].cpu_pct == 0);
    metrics_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_read),
        cmocka_unit_test(templates_are_found),
        cmocka_unit_test(snapshots_are_found),
        cmocka_unit_test(layers_go_with_their_last_holder),
        cmocka_unit_test(root_file_systems_go_with_their_last_holder),
        cmocka_unit_test(lists_are_in_order_whatever_happens),
        cmocka_unit_test(demand_makes_stock_and_fades),
        cmocka_unit_test(turns_are_given_in_order),
        cmocka_unit_test(idle_processors_give_more_turns),
        cmocka_unit_test(ids_lose_what_old_clients_append),
        cmocka_unit_test(tokens_follow_from_seed_and_id),
        cmocka_unit_test(specs_are_read_back),
        cmocka_unit_test(series_gets_thinner_with_age),
    };
    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
