#define OPENSSL_SUPPRESS_DEPRECATED /* the one-shot API drags in all of libcrypto: 4 MB more */
#include "interp/jupyter.h"

#include <openssl/sha.h>
#include <string.h>

#include "base/clock.h"
#include "gen/limits.h"
#include "interp/line.h"
#include "wire/json.h"

#define DELIMITER STR("<IDS|MSG>")

static void hex(const unsigned char *in, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = "0123456789abcdef"[in[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[in[i] & 15];
    }
    out[2 * n] = '\0';
}

void jupyter_init(struct jupyter *j)
{
    unsigned char key[32];
    rand_bytes(key, sizeof key);
    hex(key, sizeof key, j->key);
    rand_uuid(j->session);
}

bool jupyter_put_connection(struct buf *b, const struct jupyter *j, const char *path)
{
    return buf_printf(b,
                      "{\"transport\":\"ipc\",\"ip\":\"%s\",\"shell_port\":%d,\"iopub_port\":%d,"
                      "\"stdin_port\":%d,\"control_port\":%d,\"hb_port\":%d,"
                      "\"signature_scheme\":\"hmac-sha256\",\"key\":\"%s\"}",
                      path, JUPYTER_SHELL, JUPYTER_IOPUB, JUPYTER_STDIN, JUPYTER_CONTROL,
                      JUPYTER_HEARTBEAT, j->key);
}

/* One half of an HMAC (RFC 2104): the hash of the key, XORed with `pad`, and `text`. */
static void half(const char *key, unsigned char pad, struct str text, unsigned char digest[32])
{
    unsigned char block[SHA256_CBLOCK] = { 0 };
    SHA256_CTX h;
    memcpy(block, key, JUPYTER_KEY_SIZE - 1);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= pad;
    (void)SHA256_Init(&h);
    (void)SHA256_Update(&h, block, sizeof block);
    (void)SHA256_Update(&h, text.p, text.n);
    (void)SHA256_Final(digest, &h);
}

/* Over header, parent header, metadata and content, which lie one behind the other. The library's
 * own HMAC would bring all of its providers into a static program. */
void jupyter_sign(const struct jupyter *j, struct str text, char out[JUPYTER_SIGNATURE_SIZE])
{
    unsigned char inner[32], outer[32];
    _Static_assert(JUPYTER_KEY_SIZE - 1 <= SHA256_CBLOCK, "a longer key would be hashed first");
    half(j->key, 0x36, text, inner);
    half(j->key, 0x5c, str_make((const char *)inner, sizeof inner), outer);
    hex(outer, sizeof outer, out);
}

bool jupyter_put(struct buf *b, const struct jupyter *j, const char *type, const char *msg_id,
                 const json_t *content)
{
    char date[CLOCK_RFC3339_SIZE], signature[JUPYTER_SIGNATURE_SIZE];
    struct buf text;
    buf_init(&text, 0);
    clock_format(clock_wall_us(), date);
    (void)buf_printf(&text,
                     "{\"msg_id\":\"%s\",\"username\":\"e2b\",\"session\":\"%s\","
                     "\"msg_type\":\"%s\",\"version\":\"5.3\",\"date\":\"%s\"}",
                     msg_id, j->session, type, date);
    size_t header = buf_used(&text);
    (void)buf_append(&text, STR("{}{}"));
    bool ok = json_put(&text, content) && !text.failed;
    if (ok) {
        struct str all = buf_str(&text);
        jupyter_sign(j, all, signature);
        ok = zmtp_frame_put(b, DELIMITER, true) && zmtp_frame_put(b, str_of(signature), true) &&
             zmtp_frame_put(b, str_make(all.p, header), true) &&
             zmtp_frame_put(b, STR("{}"), true) && zmtp_frame_put(b, STR("{}"), true) &&
             zmtp_frame_put(b, str_skip(all, header + 4), false);
    }
    buf_deinit(&text);
    return ok;
}

/* -- reading -- */

enum { PART_SIGNATURE, PART_HEADER, PART_PARENT, PART_METADATA, PART_CONTENT, PARTS };

/* What a cell prints may be anything, NUL too; kernels pass some of it on as it is. Numbers may be
 * larger than ours (a column of hashes): then all of that message are real numbers. */
static json_t *parse_content(struct str text)
{
    json_t *v = json_loadb(text.p, text.n, JSON_ALLOW_NUL, NULL);
    struct buf repaired;
    if (v)
        return v;
    buf_init(&repaired, 0);
    if (line_repair(&repaired, text))
        v = json_loadb(repaired.p, repaired.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    buf_deinit(&repaired);
    return v;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static bool parse(struct jupyter_reader *r, const struct jupyter *j, struct jupyter_msg *out)
{
    struct str all = buf_str(&r->text), part[PARTS];
    char signature[JUPYTER_SIGNATURE_SIZE];
    for (int i = 0; i < PARTS; i++) {
        size_t from = i ? r->ends[i - 1] : 0;
        part[i] = str_make(all.p + from, (i + 1 < PARTS ? r->ends[i] : all.n) - from);
    }
    jupyter_sign(j, str_skip(all, part[PART_SIGNATURE].n), signature);
    if (!str_secret_eq(part[PART_SIGNATURE], str_of(signature)))
        return false; /* somebody else on our socket */
    *out = (struct jupyter_msg){ .header = json_parse(part[PART_HEADER], NULL),
                                 .parent = json_parse(part[PART_PARENT], NULL),
                                 .content = parse_content(part[PART_CONTENT]) };
    if (!out->header || !out->parent || !json_is_object(out->content)) {
        jupyter_msg_deinit(out);
        return false;
    }
    out->type = text_of(out->header, "msg_type");
    out->date = text_of(out->header, "date");
    out->parent_id = text_of(out->parent, "msg_id");
    return true;
}

int jupyter_read(struct jupyter_reader *r, const struct jupyter *j, const struct zmtp_frame *frame,
                 struct jupyter_msg *out)
{
    if (!r->begun) {
        r->begun = true;
        r->part = -1;
        buf_init(&r->text, LIMIT_INTERP_MESSAGE_SIZE);
    }
    if (r->part < 0) {
        r->part = str_eq(frame->body, DELIMITER) ? 0 : -1;
    } else if (r->part < PARTS) { /* behind the content may come buffers, of which we know none */
        (void)buf_append(&r->text, frame->body);
        if (r->part + 1 < PARTS)
            r->ends[r->part] = buf_used(&r->text);
        r->part++;
    }
    if (frame->more)
        return JUPYTER_MORE;
    bool good = r->part == PARTS && !r->text.failed && parse(r, j, out);
    buf_deinit(&r->text);
    r->begun = false;
    return good ? JUPYTER_MESSAGE : JUPYTER_WRONG;
}

void jupyter_msg_deinit(struct jupyter_msg *m)
{
    json_decref(m->header);
    json_decref(m->parent);
    json_decref(m->content);
    *m = (struct jupyter_msg){ 0 };
}

void jupyter_reader_deinit(struct jupyter_reader *r) { buf_deinit(&r->text); }
