#include "os/os_mount.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "os/os_file.h"
#include "os/os_sys.h"

/* The kernel puts its reason into the context's log; without it every mistake is EINVAL. */
static int fs_failed(int fs, const char *what, int r)
{
    char text[256];
    ssize_t n;
    while ((n = read(fs, text, sizeof text - 1)) > 0) {
        text[n] = 0;
        log_warn("%s: kernel: %s", what, text);
    }
    return RAISE(r);
}

static int fs_set(int fs, const char *key, const char *value)
{
    return os_fsconfig(fs, value ? OS_FSCONFIG_SET_STRING : OS_FSCONFIG_SET_FLAG, key, value, 0);
}

static int fs_finish(int fs, const char *what, unsigned attrs)
{
    int r = os_fsconfig(fs, OS_FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    if (r < 0)
        return fs_failed(fs, what, r);
    return TRACE(os_fsmount(fs, attrs));
}

int mount_new(const char *type, const char *const *options, unsigned attrs)
{
    CLEANUP(fd_closep) int fs = os_fsopen(type);
    if (fs < 0)
        return RAISE(fs);
    for (; options && options[0]; options += 2) {
        int r = fs_set(fs, options[0], options[1]);
        if (r < 0)
            return fs_failed(fs, type, r);
    }
    return fs_finish(fs, type, attrs);
}

int mount_clone(int dir, const char *path, int userns)
{
    unsigned flags = OS_OPEN_TREE_CLONE | OS_OPEN_TREE_CLOEXEC | (*path ? 0 : AT_EMPTY_PATH);
    CLEANUP(fd_closep) int fd = os_open_tree(dir, path, flags);
    if (fd < 0)
        return RAISE(fd);
    if (userns >= 0) {
        struct os_mount_attr a = { .set = OS_MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
        int r = os_mount_setattr(fd, "", AT_EMPTY_PATH, &a);
        if (r < 0)
            return RAISE(r);
    }
    return TAKE_FD(fd);
}

/* The overlay acts on its upper with the credentials of who mounts it. On an idmapped upper host
 * root has no id there: the work directory could not be made and the overlay would turn out read
 * only, silently. So mount as the upper's root, with the capabilities that changing the file system
 * uid took away raised again. */
static int caps_raise(void)
{
    struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct d[2];
    if (syscall(SYS_capget, &h, d) < 0)
        return RAISE(-errno);
    d[0].effective = d[0].permitted;
    d[1].effective = d[1].permitted;
    return syscall(SYS_capset, &h, d) < 0 ? RAISE(-errno) : 0;
}

static int overlay_by_fd(int fs, const struct overlay_spec *s)
{
    CLEANUP(fd_closep) int up = openat(s->disk, "up", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(fd_closep) int work = openat(s->disk, "work", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (up < 0 || work < 0)
        return RAISE(-errno);
    int r = 0;
    for (int i = 0; i < s->lower_count && r == 0; i++)
        r = os_fsconfig(fs, OS_FSCONFIG_SET_FD, "lowerdir+", NULL, s->lowers[i]);
    if (r == 0)
        r = os_fsconfig(fs, OS_FSCONFIG_SET_FD, "upperdir", NULL, up);
    return r < 0 ? r : os_fsconfig(fs, OS_FSCONFIG_SET_FD, "workdir", NULL, work);
}

/* Kernels before 6.13 want paths, and only of attached mounts: each part is attached under
 * spec->attach for the while of the mount. Part i is a lower, the last one the disk. The paths are
 * relative to there: an option has room for 255 bytes. */
static int overlay_by_path(int fs, const struct overlay_spec *s, int dir)
{
    struct buf text;
    buf_init(&text, 4096);
    int r = fchdir(dir) < 0 ? -errno : 0;
    char name[16];
    for (int i = 0; i <= s->lower_count && r == 0; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        r = file_mkdir(dir, name, 0700);
        if (r == 0)
            r = os_move_mount(i < s->lower_count ? s->lowers[i] : s->disk, "", dir, name,
                              OS_MOVE_MOUNT_F_EMPTY_PATH);
        if (i < s->lower_count)
            (void)buf_printf(&text, "%s%d", i ? ":" : "", i);
    }
    const char *const keys[] = { "lowerdir", "upperdir", "workdir" };
    const char *const dirs[] = { NULL, "up", "work" };
    for (int k = 0; k < 3 && r == 0; k++) {
        if (k > 0) {
            buf_reset(&text);
            (void)buf_printf(&text, "%d/%s", s->lower_count, dirs[k]);
        }
        r = buf_cstr(&text) ? fs_set(fs, keys[k], buf_cstr(&text)) : -ENOMEM;
    }
    buf_deinit(&text);
    return r;
}

static void attach_undo(const struct overlay_spec *s, int dir)
{
    char path[4096], name[16];
    for (int i = 0; i <= s->lower_count; i++) {
        (void)snprintf(path, sizeof path, "%s/%d", s->attach, i);
        (void)snprintf(name, sizeof name, "%d", i);
        (void)umount2(path, MNT_DETACH);
        (void)unlinkat(dir, name, AT_REMOVEDIR);
    }
}

static int overlay_make(const struct overlay_spec *s, int dir)
{
    CLEANUP(fd_closep) int fs = os_fsopen("overlay");
    if (fs < 0)
        return RAISE(fs);
    int r = dir < 0 ? overlay_by_fd(fs, s) : overlay_by_path(fs, s, dir);
    /* volatile: fsync inside costs nothing; whoever wants a disk to outlive the host syncs the file
     * system below (and removes work/incompat before its next overlay).
     * redirect_dir: renaming a directory of the template works instead of failing with EXDEV. */
    if (r == 0)
        r = fs_set(fs, "redirect_dir", "on");
    if (r == 0)
        r = fs_set(fs, "volatile", NULL);
    return r < 0 ? fs_failed(fs, "overlay", r) : fs_finish(fs, "overlay", OS_MOUNT_ATTR_NODEV);
}

/* The other side of changing the file system uid: the kernel forgets which signal the death of our
 * parent was to bring. */
static void parent_watch(int signal, pid_t parent)
{
    if (signal == 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, signal);
    if (getppid() != parent) /* it died while nobody looked */
        (void)raise(signal);
}

int mount_overlay(const struct overlay_spec *s)
{
    CLEANUP(fd_closep) int dir = -1;
    CLEANUP(fd_closep) int before = -1;
    if (s->attach) {
        dir = open(s->attach, O_PATH | O_DIRECTORY | O_CLOEXEC);
        before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || before < 0)
            return RAISE(-errno);
    }
    int signal = 0;
    pid_t parent = getppid();
    (void)prctl(PR_GET_PDEATHSIG, &signal);
    (void)setfsgid(s->owner);
    (void)setfsuid(s->owner);
    int r = caps_raise();
    if (r == 0)
        r = overlay_make(s, dir);
    (void)setfsuid(0); /* gives the capabilities back by itself */
    (void)setfsgid(0);
    parent_watch(signal, parent);
    if (dir >= 0)
        attach_undo(s, dir);
    if (before >= 0 && fchdir(before) < 0 && r >= 0)
        log_warn("the working directory is gone: %s", strerror(errno));
    return TRACE(r);
}

bool mount_overlay_takes_fds(void)
{
    CLEANUP(fd_closep) int fs = os_fsopen("overlay");
    CLEANUP(fd_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fs >= 0 && root >= 0 &&
           os_fsconfig(fs, OS_FSCONFIG_SET_FD, "lowerdir+", NULL, root) == 0;
}
