/* References of images, as people write them: [host[:port]/]path[:tag][@digest]. Pure. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct recipe_image {
    char host[256];      /* with its port; "registry-1.docker.io" when none was named */
    char path[256];      /* "library/debian" */
    char reference[128]; /* a tag, or "sha256:..." */
    bool is_plain;       /* the host is this one: no TLS */
};
/* False: it is none. */
bool recipe_image_parse(struct str text, struct recipe_image *out);
