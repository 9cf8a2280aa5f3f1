/* What control and edge may ask of the engine. The interface has no word of namespaces: another
 * engine (a VM) speaks it as well.
 *
 * The engine listens at $STATE/run/engine.sock (control: every verb) and $STATE/run/ports.sock
 * (edge: ENGINE_PORT only). Verbs are idempotent: asked again after a broken link they find what
 * is done already. A reply with a negative status carries EK_FAULT and EK_TEXT. */
#pragma once

enum engine_verb {
    ENGINE_HELLO = 1, /* -> EK_BOOT_ID of the host, EK_ISOLATION; then one ENGINE_FOUND event per
                         sandbox that is alive or kept (adopted or made earlier) and one
                         ENGINE_LAYER event per layer, then the reply */
    ENGINE_FOUND,     /* event: EK_ID, EK_FROZEN, EK_KEPT, EK_WARM */
    ENGINE_CREATE,    /* EK_ID EK_TEMPLATE EK_LAYERS EK_KEPT EK_WARM EK_MEMORY EK_CPUS_MILLI EK_PIDS
                         EK_DISK EK_INTERNET EK_BOOT EK_BOOT_MS
                         -> when the agent has said that it is initialised (started up to its ready
                         command): EK_PID. Exists already: -EEXIST, nothing changed.
                         EK_KEPT 1: a cold boot from the kept disk of this id (-ENOENT without one);
                         should it fail the disk is kept still. */
    ENGINE_DESTROY,   /* EK_ID -> when its processes are dead and its resources, a kept disk among
                         them, are given back or on their way. Unknown: 0. */
    ENGINE_FREEZE,    /* EK_ID -> EK_MEMORY_FREED: bytes given back to the host. What it has written
                         is made durable behind the answer, so that a frozen sandbox whose memory a
                         reboot takes is found kept. */
    ENGINE_THAW,      /* EK_ID -> */
    ENGINE_STATS,   /* EK_ID -> EK_MEMORY EK_MEMORY_CACHE EK_CPU_US EK_DISK EK_DISK_TOTAL EK_PIDS */
    ENGINE_EXITED,  /* event: EK_ID EK_REASON ("oom", "agent", "killed"): it ended by itself; the
                       engine has cleaned up */
    ENGINE_PORT,    /* EK_ID EK_COUNT (1..16) -> that many unconnected non-blocking TCP sockets
                       inside the sandbox's network as descriptors; EK_FAMILY tells AF_INET6
                       (dual stack) or AF_INET. Connect them to the sandbox's loopback address. */
    ENGINE_STOP,    /* EK_ID -> ends its processes and keeps its disk: afterwards it is not alive
                       but kept, durably. Kept already: 0. Unknown: -ENOENT. */
    ENGINE_CAPTURE, /* EK_ID EK_LAYER -> EK_DISK (bytes of the layer). Freezes it, captures its
                       writable layer as the new layer EK_LAYER, thaws it unless it was frozen
                       before. Ready for ENGINE_CREATE with the answer; durable soon after: a layer
                       that a power cut left half is removed before the next HELLO. -EEXIST: there
                       is such a layer, nothing changed. Failure: no such layer, it is thawed. */
    ENGINE_LAYER,   /* event: EK_LAYER, of a layer or of a root file system that an import placed */
    ENGINE_DROP,    /* EK_LAYER -> its name is gone, its space when its last sandbox has ended.
                       Unknown: 0. A root file system that is being imported or exported: -EBUSY,
                       nothing changed. */
    ENGINE_CLAIM, /* EK_ID of a warm sandbox, EK_NEW_ID, EK_INTERNET, EK_BOOT -> when its agent has
                     taken the new identity: EK_PID. Not there (any more), not warm: -ENOENT;
                     EK_NEW_ID exists: -EEXIST. Any other failure ends it. */
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
    EK_LAYERS,       /* str, names of layers above the template, topmost first, one comma between
                        two; absent: none */
    EK_LAYER,        /* str, [a-z0-9]{1,32}; of a root file system: "." and [0-9a-f]{32} */
    EK_KEPT,         /* u64, 1: no process, only a kept disk */
    EK_WARM,         /* u64, 1: made ahead, waits for ENGINE_CLAIM */
    EK_NEW_ID,       /* str, as EK_ID */
    EK_BOOT_MS,      /* u64, time to become ready; absent: LIMIT_SANDBOX_BOOT_MS */
    EK_MEMORY_FREED, /* u64, bytes */
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
 * "hostname", "timestamp", "startCmd", "readyCmd" (absent: none), "warm" (absent: false) }. POST
 * /init on fd 5 takes the same fields later, but the last three.
 *
 * With a start command the agent starts it, then runs the ready command until it succeeds, and
 * writes AGENT_READY only then. With "warm" it writes AGENT_WARM instead, keeps fd 3 and waits
 * there for a second message of the same form, its identity; it takes that over (as /init) and
 * writes AGENT_READY. A start or ready command that fails: AGENT_FAILED, a u32 length (native
 * order, at most 1024) and a sentence; then it ends. */
#define AGENT_READY 'R'
#define AGENT_WARM 'W'
#define AGENT_FAILED 'F'
#define AGENT_BOOT_FD 3
#define AGENT_ENVD_FD 4
#define AGENT_HOST_FD 5
#define AGENT_TCP_FD 6
#define AGENT_CGROUP_FD 7
