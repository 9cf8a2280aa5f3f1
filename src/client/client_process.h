/* A process that is listened to, for the files that do so. */
#pragma once

#include "base/arena.h"
#include "client/client_answer.h"
#include "client/client_internal.h"

enum { CLIENT_RUN_MS = 60000 };

struct belljar_process {
    struct belljar_sandbox *s;
    struct client_stream stream;
    struct arena mem; /* the last event, with */
    json_t *message;
    int pid, timeout_ms, exit_code;
    char *error;
    bool is_terminal, is_attached, has_exited, was_readable;
};

/* The caller gave up: what was started here is killed, as far as that is soon done. The sentence;
 * -ECANCELED. */
int client_process_give_up(struct belljar_process *p);
