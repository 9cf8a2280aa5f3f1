/* belljar-unpack LAYER | --done: applies a layer of an image to /, in the sandbox that becomes the
 * image; then removes itself and what it worked on, and says "shell" when the image has one. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unpack/unpack.h"

static int clear(void)
{
    static const char *const files[] = { "/.belljar-build/files.tar", "/.belljar/unpack" };
    static const char *const dirs[] = { "/.belljar-build", "/.belljar" };
    for (size_t i = 0; i < 2; i++)
        if (unlink(files[i]) < 0 || rmdir(dirs[i]) < 0) {
            perror(dirs[i]);
            return 1;
        }
    if (access("/bin/sh", X_OK) == 0)
        puts("shell");
    return 0;
}

int main(int argc, char **argv)
{
    char why[UNPACK_WHY_SIZE];
    if (argc != 2) {
        fprintf(stderr, "usage: belljar-unpack LAYER\n");
        return 2;
    }
    if (strcmp(argv[1], "--done") == 0)
        return clear();
    (void)umask(0);
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (root < 0 || fd < 0) {
        perror(argv[1]);
        return 1;
    }
    if (unpack_layer(root, fd, why) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    return 0;
}
