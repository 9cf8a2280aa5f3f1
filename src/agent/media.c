#include "agent/media.h"

#include <unistd.h>

static const struct {
    const char *extension, *type;
} by_extension[] = {
    { "txt", "text/plain; charset=utf-8" },
    { "log", "text/plain; charset=utf-8" },
    { "md", "text/markdown; charset=utf-8" },
    { "csv", "text/csv; charset=utf-8" },
    { "html", "text/html; charset=utf-8" },
    { "htm", "text/html; charset=utf-8" },
    { "css", "text/css; charset=utf-8" },
    { "js", "text/javascript; charset=utf-8" },
    { "mjs", "text/javascript; charset=utf-8" },
    { "json", "application/json" },
    { "xml", "text/xml; charset=utf-8" },
    { "pdf", "application/pdf" },
    { "wasm", "application/wasm" },
    { "zip", "application/zip" },
    { "gz", "application/gzip" },
    { "tar", "application/x-tar" },
    { "png", "image/png" },
    { "jpg", "image/jpeg" },
    { "jpeg", "image/jpeg" },
    { "gif", "image/gif" },
    { "webp", "image/webp" },
    { "svg", "image/svg+xml" },
    { "mp3", "audio/mpeg" },
    { "wav", "audio/wav" },
    { "mp4", "video/mp4" },
    { "webm", "video/webm" },
};

const char *media_type_of(struct str name, int fd)
{
    size_t dot = name.n;
    while (dot && name.p[dot - 1] != '.')
        dot--;
    for (size_t i = 0; dot && i < sizeof by_extension / sizeof by_extension[0]; i++)
        if (str_ieq(str_skip(name, dot), str_of(by_extension[i].extension)))
            return by_extension[i].type;
    unsigned char head[512];
    ssize_t n = pread(fd, head, sizeof head, 0);
    for (ssize_t i = 0; i < n; i++) {
        unsigned char c = head[i];
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b)
            return "application/octet-stream";
    }
    return "text/plain; charset=utf-8";
}
