/* The protobuf wire format (protobuf.dev/programming-guides/encoding). Unknown fields are skipped;
 * groups are refused. Lists are collected in two passes, so that their memory is known first. */
#include <stdio.h>

#include "wire/message.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct item { /* one field as it lies in the bytes */
    uint32_t number;
    enum wire_type type;
    uint64_t value;     /* WIRE_VARINT */
    struct str payload; /* WIRE_BYTES */
};

static bool take_varint(struct str *in, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && in->n; shift += 7) {
        unsigned char c = (unsigned char)in->p[0];
        *in = str_skip(*in, 1);
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            *out = v;
            return shift < 63 || c < 2;
        }
    }
    return false;
}

static bool take_item(struct str *in, struct item *out)
{
    uint64_t tag, n;
    if (!take_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return false;
    *out = (struct item){ .number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7) };
    switch (tag & 7) {
    case WIRE_VARINT:
        return take_varint(in, &out->value);
    case WIRE_FIXED64:
    case WIRE_FIXED32:
        n = (tag & 7) == WIRE_FIXED64 ? 8 : 4;
        break;
    case WIRE_BYTES:
        if (!take_varint(in, &n))
            return false;
        break;
    default:
        return false;
    }
    if (n > in->n)
        return false;
    out->payload = str_make(in->p, (size_t)n);
    *in = str_skip(*in, (size_t)n);
    return true;
}

static const struct message_field *find(const struct message_spec *spec, uint32_t number)
{
    for (uint32_t i = 0; i < spec->field_count; i++)
        if (spec->fields[i].number == number)
            return &spec->fields[i];
    return NULL;
}

static bool is_list(const struct message_field *f)
{
    return f->type == MESSAGE_STRS || f->type == MESSAGE_SUBS || f->type == MESSAGE_MAP;
}

static size_t element_size(const struct message_field *f)
{
    return f->type == MESSAGE_SUBS  ? f->spec->size
           : f->type == MESSAGE_MAP ? sizeof(struct message_pair)
                                    : sizeof(struct str);
}

/* Room for every element of every list of the message. */
static bool lists_make(const struct message_spec *spec, struct str in, struct arena *a, void *msg)
{
    struct item it;
    while (in.n) {
        if (!take_item(&in, &it))
            return false;
        const struct message_field *f = find(spec, it.number);
        if (f && is_list(f))
            ((struct message_list *)(void *)((char *)msg + f->offset))->count++;
    }
    for (uint32_t i = 0; i < spec->field_count; i++) {
        const struct message_field *f = &spec->fields[i];
        struct message_list *l = (void *)((char *)msg + f->offset);
        if (!is_list(f) || l->count == 0)
            continue;
        l->at = arena_alloc(a, l->count * element_size(f));
        l->count = 0;
        if (!l->at)
            return false;
    }
    return true;
}

static bool take_str(struct str s, struct arena *a, struct str *out)
{
    char *p = s.n && memchr(s.p, 0, s.n) ? NULL : arena_str(a, s);
    *out = str_make(p, s.n);
    return p != NULL;
}

static bool take_pair(struct str in, struct arena *a, struct message_pair *out)
{
    struct item it;
    out->key = out->value = STR("");
    while (in.n) {
        if (!take_item(&in, &it))
            return false;
        if (it.type != WIRE_BYTES || it.number > 2)
            continue;
        if (!take_str(it.payload, a, it.number == 1 ? &out->key : &out->value))
            return false;
    }
    return true;
}

static bool take_time(struct str in, struct message_time *out)
{
    struct item it;
    while (in.n) {
        if (!take_item(&in, &it))
            return false;
        if (it.type == WIRE_VARINT && it.number == 1)
            out->s = (int64_t)it.value;
        if (it.type == WIRE_VARINT && it.number == 2)
            out->ns = (int32_t)it.value;
    }
    return true;
}

static void take_number(const struct message_field *f, uint64_t v, void *at)
{
    if (f->type == MESSAGE_I64)
        *(int64_t *)at = (int64_t)v;
    else if (f->type == MESSAGE_BOOL)
        *(bool *)at = v != 0;
    else if (f->type == MESSAGE_S32)
        *(int32_t *)at = (int32_t)((uint32_t)v >> 1 ^ (0u - ((uint32_t)v & 1u)));
    else
        *(uint32_t *)at = (uint32_t)v;
}

static bool take_message(const struct message_spec *spec, struct str in, struct arena *a,
                         void *msg);

static bool take_element(const struct message_field *f, struct str s, struct arena *a, void *at)
{
    struct message_list *l = at;
    char *e = (char *)l->at + l->count++ * element_size(f);
    if (f->type == MESSAGE_SUBS)
        return take_message(f->spec, s, a, e);
    return f->type == MESSAGE_MAP ? take_pair(s, a, (void *)e) : take_str(s, a, (void *)e);
}

static bool take_bytes(const struct message_field *f, struct str s, struct arena *a, void *at)
{
    switch ((enum message_type)f->type) {
    case MESSAGE_STR:
        return take_str(s, a, at);
    case MESSAGE_BYTES:
        ((struct str *)at)->p = arena_str(a, s);
        ((struct str *)at)->n = s.n;
        return ((struct str *)at)->p != NULL;
    case MESSAGE_TIME:
        return take_time(s, at);
    case MESSAGE_SUB: /* a second one is merged into the first */
        if (!*(void **)at)
            *(void **)at = arena_alloc(a, f->spec->size);
        return *(void **)at && take_message(f->spec, s, a, *(void **)at);
    case MESSAGE_STRS:
    case MESSAGE_SUBS:
    case MESSAGE_MAP:
        return take_element(f, s, a, at);
    default:
        return false;
    }
}

static bool is_number(const struct message_field *f)
{
    return f->type == MESSAGE_U32 || f->type == MESSAGE_S32 || f->type == MESSAGE_I64 ||
           f->type == MESSAGE_BOOL || f->type == MESSAGE_ENUM;
}

static bool take_message(const struct message_spec *spec, struct str in, struct arena *a, void *msg)
{
    struct item it;
    if (!lists_make(spec, in, a, msg))
        return false;
    while (in.n) {
        if (!take_item(&in, &it))
            return false;
        const struct message_field *f = find(spec, it.number);
        if (!f)
            continue;
        void *at = (char *)msg + f->offset;
        if (it.type != (is_number(f) ? WIRE_VARINT : WIRE_BYTES))
            return false;
        if (is_number(f))
            take_number(f, it.value, at);
        else if (!take_bytes(f, it.payload, a, at))
            return false;
        if (f->has)
            *((bool *)msg + f->has) = true;
    }
    return true;
}

bool message_binary_parse(const struct message_spec *spec, struct str in, struct arena *a,
                          void *msg, char why[160])
{
    if (take_message(spec, in, a, msg))
        return true;
    (void)snprintf(why, 160, "not a valid protobuf %s", spec->name);
    return false;
}

/* -- printing -- */

static void put_varint(struct buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        (void)buf_byte(b, (char)(v | 0x80));
    (void)buf_byte(b, (char)v);
}

static void put_bytes(struct buf *b, uint32_t number, struct str s)
{
    put_varint(b, number << 3 | WIRE_BYTES);
    put_varint(b, s.n);
    (void)buf_append(b, s);
}

static void put_number(struct buf *b, uint32_t number, uint64_t v)
{
    put_varint(b, number << 3 | WIRE_VARINT);
    put_varint(b, v);
}

/* The body is printed aside, because its length comes first. */
static void put_sub(struct buf *b, const struct message_spec *spec, uint32_t number,
                    const void *msg)
{
    struct buf body;
    buf_init(&body, 0);
    message_binary_put(spec, msg, &body);
    if (body.failed)
        b->failed = true;
    put_bytes(b, number, buf_str(&body));
    buf_deinit(&body);
}

static void put_time(struct buf *b, uint32_t number, const struct message_time *t)
{
    struct buf body;
    buf_init(&body, 0);
    if (t->s)
        put_number(&body, 1, (uint64_t)t->s);
    if (t->ns)
        put_number(&body, 2, (uint64_t)t->ns);
    if (body.failed)
        b->failed = true;
    put_bytes(b, number, buf_str(&body));
    buf_deinit(&body);
}

static void put_pair(struct buf *b, uint32_t number, const struct message_pair *p)
{
    struct buf body;
    buf_init(&body, 0);
    put_bytes(&body, 1, p->key);
    put_bytes(&body, 2, p->value);
    if (body.failed)
        b->failed = true;
    put_bytes(b, number, buf_str(&body));
    buf_deinit(&body);
}

static void put_list(const struct message_field *f, const struct message_list *l, struct buf *b)
{
    for (uint32_t i = 0; i < l->count; i++) {
        const char *e = (const char *)l->at + i * element_size(f);
        if (f->type == MESSAGE_SUBS)
            put_sub(b, f->spec, f->number, e);
        else if (f->type == MESSAGE_MAP)
            put_pair(b, f->number, (const void *)e);
        else
            put_bytes(b, f->number, *(const struct str *)(const void *)e);
    }
}

static uint64_t number_of(const struct message_field *f, const void *at)
{
    int32_t v;
    switch ((enum message_type)f->type) {
    case MESSAGE_I64:
        return (uint64_t) * (const int64_t *)at;
    case MESSAGE_BOOL:
        return *(const bool *)at;
    case MESSAGE_S32:
        v = *(const int32_t *)at;
        return (uint32_t)v << 1 ^ (v < 0 ? UINT32_MAX : 0u);
    case MESSAGE_ENUM: /* negative ones are sign-extended */
        return (uint64_t)(int64_t) * (const int32_t *)at;
    default:
        return *(const uint32_t *)at;
    }
}

static void put_field(const struct message_field *f, const void *at, bool present, struct buf *b)
{
    const struct str *s = at;
    switch ((enum message_type)f->type) {
    case MESSAGE_STR:
    case MESSAGE_BYTES:
        if (present || s->n)
            put_bytes(b, f->number, *s);
        break;
    case MESSAGE_TIME:
        put_time(b, f->number, at);
        break;
    case MESSAGE_SUB:
        if (*(void *const *)at)
            put_sub(b, f->spec, f->number, *(void *const *)at);
        break;
    case MESSAGE_STRS:
    case MESSAGE_SUBS:
    case MESSAGE_MAP:
        put_list(f, at, b);
        break;
    default:
        if (present || number_of(f, at))
            put_number(b, f->number, number_of(f, at));
    }
}

void message_binary_put(const struct message_spec *spec, const void *msg, struct buf *b)
{
    for (uint32_t i = 0; i < spec->field_count; i++) {
        const struct message_field *f = &spec->fields[i];
        bool present = f->has && *((const bool *)msg + f->has);
        if (!f->has || present)
            put_field(f, (const char *)msg + f->offset, present, b);
    }
}
