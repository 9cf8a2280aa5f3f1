/* os/: files, and the cgroup driver for v2 over a directory that plays the tree. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "os/os_cgroup.h"
#include "os/os_file.h"
#include "tests.h"

static char dir[] = "/tmp/belljar-test-os.XXXXXX";

static void assert_file(const char *path, const char *want)
{
    char full[256], text[256];
    (void)snprintf(full, sizeof full, "%s/%s", dir, path);
    assert_true(file_get(AT_FDCWD, full, text, sizeof text) >= 0);
    assert_string_equal(text, want);
}

static void cgroup_v2(void **state)
{
    (void)state;
    struct cgroup_host h;
    int fds[CGROUP_TREES];
    const struct cgroup_limits l = { 1u << 30, 1500, 100 };
    assert_int_equal(cgroup_host_open(&h, "t", dir), 0);
    assert_int_equal(cgroup_make(&h, 7), 0);
    assert_int_equal(cgroup_limit(&h, 7, &l), 0);
    assert_file("belljar-t/7/memory.max", "1073741824");
    assert_file("belljar-t/7/cmd/memory.max", "1048576000"); /* the agent keeps 24 MiB */
    assert_file("belljar-t/7/pids.max", "116");
    assert_file("belljar-t/7/cmd/pids.max", "100");
    assert_file("belljar-t/7/cpu.max", "150000 100000");
    assert_int_equal(cgroup_attach(&h, 7, 4242, false), 0);
    assert_file("belljar-t/7/agent/cgroup.procs", "4242");
    assert_int_equal(cgroup_command_fds(&h, 7, fds), 1);
    (void)close(fds[0]);
    assert_int_equal(cgroup_freeze(&h, 7, true), 0);
    assert_true(cgroup_is_frozen(&h, 7));
    assert_int_equal(cgroup_freeze(&h, 7, false), 0);
    assert_false(cgroup_is_frozen(&h, 7));
    int group = cgroup_clone_dir(&h, 7);
    assert_true(group >= 0);
    (void)close(group);
    cgroup_host_close(&h);
}

static void trees(void **state)
{
    (void)state;
    char path[256], link[300];
    (void)snprintf(path, sizeof path, "%s/a/b/c", dir);
    (void)snprintf(link, sizeof link, "%s/link", path);
    assert_int_equal(file_mkdirs(path, 0755), 0);
    assert_int_equal(symlink("/etc", link), 0);
    CLEANUP(fd_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(file_remove_tree(fd, "a"), 0);
    assert_int_equal(faccessat(fd, "a", F_OK, 0), -1);
    assert_int_equal(access("/etc/passwd", F_OK), 0); /* links are removed, not followed */
    assert_int_equal(file_remove_tree(fd, "never-was"), 0);
}

static void sparse(void **state)
{
    (void)state;
    char text[8] = { 0 };
    uint64_t copied = 0;
    struct stat st;
    CLEANUP(fd_closep) int from = open(dir, O_TMPFILE | O_RDWR, 0600);
    CLEANUP(fd_closep) int to = open(dir, O_TMPFILE | O_RDWR, 0600);
    assert_true(from >= 0 && to >= 0);
    assert_int_equal(ftruncate(from, 1 << 30), 0);
    assert_int_equal(pwrite(from, "abc", 3, 500 << 20), 3);
    assert_int_equal(file_copy_sparse(from, to, NULL, &copied), 0);
    assert_in_range(copied, 4096, 65536);
    assert_int_equal(fstat(to, &st), 0);
    assert_int_equal(st.st_size, 1 << 30);
    assert_true(st.st_blocks < 1024);
    assert_int_equal(pread(to, text, 3, 500 << 20), 3);
    assert_string_equal(text, "abc");
}

static void numbers(void **state)
{
    (void)state;
    char path[256];
    uint64_t n = 0;
    (void)snprintf(path, sizeof path, "%s/n", dir);
    assert_int_equal(file_save(AT_FDCWD, path, 0600, STR("max\n")), 0);
    assert_int_equal(file_get_u64(AT_FDCWD, path, &n), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(file_save(AT_FDCWD, path, 0600, STR("oom 1\noom_kill 3\nlast 9")), 0);
    assert_int_equal(file_get_key(AT_FDCWD, path, "oom_kill", &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(file_get_key(AT_FDCWD, path, "last", &n), 0);
    assert_int_equal(n, 9);
    assert_int_equal(file_get_key(AT_FDCWD, path, "none", &n), -ENOENT);
    assert_int_equal(file_get_u64(AT_FDCWD, path, &n), -EBADMSG);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}
static int teardown(void **state)
{
    (void)state;
    return file_remove_tree(AT_FDCWD, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cgroup_v2),
        cmocka_unit_test(trees),
        cmocka_unit_test(sparse),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
