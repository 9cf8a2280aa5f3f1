#include "engine/ns/ns_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "os/os_ext4.h"
#include "os/os_file.h"
#include "os/os_loopdev.h"
#include "os/os_mount.h"
#include "os/os_sys.h"

#define WIPE_BYTES (4u << 20)
#define WIPE_FILES 256u
#define TRIM_BYTES (16u << 20) /* of deleted files: worth a walk over the block groups */
#define LOCK_TRIES 5000 /* times 1 ms: a device lets go when its file system is written out */

/* Its exit status, or -1. `image` (or -1) stays open in it. */
static int program_run(char *const *argv, int image)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (image >= 0)
            (void)fcntl(image, F_SETFD, 0);
        if (null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1)
            (void)execvp(argv[0], argv);
        _exit(127);
    }
    int status = -1;
    if (pid > 0)
        (void)waitpid(pid, &status, 0);
    return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int mkfs_run(const char *image)
{
    /* No journal: after a crash of the host a running sandbox is gone anyway, and a paused one was
     * synced while it stood still. No reserved blocks: root
     * inside is a tenant too. Inode tables are not written out: the image stays sparse. */
    char *const argv[] = { "mkfs.ext4",
                           "-q",
                           "-F",
                           "-O",
                           "^has_journal,^resize_inode," EXT4_FEATURES,
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
    int status = program_run(argv, -1);
    if (status == 0)
        return 0;
    log_error("mkfs.ext4 failed with status %d (is e2fsprogs installed?)", status);
    return RAISE(-EIO);
}

/* Direct I/O: the sandbox's file system caches already; a second copy of each page in the image's
 * cache would be charged to nobody. */
static int image_mount(int image)
{
    int number;
    CLEANUP(fd_closep) int device = loopdev_attach(image, LOOPDEV_DIRECT, &number);
    if (device < 0)
        return TRACE(device);
    char path[32];
    (void)snprintf(path, sizeof path, "/dev/loop%d", number);
    /* nobarrier: nothing that happens inside waits for the host's disk. Who wants the image to be
     * durable syncs the file system, then the image (ns_disk_sync). No discard: with it every
     * unlink waits for the host's file system, 20 000 small files 10 to 34 s instead of 0.3. */
    const char *const options[] = { "source",    path, "init_itable", "0",
                                    "nobarrier", NULL, NULL,          NULL };
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
    (void)snprintf(name, sizeof name, NS_DISK_BLANK "%llu", (unsigned long long)size);
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

static int image_name(const struct ns_host *h, int image, int disk)
{
    char path[32], name[16];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", image);
    (void)snprintf(name, sizeof name, "%u", ns_disk_number(disk));
    for (int tries = 0; tries < 2; tries++) {
        if (linkat(AT_FDCWD, path, h->disks, name, AT_SYMLINK_FOLLOW) == 0)
            return 0;
        if (errno == EEXIST) /* of a device that is gone: this one has its number */
            (void)unlinkat(h->disks, name, 0);
    }
    return RAISE(-errno);
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
    int r = file_copy_sparse(prototype, image, NULL, NULL);
    if (r == 0 && flock(image, LOCK_EX | LOCK_NB) < 0) /* held by the device from now on */
        r = RAISE(-errno);
    CLEANUP(fd_closep) int disk = r < 0 ? r : image_mount(image);
    if (disk < 0)
        return TRACE(disk);
    r = image_name(h, image, disk);
    return r < 0 ? TRACE(r) : TAKE_FD(disk);
}

int ns_disk_adopt(uint32_t number, int image)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/dev/loop%u", number);
    if (!loopdev_is_of((int)number, image))
        return RAISE(-ESTALE);
    /* The kernel finds the mounted file system again and asks for no options. */
    const char *const options[] = { "source", path, NULL, NULL };
    CLEANUP(fd_closep) int disk = mount_new("ext4", options, OS_MOUNT_ATTR_NODEV);
    CLEANUP(fd_closep) int root = disk < 0 ? disk : ns_disk_root(disk);
    if (root < 0)
        return TRACE(root);
    if (!loopdev_is_of((int)number, image)) /* the sandbox ended, its device was given again */
        return RAISE(-ESTALE);
    if (ioctl(root, FITHAW, 0) == 0)
        log_info("disk %u was left frozen", number);
    return TAKE_FD(disk);
}

int ns_disk_lock(int image)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(image, LOCK_EX | LOCK_NB) == 0)
            return 0;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return RAISE(-EBUSY);
}

static int image_repair(int image)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", image);
    char *const argv[] = { "e2fsck", "-f", "-y", path, NULL };
    if (ext4_image_is_clean(image))
        return 0;
    int status = program_run(argv, image);
    if (status == 127) {
        log_error("e2fsck cannot be run (is e2fsprogs installed?)");
        return RAISE(-ENOPKG);
    }
    bool is_good = status >= 0 && status < 4; /* 1, 2: it had to be changed */
    log_info("a disk that was not unmounted was %s: status %d",
             is_good ? "repaired" : "not to be repaired", status);
    return is_good ? 0 : RAISE(-EUCLEAN);
}

int ns_disk_open(int image)
{
    int r = image_repair(image);
    CLEANUP(fd_closep) int disk = r < 0 ? r : image_mount(image);
    if (disk < 0)
        return TRACE(disk);
    /* What an overlay leaves there tells the next one that writes may be lost. */
    r = file_remove_tree(disk, "work");
    if (r == 0)
        r = tree_make(disk);
    return r < 0 ? TRACE(r) : TAKE_FD(disk);
}

void ns_disk_drop(const struct ns_host *h, int *disk)
{
    char name[16];
    if (*disk < 0)
        return;
    (void)snprintf(name, sizeof name, "%u", ns_disk_number(*disk));
    (void)unlinkat(h->disks, name, 0);
    fd_closep(disk);
}

uint32_t ns_disk_number(int disk)
{
    struct stat st = { 0 };
    return fstat(disk, &st) == 0 ? minor(st.st_dev) : UINT32_MAX;
}

int ns_disk_image(const struct ns_host *h, int disk)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", ns_disk_number(disk));
    int fd = openat(h->disks, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? RAISE(-errno) : fd;
}

int ns_disk_root(int disk)
{
    int fd = openat(disk, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? RAISE(-errno) : fd;
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

void ns_disk_trim(int root, int image)
{
    struct fstrim_range all = { .len = UINT64_MAX };
    struct stat st;
    uint64_t used, total;
    if (fstat(image, &st) == 0 && ns_disk_usage(root, &used, &total) == 0 &&
        (uint64_t)st.st_blocks * 512 > used + TRIM_BYTES)
        (void)ioctl(root, FITRIM, &all); /* it costs space, no more */
}

int ns_disk_wipe(const struct ns_host *h, int disk)
{
    struct statfs s;
    struct stat st;
    uint64_t used, total;
    CLEANUP(fd_closep) int image = ns_disk_image(h, disk);
    if (image < 0 || fstat(image, &st) < 0 || fstatfs(disk, &s) < 0 ||
        ns_disk_usage(disk, &used, &total) < 0)
        return RAISE(-errno);
    /* what was written and deleted is in the image all the same */
    if (used > WIPE_BYTES || (uint64_t)st.st_blocks * 512 > used + WIPE_BYTES ||
        (uint64_t)(s.f_files - s.f_ffree) > WIPE_FILES)
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
