/* Pseudo terminals. */
#pragma once

#include <sys/types.h>

struct schema_pty_size;

/* Opens a pair, both close-on-exec, *master non-blocking, the slave owned by `uid`. `size` may be
 * NULL. 0 or a negative errno. */
int pty_open(const struct schema_pty_size *size, uid_t uid, int *master, int *slave);
int pty_resize(int master, const struct schema_pty_size *size);
