/* Whose turn it is to start what may keep a processor busy. A start command runs until its ready
 * command passes; twenty at once would share the processors and all be late, where two after two
 * are ready one by one. So as many as there are processors start at once, one more whenever a
 * processor idles (what starts only waits for something), and one a second whatever happens. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/loop.h"

struct turns {
    struct loop *loop;
    struct list waiting; /* struct turn, who waits longest first */
    uint32_t held, processors;
    struct loop_task task;
    struct loop_timer tick; /* while somebody waits */
    int64_t given_ms;       /* the last one; monotonic */
    uint64_t idle, all;     /* of the processors, at the last tick */
};

/* Lives in its owner's struct. Zero-initialised = idle. */
struct turn {
    struct turns *turns; /* NULL: idle */
    struct list node;    /* while it waits */
    int64_t since_ms;    /* it was asked for; monotonic */
    bool is_held;
    void (*fn)(struct turn *t); /* after a wait it is held now; from the loop */
    void *data;
};

/* `loop` outlives it. */
void turns_init(struct turns *all, struct loop *loop);
void turns_deinit(struct turns *all); /* no turn waits or is held */

/* Nobody waits, and somebody who is not urgent may take one. */
bool turns_are_free(const struct turns *all);
/* True: `t` is held. False: it waits, fn hears. */
bool turn_take(struct turns *all, struct turn *t);
/* Ends the wait or gives the turn back; fine when it is idle. */
void turn_leave(struct turn *t);

/* How many may start beside those that do, when of `all` ticks of the processors `idle` were idle
 * lately and `since_ms` went by since the last one began. Pure. */
uint32_t turns_extra(uint64_t idle, uint64_t all, uint32_t processors, int64_t since_ms);
