#include "engine/ns/ns_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "os/os_file.h"
#include "os/os_loopdev.h"
#include "os/os_mount.h"
#include "os/os_sys.h"

#define WIPE_BYTES (4u << 20)
#define WIPE_FILES 256u

static int mkfs_run(const char *image)
{
    /* No journal: after a crash of the host a sandbox is gone anyway. No reserved blocks: root
     * inside is a tenant too. Inode tables are not written out: the image stays sparse. */
    char *const argv[] = { "mkfs.ext4",
                           "-q",
                           "-F",
                           "-O",
                           "^has_journal,^resize_inode",
                           "-E",
                           "lazy_itable_init=1,nodiscard",
                           "-m",
                           "0",
                           "-b",
                           "4096",
                           "-i",
                           "32768",
                           (char *)(uintptr_t)image,
                           NULL };
    pid_t pid = fork();
    if (pid == 0) {
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    int status = -1;
    if (pid > 0)
        (void)waitpid(pid, &status, 0);
    if (status == 0)
        return 0;
    log_error("mkfs.ext4 failed with status %d (is e2fsprogs installed?)", status);
    return RAISE(-EIO);
}

static int image_mount(int image)
{
    int number;
    CLEANUP(fd_closep) int device = loopdev_attach(image, &number);
    if (device < 0)
        return TRACE(device);
    char path[32];
    (void)snprintf(path, sizeof path, "/dev/loop%d", number);
    const char *const options[] = {
        "source", path, "discard", NULL, "init_itable", "0", NULL, NULL
    };
    return TRACE(mount_new("ext4", options, OS_MOUNT_ATTR_NODEV));
}

static int tree_make(int disk)
{
    int r = file_mkdir(disk, "up", 0755);
    return r < 0 ? TRACE(r) : TRACE(file_mkdir(disk, "work", 0700));
}

/* The prototype of a size: formatted once, copied for each disk. */
static int prototype_open(const struct ns_host *h, uint64_t size)
{
    char name[64], path[512], made[560];
    (void)snprintf(name, sizeof name, "empty-%llu", (unsigned long long)size);
    int fd = openat(h->disks, name, O_RDWR | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT)
        return fd < 0 ? RAISE(-errno) : fd;
    (void)snprintf(path, sizeof path, "%s/disks/%s", h->config->state, name);
    (void)snprintf(made, sizeof made, "%s.%d", path, (int)getpid());
    fd = open(made, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return RAISE(-errno);
    CLEANUP(fd_closep) int image = fd;
    int r = ftruncate(image, (off_t)size) < 0 ? RAISE(-errno) : mkfs_run(made);
    CLEANUP(fd_closep) int disk = r < 0 ? r : image_mount(image);
    if (r == 0)
        r = disk < 0 ? disk : tree_make(disk);
    if (r == 0)
        r = file_remove_tree(disk, "lost+found");
    fd_closep(&disk); /* unmounts, which writes all of it to the image */
    if (r == 0 && rename(made, path) < 0)
        r = RAISE(-errno);
    if (r < 0) {
        (void)unlink(made);
        return TRACE(r);
    }
    return TAKE_FD(image);
}

int ns_disk_make(const struct ns_host *h, uint64_t size)
{
    CLEANUP(fd_closep) int prototype = prototype_open(h, size);
    if (prototype < 0)
        return TRACE(prototype);
    CLEANUP(fd_closep)
    int image = openat(h->disks, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (image < 0)
        return RAISE(-errno);
    int r = file_copy_sparse(prototype, image);
    return r < 0 ? TRACE(r) : TRACE(image_mount(image));
}

int ns_disk_usage(int disk, uint64_t *used, uint64_t *total)
{
    struct statfs s;
    if (fstatfs(disk, &s) < 0)
        return RAISE(-errno);
    *used = (uint64_t)(s.f_blocks - s.f_bfree) * (uint64_t)s.f_bsize;
    *total = (uint64_t)s.f_blocks * (uint64_t)s.f_bsize;
    return 0;
}

int ns_disk_wipe(int disk)
{
    struct statfs s;
    uint64_t used, total;
    if (fstatfs(disk, &s) < 0 || ns_disk_usage(disk, &used, &total) < 0)
        return RAISE(-errno);
    if (used > WIPE_BYTES || (uint64_t)(s.f_files - s.f_ffree) > WIPE_FILES)
        return -EFBIG;
    int r = file_remove_tree(disk, "up");
    if (r == 0)
        r = file_remove_tree(disk, "work");
    if (r == 0)
        r = tree_make(disk);
    if (r < 0)
        return TRACE(r);
    /* Never hand over anything: look whether all is gone, whatever the calls above said. */
    int fd = openat(disk, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    int entries = 0;
    for (struct dirent *e; d && (e = readdir(d)); entries++)
        ;
    return d && entries == 4 ? 0 : RAISE(-ENOTEMPTY);
}
