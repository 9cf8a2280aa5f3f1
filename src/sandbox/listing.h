/* The sandboxes that clients can see, in the order of lists, and the same for every pair of
 * metadata and every template that one of them has: a filtered list looks only at those. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"

struct sandbox;

/* By startedAt, oldest first; equal ones by id, from z to a, so that walking backwards gives the
 * order of lists (core.md 2.3). Invariant: cap is enough for all that joined. */
struct listing_rows {
    struct sandbox **at;
    uint32_t len, cap;
    uint32_t running; /* of them, reported as running */
    uint32_t joined;  /* sandboxes that may come to stand here */
};
/* Index of the first one whose (started_us, id) is not before the given one in that order. */
uint32_t listing_lower_bound(const struct listing_rows *r, int64_t started_us, struct str id);

struct listing {
    struct listing_rows all;
    struct map groups; /* struct listing_group */
    struct buf scratch;
};

/* Where one sandbox stands; part of it. Zero-initialised = nowhere. */
struct listing_place {
    struct listing_group **groups;
    uint32_t group_count;
    bool is_listed, is_running;
};

void listing_init(struct listing *l);
void listing_deinit(struct listing *l); /* all have left */

/* Makes room for `s`, so that nothing below can fail: before it is listed for the first time, when
 * its metadata and template are known. False: memory is out. */
bool listing_join(struct listing *l, struct sandbox *s);
void listing_leave(struct listing *l, struct sandbox *s); /* fine without join; removes it */

/* Brings the lists in line with its state. When started_us is to change: remove, change, update. */
void listing_update(struct listing *l, struct sandbox *s);
void listing_remove(struct listing *l, struct sandbox *s);

#define LISTING_PAIRS 32 /* of one filter; clients send one or two */
/* What a list has to look at. */
struct listing_view {
    const struct listing_rows *rows; /* the shortest one that has all that fit; never NULL */
    bool is_exact;                   /* and no others */
    uint32_t need_count;
    const struct listing_group *need[LISTING_PAIRS + 1]; /* the others that each must be in */
};
/* Those with all pairs of `metadata` (at most LISTING_PAIRS; NULL: any) and of template
 * `template_id` ("": any). Valid until something changes. */
void listing_find(struct listing *l, const json_t *metadata, const char *template_id,
                  struct listing_view *out);
/* One of out->rows fits. */
bool listing_fits(const struct listing_view *v, const struct sandbox *s);
