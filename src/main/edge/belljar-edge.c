/* belljar-edge: one process of sandbox traffic. Started by belljar serve as an unprivileged user.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "edge/edge.h"
#include "os/os_service.h"

static void on_signal(void *data, int signal)
{
    (void)signal;
    loop_stop(data);
}

/* --listen FD --routes PATH --ports PATH --run DIR. False when one is missing or unknown. */
static bool read_options(int argc, char **argv, struct edge_spec *spec)
{
    static const struct option options[] = { { "listen", required_argument, NULL, 'l' },
                                             { "routes", required_argument, NULL, 'r' },
                                             { "ports", required_argument, NULL, 'p' },
                                             { "run", required_argument, NULL, 'd' },
                                             { 0 } };
    *spec = (struct edge_spec){ .listen_fd = -1 };
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'l':
            spec->listen_fd = (int)strtol(optarg, NULL, 10);
            break;
        case 'r':
            spec->routes_path = optarg;
            break;
        case 'p':
            spec->ports_path = optarg;
            break;
        case 'd':
            spec->run_dir = optarg;
            break;
        default:
            return false;
        }
    }
    return spec->listen_fd >= 0 && spec->routes_path && spec->ports_path && spec->run_dir;
}

int main(int argc, char **argv)
{
    static struct edge edge; /* large: it holds the read buffer */
    struct edge_spec spec;
    log_init("belljar-edge", LOG_INFO);
    if (!read_options(argc, argv, &spec)) {
        fprintf(stderr, "usage: belljar-edge --listen FD --routes PATH --ports PATH --run DIR\n");
        return 2;
    }
    struct loop *loop = loop_new();
    if (!loop || loop_signals(loop, (const int[]){ SIGTERM, SIGINT, 0 }, on_signal, loop) < 0)
        return 70;
    (void)signal(SIGPIPE, SIG_IGN);
    int r = edge_init(&edge, loop, &spec);
    if (r == 0)
        r = os_service_seccomp();
    if (r < 0) {
        log_error("cannot start: %s", strerror(-r));
        return 70;
    }
    r = loop_run(loop);
    edge_deinit(&edge);
    loop_free(loop);
    return r < 0 ? 70 : 0;
}
