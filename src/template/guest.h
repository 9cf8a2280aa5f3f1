/* Commands and files in a sandbox of the server's own, over the agent's socket for the host. The
 * sandbox is hostile, and so is what it answers: everything is bounded, nothing is believed. */
#pragma once

#include <jansson.h>

#include "net/http_client.h"
#include "recipe/recipe.h"

enum guest_stream { GUEST_OUT, GUEST_ERR, GUEST_STREAMS };

/* A command under way; lives in its owner's struct. Zero-initialised = none. */
struct guest_run {
    struct http_fetch fetch;
    struct buf in;                   /* bytes of envelopes */
    struct buf lines[GUEST_STREAMS]; /* the unfinished line; of a quiet one all, bounded */
    bool is_quiet;
    bool has_exited;
    int exit_code;
    char status[64]; /* "exit status 1" */
    char why[256];   /* what the agent said instead of an exit; "": nothing */
    /* A line of output. Not called of a quiet command. The run may not be ended inside. */
    void (*on_line)(struct guest_run *g, enum guest_stream stream, struct str line);
    /* It has ended: `why` NULL, exit_code and status tell how, and lines[] of a quiet one are there
     * still. Otherwise it could not be run, or the sandbox went away. May free its owner. */
    void (*on_done)(struct guest_run *g, const char *why);
    void *data;
};

struct guest {
    struct loop *loop;
    int run_dir;    /* descriptor of $STATE/run/s */
    const char *id; /* of the sandbox */
};

/* Runs `op` with `envs` (NULL: none); set the callbacks and data first. 0 or a negative errno: no
 * callback then. */
int guest_run_start(struct guest_run *g, const struct guest *in, const struct recipe_op *op,
                    const json_t *envs);
void guest_run_cancel(struct guest_run *g); /* the command in the sandbox is killed by that */
void guest_run_deinit(struct guest_run *g);

/* Writes `size` bytes of `fd` (taken) to `path` in the sandbox, as root. `f` is idle; set ops and
 * data first. f->status is 200 when it was written. */
int guest_upload(struct http_fetch *f, const struct guest *in, const char *path, int fd,
                 int64_t size);

/* GET of one of the agent's own routes; it must answer within seconds. f->ops and f->data are set.
 */
int guest_get(struct http_fetch *f, const struct guest *in, struct str target);
