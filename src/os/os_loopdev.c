#include "os/os_loopdev.h"

#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "os/os_sys.h"

#define LOOP_MAJOR 7

static int device_open(int number)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/dev/loop%d", number);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        /* A /dev that nobody keeps up to date (not devtmpfs). */
        if (mknod(path, S_IFBLK | 0600, makedev(LOOP_MAJOR, (unsigned)number)) < 0 &&
            errno != EEXIST)
            return RAISE(-errno);
        fd = open(path, O_RDWR | O_CLOEXEC);
    }
    return fd < 0 ? -errno : fd;
}

int loopdev_attach(int file, int how, int *number)
{
    CLEANUP(fd_closep) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return RAISE(-errno);
    /* Another process may take the device between the two calls: then ask again. */
    for (int tries = 0; tries < 64; tries++) {
        int n = ioctl(control, LOOP_CTL_GET_FREE);
        if (n < 0)
            return RAISE(-errno);
        CLEANUP(fd_closep) int fd = device_open(n);
        if (fd < 0)
            return RAISE(fd);
        unsigned flags = LO_FLAGS_AUTOCLEAR | (how == LOOPDEV_DIRECT ? LO_FLAGS_DIRECT_IO : 0u);
        struct loop_config c = { .fd = (uint32_t)file,
                                 .block_size = 4096,
                                 .info = { .lo_flags = flags } };
        if (ioctl(fd, LOOP_CONFIGURE, &c) == 0) {
            *number = n;
            return TAKE_FD(fd);
        }
        if (errno == EINVAL && (c.info.lo_flags & LO_FLAGS_DIRECT_IO)) {
            c.info.lo_flags = LO_FLAGS_AUTOCLEAR;
            if (ioctl(fd, LOOP_CONFIGURE, &c) == 0) {
                *number = n;
                return TAKE_FD(fd);
            }
        }
        if (errno != EBUSY)
            return RAISE(-errno);
    }
    return RAISE(-EBUSY);
}

bool loopdev_is_of(int number, int file)
{
    char path[32];
    struct stat st;
    struct loop_info64 info;
    (void)snprintf(path, sizeof path, "/dev/loop%d", number);
    CLEANUP(fd_closep) int device = open(path, O_RDONLY | O_CLOEXEC);
    return device >= 0 && fstat(file, &st) == 0 && ioctl(device, LOOP_GET_STATUS64, &info) == 0 &&
           info.lo_inode == st.st_ino && info.lo_device == st.st_dev;
}
