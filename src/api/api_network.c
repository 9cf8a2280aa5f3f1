/* The network part of a create: checked whole, and refused where this server cannot keep the
 * promise yet. A protection that was asked for and silently not there is worse than an error. */
#include <arpa/inet.h>
#include <string.h>

#include "api/api_internal.h"

enum { ENTRIES = 1024, PORTS = 128, ENVD_PORT = 49983 };

#define unsupported(op, ...) op_fail((op), FAULT_UNSUPPORTED, ENOSYS, __VA_ARGS__)

/* An address, or an address and a prefix length. */
static bool is_cidr(const char *text)
{
    char address[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    struct str host, rest;
    uint64_t bits;
    bool has_bits = str_cut(str_of(text), '/', &host, &rest);
    if (!str_copy(host, address, sizeof address))
        return false;
    int most = inet_pton(AF_INET, address, bytes) == 1    ? 32
               : inet_pton(AF_INET6, address, bytes) == 1 ? 128
                                                          : -1;
    return most > 0 && (!has_bits || str_to_u64(rest, (uint64_t)most, &bits));
}

/* A DNS name, or one behind "*.". */
static bool is_domain(const char *text)
{
    struct str s = str_of(text), label;
    if (str_starts(s, STR("*.")))
        s = str_skip(s, 2);
    if (s.n == 0 || s.n > 253)
        return false;
    for (bool more = true; more;) {
        more = str_cut(s, '.', &label, &s);
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
                        label.p[i]))
                return false;
    }
    return true;
}

static bool holds(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
            return true;
    return false;
}

static int read_egress(struct op *op, const json_t *n, struct sandbox_spec *spec)
{
    json_t *allow, *deny;
    if (api_field_strings(op, n, "allowOut", ENTRIES, &allow) < 0 ||
        api_field_strings(op, n, "denyOut", ENTRIES, &deny) < 0)
        return -EINVAL;
    bool denies_all = holds(deny, "0.0.0.0/0") || spec->internet == 0;
    for (size_t i = 0; i < json_array_size(deny); i++)
        if (!is_cidr(json_string_value(json_array_get(deny, i))))
            return op_fail(op, FAULT_INVALID, EINVAL, "invalid denied CIDR %.100s",
                           json_string_value(json_array_get(deny, i)));
    for (size_t i = 0; i < json_array_size(allow); i++) {
        const char *text = json_string_value(json_array_get(allow, i));
        if (is_cidr(text))
            continue;
        if (!is_domain(text))
            return op_fail(op, FAULT_INVALID, EINVAL, "invalid allowed address or domain %.100s",
                           text);
        if (!denies_all)
            return op_fail(op, FAULT_INVALID, EINVAL,
                           "When specifying allowed domains in allow out, you must include "
                           "'ALL_TRAFFIC' in deny out to block all other traffic");
    }
    if (json_array_size(deny) && !denies_all)
        return unsupported(op, "network.denyOut: this server can deny all traffic (0.0.0.0/0) or "
                               "none; rules by address are not there yet");
    if (json_array_size(allow) && denies_all)
        return unsupported(op, "network.allowOut: exceptions from denied traffic are not there yet "
                               "on this server");
    spec->is_cut_off = denies_all;
    return 0;
}

/* host[:port] in ASCII, where ${PORT} stands for the port. */
static int read_mask(struct op *op, const json_t *n, struct sandbox_spec *spec)
{
    struct str mask;
    int r = api_field_str(op, n, "maskRequestHost", &mask);
    if (r <= 0)
        return r;
    bool good = mask.n > 0 && str_copy(mask, spec->mask_host, sizeof spec->mask_host);
    for (size_t i = 0; i < mask.n && good; i++) {
        if (str_starts(str_skip(mask, i), STR("${PORT}")))
            i += 6;
        else
            good = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]",
                          mask.p[i]) != NULL;
    }
    return good ? 0 : api_invalid(op, "network.maskRequestHost must be host[:port] in ASCII");
}

static int read_https_ports(struct op *op, const json_t *n)
{
    const json_t *ports = json_object_get(n, "httpsPorts");
    if (!ports || json_is_null(ports))
        return 0;
    if (!json_is_array(ports) || json_array_size(ports) > PORTS)
        return api_invalid(op, "network.httpsPorts must be an array of at most %d ports", PORTS);
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        json_int_t p = json_integer_value(port);
        if (!json_is_integer(port) || p < 1 || p > 65535 || p == ENVD_PORT)
            return api_invalid(op, "network.httpsPorts must hold ports from 1 to 65535, not %d",
                               ENVD_PORT);
        for (size_t j = 0; j < i; j++)
            if (json_integer_value(json_array_get(ports, j)) == p)
                return api_invalid(op, "network.httpsPorts holds %d twice", (int)p);
    }
    if (json_array_size(ports))
        return unsupported(op, "network.httpsPorts is not there yet on this server");
    return 0;
}

int api_network_parse(struct op *op, const json_t *body, struct sandbox_spec *spec)
{
    json_t *n = json_object_get(body, "network"), *part;
    bool is_public = true;
    spec->is_cut_off = spec->internet == 0;
    if (!n)
        return 0;
    if (!json_is_object(n))
        return api_invalid(op, "network must be an object");
    if (api_field_bool(op, n, "allowPublicTraffic", &is_public) < 0 ||
        read_egress(op, n, spec) < 0 || read_mask(op, n, spec) < 0 || read_https_ports(op, n) < 0)
        return -EINVAL;
    int r = api_field_object(op, n, "egressProxy", &part);
    if (r == 1)
        return op_fail(op, FAULT_FORBIDDEN, EPERM,
                       "Egress proxy (network.egressProxy) is not enabled for this team.");
    if (r == 0)
        r = api_field_object(op, n, "rules", &part);
    if (r < 0)
        return r;
    if (part && json_object_size(part))
        return unsupported(op, "network.rules is not there yet on this server");
    if (!is_public && !spec->secure)
        return op_fail(op, FAULT_INVALID, EINVAL,
                       "network.allowPublicTraffic false needs a secure sandbox (secure: true)");
    spec->has_private_traffic = !is_public;
    spec->network = json_incref(n);
    return 0;
}
