#include "agent/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gen/limits.h"
#include "wire/connect.h"

#define CUT " ..."

struct entry {
    struct list link;
    int64_t at_ms;
    pid_t pid;
    enum journal_kind kind;
    size_t size;
    char text[];
};

void journal_init(struct journal *j)
{
    list_init(&j->entries);
    j->bytes = 0;
}

static void drop_oldest(struct journal *j)
{
    struct entry *e = LIST_OF(j->entries.next, struct entry, link);
    list_remove(&e->link);
    j->bytes -= sizeof *e + e->size;
    free(e);
}

void journal_add(struct journal *j, enum journal_kind kind, pid_t pid, struct str text)
{
    bool is_cut = text.n > LIMIT_JOURNAL_TEXT_SIZE;
    if (is_cut)
        text.n = LIMIT_JOURNAL_TEXT_SIZE;
    size_t size = text.n + (is_cut ? sizeof CUT - 1 : 0);
    struct entry *e = malloc(sizeof *e + size);
    if (!e)
        return;
    *e = (struct entry){ .at_ms = clock_wall_us() / 1000, .pid = pid, .kind = kind, .size = size };
    for (size_t i = 0; i < text.n; i++) /* NUL is no character of text to most who read JSON */
        e->text[i] = text.p[i] ? text.p[i] : ' ';
    if (is_cut)
        memcpy(e->text + text.n, CUT, sizeof CUT - 1);
    list_push(&j->entries, &e->link);
    j->bytes += sizeof *e + size;
    while (j->bytes > LIMIT_JOURNAL_SIZE)
        drop_oldest(j);
}

void journal_put(const struct journal *j, struct buf *b)
{
    static const char *const names[] = { [JOURNAL_START] = "process_start",
                                         [JOURNAL_OUT] = "stdout",
                                         [JOURNAL_ERR] = "stderr",
                                         [JOURNAL_PTY] = "pty",
                                         [JOURNAL_END] = "process_end" };
    bool is_first = true;
    (void)buf_byte(b, '[');
    LIST_EACH(it, &j->entries) {
        const struct entry *e = LIST_OF(it, struct entry, link);
        (void)buf_printf(b,
                         "%s{\"at\":%lld,\"type\":\"%s\",\"pid\":%d,\"text\":", is_first ? "" : ",",
                         (long long)e->at_ms, names[e->kind], (int)e->pid);
        connect_string_put(b, str_make(e->text, e->size));
        (void)buf_byte(b, '}');
        is_first = false;
    }
    (void)buf_byte(b, ']');
}
