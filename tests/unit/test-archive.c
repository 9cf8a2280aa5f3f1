/* A hostile tar stream onto a directory, as any user would unpack it, and a tree to a stream. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/cleanup.h"

#include "tests.h"

struct place {
    char path[64];
    int root;
    struct archive_writer w;
};

static void begin(struct place *p)
{
    (void)snprintf(p->path, sizeof p->path, "/tmp/bj-archive-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    char inner[80];
    (void)snprintf(inner, sizeof inner, "%s/in", p->path);
    assert_int_equal(mkdir(inner, 0755), 0);
    p->root = open(inner, O_PATH | O_DIRECTORY | O_CLOEXEC);
    archive_writer_init(&p->w, dup(p->root), NULL, 022);
}

static void end(struct place *p)
{
    char command[256];
    archive_writer_deinit(&p->w);
    (void)close(p->root);
    (void)snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", p->path, p->path);
    assert_int_equal(system(command), 0);
}

static int put(struct place *p, enum tar_type type, const char *path, const char *link,
               uint32_t mode, const char *text)
{
    struct tar_entry e = { .path = str_of(path),
                           .link = link ? str_of(link) : STR_NONE,
                           .type = type,
                           .mode = mode,
                           .size = (int64_t)strlen(text),
                           .modified_s = 1000 };
    struct buf b;
    buf_init(&b, 0);
    tar_put_entry(&b, &e);
    (void)buf_append(&b, str_of(text));
    tar_put_padding(&b, e.size);
    int r = archive_writer_take(&p->w, buf_str(&b));
    buf_deinit(&b);
    return r;
}

static mode_t mode_of(const struct place *p, const char *path)
{
    struct stat st;
    assert_int_equal(fstatat(p->root, path, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st.st_mode;
}

static bool is_outside(const struct place *p, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", p->path, name);
    return access(path, F_OK) == 0;
}

static void plain(void **state)
{
    (void)state;
    struct place p;
    begin(&p);
    assert_int_equal(put(&p, TAR_FILE, "a/b/c", NULL, 04777, "text"), 0);
    assert_int_equal(put(&p, TAR_DIRECTORY, "closed/", NULL, 0500, ""), 0);
    assert_int_equal(put(&p, TAR_FILE, "closed/in", NULL, 0644, "x"), 0); /* not root's privilege */
    assert_int_equal(put(&p, TAR_SYMLINK, "l", "/etc/passwd", 0777, ""), 0);
    assert_int_equal(put(&p, TAR_OTHER, "fifo", NULL, 0644, ""), 0);
    assert_int_equal(mode_of(&p, "a/b/c") & 07777, 0755); /* no setuid; the umask counts */
    assert_int_equal(mode_of(&p, "closed") & 0777, 0700);
    assert_true(S_ISLNK(mode_of(&p, "l")));
    assert_int_equal(faccessat(p.root, "fifo", F_OK, 0), -1);
    assert_int_equal(p.w.bytes, 5);
    assert_false(archive_writer_is_done(&p.w));
    char zero[2 * TAR_BLOCK] = { 0 };
    assert_int_equal(archive_writer_take(&p.w, str_make(zero, sizeof zero)), 0);
    assert_true(archive_writer_is_done(&p.w));
    end(&p);
}

static void hostile(void **state)
{
    (void)state;
    static const struct {
        enum tar_type type;
        const char *path, *link;
        int want;
    } cases[] = {
        { TAR_FILE, "../out", NULL, ARCHIVE_OUTSIDE },
        { TAR_FILE, "a/../../out", NULL, ARCHIVE_OUTSIDE },
        { TAR_DIRECTORY, "..", NULL, ARCHIVE_OUTSIDE },
        { TAR_FILE, "up/out", NULL, ARCHIVE_OUTSIDE },  /* through a link to .. */
        { TAR_FILE, "abs/out", NULL, ARCHIVE_OUTSIDE }, /* through a link to / */
        { TAR_DIRECTORY, "up/out", NULL, ARCHIVE_OUTSIDE },
        { TAR_HARDLINK, "h", "../secret", ARCHIVE_OUTSIDE },
        { TAR_HARDLINK, "h", "up/secret", ARCHIVE_OUTSIDE },
        { TAR_SYMLINK, "up/s", "x", ARCHIVE_OUTSIDE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct place p;
        char secret[80];
        begin(&p);
        (void)snprintf(secret, sizeof secret, "%s/secret", p.path);
        FILE *f = fopen(secret, "w");
        assert_non_null(f);
        (void)fclose(f);
        assert_int_equal(put(&p, TAR_SYMLINK, "up", "..", 0777, ""), 0);
        assert_int_equal(put(&p, TAR_SYMLINK, "abs", p.path, 0777, ""), 0);
        assert_int_equal(put(&p, cases[i].type, cases[i].path, cases[i].link, 0644, ""),
                         cases[i].want);
        assert_false(is_outside(&p, "out"));
        end(&p);
    }
}

/* A link of the archive is replaced by a later entry of its name, not written through. */
static void replaced(void **state)
{
    (void)state;
    struct place p;
    begin(&p);
    assert_int_equal(put(&p, TAR_SYMLINK, "x", "../out", 0777, ""), 0);
    assert_int_equal(put(&p, TAR_FILE, "x", NULL, 0644, "text"), 0);
    assert_true(S_ISREG(mode_of(&p, "x")));
    assert_false(is_outside(&p, "out"));
    char junk[TAR_BLOCK];
    memset(junk, 'j', sizeof junk);
    assert_int_equal(archive_writer_take(&p.w, str_make(junk, sizeof junk)), ARCHIVE_MALFORMED);
    end(&p);
}

/* What a reader gives, a writer makes. */
static void round_trip(void **state)
{
    (void)state;
    struct place from, to;
    static struct archive_reader r;
    char inner[80], text[16] = "";
    struct buf out;
    begin(&from);
    begin(&to);
    assert_int_equal(put(&from, TAR_FILE, "d/e/file", NULL, 0640, "text"), 0);
    assert_int_equal(put(&from, TAR_SYMLINK, "d/link", "e/file", 0777, ""), 0);
    (void)snprintf(inner, sizeof inner, "%s/in/d", from.path);
    buf_init(&out, 0);
    assert_int_equal(archive_reader_init_one(&r, str_of(inner), STR("as"), &out), 0);
    for (bool more = true; more;) {
        more = archive_reader_step(&r, &out);
        assert_int_equal(archive_writer_take(&to.w, buf_str(&out)), 0);
        buf_reset(&out);
    }
    assert_int_equal(r.bytes, 4);
    assert_int_equal(r.left_out, 0);
    assert_true(archive_writer_is_done(&to.w));
    archive_reader_deinit(&r);
    CLEANUP(fd_closep) int fd = openat(to.root, "as/link", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof text), 4);
    assert_string_equal(text, "text");
    assert_int_equal(archive_reader_init_one(&r, STR("/dev/null"), STR("x"), &out), -ENOTSUP);
    archive_reader_deinit(&r);
    assert_int_equal(archive_reader_init(&r, STR("/nowhere")), -ENOENT);
    archive_reader_deinit(&r);
    buf_deinit(&out);
    end(&from);
    end(&to);
}

/* A file that is shorter, or unreadable, in the middle: the stream ends there, without an end. */
static void broken_off(void **state)
{
    (void)state;
    struct place from;
    static struct archive_reader r;
    char inner[80], path[96];
    struct buf out;
    for (int is_shrunk = 0; is_shrunk < 2; is_shrunk++) {
        begin(&from);
        assert_int_equal(put(&from, TAR_FILE, "d/file", NULL, 0640, "text"), 0);
        assert_int_equal(put(&from, TAR_FILE, "d/other", NULL, 0640, "text"), 0);
        (void)snprintf(inner, sizeof inner, "%s/in/d", from.path);
        (void)snprintf(path, sizeof path, "%s/file", inner);
        assert_int_equal(truncate(path, 10 * ARCHIVE_CHUNK), 0);
        CLEANUP(fd_closep) int dir = open(inner, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        buf_init(&out, 0);
        assert_int_equal(archive_reader_init(&r, str_of(inner)), 0);
        assert_true(archive_reader_step(&r, &out));
        if (is_shrunk)
            assert_int_equal(truncate(path, ARCHIVE_CHUNK), 0);
        else
            assert_int_equal(dup2(dir, r.fd), r.fd);
        while (archive_reader_step(&r, &out))
            buf_reset(&out);
        assert_int_equal(r.error, is_shrunk ? -ESTALE : -EISDIR);
        assert_string_equal(r.name, "file");
        size_t had = buf_used(&out);
        assert_false(archive_reader_step(&r, &out));
        assert_int_equal(buf_used(&out), had);
        archive_reader_deinit(&r);
        buf_deinit(&out);
        end(&from);
    }
}

/* What only exports of templates have: owners, and bytes with NUL among them. */
static void owners_and_capabilities(void **state)
{
    (void)state;
    const struct tar_entry e = { .path = STR("a/b"),
                                 .type = TAR_FILE,
                                 .mode = 04755,
                                 .uid = 4000000000u,
                                 .gid = 65534,
                                 .capability = STR("\1\0\0\2\0\n=x") };
    const struct tar_entry plain = { .path = STR("c"), .type = TAR_FILE };
    struct tar_reader r;
    struct buf b;
    buf_init(&b, 0);
    tar_put_entry(&b, &e);
    tar_put_entry(&b, &plain);
    tar_put_end(&b);
    struct str in = buf_str(&b);
    tar_reader_init(&r);
    assert_int_equal(tar_reader_step(&r, &in), TAR_ENTRY);
    assert_int_equal(r.entry.uid, 4000000000u);
    assert_int_equal(r.entry.gid, 65534);
    assert_int_equal(r.entry.mode, 04755);
    assert_true(str_eq(r.entry.capability, e.capability));
    assert_int_equal(tar_reader_step(&r, &in), TAR_ENTRY_END);
    assert_int_equal(tar_reader_step(&r, &in), TAR_ENTRY);
    assert_int_equal(r.entry.uid, 0);
    assert_int_equal(r.entry.capability.n, 0);
    assert_int_equal(tar_reader_step(&r, &in), TAR_ENTRY_END);
    assert_int_equal(tar_reader_step(&r, &in), TAR_DONE);
    tar_reader_deinit(&r);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(owners_and_capabilities),
                                        cmocka_unit_test(plain),
                                        cmocka_unit_test(hostile),
                                        cmocka_unit_test(replaced),
                                        cmocka_unit_test(round_trip),
                                        cmocka_unit_test(broken_off) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
