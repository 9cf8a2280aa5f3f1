/* ZMTP 3.0 with the NULL mechanism (rfc.zeromq.org 23): what a peer of a ZeroMQ socket says and
 * hears on a stream. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Appends what a client says first: greeting, and READY as `socket_type` ("DEALER", "SUB"). Both
 * may be sent before the peer has said anything. */
bool zmtp_hello_put(struct buf *b, const char *socket_type);
/* Appends one frame of a message; `more` frames of it follow. */
bool zmtp_frame_put(struct buf *b, struct str body, bool more);

enum { ZMTP_FRAME = 0, ZMTP_MORE = 1, ZMTP_WRONG = 2 };

/* Zero-initialised = at the start of the stream. */
struct zmtp {
    bool is_greeted, is_ready; /* is_ready: the peer has said READY. Send no message earlier: libzmq
                                  closes a connection on which one comes with our own READY */
};
struct zmtp_frame {
    struct str body; /* borrowed from the input */
    bool more;
};

/* Takes from the front of `in`: *used bytes were read, greeting and commands among them.
 * ZMTP_FRAME: *out is a frame of a message. ZMTP_MORE: the rest has not come. ZMTP_WRONG: it is not
 * ZMTP 3, wants a mechanism, or a frame is longer than `limit`. */
int zmtp_step(struct zmtp *z, struct str in, size_t limit, struct zmtp_frame *out, size_t *used);
