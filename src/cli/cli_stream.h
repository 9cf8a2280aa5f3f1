/* What a command that runs in a sandbox is fed with: our standard input, and signals as something
 * to be read, so that each is answered at a quiet moment. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/cli_server.h"

#define CLI_PIECE 32768 /* of input passed on at once */

struct cli_stream {
    struct belljar_process *process;
    int poll;     /* readable when one of the others is */
    int signals;  /* signalfd */
    sigset_t set; /* of it */
    int in;       /* -1: its end was reached or there never was any */
    bool is_file; /* `in` is always readable: poll cannot tell of it */
};

/* Blocks `signals` (ended by 0) and watches them and `in` (or -1). 0 or a negative errno. */
int cli_stream_open(struct cli_stream *s, int in, const int *signals);
void cli_stream_close(struct cli_stream *s); /* not the process */

/* belljar_start to s->process, also heard while nothing is answered. 0; the number of a signal that
 * ends us; or a negative errno, belljar_error() says why. */
int cli_stream_start(struct cli_stream *s, struct belljar *b, struct belljar_sandbox *box,
                     const char *command, const struct belljar_run_options *o);

/* The next event of s->process that is not about input: that is passed on meanwhile. When a signal
 * came: *signal is its number and 1 is returned. 0: *e is set. Negative errno: the process cannot
 * be heard, belljar_error() says why. */
int cli_stream_next(struct cli_stream *s, struct belljar_event *e, int *signal);

bool cli_write(int fd, const char *bytes, size_t size); /* all of it, or false with errno */

/* The exit status for the last event: its own, or 128 and the signal that ended it. */
int cli_exit_of(const struct belljar_event *e);
