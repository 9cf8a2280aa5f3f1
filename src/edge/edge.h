/* The edge: takes clients' connections and joins them to ports inside sandboxes. It holds no state
 * of its own: routes come from control, sockets inside sandboxes from the engine.
 *
 *   edge_routes.c   the link to control: the table of routes
 *   edge_ports.c    the link to the engine: sockets inside a sandbox
 *   edge_upstream.c connections to sandboxes, kept for the next request
 *   edge_stream.c   streams of envd, ended by the edge when their sandbox is paused
 *   edge_wake.c     requests held while their sandbox wakes up
 *   edge_sign.c     which sandbox a request is for, signed URLs without one among them
 *   edge_conn.c     one client connection: requests, streams, tunnels
 *   edge_error.c    the answers the edge gives by itself */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "gen/limits.h"
#include "ipc/link.h"
#include "ipc/route_proto.h"
#include "loop/loop.h"
#include "route/route_sign.h"
#include "wire/http.h"

#define EDGE_QUEUE 262144u       /* bytes queued towards a slow side before the other is not read */
#define EDGE_QUEUE_ALL 67108864u /* of all connections, about: above 256 each may queue less */
#define EDGE_QUEUE_LEAST 16384u
#define EDGE_SCRATCH 262144u

struct edge_conn;
struct route_target;

struct edge_spec {
    int listen_fd;           /* taken */
    const char *routes_path; /* socket of control */
    const char *ports_path;  /* socket of the engine */
    const char *run_dir;     /* $STATE/run/s: directories of the sandboxes' sockets */
};

/* A signed URL that was found to be a sandbox's. */
struct edge_sign_hit {
    unsigned char digest[32];
    char id[40];
};
struct edge_signs {
    struct route_sign_budget budget;
    struct edge_sign_hit hits[64];
};

struct edge {
    struct loop *loop;
    struct edge_spec spec;
    int run_fd; /* O_PATH of run_dir: socket names stay short (sun_path has 108 bytes) */
    struct loop_fd listen_watch;
    struct list conns;
    uint32_t conn_count;
    bool is_synced; /* the first whole table came; before that nobody is accepted */
    struct map routes;
    struct map tokens; /* envd token -> edge_route */
    uint64_t sync;     /* number of the current table transfer */
    struct link control, engine;
    struct loop_timer control_retry, engine_retry, accept_retry;
    uint64_t next_tag;
    struct map port_asks; /* by tag */
    struct edge_signs signs;
    struct buf msg;
    char scratch[EDGE_SCRATCH];
};

/* A sandbox that can be reached. Lives until dropped; connections refer to it by pointer and are
 * closed when it goes. */
struct edge_route {
    char id[40];
    char dir[64];
    enum route_state state;
    char *traffic_token, *mask_host, *envd_token; /* NULL: none */
    uint64_t seen;                                /* edge.sync when it was last named */
    struct list conns;                            /* edge_conn.route_link */
    struct list idle;                             /* edge_up.link, most recently used last */
    int spare[16];                                /* unconnected sockets inside the sandbox */
    uint32_t spare_count;
    bool spare_v6;
    bool asking;          /* sockets are on their way */
    struct list waiting;  /* edge_conn.wait_link: for a socket */
    struct list sleepers; /* edge_conn.wait_link: until it runs */
    uint64_t wake_tag;    /* of the question to control under way; 0: none */
};

/* Where a Connect stream is (core.md 3.1). */
struct edge_stream {
    bool is_stream; /* otherwise it is something else, and the rest does not matter */
    uint8_t have;   /* bytes of an envelope's head */
    unsigned char head[5];
    uint64_t left; /* bytes of the message to come */
};

/* A connection to a port of a sandbox. */
struct edge_up {
    struct edge *edge;
    struct edge_route *route;
    struct edge_conn *conn; /* NULL while idle */
    struct list link;       /* in route->idle while idle */
    uint16_t port;
    int fd;
    bool is_v6, is_connecting, is_reused;
    struct loop_fd watch;
    struct loop_timer timer; /* idle: how long it is kept */
    struct buf out;          /* bytes for the sandbox */
    struct buf in;           /* bytes of a response head that is not complete */
};

/* edge.c: opens everything; 0 or a negative errno. */
int edge_init(struct edge *e, struct loop *loop, const struct edge_spec *spec);
void edge_deinit(struct edge *e);

/* edge_routes.c */
void edge_routes_start(struct edge *e);
struct edge_route *edge_route_get(struct edge *e, struct str id);
void edge_routes_deinit(struct edge *e);

/* edge_sign.c */
/* The sandbox and port of a request. 0, or the status and sentence to refuse it with. out->id lives
 * as long as the request and the route. */
int edge_target_find(struct edge *e, const struct http_head *h, struct route_target *out,
                     const char **why);
/* The request is a signed URL, and `token` made its signature. */
bool edge_sign_is_by(const struct http_head *h, struct str token);

/* edge_wake.c */
/* Has the sandbox of `r` woken up for those in r->sleepers; edge_conn_woken follows for each. */
void edge_wake(struct edge *e, struct edge_route *r);
void edge_wake_answer(struct edge *e, const struct msg *m);   /* of control */
void edge_wake_changed(struct edge *e, struct edge_route *r); /* control said its state */
/* Ends the wait of all who sleep: 0, or the status they are refused with. */
void edge_wake_end(struct edge_route *r, int status);

/* edge_stream.c */
void edge_stream_begin(struct edge_stream *s, const struct http_head *response);
void edge_stream_pass(struct edge_stream *s, struct str data); /* bytes of the body */
/* Appends an end with "unavailable" and the end of the body. False: it is no stream or in the
 * middle of a message; or memory. */
bool edge_stream_end(const struct edge_stream *s, struct str sandbox, struct buf *out);

/* edge_ports.c */
void edge_ports_start(struct edge *e);
/* A socket inside the route's sandbox, at once from its spares, or -EAGAIN: then edge_conn_port is
 * called for the waiting connections when sockets come or cannot come. Negative errno: impossible.
 */
int edge_port_get(struct edge *e, struct edge_route *r, bool *is_v6);
void edge_ports_deinit(struct edge *e);

/* edge_upstream.c */
/* An idle connection to the port, or NULL. */
struct edge_up *edge_up_reuse(struct edge_route *r, uint16_t port);
/* Starts connecting. `fd`: a socket from edge_port_get (taken), or -1 for envd. `to_v6`: to ::1
 * rather than 127.0.0.1. NULL with errno: ECONNREFUSED when nothing listens. */
struct edge_up *edge_up_connect(struct edge *e, struct edge_route *r, uint16_t port, int fd,
                                bool is_v6, bool to_v6);
/* The connect of `up` has ended: 0 or a negative errno. */
int edge_up_connected(struct edge_up *up);
void edge_up_keep(struct edge_up *up); /* gives it back for the next request */
void edge_up_close(struct edge_up *up);

/* edge_conn.c */
void edge_conn_open(struct edge *e, int fd);
void edge_conn_abort(struct edge_conn *c);             /* reset, as for a killed sandbox */
void edge_conn_pause(struct edge_conn *c);             /* its sandbox is about to stand still */
void edge_conns_abort(struct edge *e);                 /* all of them */
void edge_conn_port(struct edge_conn *c, int err);     /* its socket may be had now (0), or never */
void edge_conn_woken(struct edge_conn *c, int status); /* its sandbox runs (0), or the refusal */
void edge_conn_on_up(struct edge_conn *c, uint32_t events); /* its upstream has events */
struct edge_conn *edge_conn_of_route(struct list *link);
struct edge_conn *edge_conn_of_wait(struct list *link);

/* edge_error.c: appends a whole response to `out`. */
struct edge_error {
    int status;
    const char *message;
    struct str sandbox; /* empty: not said */
    uint16_t port;      /* 0: not said */
    struct str path;    /* empty: not said */
    bool html, close;
    const char *method; /* "HEAD": no body */
};
void edge_error_put(struct buf *out, const struct edge_error *err);
