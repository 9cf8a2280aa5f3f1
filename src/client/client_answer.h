/* What a server answered, made into values. Pure: everything here reads foreign bytes, and all of
 * it is fuzzed. */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/str.h"
#include "client/belljar.h"

/* Control characters become spaces: a sentence of a server is shown on a terminal. */
void client_answer_tame(char *text);

/* The errno of an HTTP status with this body, and its sentence; "" when it has none. */
int client_answer_error(int status, struct str body, char *out, size_t size);
/* The errno and the sentence of the end of a stream (the payload of its last envelope); 0: it is no
 * error; -EPROTO: it is not what it should be. */
int client_answer_end(struct str payload, char *out, size_t size);

/* A sandbox of create, connect or fork. All borrowed from `answer`, checked to be what may be put
 * into a URL and a header. False: it lacks an id, or something is not what it should be. */
struct client_identity {
    struct str id, token, traffic, domain; /* n == 0: none */
};
bool client_answer_identity(const json_t *answer, struct client_identity *out);

/* An event of a process. */
enum client_event_kind {
    CLIENT_EVENT_NONE,
    CLIENT_EVENT_START,
    CLIENT_EVENT_DATA,
    CLIENT_EVENT_END
};
struct client_event {
    enum client_event_kind kind;
    int pid;                      /* START */
    enum belljar_event_kind data; /* DATA: STDOUT, STDERR or TERMINAL */
    struct str bytes;             /* in the arena */
    int exit_code;
    struct str error; /* borrowed; n == 0: it exited */
};
/* False: not an event. One of a kind that is not known is NONE, as are keepalives. */
bool client_answer_event(struct arena *a, const json_t *message, struct client_event *out);

/* What is known of a file. `out` owns; belljar_file_free also when it fails: -EPROTO, -ENOMEM. */
int client_answer_file(const json_t *entry, struct belljar_file *out);
/* False: not a change; *is_change tells it from a start and a keepalive. */
bool client_answer_change(const json_t *message, bool *is_change, struct belljar_change *out);

/* One line of the code interpreter. */
enum client_line_kind {
    CLIENT_LINE_NONE, /* keepalive, or of a kind that is not known */
    CLIENT_LINE_STDOUT,
    CLIENT_LINE_STDERR,
    CLIENT_LINE_COUNT,
    CLIENT_LINE_RESULT,
    CLIENT_LINE_ERROR,
    CLIENT_LINE_END
};
/* Parses it: *out (a new reference) is the object. -EPROTO: it is none, or has no type. */
int client_answer_line(struct str line, json_t **out, enum client_line_kind *kind);
/* The string member `key`, to be freed, NUL replaced by U+FFFD. NULL: no such string, or memory. */
char *client_answer_text(const json_t *line, const char *key);
/* Appends the representations of a result to shown[count]. 0, -EPROTO, -ENOMEM. */
int client_answer_shown(const json_t *line, int result, struct belljar_shown **shown,
                        size_t *count);
