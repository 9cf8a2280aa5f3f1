/* What control and edge may ask of the engine. The interface has no word of namespaces: another
 * engine (a VM) speaks it as well.
 *
 * The engine listens at $STATE/run/engine.sock (control: every verb) and $STATE/run/ports.sock
 * (edge: ENGINE_PORT only). Verbs are idempotent: asked again after a broken link they find what
 * is done already. A reply with a negative status carries EK_FAULT and EK_TEXT. */
#pragma once

enum engine_verb {
    ENGINE_HELLO = 1, /* -> EK_BOOT_ID of the host, EK_ISOLATION; then one ENGINE_FOUND event per
                         sandbox that is alive (adopted or made earlier), then the reply */
    ENGINE_FOUND,     /* event: EK_ID, EK_FROZEN */
    ENGINE_CREATE,  /* EK_ID EK_TEMPLATE EK_MEMORY EK_CPUS_MILLI EK_PIDS EK_DISK EK_INTERNET EK_BOOT
                       -> when the agent has said that it is initialised: EK_PID.
                       Exists already: -EEXIST, nothing changed. */
    ENGINE_DESTROY, /* EK_ID -> when its processes are dead and its resources are given back or on
                       their way. Unknown: 0. */
    ENGINE_FREEZE,  /* EK_ID -> */
    ENGINE_THAW,    /* EK_ID -> */
    ENGINE_STATS,   /* EK_ID -> EK_MEMORY EK_MEMORY_CACHE EK_CPU_US EK_DISK EK_DISK_TOTAL EK_PIDS */
    ENGINE_EXITED,  /* event: EK_ID EK_REASON ("oom", "agent", "killed"): it ended by itself; the
                       engine has cleaned up */
    ENGINE_PORT,    /* EK_ID EK_COUNT (1..16) -> that many unconnected non-blocking TCP sockets
                       inside the sandbox's network as descriptors; EK_FAMILY tells AF_INET6
                       (dual stack) or AF_INET. Connect them to the sandbox's loopback address. */
};

enum engine_key {
    EK_ID = 1,       /* str, [a-z0-9]{1,32} */
    EK_TEMPLATE,     /* str, directory of the template's root file system, absolute */
    EK_BOOT,         /* str, boot message for the agent: JSON, passed on unread */
    EK_MEMORY,       /* u64, bytes */
    EK_MEMORY_CACHE, /* u64, bytes */
    EK_CPUS_MILLI,   /* u64, thousandths of a processor */
    EK_CPU_US,       /* u64, processor time used, microseconds */
    EK_PIDS,         /* u64, tasks */
    EK_DISK,         /* u64, bytes */
    EK_DISK_TOTAL,   /* u64, bytes */
    EK_INTERNET,     /* u64, 0: no traffic beyond the sandbox */
    EK_PID,          /* u64, process id of the agent on the host */
    EK_FROZEN,       /* u64, 1: frozen */
    EK_REASON,       /* str */
    EK_BOOT_ID,      /* str, /proc/sys/kernel/random/boot_id of the host */
    EK_ISOLATION,    /* str, "namespaces" */
    EK_COUNT,        /* u64 */
    EK_FAMILY,       /* u64, address family */
    EK_FAULT,        /* u64, enum fault_code */
    EK_TEXT,         /* str, sentence for a human */
};

/* The agent's side, fixed by the engine when it starts belljar-agent as process 1:
 *
 *   fd 3  boot channel, SOCK_STREAM: the engine has written a u32 length (native order) and that
 *         many bytes of JSON (EK_BOOT); the agent writes one byte AGENT_READY when it is
 *         initialised and serving, then closes it.
 *   fd 4  listening unix socket of envd, for the edge: $STATE/run/s/<id>/envd.sock
 *   fd 5  listening unix socket of the host, for control: $STATE/run/s/<id>/host.sock. The only one
 *         where internal routes (/init, /freeze ...) are served.
 *   fd 6  listening TCP socket on port 49983 inside the sandbox, for its own programs.
 *   fd 7..  write ends of the cgroup.procs files of the commands' cgroups (v1: several, v2: one);
 *         a command's child writes "0" to each before exec. BELLJAR_CGROUP_FDS in the environment
 *         says how many there are.
 *
 * Boot message: { "sandboxID", "templateID", "envVars": {..}, "systemEnv": {..} (server-wide, may
 * be overridden by envVars), "accessToken" (absent: open), "defaultUser", "defaultWorkdir",
 * "hostname", "timestamp" }. POST /init on fd 5 takes the same fields later. */
#define AGENT_READY 'R'
#define AGENT_BOOT_FD 3
#define AGENT_ENVD_FD 4
#define AGENT_HOST_FD 5
#define AGENT_TCP_FD 6
#define AGENT_CGROUP_FD 7
