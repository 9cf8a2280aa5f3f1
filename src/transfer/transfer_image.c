/* Images of layers from elsewhere. */
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "os/os_ext4.h"
#include "transfer/transfer_internal.h"

enum { NOBODY = 65534, FSCK_S = 600 };

/* Between fork and exec. e2fsck reads what somebody made to break it: it has no rights, and only
 * the image. */
static _Noreturn void child_check(int image)
{
    static char *const argv[] = { "e2fsck", "-fn", "/proc/self/fd/0", NULL };
    static char *const envp[] = { "PATH=/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL=C", NULL };
    const struct rlimit time = { FSCK_S, FSCK_S }, files = { 16, 16 };
    int nothing = open("/dev/null", O_RDWR);
    bool good = dup2(image, 0) == 0 && dup2(nothing, 1) == 1 && dup2(nothing, 2) == 2 &&
                setrlimit(RLIMIT_CPU, &time) == 0 && setrlimit(RLIMIT_NOFILE, &files) == 0 &&
                setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
                setresuid(NOBODY, NOBODY, NOBODY) == 0 &&
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
    if (good)
        (void)execvpe(argv[0], argv, envp);
    _exit(127);
}

/* The status of e2fsck, or a negative errno. */
static int run_check(int image)
{
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        child_check(image);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

int transfer_image_check(struct op *op, int fd)
{
    if (fsync(fd) < 0 || fchmod(fd, 0644) < 0) /* it is in a directory that is ours alone */
        return op_fail(op, FAULT_HOST, errno, "a layer cannot be written: %s", strerror(errno));
    int status = run_check(fd);
    if (status == 127)
        return op_fail(op, FAULT_HOST, ENOENT, "e2fsck cannot be run; install e2fsprogs");
    if (status != 0)
        return op_fail(op, FAULT_INVALID, EBADMSG,
                       "the file is damaged: a layer is not a sound file system (e2fsck: %d)",
                       status);
    /* no two mounted file systems may have one id */
    int r = ext4_image_renew(fd);
    if (r < 0)
        return op_fail(op, FAULT_INVALID, -r,
                       "the file is damaged: a layer is not an image that belljar has made");
    return fchmod(fd, 0600) < 0 || fsync(fd) < 0
               ? op_fail(op, FAULT_HOST, errno, "a layer cannot be written: %s", strerror(errno))
               : 0;
}
