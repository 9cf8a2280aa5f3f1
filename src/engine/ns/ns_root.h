/* Root file systems that imports have placed: STATE/templates/.SUM, '.' and 32 hexadecimal digits.
 *
 * An import holds a shared lock of the directory that it has placed or found, until control has
 * heard of it; an export, while it reads. What is dropped is renamed first, to a name that no
 * import and no template can have, and removed behind the answer: so it is whole or not there. */
#pragma once

#include "base/list.h"
#include "engine/ns/ns_box.h"

#define NS_ROOT_SIZE 34

bool ns_root_is(struct str name); /* of the form above */
/* Calls fn once for each. */
void ns_roots_each(const struct ns_host *h, void (*fn)(void *data, const char *name), void *data);

/* It is not there any more, its space soon. Unknown: 0. -EBUSY: somebody reads it, or is about to
 * have control know it. Another negative errno. */
int ns_root_drop(struct ns *n, struct str name);
/* Removes what an earlier engine had begun to remove: at start. */
void ns_roots_clean(struct ns *n);
void ns_roots_deinit(struct ns *n);
