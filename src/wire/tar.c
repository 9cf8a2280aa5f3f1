#include "wire/tar.h"

#include <stdio.h>
#include <string.h>

#define CAPABILITY "SCHILY.xattr.security.capability" /* as GNU tar and libarchive call it */

/* Where the fields of a header block are (ustar interchange format). */
enum {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_LINK = 157,
    AT_MAGIC = 257,
    AT_PREFIX = 345,
};

enum state {
    STATE_HEADER,
    STATE_EXTRA,
    STATE_TELL,
    STATE_DATA,
    STATE_PADDING,
    STATE_DONE,
    STATE_BAD
};

void tar_reader_init(struct tar_reader *r)
{
    *r = (struct tar_reader){ .state = STATE_HEADER };
    buf_init(&r->extra, TAR_EXTRA_SIZE);
    buf_init(&r->path, TAR_EXTRA_SIZE);
    buf_init(&r->link, TAR_EXTRA_SIZE);
    buf_init(&r->capability, TAR_EXTRA_SIZE);
}

void tar_reader_deinit(struct tar_reader *r)
{
    buf_deinit(&r->extra);
    buf_deinit(&r->path);
    buf_deinit(&r->link);
    buf_deinit(&r->capability);
}

bool tar_reader_is_done(const struct tar_reader *r) { return r->state == STATE_DONE; }

/* Octal digits, ended by blank or NUL; or GNU's binary form, marked by the highest bit. */
static bool take_number(const char *p, size_t n, int64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    if ((unsigned char)p[0] == 0x80) {
        for (i = 1; i < n; i++) {
            if (v >> 55)
                return false;
            v = v << 8 | (unsigned char)p[i];
        }
        *out = (int64_t)v;
        return true;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(p[i] - '0');
    *out = (int64_t)v;
    return i == n || p[i] == 0 || p[i] == ' ';
}

static struct str field(const char *p, size_t n) { return str_make(p, strnlen(p, n)); }

static bool sum_is_right(const char *block)
{
    int64_t want, sum = 0;
    if (!take_number(block + AT_SUM, 8, &want))
        return false;
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += i >= AT_SUM && i < AT_SUM + 8 ? ' ' : (unsigned char)block[i];
    return sum == want;
}

static enum tar_type type_of(char c)
{
    switch (c) {
    case 0:
    case '0':
    case '7':
        return TAR_FILE;
    case '1':
        return TAR_HARDLINK;
    case '2':
        return TAR_SYMLINK;
    case '5':
        return TAR_DIRECTORY;
    default:
        return TAR_OTHER;
    }
}

static void set_entry(struct tar_reader *r)
{
    const char *b = r->block;
    struct tar_entry *e = &r->entry;
    struct str prefix =
        memcmp(b + AT_MAGIC, "ustar\0", 6) == 0 ? field(b + AT_PREFIX, 155) : STR_NONE;
    struct str name = field(b + AT_NAME, 100), link = field(b + AT_LINK, 100);
    (void)snprintf(r->name, sizeof r->name, STR_FMT "%s" STR_FMT, STR_ARG(prefix),
                   prefix.n ? "/" : "", STR_ARG(name));
    (void)snprintf(r->target, sizeof r->target, STR_FMT, STR_ARG(link));
    e->path = r->has_path ? buf_str(&r->path) : str_of(r->name);
    e->link = r->has_link ? buf_str(&r->link) : str_of(r->target);
    e->type = type_of(b[AT_TYPE]);
    /* directories of old tars are files whose name ends in a slash */
    if (e->type == TAR_FILE && e->path.n && e->path.p[e->path.n - 1] == '/')
        e->type = TAR_DIRECTORY;
    if (r->has_size)
        e->size = r->size;
    if (r->has_uid)
        e->uid = r->uid;
    if (r->has_gid)
        e->gid = r->gid;
    e->capability = r->has_capability ? buf_str(&r->capability) : STR_NONE;
    r->has_path = r->has_link = r->has_size = r->has_uid = r->has_gid = r->has_capability = false;
    bool has_data = e->type == TAR_FILE || e->type == TAR_OTHER;
    r->left = has_data ? e->size : 0;
    e->size = has_data ? e->size : 0;
    r->padding = (uint32_t)(-r->left & (TAR_BLOCK - 1));
    r->state = STATE_TELL;
}

/* A whole header block was read. */
static void take_header(struct tar_reader *r)
{
    static const char zero[TAR_BLOCK];
    const char *b = r->block;
    int64_t mode = 0, uid = 0, gid = 0;
    r->filled = 0;
    r->state = STATE_BAD;
    if (memcmp(b, zero, TAR_BLOCK) == 0) {
        r->state = STATE_DONE;
        return;
    }
    if (!sum_is_right(b) || !take_number(b + AT_MODE, 8, &mode) ||
        !take_number(b + AT_SIZE, 12, &r->entry.size) ||
        !take_number(b + AT_MTIME, 12, &r->entry.modified_s) || r->entry.size < 0)
        return;
    r->entry.mode = (uint32_t)mode & 07777;
    /* some writers leave them blank: then it is root's */
    r->entry.uid = take_number(b + AT_UID, 8, &uid) ? (uint32_t)uid : 0;
    r->entry.gid = take_number(b + AT_GID, 8, &gid) ? (uint32_t)gid : 0;
    char t = b[AT_TYPE];
    if (t != 'x' && t != 'g' && t != 'L' && t != 'K') {
        set_entry(r);
        return;
    }
    if (r->entry.size > TAR_EXTRA_SIZE)
        return;
    r->extra_type = t;
    r->left = r->entry.size;
    r->padding = (uint32_t)(-r->left & (TAR_BLOCK - 1));
    buf_reset(&r->extra);
    r->state = STATE_EXTRA;
}

static bool keep(struct buf *b, struct str s)
{
    buf_reset(b);
    return s.n && !memchr(s.p, 0, s.n) && buf_append(b, s);
}

/* "length key=value\n" records. */
static bool take_pax(struct tar_reader *r, struct str in)
{
    while (in.n) {
        struct str digits, rest, key, value;
        uint64_t n, size;
        if (!str_cut(in, ' ', &digits, &rest) || !str_to_u64(digits, in.n, &n) ||
            n < digits.n + 3 || in.p[n - 1] != '\n')
            return false;
        struct str record = str_make(rest.p, (size_t)n - digits.n - 2);
        in = str_skip(in, (size_t)n);
        if (!str_cut(record, '=', &key, &value))
            return false;
        if (str_eq(key, STR("path")) && !(r->has_path = keep(&r->path, value)))
            return false;
        if (str_eq(key, STR("linkpath")) && !(r->has_link = keep(&r->link, value)))
            return false;
        if (str_eq(key, STR("size"))) {
            r->has_size = str_to_u64(value, INT64_MAX / 2, &size);
            r->size = r->has_size ? (int64_t)size : 0;
            if (!r->has_size)
                return false;
        }
        if (str_eq(key, STR(CAPABILITY))) { /* bytes, NUL among them */
            buf_reset(&r->capability);
            r->has_capability = value.n && buf_append(&r->capability, value);
        }
        if (str_eq(key, STR("uid")) && (r->has_uid = str_to_u64(value, UINT32_MAX, &size)))
            r->uid = (uint32_t)size;
        if (str_eq(key, STR("gid")) && (r->has_gid = str_to_u64(value, UINT32_MAX, &size)))
            r->gid = (uint32_t)size;
    }
    return true;
}

static bool take_extra(struct tar_reader *r)
{
    struct str s = buf_str(&r->extra);
    if (r->extra_type == 'g')
        return true; /* defaults for all: nothing of ours is in them */
    if (r->extra_type == 'x')
        return take_pax(r, s);
    s.n = s.n ? strnlen(s.p, s.n) : 0;
    if (r->extra_type == 'L')
        return r->has_path = keep(&r->path, s);
    return r->has_link = keep(&r->link, s);
}

static struct str take_some(struct str *in, uint64_t most)
{
    struct str s = str_make(in->p, in->n < most ? in->n : (size_t)most);
    *in = str_skip(*in, s.n);
    return s;
}

/* One step of reading that tells nothing. False: the input is used up. */
static bool read_on(struct tar_reader *r, struct str *in)
{
    if (!in->n)
        return false;
    if (r->state == STATE_HEADER) {
        struct str s = take_some(in, TAR_BLOCK - r->filled);
        memcpy(r->block + r->filled, s.p, s.n);
        r->filled += (uint32_t)s.n;
        if (r->filled == TAR_BLOCK)
            take_header(r);
    } else if (r->state == STATE_EXTRA) {
        struct str s = take_some(in, (uint64_t)r->left);
        r->left -= (int64_t)s.n;
        if (!buf_append(&r->extra, s) || (r->left == 0 && !take_extra(r)))
            r->state = STATE_BAD;
        else if (r->left == 0)
            r->state = STATE_PADDING;
    } else {
        r->padding -= (uint32_t)take_some(in, r->padding).n;
        if (r->padding == 0)
            r->state = STATE_HEADER;
    }
    return true;
}

enum tar_event tar_reader_step(struct tar_reader *r, struct str *in)
{
    for (;;) {
        switch ((enum state)r->state) {
        case STATE_TELL:
            r->state = STATE_DATA;
            return TAR_ENTRY;
        case STATE_DATA:
            if (r->left == 0) {
                r->state = r->padding ? STATE_PADDING : STATE_HEADER;
                return TAR_ENTRY_END;
            }
            if (!in->n)
                return TAR_MORE;
            r->data = take_some(in, (uint64_t)r->left);
            r->left -= (int64_t)r->data.n;
            return TAR_DATA;
        case STATE_DONE:
            *in = str_skip(*in, in->n);
            return TAR_DONE;
        case STATE_BAD:
            return TAR_BAD;
        case STATE_EXTRA:
            if (r->left == 0) { /* an empty one */
                r->state = take_extra(r) ? STATE_HEADER : STATE_BAD;
                break;
            }
            if (!read_on(r, in))
                return TAR_MORE;
            break;
        case STATE_PADDING:
            if (r->padding == 0) {
                r->state = STATE_HEADER;
                break;
            }
            if (!read_on(r, in))
                return TAR_MORE;
            break;
        case STATE_HEADER:
            if (!read_on(r, in))
                return TAR_MORE;
            break;
        }
    }
}

/* -- printing -- */

static void put_block(struct buf *b, struct str name, const struct tar_entry *e, char type,
                      int64_t size)
{
    char block[TAR_BLOCK] = { 0 };
    struct str link = type == 'x' ? STR_NONE : e->link;
    unsigned sum = 0;
    memcpy(block + AT_NAME, name.p, name.n < 100 ? name.n : 100);
    (void)snprintf(block + AT_MODE, 8, "%07o", e->mode & 07777);
    (void)snprintf(block + AT_UID, 8, "%07o", e->uid & 07777777);
    (void)snprintf(block + AT_GID, 8, "%07o", e->gid & 07777777);
    (void)snprintf(block + AT_SIZE, 12, "%011llo",
                   (unsigned long long)(size < 1ll << 33 ? size : 0));
    (void)snprintf(block + AT_MTIME, 12, "%011llo",
                   (unsigned long long)(e->modified_s > 0 ? e->modified_s : 0) & 077777777777ull);
    memset(block + AT_SUM, ' ', 8);
    block[AT_TYPE] = type;
    if (link.n)
        memcpy(block + AT_LINK, link.p, link.n < 100 ? link.n : 100);
    memcpy(block + AT_MAGIC, "ustar\00000", 8);
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += (unsigned char)block[i];
    (void)snprintf(block + AT_SUM, 8, "%06o", sum & 0777777);
    (void)buf_append(b, str_make(block, sizeof block));
}

/* The length counts its own digits. */
static void put_record(struct buf *b, const char *key, struct str value)
{
    size_t rest = strlen(key) + value.n + 3, n = rest + 1;
    char digits[24];
    while ((size_t)snprintf(digits, sizeof digits, "%zu", n) + rest != n)
        n = rest + strlen(digits);
    (void)buf_printf(b, "%zu %s=", n, key);
    (void)buf_append(b, value);
    (void)buf_byte(b, '\n');
}

void tar_put_padding(struct buf *b, int64_t size)
{
    static const char zero[TAR_BLOCK];
    (void)buf_append(b, str_make(zero, (size_t)(-size & (TAR_BLOCK - 1))));
}

static void put_number(struct buf *b, const char *key, int64_t n)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%lld", (long long)n);
    put_record(b, key, str_of(digits));
}

void tar_put_entry(struct buf *b, const struct tar_entry *e)
{
    static const char types[] = {
        [TAR_FILE] = '0',
        [TAR_DIRECTORY] = '5',
        [TAR_SYMLINK] = '2',
        [TAR_HARDLINK] = '1',
        [TAR_OTHER] = '6' /* a fifo */
    };
    struct buf pax;
    buf_init(&pax, 0);
    if (e->path.n > 100)
        put_record(&pax, "path", e->path);
    if (e->link.n > 100)
        put_record(&pax, "linkpath", e->link);
    if (e->size >= 1ll << 33)
        put_number(&pax, "size", e->size);
    if (e->uid > 07777777)
        put_number(&pax, "uid", e->uid);
    if (e->gid > 07777777)
        put_number(&pax, "gid", e->gid);
    if (e->capability.n)
        put_record(&pax, CAPABILITY, e->capability);
    if (buf_used(&pax)) {
        put_block(b, STR("pax"), e, 'x', (int64_t)buf_used(&pax));
        (void)buf_append(b, buf_str(&pax));
        tar_put_padding(b, (int64_t)buf_used(&pax));
    }
    put_block(b, e->path, e, types[e->type], e->size);
    b->failed |= pax.failed;
    buf_deinit(&pax);
}

void tar_put_end(struct buf *b)
{
    static const char zero[2 * TAR_BLOCK];
    (void)buf_append(b, str_make(zero, sizeof zero));
}
