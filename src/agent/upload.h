/* Writing one uploaded file. Exactly open(O_CREAT), fchown and one write for a small new file:
 * whoever watches the directory sees three events (core.md 3.3). */
#pragma once

#include "agent/schema.h"
#include "agent/user.h"
#include "wire/http.h"

struct upload;

enum { UPLOAD_OPEN = 0, UPLOAD_IS_DIRECTORY, UPLOAD_IS_SPECIAL, UPLOAD_NO_PARENT };

/* Opens `path` (lives at least until upload_end) and sets the metadata. UPLOAD_OPEN, another
 * outcome, or a negative errno. */
int upload_begin(struct str path, const struct user *owner, const struct message_list *metadata,
                 struct upload **out);
int upload_write(struct upload *u, struct str piece); /* 0 or a negative errno */
int upload_end(struct upload *u);                     /* writes what is left and closes; frees */
void upload_cancel(struct upload *u);                 /* closes without writing; NULL is fine */
struct str upload_path(const struct upload *u);

/* The X-Metadata-* fields. False: *why tells, a literal. */
bool upload_metadata_parse(const struct http_head *h, struct arena *a, struct message_list *out,
                           const char **why);
/* Appends ,"metadata":{..} unless there is none. */
void upload_metadata_put(const struct message_list *metadata, struct buf *b);
