/* Foreign bytes of the control API: queries of lists, ids, template references, bodies. The first
 * byte chooses. Also the journal's records, which another version may have written. */
#include <assert.h>
#include <stdlib.h>

#include "api/api_internal.h"
#include "api/list_query.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_query(struct str text)
{
    struct arena a;
    struct op op = { 0 };
    struct list_query q;
    arena_init(&a, 256 * 1024);
    if (list_query_parse(&op, &a, text, &q) == 0)
        assert(q.limit >= 1 && q.limit <= LIMIT_LIST_PAGE && (q.wants_running || q.wants_paused));
    else
        assert(!q.metadata && op.fault.code == FAULT_INVALID && op.fault.text[0]);
    json_decref(q.metadata);
    arena_deinit(&a);
}

static void fuzz_names(struct str text)
{
    struct template_ref ref;
    struct str id;
    if (template_ref_parse(text, &ref) == 0)
        assert(ref.name[0] && !strchr(ref.name, '/') && !strchr(ref.name, '.'));
    if (identity_parse_id(text, &id))
        assert(id.n >= 1 && id.n <= 32 && str_find(id, '/') == id.n);
}

static void fuzz_body(struct str text)
{
    struct op op = { 0 };
    struct sandbox_spec spec;
    struct buf printed;
    json_t *body = json_parse(text, NULL);
    int64_t timeout_s = 0;
    buf_init(&printed, 0);
    if (json_is_object(body) && sandbox_spec_init(&spec)) {
        spec.secure = true;
        int r = api_network_parse(&op, body, &spec);
        assert(r == 0 || op.fault.text[0]);
        assert(r < 0 || sandbox_spec_print(&printed, &spec));
        op = (struct op){ 0 };
        r = api_field_timeout(&op, body, false, &timeout_s);
        assert(r != 1 || (timeout_s > 0 && timeout_s <= LIMIT_SANDBOX_TIMEOUT_MAX_S));
        sandbox_spec_deinit(&spec);
    }
    buf_deinit(&printed);
    json_decref(body);
}

static void fuzz_record(struct str text)
{
    struct sandbox_spec spec;
    struct buf b;
    buf_init(&b, 0);
    if (sandbox_spec_init(&spec) && sandbox_spec_parse(text, &spec))
        assert(sandbox_spec_print(&b, &spec));
    sandbox_spec_deinit(&spec);
    buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct str) = { fuzz_query, fuzz_names, fuzz_body, fuzz_record };
    if (size > 0)
        targets[data[0] % 4](str_make((const char *)data + 1, size - 1));
    return 0;
}
