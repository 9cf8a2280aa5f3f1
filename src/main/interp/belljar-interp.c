/* belljar-interp: the code-interpreter server inside a sandbox. Its first process only watches the
 * second, which serves, and starts another when it ends: any program in the sandbox may kill it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "interp/interp.h"

#define PORT 49999
#define HOME "/home/user"
#define DIR "/run/belljar-interp"
#define RESTART_MS 200

static int serve(void)
{
    struct interp *p = NULL;
    struct op op = { 0 };
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct loop *l = loop_new();
    struct interp_spec spec = { .loop = l, .port = PORT, .home = HOME, .dir = DIR };
    if (!l || interp_new(&op, &spec, &p) < 0) {
        log_error("cannot start: %s", op.fault.text);
        return 1;
    }
    return loop_run(l) < 0 ? 1 : 0;
}

/* What systemd would set for its services, and what the kernels rely on. */
static void prepare(void)
{
    (void)setenv("HOME", "/root", 1);
    (void)setenv("USER", "root", 1);
    (void)setenv("LOGNAME", "root", 1);
    (void)setenv("MATPLOTLIBRC", "/root/.config/matplotlib/.matplotlibrc", 0);
    (void)setenv("JPY_PARENT_PID", "0", 1);
    (void)signal(SIGPIPE, SIG_IGN);
    if (chdir(HOME) < 0)
        log_warn("%s: %s", HOME, strerror(errno));
}

int main(void)
{
    log_init("belljar-interp", LOG_INFO);
    prepare();
    for (;;) {
        pid_t pid = fork();
        if (pid == 0)
            return serve();
        int status = 0;
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        log_warn("the server ended with status %d; starting it again", status);
        (void)nanosleep(&(struct timespec){ .tv_nsec = RESTART_MS * 1000000L }, NULL);
    }
}
