#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gen/limits.h"
#include "template/build.h"

static char *clean(struct str text)
{
    if (text.n > LIMIT_BUILD_LINE_SIZE)
        text.n = LIMIT_BUILD_LINE_SIZE;
    char *p = malloc(text.n + 1);
    for (size_t i = 0; p && i < text.n; i++) /* colours and tabs stay; the clients know them */
        p[i] = text.p[i] == '\0' || text.p[i] == '\n' || text.p[i] == '\r' ? '?' : text.p[i];
    if (p)
        p[text.n] = '\0';
    return p;
}

static bool grow(struct build_log *l)
{
    uint32_t room = l->room ? l->room * 2 : 64;
    struct store_log *at = reallocarray(l->at, room, sizeof *at);
    if (!at)
        return false;
    l->at = at;
    l->room = room;
    return true;
}

void build_log_add(struct build_log *l, enum log_of level, const char *step, struct str text)
{
    if (l->count == LIMIT_BUILD_LOG_LINES && level < LOG_OF_ERROR)
        text = STR("the log is too long; what follows is left out");
    if (l->count > LIMIT_BUILD_LOG_LINES && level < LOG_OF_ERROR)
        return;
    if (l->count == l->room && !grow(l))
        return;
    char *where = str_dup(str_of(step)), *message = clean(text);
    int64_t now = clock_wall_us();
    if (!where || !message) {
        free(where);
        free(message);
        return;
    }
    /* pages are cut from lines in the order of their times */
    l->last_us = now > l->last_us ? now : l->last_us;
    l->at[l->count++] = (struct store_log){ l->last_us, (int)level, where, message };
}

struct store_logs build_log_all(const struct build_log *l)
{
    return (struct store_logs){ l->at, l->count };
}

void build_log_deinit(struct build_log *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        free((char *)(uintptr_t)l->at[i].step);
        free((char *)(uintptr_t)l->at[i].message);
    }
    free(l->at);
    *l = (struct build_log){ 0 };
}
