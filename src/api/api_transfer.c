/* What `belljar template export` and `import` ask; ours, for the server's own key. */
#include "api/api_internal.h"

#include <string.h>

#include "wire/json.h"

/* {"name", "rootfs": absolute, "layers": "a,b", "config"} */
void api_transfer_get(struct api_call *c)
{
    struct templates in = fleet_templates(c->api->spec.fleet);
    struct template_ref ref;
    struct template t = { 0 };
    int r = template_ref_parse(c->id, &ref) < 0
                ? op_fail(&c->op, FAULT_INVALID, EINVAL, "Invalid template reference")
                : template_find(&c->op, &in, &ref, &t);
    json_t *empty = json_object();
    json_t *v = r < 0 ? NULL
                      : json_pack("{s:s, s:s, s:s, s:O}", "name", t.alias[0] ? t.alias : t.id,
                                  "rootfs", t.rootfs, "layers", t.layers ? t.layers : "", "config",
                                  t.config ? t.config : empty);
    json_decref(empty);
    template_deinit(&t);
    if (r < 0)
        api_reply_fault(c);
    else
        api_reply_json(c, 200, NULL, v);
}

static void put(struct api_call *c, const json_t *body)
{
    struct build_import from = { .layers = json_object_get(body, "layers") };
    struct build_made made;
    json_t *config = NULL;
    int r = api_field_str(&c->op, body, "name", &from.name);
    if (r >= 0)
        r = api_field_str(&c->op, body, "rootfs", &from.rootfs);
    if (r >= 0)
        r = api_field_object(&c->op, body, "config", &config);
    from.config = config;
    if (r >= 0)
        r = builds_import(c->api->spec.builds, &c->op, &from, &made);
    if (r < 0)
        api_reply_fault(c);
    else
        api_reply_json(c, 201, NULL,
                       json_pack("{s:s, s:s, s:b, s:b}", "templateID", made.template_id, "name",
                                 made.name, "isNew", made.build_id[0] != 0, "isSettled",
                                 made.is_settled));
}

void api_transfer_put(struct api_call *c) { api_take_body(c, false, put); }
