/* bench-client COUNT: lives of sandboxes through the C library. Prints JSON: milliseconds of each
 * create with its first command, of a second command, of create to kill. */
#include <belljar.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST, WARM, LIFE, KINDS };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool run(struct belljar_sandbox *s)
{
    struct belljar_result r;
    bool is_good = belljar_run(s, "echo hi", NULL, &r) == 0 && strcmp(r.out, "hi\n") == 0;
    belljar_result_free(&r);
    return is_good;
}

static bool live(struct belljar *b, double *ms)
{
    double start = now_ms();
    struct belljar_sandbox *s = belljar_create(b, NULL);
    bool is_good = s && run(s);
    double mid = now_ms();
    ms[FIRST] = mid - start;
    is_good = is_good && run(s);
    ms[WARM] = now_ms() - mid;
    is_good = belljar_kill(s) == 0 && is_good;
    ms[LIFE] = now_ms() - start;
    belljar_sandbox_free(s);
    return is_good;
}

int main(int argc, char **argv)
{
    static const char *const names[KINDS] = { "first", "warm", "life" };
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    double(*ms)[KINDS] = calloc(count + 1, sizeof *ms);
    struct belljar *b = belljar_open(NULL);
    for (size_t i = 0; i < count; i++)
        if (!b || !ms || !live(b, ms[i])) {
            fprintf(stderr, "%s\n", b ? belljar_error(b) : belljar_open_error());
            return 1;
        }
    for (int k = 0; k < KINDS; k++) {
        printf("%s\"%s\":[", k ? "," : "{", names[k]);
        for (size_t i = 0; i < count; i++)
            printf("%s%.3f", i ? "," : "", ms[i][k]);
        printf("]");
    }
    printf("}\n");
    belljar_close(b);
    free(ms);
    return 0;
}
