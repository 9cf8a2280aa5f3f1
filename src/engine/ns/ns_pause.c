#include "engine/ns/ns_pause.h"

#include <fcntl.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "engine/ns/ns_capture.h"
#include "engine/ns/ns_disk.h"

#define PAUSING "pausing."
#define ANSWER_MS 2 /* how long the answer waits to hear what memory went back */

static void mark_of(char out[NS_MARK_SIZE], uint64_t number)
{
    (void)snprintf(out, NS_MARK_SIZE, PAUSING "%llu", (unsigned long long)number);
}

/* -- in the worker -- */

static int pause_run(const struct ns_host *h, struct ns_work *w)
{
    const struct pause *p = w->data;
    struct cgroup_usage before, after;
    char mark[NS_MARK_SIZE];
    mark_of(mark, p->number);
    (void)cgroup_usage(&h->cgroups, w->slot, &before);
    cgroup_reclaim(&h->cgroups, w->slot);
    (void)cgroup_usage(&h->cgroups, w->slot, &after);
    uint64_t freed =
        before.memory_bytes > after.memory_bytes ? before.memory_bytes - after.memory_bytes : 0;
    ns_work_report(w, freed, -1);
    CLEANUP(fd_closep) int root = ns_disk_root(w->fd);
    CLEANUP(fd_closep) int image = ns_disk_image(h, w->fd);
    if (root < 0 || image < 0)
        return TRACE(root < 0 ? root : image);
    if (syncfs(root) < 0 || fsync(image) < 0)
        return RAISE(-errno);
    cgroup_reclaim(&h->cgroups, w->slot); /* what was dirty before */
    return ns_work_is_over() ? -ECANCELED : TRACE(ns_record_promise(h, p->id, mark));
}

/* -- in the engine -- */

static void pause_free(struct pause *p)
{
    loop_timer_cancel(&p->deadline);
    list_remove(&p->node);
    fd_closep(&p->work.fd);
    free(p);
}

static void pause_answer(struct pause *p, uint64_t freed)
{
    loop_timer_cancel(&p->deadline);
    if (!p->is_answered)
        p->ns->ops->on_paused(p->ns->data, &p->asks, freed);
    p->is_answered = true;
}

static void on_report(struct ns_work *w, uint64_t value, int *fd)
{
    (void)fd;
    pause_answer(w->data, value);
}

static void on_end(struct ns_work *w, int status)
{
    struct pause *p = w->data;
    pause_answer(p, 0);
    if (status < 0 && status != -ECANCELED && status != -ENOENT)
        log_warn("%s: it is frozen, but a reboot would take its disk: %s", p->id,
                 strerror(-status));
    pause_free(p);
}

static void on_deadline(struct loop_timer *t) { pause_answer(t->data, 0); }

static struct pause *pause_new(struct box *b, uint64_t number)
{
    static const struct ns_work_ops ops = { pause_run, on_report, on_end };
    struct pause *p = calloc(1, sizeof *p);
    int disk = b->disk < 0 ? -1 : fcntl(b->disk, F_DUPFD_CLOEXEC, 3);
    if (!p || disk < 0) {
        fd_closep(&disk);
        free(p);
        return NULL;
    }
    p->ns = b->ns;
    p->number = number;
    (void)str_copy(str_of(b->id), p->id, sizeof p->id);
    p->work = (struct ns_work){ .ops = &ops, .data = p, .slot = b->slot, .fd = disk };
    p->deadline = (struct loop_timer){ .fn = on_deadline, .data = p };
    list_init(&p->asks);
    list_push(&b->ns->pauses, &p->node);
    ns_work_start(&b->ns->workers, &p->work);
    return p;
}

/* No number comes twice, not even from an engine before: its worker may still be about. */
static int pause_start(struct box *b, struct pause **out)
{
    char mark[NS_MARK_SIZE];
    rand_bytes(&b->pause_number, sizeof b->pause_number);
    mark_of(mark, b->pause_number);
    int r = ns_record_mark(&b->ns->host, b->id, mark);
    if (r < 0)
        return TRACE(r);
    *out = pause_new(b, b->pause_number);
    return *out ? TRACE(loop_timer_start(b->ns->loop, &(*out)->deadline, ANSWER_MS))
                : RAISE(-ENOMEM);
}

int ns_pause_freeze(struct box *b, struct pause **out)
{
    *out = NULL;
    if (b->is_frozen)
        return 0;
    int r = cgroup_freeze(&b->ns->host.cgroups, b->slot, true);
    if (r < 0)
        return TRACE(r);
    b->is_frozen = true;
    if (pause_start(b, out) < 0) /* it is frozen, which is what was asked */
        log_warn("%s: it is frozen, but a reboot would take its disk", b->id);
    return 0;
}

static void marks_clear(struct box *b)
{
    char mark[NS_MARK_SIZE];
    mark_of(mark, b->pause_number);
    ns_record_unmark(&b->ns->host, b->id, mark);
    ns_record_unmark(&b->ns->host, b->id, NS_MARK_PAUSED);
}

int ns_pause_thaw(struct box *b)
{
    if (!b->is_frozen)
        return 0;
    LIST_EACH(it, &b->ns->pauses) {
        struct pause *p = LIST_OF(it, struct pause, node);
        if (p->work.slot == b->slot)
            ns_work_cancel(&p->work);
    }
    marks_clear(b);
    b->is_frozen = false; /* a capture thaws at its end as this says then */
    int r = ns_capture_holds(b) ? 0 : cgroup_freeze(&b->ns->host.cgroups, b->slot, false);
    if (r < 0)
        b->is_frozen = true;
    return TRACE(r);
}

void ns_pause_adopt(struct box *b)
{
    struct pause *p;
    bool was_pausing = ns_record_unmark_all(&b->ns->host, b->id, PAUSING);
    bool is_paused = ns_record_has(&b->ns->host, b->id, NS_MARK_PAUSED);
    if (!b->is_frozen)
        ns_record_unmark(&b->ns->host, b->id, NS_MARK_PAUSED);
    else if (was_pausing && !is_paused)
        (void)pause_start(b, &p);
    else if (!is_paused && ns_pause_thaw(b) == 0)
        log_info("%s: it stood still for a capture that is no more; thawed", b->id);
}

void ns_pauses_deinit(struct ns *n)
{
    LIST_EACH_SAFE(it, &n->pauses)
        pause_free(LIST_OF(it, struct pause, node));
}
