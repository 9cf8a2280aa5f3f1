#include "engine/ns/ns_pool.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/ns/ns_disk.h"

#define RESTART_MS 200
#define SWITCH_AFTER 4 /* creates in a row with disks of another size */
#define QUIET_MS 20    /* without a create: what is made ahead takes nobody's processor */

static int janitor_open(struct ns_pool *p);

static int slot_take(struct ns_pool *p, enum slot_state state)
{
    uint32_t count = p->host->config->slots;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (p->next_slot + i) % count;
        if (p->slots[slot] != SLOT_FREE)
            continue;
        p->slots[slot] = (unsigned char)state;
        p->next_slot = slot + 1;
        return (int)slot;
    }
    return -ENOSPC;
}

static void limits_put(struct ns_pool *p)
{
    msg_u64(&p->out, JK_MEMORY, p->limits.memory_bytes);
    msg_u64(&p->out, JK_CPUS, p->limits.cpus_milli);
    msg_u64(&p->out, JK_PIDS, p->limits.pids);
}

static bool ask(struct ns_pool *p, uint16_t verb, uint32_t slot, uint64_t size)
{
    msg_begin(&p->out, verb, 0, ++p->tag, 0);
    msg_u64(&p->out, JK_SLOT, slot);
    msg_u64(&p->out, JK_SIZE, size);
    limits_put(p);
    msg_end(&p->out);
    return link_send(&p->janitor, &p->out, NULL, 0) == 0;
}

/* Fewer than cap/`part` are left. */
static bool is_below(const struct ns_pool *p, uint32_t part)
{
    uint32_t least = (p->cap + part - 1) / part;
    return p->ready_count + p->making_berths < least || p->disk_count + p->making_disks < least;
}

/* Fresh ones are asked for only when less than half is left: in a steady flow what comes back from
 * ended sandboxes is enough, and cheaper (a network nobody has used needs no new namespace). */
static void refill(struct ns_pool *p)
{
    loop_timer_cancel(&p->quiet);
    if (!link_is_open(&p->janitor))
        return;
    if (p->ready_count + p->making_berths < (p->cap + 1) / 2)
        while (p->ready_count + p->making_berths < p->cap) {
            int slot = slot_take(p, SLOT_MAKING);
            if (slot < 0)
                break;
            if (!ask(p, JANITOR_BERTH, (uint32_t)slot, 0)) {
                p->slots[slot] = SLOT_FREE;
                break;
            }
            p->making_berths++;
        }
    if (p->disk_count + p->making_disks < (p->cap + 1) / 2)
        while (p->disk_count + p->making_disks < p->cap && ask(p, JANITOR_DISK, 0, p->disk_size))
            p->making_disks++;
}

/* After a create: a burst of them is not slowed down, unless it has all but emptied the pool. */
static void refill_soon(struct ns_pool *p)
{
    if (is_below(p, 8))
        refill(p);
    else if (is_below(p, 2))
        (void)loop_timer_start(p->loop, &p->quiet, QUIET_MS);
}

static void on_quiet(struct loop_timer *t) { refill(t->data); }

/* -- answers -- */

static void berth_add(struct ns_pool *p, const struct msg *m, uint32_t slot, int *fds, int count)
{
    uint64_t mask;
    struct berth b;
    berth_init(&b);
    b.slot = slot;
    (void)msg_get_u64(m, JK_MASK, &mask);
    (void)ns_berth_unpack(&b, fds, count, mask);
    b.limits = janitor_limits_get(m);
    p->slots[slot] = SLOT_READY;
    p->ready[p->ready_count++] = b;
}

static void on_message(struct link *k, const struct msg *m, int *fds, int count)
{
    struct ns_pool *p = k->data;
    uint64_t slot = 0, size = 0, has = 0;
    (void)msg_get_u64(m, JK_SLOT, &slot);
    (void)msg_get_u64(m, JK_SIZE, &size);
    (void)msg_get_u64(m, JK_HAS, &has);
    if (slot >= p->host->config->slots)
        return;
    int at = 0;
    if ((has & JANITOR_HAS_DISK) && at < count) {
        if (size == p->disk_size && p->disk_count < p->cap * 2)
            p->disks[p->disk_count++] = TAKE_FD(fds[at]);
        else
            ns_disk_drop(p->host, &fds[at]);
    }
    at += has & JANITOR_HAS_DISK ? 1 : 0;
    uint64_t remake = 0;
    (void)msg_get_u64(m, JK_REMAKE, &remake);
    if ((m->verb == JANITOR_DISK || (remake & JANITOR_HAS_DISK)) && p->making_disks)
        p->making_disks--;
    if ((m->verb == JANITOR_BERTH || (remake & JANITOR_HAS_BERTH)) && p->making_berths)
        p->making_berths--;
    if (m->verb == JANITOR_DISK)
        return;
    if (m->status < 0 && m->verb == JANITOR_RETIRE) {
        (void)ask(p, JANITOR_RETIRE, (uint32_t)slot, 0); /* something is still dying in there */
        return;
    }
    p->slots[slot] = SLOT_FREE;
    if ((has & JANITOR_HAS_BERTH) && p->ready_count < p->cap * 2)
        berth_add(p, m, (uint32_t)slot, fds + at, count - at);
}

static void on_restart(struct loop_timer *t)
{
    struct ns_pool *p = t->data;
    if (janitor_open(p) < 0)
        (void)loop_timer_start(p->loop, &p->restart, RESTART_MS);
}

static void on_closed(struct link *k)
{
    struct ns_pool *p = k->data;
    log_warn("the janitor process ended; starting another");
    p->making_berths = p->making_disks = 0;
    (void)loop_timer_start(p->loop, &p->restart, RESTART_MS);
}

static int janitor_open(struct ns_pool *p)
{
    static const struct link_ops ops = { on_message, on_closed };
    int fd = ns_janitor_start(p->host);
    int r = fd < 0 ? fd : link_open(&p->janitor, p->loop, fd, &ops, p);
    if (r < 0)
        return TRACE(r);
    /* What the last one had in hand is half done: have it cleared. */
    for (uint32_t i = 0; i < p->host->config->slots; i++)
        if (p->slots[i] == SLOT_MAKING || p->slots[i] == SLOT_RETIRING) {
            p->slots[i] = SLOT_RETIRING;
            (void)ask(p, JANITOR_RETIRE, i, 0);
        }
    if (p->disk_size)
        refill(p);
    return 0;
}

/* -- the pool -- */

int ns_pool_init(struct ns_pool *p, const struct ns_host *h, struct loop *l)
{
    *p = (struct ns_pool){ .host = h, .loop = l, .cap = h->config->pool };
    p->restart = (struct loop_timer){ .fn = on_restart, .data = p };
    p->quiet = (struct loop_timer){ .fn = on_quiet, .data = p };
    buf_init(&p->out, 65536);
    p->slots = calloc(h->config->slots, 1);
    p->ready = calloc(p->cap * 2 + 1, sizeof *p->ready);
    p->disks = calloc(p->cap * 2 + 1, sizeof *p->disks);
    if (!p->slots || !p->ready || !p->disks)
        return RAISE(-ENOMEM);
    return TRACE(janitor_open(p));
}

static void disks_drop(struct ns_pool *p)
{
    while (p->disk_count)
        ns_disk_drop(p->host, &p->disks[--p->disk_count]);
}

void ns_pool_empty(struct ns_pool *p)
{
    loop_timer_cancel(&p->restart);
    loop_timer_cancel(&p->quiet);
    link_close(&p->janitor);
    while (p->ready_count) {
        struct berth *b = &p->ready[--p->ready_count];
        berth_deinit(b);
        (void)ns_berth_clear(p->host, b->slot, false);
    }
    disks_drop(p);
    memset(p->slots, SLOT_FREE, p->host->config->slots);
}

void ns_pool_deinit(struct ns_pool *p)
{
    ns_pool_empty(p);
    free(p->slots);
    free(p->ready);
    free(p->disks);
    buf_deinit(&p->out);
}

bool ns_pool_adopt(struct ns_pool *p, uint32_t slot)
{
    if (slot >= p->host->config->slots || p->slots[slot] != SLOT_FREE)
        return false;
    p->slots[slot] = SLOT_USED;
    return true;
}

bool ns_pool_is_used(const struct ns_pool *p, uint32_t slot)
{
    return slot < p->host->config->slots && p->slots[slot] != SLOT_FREE;
}

void ns_pool_fill(struct ns_pool *p, const struct cgroup_limits *limits, uint64_t disk_size)
{
    p->limits = *limits;
    p->disk_size = disk_size;
    refill(p);
}

int ns_pool_berth(struct ns_pool *p, const struct cgroup_limits *limits, struct berth *out)
{
    int r = 0;
    p->limits = *limits; /* what is made from now on is for sandboxes like this one */
    if (p->ready_count) {
        *out = p->ready[--p->ready_count];
        if (memcmp(limits, &out->limits, sizeof *limits) != 0)
            r = cgroup_limit(&p->host->cgroups, out->slot, limits);
    } else {
        int slot = slot_take(p, SLOT_USED);
        if (slot < 0)
            return slot;
        r = ns_berth_make(p->host, (uint32_t)slot, -1, limits, out);
        if (r < 0)
            out->slot = (uint32_t)slot;
    }
    p->slots[out->slot] = SLOT_USED;
    if (r < 0) {
        berth_deinit(out);
        ns_pool_retire(p, out->slot, -1, 0, -1);
    }
    refill_soon(p);
    return TRACE(r);
}

static void disk_size_learn(struct ns_pool *p, uint64_t size)
{
    p->other_sizes = size == p->disk_size ? 0 : p->other_sizes + 1;
    if (p->other_sizes < SWITCH_AFTER)
        return;
    p->other_sizes = 0;
    p->disk_size = size;
    disks_drop(p);
}

int ns_pool_disk(struct ns_pool *p, uint64_t size)
{
    disk_size_learn(p, size);
    int disk = size == p->disk_size && p->disk_count ? p->disks[--p->disk_count]
                                                     : ns_disk_make(p->host, size);
    refill_soon(p);
    return TRACE(disk);
}

void ns_pool_retire(struct ns_pool *p, uint32_t slot, int disk, uint64_t disk_size, int netns_)
{
    CLEANUP(fd_closep) int netns = netns_;
    int fds[2], count = 0;
    uint64_t has = 0;
    uint64_t remake = 0;
    p->slots[slot] = SLOT_RETIRING;
    if (disk >= 0) {
        fds[count++] = disk;
        has |= JANITOR_HAS_DISK;
    }
    if (netns >= 0) {
        fds[count++] = netns;
        has |= JANITOR_HAS_NET;
    }
    if (p->ready_count + p->making_berths < p->cap)
        remake |= JANITOR_HAS_BERTH;
    if (disk >= 0 && disk_size == p->disk_size && p->disk_count + p->making_disks < p->cap)
        remake |= JANITOR_HAS_DISK;
    msg_begin(&p->out, JANITOR_RETIRE, 0, ++p->tag, 0);
    msg_u64(&p->out, JK_SLOT, slot);
    msg_u64(&p->out, JK_SIZE, disk_size);
    msg_u64(&p->out, JK_HAS, has);
    msg_u64(&p->out, JK_REMAKE, remake);
    limits_put(p);
    msg_end(&p->out);
    if (link_send(&p->janitor, &p->out, fds, count) < 0) {
        ns_disk_drop(p->host, &disk);
        return; /* no janitor: the next one is told of the slot */
    }
    fd_closep(&disk);
    p->making_berths += remake & JANITOR_HAS_BERTH ? 1 : 0;
    p->making_disks += remake & JANITOR_HAS_DISK ? 1 : 0;
}
