/* Templates as create needs them: from a reference to a root file system.
 *
 * $STATE/templates/<name> is a link to (or is) the directory of a template, with its files in
 * rootfs/. A name that is not there may be an alias of the table in template.c. */
#pragma once

#include <linux/limits.h> /* PATH_MAX; <limits.h> would find gen/limits.h first */
#include <stdbool.h>

#include "base/op.h"
#include "base/str.h"

#define TEMPLATE_NAME_SIZE 129
#define TEMPLATE_CAS "/etc/ssl/certs/ca-certificates.crt"

/* [namespace/]name[:tag], trimmed and in lower case; absent parts are "". */
struct template_ref {
    char space[TEMPLATE_NAME_SIZE], name[TEMPLATE_NAME_SIZE], tag[TEMPLATE_NAME_SIZE];
};

/* 0 or -EINVAL. Pure. Namespace and name are of [a-z0-9-_]+, a tag of [a-z0-9-_.]+ (templates.md
 * section 5). */
int template_ref_parse(struct str text, struct template_ref *out);

struct template
{
    char id[TEMPLATE_NAME_SIZE];    /* templateID of the API */
    char alias[TEMPLATE_NAME_SIZE]; /* the name it was asked for by */
    char rootfs[PATH_MAX];          /* absolute, links resolved: later relinking does not move it */
    bool has_cas;                   /* it has a bundle of certificate authorities at TEMPLATE_CAS */
};

/* Finds what `ref` names below `state`. 0, or a negative errno with NOT_FOUND in `op`. */
int template_find(struct op *op, const char *state, const struct template_ref *ref,
                  struct template *out);

/* The id that `ref` has as a filter of a list; false: nothing has that name. */
bool template_resolve(const char *state, const struct template_ref *ref,
                      char id[TEMPLATE_NAME_SIZE]);
