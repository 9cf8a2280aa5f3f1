#include "interp/request.h"

#include "interp/language.h"
#include "wire/json.h"

static int wrong(struct request *r, const char *field, const char *why)
{
    r->field = field;
    r->why = why;
    return REQUEST_WRONG;
}

static int take_object(struct str body, struct request *r)
{
    *r = (struct request){ .body = json_parse(body.n ? body : STR("{}"), NULL) };
    return json_is_object(r->body) ? 0 : wrong(r, "body", "Input should be a valid JSON object");
}

static int take_text(struct request *r, const char *field, bool needed, struct str *out)
{
    return json_get_str(r->body, field, out) >= needed
               ? 0
               : wrong(r, field, "Input should be a valid string");
}

static int take_env(struct request *r)
{
    const char *name;
    json_t *map, *value;
    if (json_get_map(r->body, "env_vars", &map) < 0)
        return wrong(r, "env_vars", "Input should be a dictionary of strings");
    json_object_foreach(map, name, value)
    {
        if (!language_is_env_name(name))
            return wrong(r, "env_vars", "A name of a variable is not empty and has no '='");
    }
    r->env = json_object_size(map) ? map : NULL;
    return 0;
}

int request_parse_execution(struct str body, struct request *out)
{
    int r = take_object(body, out);
    r = r ? r : take_text(out, "code", true, &out->code);
    r = r ? r : take_text(out, "context_id", false, &out->context);
    r = r ? r : take_text(out, "language", false, &out->language);
    return r ? r : take_env(out);
}

int request_parse_context(struct str body, struct request *out)
{
    int r = take_object(body, out);
    r = r ? r : take_text(out, "language", false, &out->language);
    return r ? r : take_text(out, "cwd", false, &out->cwd);
}

void request_deinit(struct request *r)
{
    json_decref(r->body);
    *r = (struct request){ 0 };
}
