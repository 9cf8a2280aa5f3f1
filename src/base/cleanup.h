/* Locals own through cleanup attributes and give away explicitly. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))
/* Both evaluate their argument once: TAKE_FD(fds[at++]) is fine. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) *take_from_ = &(p), take_ = *take_from_;                                     \
        *take_from_ = NULL;                                                                        \
        take_;                                                                                     \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int *take_from_ = &(fd), take_ = *take_from_;                                              \
        *take_from_ = -1;                                                                          \
        take_;                                                                                     \
    })

/* Closes when open and sets the null form; errno is kept. */
static inline void fd_closep(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
    errno = saved;
}
static inline void freep(void *p)
{
    free(*(void **)p);
    *(void **)p = NULL;
}
static inline void dir_closep(DIR **d)
{
    if (*d)
        (void)closedir(*d);
    *d = NULL;
}
static inline void file_closep(FILE **f)
{
    if (*f)
        (void)fclose(*f);
    *f = NULL;
}
