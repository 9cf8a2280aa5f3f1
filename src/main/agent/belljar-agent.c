/* belljar-agent: process 1 of a sandbox. */
#include "agent/agent.h"
#include "base/log.h"

int main(void)
{
    log_init("belljar-agent", LOG_WARN);
    return agent_run() < 0 ? 1 : 0;
}
