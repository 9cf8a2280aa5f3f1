/* Content types of files. */
#pragma once

#include "base/str.h"

/* By the name's extension, else by the first bytes of `fd`, whose position stays. A literal. */
const char *media_type_of(struct str name, int fd);
