#include "main/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

static const struct row {
    const char *name, *env, *def, *text;
    size_t at;
} rows[] = {
#define CONFIG_ROW(name, env, def, text) { #name, env, def, text, offsetof(struct config, name) },
    CONFIG_TABLE(CONFIG_ROW)
#undef CONFIG_ROW
};
#define ROWS (sizeof rows / sizeof rows[0])

static char *value_of(struct config *c, const struct row *r) { return (char *)c + r->at; }

static int set(struct op *op, struct config *c, const struct row *r, struct str value,
               const char *from)
{
    if (str_copy(value, value_of(c, r), 256))
        return 0;
    return op_fail(op, FAULT_INVALID, EINVAL, "%s of %s is longer than 255 bytes", r->name, from);
}

static int read_line(struct op *op, struct config *c, const char *file, int number, struct str line)
{
    struct str name, value;
    line = str_trim(line);
    if (line.n == 0 || line.p[0] == '#')
        return 0;
    if (!str_cut(line, '=', &name, &value))
        return op_fail(op, FAULT_INVALID, EINVAL, "%s:%d: not a name=value line", file, number);
    for (size_t i = 0; i < ROWS; i++)
        if (str_eq(str_trim(name), str_of(rows[i].name)))
            return set(op, c, &rows[i], str_trim(value), file);
    return op_fail(op, FAULT_INVALID, EINVAL,
                   "%s:%d: no setting is called '" STR_FMT
                   "'; belljar serve --print-config lists them",
                   file, number, STR_ARG(str_trim(name)));
}

static int read_file(struct op *op, struct config *c, const char *file)
{
    CLEANUP(file_closep) FILE *f = fopen(file, "re");
    if (!f)
        return op_fail(op, FAULT_INVALID, errno, "cannot read %s: %s", file, strerror(errno));
    char line[1024];
    for (int number = 1; fgets(line, sizeof line, f); number++) {
        struct str s = str_of(line);
        if (s.n && s.p[s.n - 1] == '\n')
            s.n--;
        int r = read_line(op, c, file, number, s);
        if (r < 0)
            return r;
    }
    return 0;
}

int config_load(struct op *op, struct config *c, const char *file)
{
    *c = (struct config){ 0 };
    int r = 0;
    for (size_t i = 0; i < ROWS && r == 0; i++)
        r = set(op, c, &rows[i], str_of(rows[i].def), "the defaults");
    if (r == 0 && file)
        r = read_file(op, c, file);
    for (size_t i = 0; i < ROWS && r == 0; i++) {
        const char *env = getenv(rows[i].env);
        if (env)
            r = set(op, c, &rows[i], str_of(env), "the environment");
    }
    return r;
}

int config_number(struct op *op, const char *name, const char *text, uint64_t lo, uint64_t hi,
                  uint64_t *out)
{
    if (str_to_u64(str_of(text), hi, out) && *out >= lo)
        return 0;
    return op_fail(op, FAULT_INVALID, EINVAL, "%s is '%s'; it must be a number from %llu to %llu",
                   name, text, (unsigned long long)lo, (unsigned long long)hi);
}

void config_print(const struct config *c)
{
    for (size_t i = 0; i < ROWS; i++)
        printf("# %s (%s)\n%s=%s\n", rows[i].text, rows[i].env, rows[i].name,
               (const char *)c + rows[i].at);
}
