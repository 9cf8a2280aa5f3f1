/* A command that takes its time: what it says is shown as it comes, and what is typed here goes to
 * its input. Ctrl-D ends the input; Ctrl-C ends the command, and the program with it.
 *
 *     ./stream 'while read line; do echo "you said $line"; done' */
#include <belljar.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t is_stopped;
static void stop(int signal)
{
    (void)signal;
    is_stopped = 1;
}

/* Passes on what there is at our input; at its end, says so. False: there will be no more. */
static bool pass_input(struct belljar_process *p)
{
    char bytes[4096];
    ssize_t n = read(0, bytes, sizeof bytes);
    if (n > 0)
        return belljar_process_write(p, bytes, (size_t)n) == 0;
    (void)belljar_process_close_stdin(p);
    return false;
}

/* The exit code, or -1 when something went wrong. */
static int listen_to(struct belljar_process *p)
{
    struct belljar_event e = { .kind = BELLJAR_NOTHING };
    int input = 0;
    while (e.kind != BELLJAR_EXITED) {
        int rc = belljar_process_next(p, input, -1, &e);
        if (rc == -EINTR && is_stopped)
            rc = belljar_process_signal(p, SIGTERM);
        else if (rc == -EINTR)
            continue;
        if (rc < 0)
            return -1;
        if (e.kind == BELLJAR_READABLE && !pass_input(p))
            input = -1;
        else if (e.kind == BELLJAR_STDOUT || e.kind == BELLJAR_STDERR)
            fwrite(e.bytes, 1, e.size, e.kind == BELLJAR_STDOUT ? stdout : stderr);
        fflush(stdout);
    }
    if (e.error)
        fprintf(stderr, "%s\n", e.error);
    return e.exit_code;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "for i in 3 2 1; do echo $i; sleep 1; done";
    struct belljar *b = belljar_open(NULL);
    if (!b) {
        fprintf(stderr, "%s\n", belljar_open_error());
        return 1;
    }
    struct belljar_sandbox *s = belljar_create(b, NULL);
    struct belljar_run_options o = { .has_stdin = true, .timeout_ms = -1 };
    struct belljar_process *p = s ? belljar_start(s, command, &o) : NULL;
    signal(SIGINT, stop);
    int rc = p ? listen_to(p) : -1;
    if (rc < 0 && !is_stopped)
        fprintf(stderr, "%s\n", belljar_error(b));
    belljar_process_free(p);
    belljar_kill(s);
    belljar_sandbox_free(s);
    belljar_close(b);
    return rc < 0 ? 1 : rc;
}
