/* A file's bytes, decompressed when its first ones say gzip or zstd. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct unpack_stream;

/* Starts at the beginning of `fd` (borrowed). NULL: memory, or it cannot be read. */
struct unpack_stream *unpack_stream_open(int fd);
void unpack_stream_close(struct unpack_stream *s);
/* Up to `n` bytes; 0 at the end; a negative errno (-EBADMSG: damaged or cut off). */
ssize_t unpack_stream_read(struct unpack_stream *s, void *to, size_t n);
