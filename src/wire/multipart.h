/* multipart/form-data (RFC 7578, RFC 2046 5.1) as it comes in, in pieces. Pure. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

#define MULTIPART_BOUNDARY_SIZE 70 /* RFC 2046 5.1.1 */

enum multipart_event {
    MULTIPART_MORE,     /* the input is used up */
    MULTIPART_PART,     /* a part begins: name, filename, has_filename */
    MULTIPART_DATA,     /* bytes of it: data */
    MULTIPART_PART_END, /* it ended */
    MULTIPART_DONE,     /* the last part ended; what follows is ignored */
    MULTIPART_BAD,      /* malformed; nothing more may be asked */
};

struct multipart {
    int state;
    char delimiter[MULTIPART_BOUNDARY_SIZE + 5]; /* CR LF - - boundary */
    size_t delimiter_size, matched;              /* bytes of it seen at the end of the input */
    struct buf head;
    bool in_part;
    struct str name, filename, data; /* views into `head` or the input, until the next step */
    bool has_filename;
};

/* From the value of the Content-Type field. False: no boundary, or a bad one. */
bool multipart_init(struct multipart *m, struct str content_type);
void multipart_deinit(struct multipart *m);
/* Goes on with *in, which is moved past what was taken, until something is to be told. */
enum multipart_event multipart_step(struct multipart *m, struct str *in);
/* True when the last boundary was seen. */
bool multipart_is_done(const struct multipart *m);
