/* A sandbox, one command, its answer.
 *
 *     cc hello.c $(pkg-config --cflags --libs belljar) -o hello && ./hello
 *
 * The server and the key are those of the environment (`. /var/lib/belljar/env`). */
#include <belljar.h>
#include <stdio.h>

int main(void)
{
    struct belljar *b = belljar_open(NULL);
    if (!b) {
        fprintf(stderr, "%s\n", belljar_open_error());
        return 1;
    }
    struct belljar_sandbox *s = belljar_create(b, NULL);
    struct belljar_result r = { 0 };
    bool is_good = s && belljar_run(s, "echo hello from $(uname -n); exit 3", NULL, &r) == 0;
    if (is_good)
        printf("%sexit code %d\n", r.out, r.exit_code);
    else
        fprintf(stderr, "%s\n", belljar_error(b));
    belljar_result_free(&r);
    belljar_kill(s);
    belljar_sandbox_free(s);
    belljar_close(b);
    return is_good ? 0 : 1;
}
