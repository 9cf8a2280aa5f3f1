/* Templates as create needs them: from a reference to a root file system, layers and configuration.
 *
 * Builds, snapshots among them, are in the store. The built-in ones are directories: a link at
 * $STATE/templates/<name>, or the directory itself, with the files in rootfs/ and maybe a
 * template.json beside it. A name that is neither may be an alias of the table in template.c. */
#pragma once

#include <jansson.h>
#include <linux/limits.h> /* PATH_MAX; <limits.h> would find gen/limits.h first */
#include <stdbool.h>

#include "base/op.h"
#include "base/str.h"
#include "store/store.h"

#define TEMPLATE_SPACE "belljar" /* namespace of everything on this server; there is one team */
#define TEMPLATE_DEFAULT_TAG "default"
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
    char *layers;                   /* above rootfs: names, topmost first, commas; NULL: none */
    /* startCmd, readyCmd, user, workdir: strings; envs (for everything in it) and buildEnvs (for
     * steps, start and ready command): of strings; cpus, memoryMB: numbers. NULL: none */
    json_t *config;
};
void template_deinit(struct template *t);

/* Where templates are. */
struct templates {
    const char *state;
    struct store *store;
};

/* Finds what `ref` names, and fills *out (empty before; deinit in every case). 0, or a negative
 * errno with the sentence in `op`: NOT_FOUND mostly. */
int template_find(struct op *op, const struct templates *in, const struct template_ref *ref,
                  struct template *out);

/* The id that `ref` has, tags aside; false: nothing has that name. *is_builtin (may be NULL): it is
 * a directory, not in the store. */
bool template_resolve(const struct templates *in, const struct template_ref *ref,
                      char id[TEMPLATE_NAME_SIZE], bool *is_builtin);

/* Keeps of `config` what a template may say, when it is of the right type. A new object, or NULL
 * when memory is out. Pure. */
json_t *template_config(const json_t *config);

/* How many names are in a list of layers. */
uint32_t template_layer_count(const char *layers);
