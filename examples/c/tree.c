/* Sends a directory into a sandbox, lets a command change it, tells what it changed, and brings it
 * back. tar does the packing on this side.
 *
 *     ./tree DIRECTORY 'make test' */
#include <belljar.h>
#include <stdio.h>
#include <stdlib.h>

/* A tar of the directory, through a pipe: nothing of it is held in memory. */
static int send_tree(struct belljar_sandbox *s)
{
    FILE *tar = popen("tar -C \"$DIRECTORY\" -c .", "r");
    int rc = tar ? belljar_upload_tar(s, "work", fileno(tar)) : -1;
    return tar && pclose(tar) == 0 ? rc : -1;
}

static int bring_tree(struct belljar_sandbox *s)
{
    FILE *tar = popen("tar -C \"$DIRECTORY\" -x", "w");
    int rc = tar ? belljar_download_tar(s, "work", fileno(tar)) : -1;
    return tar && pclose(tar) == 0 ? rc : -1;
}

static void tell_changes(struct belljar_watch *w)
{
    static const char *const words[] = {
        [BELLJAR_CREATED] = "created",      [BELLJAR_WRITTEN] = "written",
        [BELLJAR_REMOVED] = "removed",      [BELLJAR_RENAMED] = "renamed",
        [BELLJAR_MODE] = "owner or rights",
    };
    struct belljar_change c;
    while (belljar_watch_next(w, 200, &c) == 0)
        printf("%s: %s\n", words[c.kind], c.name);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: tree DIRECTORY COMMAND\n");
        return 2;
    }
    setenv("DIRECTORY", argv[1], 1); /* for tar */
    struct belljar *b = belljar_open(NULL);
    if (!b) {
        fprintf(stderr, "%s\n", belljar_open_error());
        return 1;
    }
    struct belljar_sandbox *s = belljar_create(b, NULL);
    struct belljar_run_options o = { .cwd = "work" };
    struct belljar_result r = { 0 };
    struct belljar_watch *w = NULL;
    bool is_good = s && send_tree(s) == 0 && (w = belljar_watch(s, "work", true)) &&
                   belljar_run(s, argv[2], &o, &r) == 0;
    if (is_good) {
        printf("%s%s", r.out, r.err);
        tell_changes(w);
        is_good = bring_tree(s) == 0;
    }
    if (!is_good)
        fprintf(stderr, "%s\n", belljar_error(b));
    belljar_watch_free(w);
    belljar_result_free(&r);
    belljar_kill(s);
    belljar_sandbox_free(s);
    belljar_close(b);
    return is_good ? 0 : 1;
}
