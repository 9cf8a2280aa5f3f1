/* Loading a filter, apart from building one: static programs load it and have no libseccomp. */
#include <linux/seccomp.h>

#include "os/os_seccomp.h"
#include "os/os_sys.h"

int sysfilter_load(const struct sock_fprog *prog)
{
    /* SPEC_ALLOW: no speculation brake on every program inside; sandboxes do not share memory. */
    return os_ret(
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, prog));
}
