/* Files, trees, watches. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static struct belljar_sandbox *s;

static void test_contents(void)
{
    static const char odd[] = "d/\xc3\xbc b&c=%20#?+.txt";
    size_t size = 0;
    CHECK(belljar_write(s, odd, "a\0b", 3) == 0); /* d is made */
    char *text = belljar_read(s, odd, 0, &size);
    CHECK(text && size == 3 && memcmp(text, "a\0b", 4) == 0);
    free(text);
    CHECK(belljar_write(s, "empty", NULL, 0) == 0);
    text = belljar_read(s, "empty", 0, &size);
    CHECK(text && size == 0 && text[0] == '\0');
    free(text);
    text = belljar_read(s, "/proc/sys/kernel/random/boot_id", 0, NULL);
    CHECK(text && strlen(text) == 37);
    free(text);
    CHECK(!belljar_read(s, odd, 2, &size) && belljar_errno(b) == EFBIG);
    CHECK(!belljar_read(s, "no/such", 2, &size) && belljar_errno(b) == ENOENT);
    CHECK_HAS(belljar_error(b), "no/such");
    CHECK(!belljar_read(s, "/etc", 0, &size) && belljar_errno(b) == EINVAL);
    CHECK(belljar_write(s, "/etc", "x", 1) == -EINVAL);
    CHECK(belljar_write(s, "/proc/version", "x", 1) < 0);
}

static void test_user(void)
{
    struct belljar_file f;
    CHECK(belljar_set_user(s, "root") == 0);
    CHECK(belljar_write(s, "rootly", "x", 1) == 0);
    CHECK(belljar_stat(s, "/root/rootly", &f) == 0 && strcmp(f.owner, "root") == 0);
    belljar_file_free(&f);
    CHECK(belljar_set_user(s, "no-one") == 0);
    CHECK(belljar_write(s, "x", "x", 1) == -EACCES);
    CHECK(belljar_stat(s, "x", &f) == -EACCES);
    CHECK(belljar_set_user(s, NULL) == 0);
    CHECK(belljar_stat(s, "rootly", &f) == -ENOENT);
}

static void test_big(void)
{
    size_t size = 100u << 20;
    char *bytes = malloc(size), *back;
    struct belljar_result r;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 2654435761u >> 24);
    CHECK(belljar_write(s, "/tmp/big", bytes, size) == 0);
    back = belljar_read(s, "/tmp/big", 0, &size);
    CHECK(back && size == 100u << 20 && memcmp(bytes, back, size) == 0);
    free(bytes);
    free(back);
    CHECK(belljar_run(s, "rm /tmp/big", NULL, &r) == 0);
    belljar_result_free(&r);
}

static long peak_kb(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* Before anything large is held in memory: its peak never falls. */
static void test_streams(void)
{
    char name[] = "/tmp/belljar-test-XXXXXX";
    int fd = mkstemp(name);
    struct stat st;
    struct belljar_result r;
    unlink(name);
    CHECK(belljar_run(s, "head -c 200000000 /dev/urandom >/tmp/in; md5sum </tmp/in", NULL, &r) ==
          0);
    long before = peak_kb();
    CHECK(belljar_download(s, "/tmp/in", fd) == 0);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 200000000);
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && belljar_upload(s, "/tmp/out", fd) == 0);
    CHECK(peak_kb() - before < 40000);
    struct belljar_result again;
    CHECK(belljar_run(s, "md5sum </tmp/out; rm /tmp/in /tmp/out", NULL, &again) == 0);
    CHECK_TEXT(again.out, r.out);
    belljar_result_free(&r);
    belljar_result_free(&again);
    CHECK(ftruncate(fd, 0) == 0 && belljar_download(s, "/no/such", fd) == -ENOENT);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 0);
    close(fd);
    CHECK(belljar_upload(s, "/tmp/x", -1) == -EBADF && belljar_download(s, "x", -1) == -EBADF);
    CHECK(belljar_upload_tar(s, "x", -1) == -EBADF && belljar_download_tar(s, "x", -1) == -EBADF);
    int full = open("/dev/full", O_WRONLY), null = open("/dev/null", O_RDONLY);
    CHECK(belljar_upload(s, "/tmp/x", full) == -EBADF); /* not open for reading */
    CHECK_HAS(belljar_error(b), "cannot be read");
    CHECK(belljar_download(s, "/etc/passwd", null) == -EBADF);
    CHECK_HAS(belljar_error(b), "cannot be written");
    close(null);
    CHECK(belljar_download(s, "/etc/passwd", full) == -ENOSPC);
    close(full);
}

static void *fill_pipe(void *data)
{
    int fd = *(int *)data;
    for (int i = 0; i < 10; i++) {
        usleep(20000);
        if (write(fd, "0123456789", 10) != 10)
            break;
    }
    close(fd);
    return NULL;
}

static void test_pipe(void)
{
    int fds[2];
    size_t size = 0;
    pthread_t other;
    if (!CHECK(pipe2(fds, O_NONBLOCK) == 0 && /* waits all the same */
               pthread_create(&other, NULL, fill_pipe, &fds[1]) == 0))
        return;
    CHECK(belljar_upload(s, "piped", fds[0]) == 0);
    pthread_join(other, NULL);
    close(fds[0]);
    char *text = belljar_read(s, "piped", 0, &size);
    CHECK(text && size == 100);
    free(text);
}

static void test_disk_full(void)
{
    int zero = open("/dev/zero", O_RDONLY);
    struct belljar_result r;
    CHECK(belljar_upload(s, "/home/user/endless", zero) == -ENOSPC);
    CHECK(belljar_status(b) == 507);
    close(zero);
    CHECK(belljar_run(s, "rm -f endless; true", NULL, &r) == 0);
    belljar_result_free(&r);
}

static void test_tar(void)
{
    char name[] = "/tmp/belljar-test-XXXXXX";
    int fd = mkstemp(name);
    struct belljar_result r;
    unlink(name);
    CHECK(belljar_run(s, "mkdir -p t/a/b && echo hey >t/a/b/c && ln -s c t/a/b/l", NULL, &r) == 0);
    belljar_result_free(&r);
    CHECK(belljar_download_tar(s, "t", fd) == 0);
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && belljar_upload_tar(s, "u", fd) == 0);
    CHECK(belljar_run(s, "cat u/a/b/l", NULL, &r) == 0);
    CHECK_TEXT(r.out, "hey\n");
    belljar_result_free(&r);
    CHECK(ftruncate(fd, 700) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    CHECK(belljar_upload_tar(s, "v", fd) == -EINVAL); /* it breaks off */
    CHECK(belljar_download_tar(s, "no-such", fd) == -ENOENT);
    CHECK(belljar_download_tar(s, "/etc/passwd", fd) == -EINVAL);
    close(fd);
}

static void test_tree(void)
{
    struct belljar_file f, *files = NULL;
    struct belljar_result r;
    size_t count = 0;
    CHECK(belljar_mkdir(s, "m/n") == 0 && belljar_mkdir(s, "m/n") == 0);
    CHECK(belljar_write(s, "m/file", "12345", 5) == 0);
    CHECK(belljar_mkdir(s, "m/file") == -EINVAL);
    CHECK(belljar_run(s, "ln -s file m/link; mkfifo m/fifo; chmod 640 m/file", NULL, &r) == 0);
    belljar_result_free(&r);
    CHECK(belljar_stat(s, "m/file", &f) == 0);
    CHECK_TEXT(f.name, "file");
    CHECK_TEXT(f.path, "/home/user/m/file");
    CHECK_TEXT(f.owner, "user");
    CHECK_TEXT(f.group, "user");
    CHECK(f.type == 'f' && f.size_bytes == 5 && f.mode == 0640 && !f.target &&
          f.changed_ms > 1700000000000);
    belljar_file_free(&f);
    belljar_file_free(&f);
    CHECK(belljar_stat(s, "m/link", &f) == 0 && f.type == 'l');
    CHECK_TEXT(f.target, "/home/user/m/file");
    belljar_file_free(&f);
    CHECK(belljar_stat(s, "m/fifo", &f) == 0 && f.type == 'o');
    belljar_file_free(&f);
    CHECK(belljar_stat(s, "m/none", &f) == -ENOENT && !f.name);
    CHECK(belljar_list(s, "m", 1, &files, &count) == 0 && count == 4);
    CHECK(count == 4 && files[1].type == 'f' && files[3].type == 'd' &&
          strcmp(files[3].name, "n") == 0);
    belljar_files_free(files, count);
    CHECK(belljar_list(s, "m/n", 1, &files, &count) == 0 && count == 0);
    belljar_files_free(files, count);
    CHECK(belljar_list(s, "m/file", 1, &files, &count) == -EINVAL && !files && count == 0);
    CHECK(belljar_list(s, "none", 1, &files, &count) == -ENOENT);
    belljar_files_free(NULL, 0);
    CHECK(belljar_rename(s, "m/file", "moved/there") == 0);
    CHECK(belljar_rename(s, "m/file", "x") == -ENOENT);
    CHECK(belljar_stat(s, "moved/there", &f) == 0);
    belljar_file_free(&f);
    CHECK(belljar_remove(s, "m") == 0 && belljar_remove(s, "m") == 0);
    CHECK(belljar_stat(s, "m/n", &f) == -ENOENT);
    CHECK(belljar_stat(s, "~other/x", &f) == -EINVAL);
}

static void test_watch(void)
{
    static const struct {
        enum belljar_change_kind kind;
        const char *name;
    } want[] = { { BELLJAR_CREATED, "f" }, { BELLJAR_MODE, "f" },    { BELLJAR_WRITTEN, "f" },
                 { BELLJAR_RENAMED, "f" }, { BELLJAR_CREATED, "g" }, { BELLJAR_REMOVED, "g" } };
    struct belljar_change c;
    CHECK(belljar_mkdir(s, "w/deep") == 0);
    struct belljar_watch *w = belljar_watch(s, "w", false), *deep = belljar_watch(s, "w", true);
    if (!CHECK(w && deep))
        return;
    CHECK(belljar_watch_next(w, 0, &c) == 1);
    CHECK(belljar_write(s, "w/f", "x", 1) == 0);
    CHECK(belljar_rename(s, "w/f", "w/g") == 0);
    CHECK(belljar_remove(s, "w/g") == 0);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        CHECK(belljar_watch_next(w, 5000, &c) == 0 && c.kind == want[i].kind &&
              strcmp(c.name, want[i].name) == 0);
    CHECK(belljar_watch_next(w, 50, &c) == 1);
    CHECK(belljar_write(s, "w/deep/h", "x", 1) == 0);
    CHECK(belljar_watch_next(w, 50, &c) == 1);
    bool has_seen = false;
    while (!has_seen && belljar_watch_next(deep, 5000, &c) == 0)
        has_seen = strcmp(c.name, "deep/h") == 0;
    CHECK(has_seen);
    belljar_watch_free(w);
    belljar_watch_free(deep);
    belljar_watch_free(NULL);
    CHECK(!belljar_watch(s, "none", false) && belljar_errno(b) == ENOENT);
    CHECK(!belljar_watch(s, "/etc/passwd", false) && belljar_errno(b) == EINVAL);
}

static void test_watch_of_killed(void)
{
    struct belljar_change c;
    struct belljar_sandbox *t = belljar_create(b, NULL);
    struct belljar_watch *w = t ? belljar_watch(t, ".", false) : NULL;
    struct belljar_file f;
    if (!CHECK(w != NULL))
        return;
    CHECK(belljar_kill(t) == 0);
    CHECK(belljar_watch_next(w, 5000, &c) == -EHOSTDOWN);
    belljar_watch_free(w);
    CHECK(belljar_stat(t, "x", &f) == -EHOSTDOWN);
    CHECK(!belljar_read(t, "x", 0, NULL) && belljar_errno(b) == EHOSTDOWN);
    CHECK(belljar_write(t, "x", "y", 1) == -EHOSTDOWN);
    belljar_sandbox_free(t);
}

int main(void)
{
    static const struct check tests[] = {
        { "downloads and uploads with flat memory", test_streams },
        { "contents", test_contents },
        { "another user", test_user },
        { "a hundred megabytes", test_big },
        { "an upload from a pipe", test_pipe },
        { "the disk is full", test_disk_full },
        { "directories as tar", test_tar },
        { "stat, list, mkdir, rename, remove", test_tree },
        { "watch", test_watch },
        { "of a killed sandbox", test_watch_of_killed },
    };
    b = belljar_open(NULL);
    s = b ? belljar_create(b, NULL) : NULL;
    int rc = s ? check_all(tests, sizeof tests / sizeof *tests) : 1;
    (void)belljar_kill(s);
    belljar_sandbox_free(s);
    belljar_close(b);
    return rc;
}
