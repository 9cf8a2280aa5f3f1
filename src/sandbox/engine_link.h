/* Control's end of the link to the engine: connects for ever, lists what the engine has after each
 * connect, and matches replies to calls. Callbacks run from the loop, never inside a call here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/op.h"
#include "ipc/engine_proto.h"
#include "ipc/msg.h"
#include "loop/loop.h"

struct engine_link;

/* The answer to a call. status 0: done. Otherwise a negative errno, fault and text say why;
 * -ENOTCONN: the link is down or broke (the outcome is unknown when it broke), -ETIMEDOUT: no
 * answer in time. `m` is NULL when no message came. */
struct engine_answer {
    int status;
    enum fault_code fault;
    struct str text;
    const struct msg *m;
};

/* One question under way; lives in its asker's struct. Zero-initialised = idle. */
struct engine_call {
    struct engine_link *link; /* NULL: idle */
    uint64_t tag;
    struct loop_timer timer;
    void (*fn)(struct engine_call *c, const struct engine_answer *a);
    void *data;
};

/* A sandbox that the engine has. */
struct engine_found {
    struct str id;
    bool is_frozen, is_kept, is_warm;
};

struct engine_link_ops {
    /* What the engine has: once per sandbox and per layer, after a connect, before on_up. */
    void (*on_found)(void *data, const struct engine_found *found);
    void (*on_layer)(void *data, struct str name);
    void (*on_up)(void *data);
    void (*on_down)(void *data); /* the calls under way have failed already */
    void (*on_exited)(void *data, struct str id, struct str reason);
};

/* Starts connecting to the socket at `path` (kept, must outlive the link). NULL: memory. */
struct engine_link *engine_link_new(struct loop *l, const char *path,
                                    const struct engine_link_ops *ops, void *data);
void engine_link_free(struct engine_link *k); /* calls under way are cancelled */
bool engine_link_is_up(const struct engine_link *k);
/* How the engine separates sandboxes, as it said when it was last connected; "" before. */
const char *engine_link_isolation(const struct engine_link *k);

/* A message for `verb`: put fields in with msg_*, then ask. The buffer is the link's. */
struct buf *engine_link_begin(struct engine_link *k, enum engine_verb verb);
/* Sends it. c->fn runs once, later, unless c is asked again or cancelled before: then never. */
void engine_link_ask(struct engine_link *k, struct engine_call *c, int64_t timeout_ms);
void engine_call_cancel(struct engine_call *c);
/* Tells the engine to destroy sandbox `id`; nobody waits (it is found again at the next connect).
 */
void engine_link_destroy(struct engine_link *k, struct str id);
