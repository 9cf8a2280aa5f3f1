/* The Jupyter message protocol 5.3 (jupyter-client.readthedocs.io, "Messaging in Jupyter") over
 * ZeroMQ frames: what is sent to a kernel, what comes back. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/rand.h"
#include "wire/zmtp.h"

#define JUPYTER_KEY_SIZE 65 /* 64 hexadecimal digits and a NUL: what signs messages */
#define JUPYTER_SIGNATURE_SIZE 65

struct jupyter {
    char key[JUPYTER_KEY_SIZE];
    char session[RAND_UUID_SIZE];
};

void jupyter_init(struct jupyter *j);

/* What stands in front of a message: over its header, parent header, metadata and content, which
 * lie one behind the other. */
void jupyter_sign(const struct jupyter *j, struct str text, char out[JUPYTER_SIGNATURE_SIZE]);

/* The connection file of a kernel whose sockets are unix sockets `path`-1 .. `path`-5. */
bool jupyter_put_connection(struct buf *b, const struct jupyter *j, const char *path);
enum { JUPYTER_SHELL = 1, JUPYTER_IOPUB, JUPYTER_STDIN, JUPYTER_CONTROL, JUPYTER_HEARTBEAT };

/* Appends a whole message as ZMTP frames. `content` is borrowed. */
bool jupyter_put(struct buf *b, const struct jupyter *j, const char *type, const char *msg_id,
                 const json_t *content);

/* A message being gathered, one per socket. Zero-initialised = empty. */
struct jupyter_reader {
    struct buf text; /* signature, header, parent header, content: one behind the other */
    size_t ends[4];
    int part; /* -1: addresses in front; otherwise the part that comes next */
    bool begun;
};
struct jupyter_msg {
    json_t *header, *parent, *content;   /* owned by the message; deinit */
    const char *type, *date, *parent_id; /* borrowed from the above, never NULL */
};

enum { JUPYTER_MESSAGE = 0, JUPYTER_MORE = 1, JUPYTER_WRONG = 2 };

/* Adds a frame. JUPYTER_MESSAGE: *out is a whole, correctly signed one. JUPYTER_WRONG: it was not;
 * it is dropped and the next may be read. */
int jupyter_read(struct jupyter_reader *r, const struct jupyter *j, const struct zmtp_frame *frame,
                 struct jupyter_msg *out);
void jupyter_msg_deinit(struct jupyter_msg *m);
void jupyter_reader_deinit(struct jupyter_reader *r);
