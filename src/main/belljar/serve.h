/* belljar serve: the manager. It reads the configuration, prepares the state directory, makes the
 * sockets, starts control, engine and edges with the privileges each may have, and restarts what
 * ends. It never reads a byte that came from outside.
 *
 *   serve.c        the command: configuration to running services
 *   serve_host.c   users, directories, keys, the place among several servers of one host
 *   serve_spawn.c  starting, watching and restarting one service */
#pragma once

#include <signal.h>
#include <sys/types.h>

#include "loop/loop.h"
#include "main/config.h"

#define SERVE_EDGES_MAX 64
#define SERVE_ARGS 40
#define SERVE_PLACES 4 /* servers on one host; uid ranges and networks are cut for so many */

/* Facts about the host that services are started with. */
struct serve_host {
    char state[192], lib[256];
    uid_t control_uid, edge_uid;
    gid_t control_gid, edge_gid;
    unsigned instance; /* which of the servers on this host: names and ranges follow from it */
    char network[32];
    int lock_fd;     /* held for the life of the manager; `belljar down` finds us by it */
    int instance_fd; /* lock of the instance number */
    int key_fd;      /* the API key, readable; given to control */
};

/* Prepares everything on disk. 0 or a negative errno with the sentence in `op`. */
int serve_host_init(struct op *op, struct serve_host *h, const struct config *c);

/* The pid of the manager that runs on `state`, or 0. */
pid_t serve_running(const char *state);

/* One of the places for servers of this host. */
struct serve_place {
    bool is_taken;
    pid_t pid;       /* of the manager that has it; 0: it cannot be seen from here */
    char state[192]; /* its state directory; "": it did not say */
};
/* How many are free, or a negative errno: only root may look. */
int serve_places(struct serve_place out[SERVE_PLACES]);

/* One service process and how it is started. */
struct service {
    const char *name;
    struct loop *loop;
    char *argv[SERVE_ARGS]; /* argv[0]: the program, in lib */
    int argc;
    const char *lib;
    int fds[4]; /* passed on under their own numbers; unused -1 */
    uid_t uid;  /* 0: stays root */
    gid_t gid;
    pid_t pid; /* 0: not running */
    int64_t started_ms;
    unsigned failures; /* short lives in a row */
    struct loop_timer retry;
};

void service_init(struct service *s, struct loop *loop, const char *name, const char *lib,
                  uid_t uid, gid_t gid);
/* Adds "--option" and its value; fd: also passes the descriptor on. Aborts when the table is full:
 * it is sized for what serve.c adds. */
void service_arg(struct service *s, const char *option, const char *value);
void service_arg_number(struct service *s, const char *option, uint64_t value);
void service_arg_fd(struct service *s, const char *option, int fd);

void service_start(struct service *s);                  /* now; again and again when that fails */
void service_ended(struct service *s, int wait_status); /* it was reaped: restart it */
void service_stop(struct service *s, int signal);       /* signals it; it will not be restarted */
