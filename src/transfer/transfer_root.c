#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "transfer/transfer_internal.h"

/* The engine takes an exclusive lock for the moment in which it gives the directory another name
 * (engine/ns/ns_root.h): who has locked it may hold something that is being removed. */
int transfer_root_lock(int templates, const char *name)
{
    struct stat held, named;
    CLEANUP(fd_closep)
    int fd = openat(templates, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a link: a built-in */
    if (fd < 0 || flock(fd, LOCK_SH) < 0 || fstat(fd, &held) < 0 ||
        fstatat(templates, name, &named, 0) < 0)
        return -1;
    return held.st_ino == named.st_ino && held.st_dev == named.st_dev ? TAKE_FD(fd) : -1;
}
