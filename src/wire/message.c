#include "wire/message.h"

#include <stdio.h>

bool message_parse(const struct message_spec *spec, enum message_codec codec, struct str in,
                   struct arena *a, void **out, char why[160])
{
    void *msg = arena_alloc(a, spec->size);
    if (!msg) {
        (void)snprintf(why, 160, "out of memory");
        return false;
    }
    *out = msg;
    return codec == MESSAGE_JSON ? message_json_parse(spec, in, a, msg, why)
                                 : message_binary_parse(spec, in, a, msg, why);
}

void message_put(const struct message_spec *spec, enum message_codec codec, const void *msg,
                 struct buf *b)
{
    if (codec == MESSAGE_JSON)
        message_json_put(spec, msg, b);
    else
        message_binary_put(spec, msg, b);
}
