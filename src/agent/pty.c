#include "agent/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "agent/schema.h"
#include "base/cleanup.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

static unsigned short to_short(uint32_t v) { return v > 65535 ? 65535 : (unsigned short)v; }

int pty_resize(int master, const struct schema_pty_size *size)
{
    struct winsize w = { .ws_col = to_short(size->cols), .ws_row = to_short(size->rows) };
    return ioctl(master, TIOCSWINSZ, &w) < 0 ? -errno : 0;
}

int pty_open(const struct schema_pty_size *size, uid_t uid, int *master, int *slave)
{
    int unlock = 0;
    CLEANUP(fd_closep) int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (m < 0 || ioctl(m, TIOCSPTLCK, &unlock) < 0)
        return -errno;
    /* by the master, not by a path: /dev/pts may be somebody else's */
    CLEANUP(fd_closep) int s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (s < 0)
        return -errno;
    int given = fchown(s, uid, (gid_t)-1);
    (void)given; /* without it only programs that reopen /dev/tty's name suffer */
    struct termios t;
    if (tcgetattr(s, &t) == 0) {
        t.c_iflag |= IUTF8; /* so that the line editor erases whole characters */
        (void)tcsetattr(s, TCSANOW, &t);
    }
    int r = size ? pty_resize(m, size) : 0;
    if (r < 0)
        return r;
    *master = TAKE_FD(m);
    *slave = TAKE_FD(s);
    return 0;
}
