/* Ranges and conditions of a GET (RFC 9110 13 and 14), for a file that has a modification time and
 * no entity tag. Pure. */
#pragma once

#include "base/buf.h"
#include "wire/http.h"

struct range {
    int status; /* 200, 206, 304, 412, 416 */
    int64_t offset, length;
};

/* What to answer. Several ranges at once are answered with the whole file, as the RFC allows. */
struct range range_decide(const struct http_head *h, int64_t size, int64_t modified_s);
/* Appends Last-Modified, Accept-Ranges, Content-Range. */
void range_put(const struct range *r, int64_t size, int64_t modified_s, struct buf *fields);
/* False when Accept-Encoding refuses the identity coding. */
bool range_accepts_identity(const struct http_head *h);
