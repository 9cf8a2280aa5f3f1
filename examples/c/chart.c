/* Runs Python in a sandbox and saves the chart that it draws.
 *
 *     ./chart chart.png */
#include <belljar.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char code[] = "import numpy as np\n"
                           "import matplotlib.pyplot as plt\n"
                           "t = np.linspace(0, 12, 200)\n"
                           "for ratio in (0.05, 0.2, 0.6):\n"
                           "    plt.plot(t, 1 - np.exp(-ratio * t) * np.cos(t), label=ratio)\n"
                           "plt.title('Step response')\n"
                           "plt.legend(title='damping')\n"
                           "plt.show()\n"
                           "f'{len(t)} points'\n";

static bool save(const struct belljar_shown *shown, const char *file)
{
    size_t size;
    char *bytes = belljar_shown_bytes(shown, &size);
    FILE *f = bytes ? fopen(file, "wb") : NULL;
    bool is_good = f && fwrite(bytes, 1, size, f) == size;
    if (f && fclose(f) != 0)
        is_good = false;
    if (is_good)
        printf("%s: %zu bytes\n", file, size);
    else
        perror(file);
    free(bytes);
    return is_good;
}

/* Every result comes in some formats: a picture also as text, say. */
static bool show(const struct belljar_execution *e, const char *file)
{
    bool is_saved = false;
    fputs(e->out, stdout);
    if (e->error_name)
        fprintf(stderr, "%s\n", e->traceback);
    for (size_t i = 0; i < e->shown_count; i++) {
        const struct belljar_shown *shown = &e->shown[i];
        if (strcmp(shown->format, "png") == 0)
            is_saved = save(shown, file);
        else if (strcmp(shown->format, "chart") == 0)
            printf("drawn from: %.60s...\n", shown->value);
        else if (shown->is_main && strcmp(shown->format, "text") == 0)
            printf("%s\n", shown->value);
    }
    return is_saved;
}

int main(int argc, char **argv)
{
    struct belljar *b = belljar_open(NULL);
    if (!b) {
        fprintf(stderr, "%s\n", belljar_open_error());
        return 1;
    }
    struct belljar_create_options o = { .from = "code-interpreter-v1" };
    struct belljar_sandbox *s = belljar_create(b, &o);
    struct belljar_execution e = { 0 };
    bool is_good = false;
    if (s && belljar_run_code(s, code, NULL, &e) == 0)
        is_good = show(&e, argc > 1 ? argv[1] : "chart.png");
    else
        fprintf(stderr, "%s\n", belljar_error(b));
    belljar_execution_free(&e);
    belljar_kill(s);
    belljar_sandbox_free(s);
    belljar_close(b);
    return is_good ? 0 : 1;
}
