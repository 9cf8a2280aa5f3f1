#include "recipe/recipe_image.h"

#include <stdio.h>
#include <string.h>

#define HUB "registry-1.docker.io"

static bool is_of(struct str s, const char *others)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (!c || !strchr(others, c)))
            return false;
    }
    return s.n > 0;
}

static bool is_tag(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || ((c == '.' || c == '-') && i > 0);
        if (!good)
            return false;
    }
    return s.n > 0 && s.n < 128;
}

static bool is_digest(struct str s)
{
    static const struct str kind = { "sha256:", 7 };
    if (!str_starts(s, kind) || s.n != kind.n + 64)
        return false;
    for (size_t i = kind.n; i < s.n; i++)
        if (!memchr("0123456789abcdef", s.p[i], 16))
            return false;
    return true;
}

/* Each part of a path begins and ends with a letter or a digit. */
static bool is_path(struct str path)
{
    struct str part;
    bool more = true;
    while (more) {
        more = str_cut(path, '/', &part, &path);
        if (!is_of(part, "._-") || strchr("._-", part.p[0]) || strchr("._-", part.p[part.n - 1]))
            return false;
    }
    return true;
}

static bool is_host(struct str s)
{
    struct str name, port;
    uint64_t number;
    if (str_cut(s, ':', &name, &port) && !str_to_u64(port, 65535, &number))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] >= 'A' && name.p[i] <= 'Z')
            return false;
    return is_of(name, ".-") && !strchr(".-", name.p[0]) && !strchr(".-", name.p[name.n - 1]);
}

/* The first part names a host when it looks like one, as docker decides it. */
static bool names_host(struct str first)
{
    return memchr(first.p, '.', first.n) || memchr(first.p, ':', first.n) ||
           str_eq(first, STR("localhost"));
}

static bool is_local(const char *host)
{
    struct str name, port;
    (void)str_cut(str_of(host), ':', &name, &port);
    return str_eq(name, STR("localhost")) || str_starts(name, STR("127."));
}

bool recipe_image_parse(struct str text, struct recipe_image *out)
{
    struct str first, rest, name, tag = STR_NONE, digest = STR_NONE;
    *out = (struct recipe_image){ 0 };
    bool has_digest = str_cut(text, '@', &text, &digest);
    bool has_host = str_cut(text, '/', &first, &rest) && names_host(first);
    struct str path = has_host ? rest : text;
    bool has_tag = str_cut(path, ':', &name, &tag);
    if (!is_path(name) || (has_host && !is_host(first)) || (has_tag && !is_tag(tag)) ||
        (has_digest && !is_digest(digest)))
        return false;
    bool is_hub =
        !has_host || str_eq(first, STR("docker.io")) || str_eq(first, STR("index.docker.io"));
    bool is_library = is_hub && !memchr(name.p, '/', name.n);
    struct str reference = has_digest ? digest : has_tag ? tag : STR("latest");
    int n = snprintf(out->path, sizeof out->path, "%s" STR_FMT, is_library ? "library/" : "",
                     STR_ARG(name));
    bool fits = n > 0 && (size_t)n < sizeof out->path &&
                str_copy(is_hub ? STR(HUB) : first, out->host, sizeof out->host) &&
                str_copy(reference, out->reference, sizeof out->reference);
    out->is_plain = is_local(out->host);
    return fits;
}
