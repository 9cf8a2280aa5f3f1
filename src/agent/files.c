#include "agent/files.h"

#include <errno.h>
#include <string.h>

#include "agent/path.h"
#include "base/clock.h"
#include "wire/sign.h"
#include "wire/uri.h"

/* False: answered 401. */
static bool may(struct agent *a, struct http_call *c, const char *operation, struct arena *mem,
                const struct files_query *q)
{
    static const char *const whys[] = { [SIGN_MISSING] = "missing signature query parameter",
                                        [SIGN_WRONG] = "invalid signature",
                                        [SIGN_EXPIRED] = "signature is already expired" };
    struct sign_claim claim = { .path = q->path, .user = q->username, .operation = operation };
    struct str query = c->head.query;
    if (http_call_tag(c) == AGENT_TAG_HOST || rest_has_token(a, c))
        return true;
    if (http_field(&c->head, "x-access-token").p) {
        rest_fail(c, 401, "access token present in header but does not match");
        return false;
    }
    bool broken = uri_query_get(mem, query, "signature", &claim.signature) < 0 ||
                  uri_query_get(mem, query, "signature_expiration", &claim.expiration) < 0;
    int r = broken ? SIGN_WRONG : sign_check(&claim, a->identity.token, clock_wall_us() / 1000000);
    if (r != SIGN_OK)
        rest_fail(c, 401, "%s", whys[r]);
    return r == SIGN_OK;
}

bool files_query(struct agent *a, struct http_call *c, const char *operation, struct arena *mem,
                 struct files_query *out)
{
    struct str query = c->head.query;
    *out = (struct files_query){ 0 };
    int r = uri_query_get(mem, query, "path", &out->path);
    if (r < 0 || uri_query_get(mem, query, "username", &out->username) < 0) {
        rest_fail(c, 400, "invalid query parameter");
        return false;
    }
    out->has_path = r == 1 && out->path.n > 0;
    if (!may(a, c, operation, mem, out))
        return false;
    struct str name = out->username.n ? out->username : a->identity.user;
    if (user_find(mem, name.n ? name : STR("root"), &out->user) == USER_FOUND)
        return true;
    rest_fail(c, 401, "error looking up user '" STR_FMT "': user: unknown user " STR_FMT,
              STR_ARG(name), STR_ARG(name));
    return false;
}

bool files_path(struct agent *a, struct http_call *c, struct arena *mem, const struct user *user,
                struct str path, struct str *out)
{
    int r = path.n && memchr(path.p, 0, path.n)
                ? PATH_TOO_LONG
                : path_resolve(mem, path, user, a->identity.workdir, out);
    if (r != PATH_DONE)
        rest_fail(c, 400, "%s", path_why(r));
    return r == PATH_DONE;
}

void files_fail_errno(struct http_call *c, int err, const char *what, struct str path)
{
    static const struct {
        int err, status;
        const char *text;
    } rows[] = {
        { ENOSPC, 507, "not enough disk space available" },
        { EDQUOT, 507, "not enough disk space available" },
        { ENOTDIR, 400, "a part of the path is not a directory" },
        { ENAMETOOLONG, 400, "the path is too long" },
        { EISDIR, 400, "the path is a directory" },
        { ELOOP, 400, "too many symbolic links" },
        { EINVAL, 400, "invalid argument" },
        { EACCES, 403, "permission denied" },
        { EPERM, 403, "operation not permitted" },
        { EROFS, 403, "read-only file system" },
        { EFBIG, 413, "the file is too large" },
        { EMFILE, 503, "too many open files" },
        { ENOMEM, 503, "out of memory" },
        { ECHILD, 503, "the process that did it was killed, perhaps for memory" },
    };
    int status = 500;
    const char *text = strerror(err);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].err == err) {
            status = rows[i].status;
            text = rows[i].text;
        }
    rest_fail(c, status, "%s '" STR_FMT "': %s", what, STR_ARG(path), text);
}
