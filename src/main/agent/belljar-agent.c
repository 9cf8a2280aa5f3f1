/* belljar-agent: process 1 of a sandbox; and the zygote that they are cloned from. */
#include <string.h>

#include "agent/agent.h"
#include "base/log.h"
#include "engine/ns/ns_zygote.h"

int main(int argc, char **argv)
{
    log_init("belljar-agent", LOG_WARN);
    if (argc == 1 && strcmp(argv[0], NS_ZYGOTE_NAME) == 0 && ns_zygote_run(argv[0]) < 0)
        return 0; /* the engine is gone */
    return agent_run() < 0 ? 1 : 0;
}
